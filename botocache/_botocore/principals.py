"""Which sets of keys have the same authority.

A set of keys (access key id, secret, session token) has a principal of its own. Two
sets share a principal only if the answers that handed them out prove that AWS gave both
the same authority: both are of one role of a container, of an instance, or of equal
calls of AssumeRole. What is forgotten or was never seen costs hits, and shares nothing.
A set shares no longer than it is valid: DynamoDB refuses what it signs after that.

Here are the memory of such answers, and the observation of the two endpoints that hand
out a machine's own role. `handouts.py` observes AWS STS and IAM Identity Center. None
of them makes a request.
"""

import inspect
import math
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import wraps
from pathlib import Path
from time import time
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from botocore import credentials
from botocore.utils import (
    ContainerMetadataFetcher,
    InstanceMetadataFetcher,
    parse_timestamp,
)

from botocache._botocore.accounts import account_of_key
from botocache._digests import digest
from botocache._errors import pass_on, shows

MOST_SESSIONS = 4096
"""Sets of keys whose principals are remembered: those used last."""


class Proof(NamedTuple):
    """Whose a set of keys is.

    scope: of the set: its principal, or the user's name for it.
    expires_at: when that ends, in seconds of the machine's clock; infinite if it does
        not end, or if that is not known.
    """

    scope: bytes
    expires_at: float = math.inf


class Principals:
    """A memory of principals: by session, that is, by the digest of a set of keys.

    clock: returns the machine's time, in seconds.

    Has no lock, so that a signal handler or a forked child cannot wait for one. Two
    threads at once may lose a session, which costs hits.

    version: another object after each change of what is known.
    """

    def __init__(
        self, most: int = MOST_SESSIONS, clock: Callable[[], float] = time
    ) -> None:
        self._half = most // 2
        self.clock = clock
        self._young: dict[bytes, Proof] = {}
        self._old: dict[bytes, Proof] = {}
        self.version = object()

    def __len__(self) -> int:
        return len(self._young.keys() | self._old.keys())

    def of(self, session: bytes) -> Proof | None:
        """Return the principal of a session; None if it is not known to have one.

        None also after its keys have expired. Sessions of the principal with newer keys
        go on filling, and these keys must not be served what DynamoDB refuses to them.
        """
        found = self._young.get(session)
        if found is None:
            found = self._old.get(session)
            if found is not None:
                self._put(session, found)
        if found is None or self.clock() >= found.expires_at:
            return None
        return found

    def note(self, session: bytes, principal: bytes, expiry: object) -> None:
        """Remember the principal of a session. Raises an error at a wrong expiry.

        expiry: of its keys, as botocore or AWS has it.
        """
        moment = expiry if isinstance(expiry, datetime) else parse_timestamp(expiry)  # type: ignore[arg-type]  # a number, too
        expires_at = moment.timestamp()
        self._put(session, Proof(principal, expires_at))

    def _put(self, session: bytes, proof: Proof) -> None:
        if len(self._young) >= self._half and session not in self._young:
            # By halves: to find the one used longest ago would need their order.
            self._old, self._young = self._young, {}
        self._young[session] = proof
        # Last: who finds the new version finds the new proof, too.
        self.version = object()

    def clear(self) -> None:
        """Forget all."""
        self._young, self._old = {}, {}
        self.version = object()


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


# --- names of sessions -------------------------------------------------------------

_Fetcher: Final[Any] = getattr(credentials, "BaseAssumeRoleCredentialFetcher", object)

_MOST_NAMES = 4096

generated_names: Final[dict[str, None]] = {}
"""Names of sessions that botocore has made up in this process, the newest last.

They have the time, and tell no sessions apart. By its looks alone no name counts as one
of these: a tenant may be called `botocore-session-1`.
"""


def _note_name(fetcher: Any, _none: object) -> None:
    generated_names[fetcher._role_session_name] = None  # noqa: SLF001 - its method sets it
    while len(generated_names) > _MOST_NAMES:
        generated_names.pop(next(iter(generated_names)), None)


# --- the endpoints of containers and instances -------------------------------------

_WATCHED: Final = "_botocache_watches"


def watch_endpoints() -> None:
    """Note the roles that endpoints name from now on. May be called repeatedly."""
    watch_fetchers(ContainerMetadataFetcher, InstanceMetadataFetcher)
    _wrap(_Fetcher, "_generate_assume_role_name", _note_name)


def watch_fetchers(container: type, instance: type) -> None:
    """Note the roles that the endpoints name to a library from now on.

    container: its class that asks the endpoint of a container.
    instance: its class that asks the endpoint of an instance.
    """
    _wrap(container, "retrieve_full_uri", _note_container)
    _wrap(instance, "retrieve_iam_role_credentials", _note_instance)


def _wrap(kind: type, name: str, note: Callable[[Any, Any], object]) -> None:
    """Let a method, or a coroutine, note what it returns, and of which object."""
    method: Any = vars(kind).get(name)
    if method is None or hasattr(method, _WATCHED):
        return

    def note_answer(fetcher: Any, answer: object) -> object:
        try:
            note(fetcher, answer)
        except Exception as error:
            pass_on(error)  # the principal is not known then
        return answer

    @wraps(method)
    def watched(fetcher: Any, *arguments: Any, **options: Any) -> object:
        return note_answer(fetcher, method(fetcher, *arguments, **options))

    @wraps(method)
    async def awaited(fetcher: Any, *arguments: Any, **options: Any) -> object:
        return note_answer(fetcher, await method(fetcher, *arguments, **options))

    watching = awaited if inspect.iscoroutinefunction(method) else watched
    setattr(watching, _WATCHED, True)
    setattr(kind, name, watching)


def _note_container(_fetcher: object, answer: Any) -> None:
    """Note the role whose ARN the endpoint of a container names.

    The endpoint of EKS Pod Identity names none: its sessions have tags of the pod.
    """
    role = answer.get("RoleArn") if isinstance(answer, Mapping) else None
    if isinstance(role, str) and role.startswith("arn:"):
        key, secret, token = _texts(answer, "AccessKeyId", "SecretAccessKey", "Token")
        principal = role_principal("container-role", account_of_key(key), role)
        session = session_of(key, secret, token)
        principals.note(session, principal, answer["Expiration"])


_OF_INSTANCES = frozenset({"169.254.169.254", "fd00:ec2::254"})
"""Hosts of AWS's own endpoint of instances."""


def _note_instance(fetcher: Any, answer: Any) -> None:
    """Note the role that the endpoint of an instance names; names are of an account.

    Other programs stand in for this endpoint, and name the role of a session that is
    set apart by more: by tags from a certificate, with IAM Roles Anywhere. Sessions of
    such a program are of one role only if one program, at one place, handed them out.
    """
    if not answer:  # there is no instance
        return
    key, secret, token = _texts(answer, "access_key", "secret_key", "token")
    role, account = answer.get("role_name"), account_of_key(key)
    url: str = fetcher._base_url  # noqa: SLF001 - botocore has no other name for it
    place = () if urlsplit(url).hostname in _OF_INSTANCES else (url, *_this_network())
    if isinstance(role, str) and role and account:
        principal = role_principal("iam-role", account, role, *place)
        session = session_of(key, secret, token)
        principals.note(session, principal, answer["expiry_time"])


def _this_network() -> tuple[str, str]:
    """Return what names this machine, and the network that the process sees on it.

    Raises OSError where the system does not tell.
    """
    boot = Path("/proc/sys/kernel/random/boot_id").read_text()
    return boot, str(Path("/proc/self/ns/net").readlink())


def _texts(answer: Mapping[str, object], *names: str) -> tuple[str, str, str]:
    """Return a key id, a secret and a token. Raises ValueError if one is missing."""
    key, secret, token = (answer.get(name) for name in names)
    if not (isinstance(key, str) and isinstance(secret, str) and key and secret):
        raise ValueError("an answer without keys")
    return key, secret, token if isinstance(token, str) else ""
