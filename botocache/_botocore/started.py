"""The environment that this process was started with: a Lambda function's own role.

Lambda gives a function the keys of its role in the environment. Nothing in the keys
names the role, and an application may put other keys into `os.environ`, or start a
child process with other keys. So keys are the function's own only if the process
was started with them, and if no parent that names the function has others.
"""

import os
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

from botocache._botocore.accounts import account_of_key
from botocache._botocore.principals import role_principal
from botocache._errors import pass_on

_FUNCTION = "AWS_LAMBDA_FUNCTION_NAME"
_VERSION = "AWS_LAMBDA_FUNCTION_VERSION"
_REGION = "AWS_REGION"
_KEY, _SECRET = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"
_TOKENS = ("AWS_SECURITY_TOKEN", "AWS_SESSION_TOKEN")  # in botocore's order

_MOST_PARENTS = 64

Keys = tuple[str, str, str]
"""An access key id, a secret and a session token."""


def function_of_keys(keys: Keys) -> bytes | None:
    """Return the principal of this process's Lambda function, if the keys are its own.

    None if they are not, or if that cannot be known.
    """
    if _FUNCTION not in os.environ:
        return None
    own = _own_function()
    return own[1] if own is not None and own[0] == keys else None


@cache
def _own_function() -> tuple[Keys, bytes] | None:
    # Once: what a process was started with does not change, nor what a fork inherits.
    return function_started(environment_of, parent_of, os.getpid())


def function_started(
    environment_of: Callable[[int], Mapping[str, str]],
    parent_of: Callable[[int], int],
    pid: int,
) -> tuple[Keys, bytes] | None:
    """Return the keys of a process's function, and its principal; None if it has none.

    environment_of: returns what a process was started with; empty if not readable.
    parent_of: returns a process's parent; 0 if it has none.
    pid: of the process.
    """
    own = environment_of(pid)
    function, keys = own.get(_FUNCTION, ""), _keys_in(own)
    account = account_of_key(keys[0])
    if not (function and account and keys[1]):
        return None
    parent = pid
    for _ in range(_MOST_PARENTS):
        parent = parent_of(parent)
        if not parent:
            break
        other = environment_of(parent)
        if _FUNCTION in other and _keys_in(other) != keys:
            return None  # the application chose the keys of this child
    version, region = own.get(_VERSION, ""), own.get(_REGION, "")
    return keys, role_principal("lambda", account, region, function, version)


def _keys_in(environment: Mapping[str, str]) -> Keys:
    token = next((environment[name] for name in _TOKENS if environment.get(name)), "")
    return environment.get(_KEY, ""), environment.get(_SECRET, ""), token


def environment_of(pid: int) -> Mapping[str, str]:
    """Return what a process was started with; empty if that cannot be read."""
    try:
        content = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError as error:
        pass_on(error)
        return {}
    pairs = (os.fsdecode(each).partition("=") for each in content.split(b"\0"))
    return {name: value for name, _, value in pairs}


def parent_of(pid: int) -> int:
    """Return the parent of a process; 0 if it has none, or if that is not known."""
    try:
        content = Path(f"/proc/{pid}/stat").read_text()
    except (OSError, ValueError) as error:
        pass_on(error)
        return 0
    # The name of the program, in parentheses, may contain anything.
    fields = content.rpartition(")")[2].split()
    return int(fields[1]) if len(fields) > 1 else 0
