"""Whose answers a call may be served: the scope of its credentials.

Calls with equal scopes share entries. Computing a scope makes no network call, except
that credentials that refresh themselves are resolved once, for their first key.
"""

import os
import weakref
from base64 import b32decode
from functools import lru_cache

from botocore.credentials import Credentials, RefreshableCredentials

from botocache._botocore.roles import role_of
from botocache._digests import digest
from botocache._stats import log, log_once

AUTO = "auto"
"""The setting `scope` by which credentials decide; any other value is a name."""

_OWN_ROLE_METHODS = frozenset({"container-role", "iam-role"})
"""The methods by which botocore obtains the process's own role from an endpoint."""

_WEB_IDENTITY = "assume-role-with-web-identity"

_scopes: "weakref.WeakKeyDictionary[RefreshableCredentials, bytes]" = (
    weakref.WeakKeyDictionary()
)
"""Scopes of credentials that refresh themselves: the object stands for one principal
through all of its rotations."""


def scope_of(
    credentials: Credentials | None, setting: str, key: str | None = None
) -> bytes:
    """Return the scope of credentials.

    credentials: of the call; None when it is not signed.
    setting: `scope`.
    key: the access key that they had, if they may have another now.
    """
    if setting != AUTO:
        return named_scope(setting)
    if credentials is None:
        return ANONYMOUS_SCOPE
    if isinstance(credentials, RefreshableCredentials):
        scope = _scopes.get(credentials)
        if scope is None:
            # The first of two threads counts: a rotation between them must not split
            # the principal in two.
            scope = _scopes.setdefault(credentials, _refreshable_scope(credentials))
        return scope
    return _static_scope(key or credentials.access_key, credentials.method)


def _refreshable_scope(credentials: RefreshableCredentials) -> bytes:
    first_key = credentials.get_frozen_credentials().access_key or ""
    method = credentials.method
    if method in _OWN_ROLE_METHODS:
        account = getattr(credentials, "account_id", None) or account_bits(first_key)
        role = role_of(first_key)
        # Names of roles are unique within an account, and ARNs everywhere.
        if role.startswith("arn:") or (role and account):
            return role_scope(method, account, role)
        log_once(
            log.info,
            "role_not_known",
            f"the endpoint of {method} credentials names no role; this process shares "
            "entries with those that began with the same access key. To share more, "
            "name a `scope`",
        )
        return principal_scope(first_key)
    # Private to botocore; without them the scope is narrower, by the first key.
    fetcher = getattr(getattr(credentials, "_refresh_using", None), "__self__", None)
    arn = getattr(fetcher, "_role_arn", None)
    if arn and method == _WEB_IDENTITY:
        return role_scope(method, "", arn)
    # Some other role, of which a process may have several: its first key names it.
    return principal_scope(first_key)


def _static_scope(key: str, method: str) -> bytes:
    # The method first: os.environ costs a microsecond.
    if method == "env":
        function = os.environ.get("AWS_LAMBDA_FUNCTION_NAME")
        account = account_bits(key) if function else ""
        if function and account:  # keys of its role, which Lambda replaces
            return role_scope("lambda", account, function)
    return principal_scope(key)


# --- scopes ------------------------------------------------------------------------


@lru_cache(maxsize=16)
def named_scope(name: str) -> bytes:
    """Return the scope that the user named; callers with this name share entries."""
    return digest("scope", "named", name)


@lru_cache(maxsize=1024)
def principal_scope(access_key_id: str) -> bytes:
    """Return the scope of an access key; the id itself is not kept in it."""
    return digest("scope", "access key", access_key_id)


@lru_cache(maxsize=16)
def role_scope(method: str, account: str, role: str) -> bytes:
    """Return the scope of a process's own role, which outlives each set of its keys.

    method: how botocore obtained the credentials (`container-role`, ...).
    account: twelve digits, or "".
    role: its ARN or name, or what else names it.
    """
    return digest("scope", "role", method, account, role)


def account_bits(access_key_id: str) -> str:
    """Return the part of an access key id in which AWS encodes the account, or "".

    AWS does not document it. It need not be the account for our purpose: it only has
    to stay when a role's keys rotate, and if it did not, that would cost hits.
    """
    try:
        decoded = b32decode(access_key_id[4:20])
    except ValueError:
        return ""
    bits = int.from_bytes(decoded[:6], "big")
    return str((bits & 0x7FFFFFFFFF80) >> 7) if len(decoded) == _KEY_ID_BYTES else ""


_KEY_ID_BYTES = 10

ANONYMOUS_SCOPE = digest("scope", "anonymous")
"""The scope of unsigned requests."""
