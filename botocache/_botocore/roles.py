"""The role behind an access key, as the endpoint that hands out the key names it.

The endpoint of a container says `RoleArn`, and that of an instance the role's name.
botocore drops both. So `watch_roles` wraps the two methods that ask these endpoints,
and notes what the answers name. It makes no request of its own.
"""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Final

from botocore.utils import ContainerMetadataFetcher, InstanceMetadataFetcher

_MOST_ROLES = 100
"""Keys whose roles are kept. Only the first key of each credentials is asked for."""

_roles: dict[str, str] = {}
_WATCHED: Final = "_botocache_watches"


def role_of(access_key_id: str) -> str:
    """Return the role that a key was handed out for: ARN or name; "" if not known."""
    return _roles.get(access_key_id, "")


def watch_roles() -> None:
    """Note the roles that endpoints name from now on. May be called repeatedly."""
    _wrap(
        ContainerMetadataFetcher,
        "retrieve_full_uri",
        lambda answer: _note(answer, "AccessKeyId", "RoleArn"),
    )
    _wrap(
        InstanceMetadataFetcher,
        "retrieve_iam_role_credentials",
        lambda answer: _note(answer, "access_key", "role_name"),
    )


def _wrap(kind: type, name: str, note: Callable[[object], None]) -> None:
    method: Any = vars(kind).get(name)
    if method is None or hasattr(method, _WATCHED):
        return

    @wraps(method)
    def retrieve(*arguments: Any, **options: Any) -> object:
        answer: object = method(*arguments, **options)
        note(answer)
        return answer

    setattr(retrieve, _WATCHED, True)
    setattr(kind, name, retrieve)


def _note(answer: object, key_field: str, role_field: str) -> None:
    if not isinstance(answer, Mapping):
        return
    key, role = answer.get(key_field), answer.get(role_field)
    if isinstance(key, str) and isinstance(role, str) and key and role:
        if len(_roles) >= _MOST_ROLES:
            _roles.clear()
        _roles[key] = role
