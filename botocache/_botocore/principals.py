"""Which sets of keys have the same authority.

A set of keys (access key id, secret, session token) has a principal of its own. Two
sets share a principal only if the answers that handed them out prove that AWS gave both
the same authority: both are of one role of a container, of an instance, or of equal
calls of AssumeRole. What is forgotten or was never seen costs hits, and shares nothing.

Here are the memory of such answers, and the observation of the two endpoints that hand
out a machine's own role. `handouts.py` observes AWS STS and IAM Identity Center. None
of them makes a request.
"""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Final, NamedTuple

from botocore.utils import ContainerMetadataFetcher, InstanceMetadataFetcher

from botocache._botocore.accounts import account_of_key
from botocache._digests import digest
from botocache._errors import pass_on, shows

MOST_SESSIONS = 4096
"""Sets of keys whose principals are remembered: those used last."""


class Principals:
    """A memory of principals: by session, that is, by the digest of a set of keys.

    Has no lock, so that a signal handler or a forked child cannot wait for one. Two
    threads at once may lose a session, which costs hits.
    """

    def __init__(self, most: int = MOST_SESSIONS) -> None:
        self._half = most // 2
        self._young: dict[bytes, bytes] = {}
        self._old: dict[bytes, bytes] = {}

    def __len__(self) -> int:
        return len(self._young.keys() | self._old.keys())

    def of(self, session: bytes) -> bytes | None:
        """Return the principal of a session; None if it is not known to have one."""
        found = self._young.get(session)
        if found is None:
            found = self._old.get(session)
            if found is not None:
                self.note(session, found)
        return found

    def note(self, session: bytes, principal: bytes) -> None:
        """Remember the principal of a session."""
        if len(self._young) >= self._half and session not in self._young:
            # By halves: to find the one used longest ago would need their order.
            self._old, self._young = self._young, {}
        self._young[session] = principal

    def clear(self) -> None:
        """Forget all."""
        self._young, self._old = {}, {}


principals: Final = Principals()


@shows("scope", "principal")
class HandOut(NamedTuple):
    """A call under way that hands out keys.

    scope: of its caller.
    access_key_id: of the keys that would sign it; "" if it is not signed.
    principal: of the keys in its answer; None if it is not known, or not yet.
    """

    scope: bytes
    access_key_id: str
    principal: bytes | None = None


def session_of(access_key_id: str, secret: str, token: str) -> bytes:
    """Return what names a set of keys. None of them can be found out from it.

    All three count. A caller may know the id of another principal's key, and DynamoDB
    refuses what it signs without the secret.

    access_key_id: of the set.
    secret: of the set.
    token: the session token; "" for long-lived keys, which have none.
    """
    return digest("scope", "session", access_key_id, secret, token)


def role_principal(*parts: object) -> bytes:
    """Return the principal of a role, which outlives each set of its keys.

    parts: how its keys were obtained, and all that its authority depends on.
    """
    return digest("scope", "role", *parts)


# --- the endpoints of containers and instances -------------------------------------

_WATCHED: Final = "_botocache_watches"


def watch_endpoints() -> None:
    """Note the roles that endpoints name from now on. May be called repeatedly."""
    _wrap(ContainerMetadataFetcher, "retrieve_full_uri", _note_container)
    _wrap(InstanceMetadataFetcher, "retrieve_iam_role_credentials", _note_instance)


def _wrap(
    kind: type, name: str, note: Callable[[Mapping[str, object]], object]
) -> None:
    method: Any = vars(kind).get(name)
    if method is None or hasattr(method, _WATCHED):
        return

    @wraps(method)
    def retrieve(*arguments: Any, **options: Any) -> object:
        answer: object = method(*arguments, **options)
        try:
            if isinstance(answer, Mapping):
                note(answer)
        except Exception as error:
            pass_on(error)  # the principal is not known then
        return answer

    setattr(retrieve, _WATCHED, True)
    setattr(kind, name, retrieve)


def _note_container(answer: Mapping[str, object]) -> None:
    """Note the role whose ARN the endpoint of a container names.

    The endpoint of EKS Pod Identity names none: its sessions have tags of the pod.
    """
    role = answer.get("RoleArn")
    if isinstance(role, str) and role.startswith("arn:"):
        key, secret, token = _texts(answer, "AccessKeyId", "SecretAccessKey", "Token")
        principal = role_principal("container-role", account_of_key(key), role)
        principals.note(session_of(key, secret, token), principal)


def _note_instance(answer: Mapping[str, object]) -> None:
    """Note the role that the endpoint of an instance names; names are of an account."""
    key, secret, token = _texts(answer, "access_key", "secret_key", "token")
    role, account = answer.get("role_name"), account_of_key(key)
    if isinstance(role, str) and role and account:
        principal = role_principal("iam-role", account, role)
        principals.note(session_of(key, secret, token), principal)


def _texts(answer: Mapping[str, object], *names: str) -> tuple[str, str, str]:
    """Return a key id, a secret and a token. Raises ValueError if one is missing."""
    key, secret, token = (answer.get(name) for name in names)
    if not (isinstance(key, str) and isinstance(secret, str) and key and secret):
        raise ValueError("an answer without keys")
    return key, secret, token if isinstance(token, str) else ""
