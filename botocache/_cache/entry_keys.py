"""Keys of entries, and the scope that is a part of each key. Pure.

A key says which question was asked, of which DynamoDB (origin), and whose answer it is
(scope). Tags know neither: a write evicts for all scopes and origins.
"""

from base64 import b32decode
from functools import lru_cache

from botocache._digests import digest


def entry_key(scope: bytes, origin: str, operation: str, question: bytes) -> bytes:
    """Return the key under which the answer to a question is stored.

    origin: which DynamoDB is asked, exactly; see `origin`.
    """
    return digest("entry", scope, origin, operation, question)


def schema_key(origin: str, table: str) -> bytes:
    """Return the key under which a table's learned key attributes are shared."""
    return digest("schema", origin, table)


def origin(url: str, region: str) -> str:
    """Return which DynamoDB a request goes to: endpoint and region.

    Both, because an emulator keeps the tables of several regions behind one endpoint.
    """
    return f"{region} {url}"


@lru_cache(maxsize=16)
def named_scope(name: str) -> bytes:
    """Return the scope that the user named: shared by whoever names it too."""
    return digest("scope", "named", name)


@lru_cache(maxsize=1024)
def principal_scope(access_key_id: str) -> bytes:
    """Return the scope of whoever holds this access key; the id itself is not kept."""
    return digest("scope", "access key", access_key_id)


@lru_cache(maxsize=16)
def role_scope(method: str, account: str, role: str) -> bytes:
    """Return the scope of a process's own role, which outlives each set of its keys.

    method: how botocore obtained the credentials (`container-role`, ...).
    account: twelve digits. role: whatever more is known of the role, or "".
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
