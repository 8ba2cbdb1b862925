"""The account of a set of keys, as far as the keys show it. Makes no call.

It must be the same for all keys of an account, however they were got. Tables of two
accounts may have one name, and a named scope does not tell the two accounts apart.
"""

from functools import lru_cache

from botocache._botocore.principals import account_bits

_account_of_key = lru_cache(maxsize=1024)(account_bits)


def account_of(keys: object, access_key_id: str) -> str:
    """Return the account of a set of keys, twelve digits; "" if it is not known.

    keys: botocore's; later versions note the account in them, where they are told.
    access_key_id: of these keys. It names the account, unless it is of the older form.
    """
    named = _account_of_key(access_key_id)
    if named:
        return named
    told = getattr(keys, "account_id", None)
    return told if isinstance(told, str) else ""


def account_at_hand(credentials: object) -> str:
    """Return the account of credentials by the keys that they have at this moment.

    For writes of callers that are not known: the tables that they write are those of
    their account all the same.

    credentials: botocore's or aiobotocore's. Their methods may refresh them, so none is
        called.
    """
    values = getattr(credentials, "__dict__", {})
    key = values.get("access_key") or values.get("_access_key")
    return _account_of_key(key) if isinstance(key, str) else ""
