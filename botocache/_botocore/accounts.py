"""The account of a set of keys, as far as the keys show it. Makes no call.

It only has to be the same for all keys of an account, however they were got: tables of
two accounts may have one name, and named scopes do not tell the two apart.
"""

from base64 import b32decode
from functools import lru_cache

_KEY_ID_LENGTH = 20
_DIGITS = 12
_PREFIXES = ("AKIA", "ASIA")
_IS_NEW_FORMAT = 1 << 47
"""Keys of the old format, from before 2019, lack this bit, and name no account."""


@lru_cache(maxsize=1024)
def account_of_key(access_key_id: str) -> str:
    """Return the account that an access key id names, twelve digits; "" if none.

    AWS does not document it, and has not changed it since 2019.
    """
    if len(access_key_id) != _KEY_ID_LENGTH or access_key_id[:4] not in _PREFIXES:
        return ""
    try:
        bits = int.from_bytes(b32decode(access_key_id[4:])[:6], "big")
    except ValueError:
        return ""
    account = f"{(bits & (_IS_NEW_FORMAT - 1)) >> 7:0{_DIGITS}}"
    is_account = bits & _IS_NEW_FORMAT and len(account) == _DIGITS
    return account if is_account else ""


def account_at_hand(credentials: object) -> str:
    """Return the account of credentials by the keys that they have at this moment.

    For writes of callers that are not known: the tables that they write are those of
    their account all the same.

    credentials: botocore's or aiobotocore's. Their methods may refresh them, so none is
        called.
    """
    values = getattr(credentials, "__dict__", {})
    key = values.get("access_key") or values.get("_access_key")
    return account_of_key(key) if isinstance(key, str) else ""


def account_of(keys: object, access_key_id: str) -> str:
    """Return the account of a set of keys; "" if it is not known.

    keys: botocore's, with an `account_id` since botocore 1.35.
    """
    named = account_of_key(access_key_id)
    if named:
        return named
    told = getattr(keys, "account_id", None)
    return told if isinstance(told, str) else ""
