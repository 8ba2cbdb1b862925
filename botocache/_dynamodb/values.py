"""Attribute values and names as DynamoDB compares them. Pure.

Equal values of a key attribute get one canonical form. A value that is not understood
keeps its spelling: that may cost a hit, and never returns a wrong answer.
"""

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation

from botocache._digests import digest
from botocache._dynamodb.limits import RefusedError, check_binary, check_number
from botocache._dynamodb.types import Item


def canonical_number(text: str) -> str:
    """Return one spelling for each number: `1e0` for `1`, `1.0`, `01` and `1e0`.

    Never rounds, and ignores the thread's decimal context. Text that is not a finite
    number is returned as it is.
    """
    # The common case. `isdigit` alone is true for digits of other scripts, too.
    if text.isascii() and text.isdigit() and text[0] != "0":
        stripped = text.rstrip("0")
        return f"{stripped}e{len(text) - len(stripped)}"
    try:
        sign, digits, exponent = Decimal(text).as_tuple()
    except (InvalidOperation, ValueError):
        return text
    # NaN and Infinity have a letter for their exponent.
    if not isinstance(exponent, int):
        return text
    significant = "".join(map(str, digits)).lstrip("0")
    if not significant:
        return "0"
    stripped = significant.rstrip("0")
    exponent += len(significant) - len(stripped)
    return f"{'-' if sign else ''}{stripped}e{exponent}"


def check_key(key: Item) -> None:
    """Raise ValueError for an item's key that DynamoDB may refuse for its spelling."""
    for value in key.values():
        if "N" in value:
            check_number(value["N"])
        elif "B" in value:
            check_binary(value["B"])
        else:
            # UTF-8 has no lone surrogates; a UnicodeEncodeError is a ValueError.
            value.get("S", "").encode()


def canonical_value(value: Mapping[str, object]) -> tuple[str, str | bytes]:
    """Return type and value of a key attribute, as DynamoDB compares it.

    value: `{"S": ...}`, `{"N": ...}` or `{"B": ...}`. B is base64 text as on the wire,
        or bytes as botocore has parsed it.

    Raises ValueError for anything else.
    """
    if len(value) == 1:
        ((kind, content),) = value.items()
        if kind == "B" and isinstance(content, bytes):
            return kind, content
        if isinstance(content, str):
            if len(content) > LONGEST_VALUE and kind in _KEY_KINDS:
                # Tags are kept in several places. DynamoDB refuses such a key.
                return f"long {kind}", digest(content)
            if kind == "S":
                return kind, content
            if kind == "N":
                return kind, canonical_number(content)
            if kind == "B":
                return kind, _canonical_binary(content)
    raise RefusedError(_NO_KEY)


LONGEST_VALUE = 4096
"""Characters. Above the longest key attribute, also in base64."""

_KEY_KINDS = frozenset({"S", "N", "B"})


_NO_KEY = "It has what is not the value of a key attribute: a string, number or binary."


def _canonical_binary(text: str) -> str | bytes:
    # Base64 has several spellings of the same bytes: `YQ==` and `YR==`.
    try:
        return b64decode(text, validate=True)
    except Base64Error:
        return text


_LONGEST_NAME = 255
"""Characters of the longest name of a table."""


def table_name(name: str) -> str:
    """Return the table's name for a TableName, which may be an ARN."""
    # Also an ARN of an index or a stream: `arn:...:table/users/index/by_age`.
    if name.startswith("arn:"):
        _, slash, rest = name.partition(":table/")
        if slash:
            name = rest.split("/", 1)[0]
    # Names are kept in many places. One that is longer names no table.
    return name[:_LONGEST_NAME]


def table_account(name: str) -> str:
    """Return the account that an ARN of a table names; "" for a mere name."""
    return (
        name.split(":", 5)[4] if name.startswith("arn:") and ":table/" in name else ""
    )


def wire_key(key: Mapping[str, object]) -> dict[str, dict[str, str]]:
    """Return an item's key as it is on the wire.

    key: as a client takes it (`{"id": {"S": "7"}}`) or a resource (`{"id": "7"}`).

    Raises ValueError if a value cannot be that of a key attribute, or the key is empty.
    """
    if not key:
        raise ValueError("a key has at least one attribute")
    return {attribute: _wire_value(value) for attribute, value in key.items()}


def _wire_value(value: object) -> dict[str, str]:
    if isinstance(value, Mapping) and len(value) == 1:
        ((kind, content),) = value.items()
        if kind in ("S", "N") and isinstance(content, str):
            return {kind: content}
        if kind == "B":
            return {"B": _wire_binary(content)}
    value = getattr(value, "value", value)  # boto3's Binary
    if isinstance(value, str):
        return {"S": value}
    if isinstance(value, (bytes, bytearray)):
        return {"B": _wire_binary(value)}
    # A bool is an int to Python and no key to DynamoDB; boto3 takes no floats.
    if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        return {"N": str(value)}
    raise ValueError(f"{type(value).__name__} is no type of a key attribute")


def _wire_binary(value: object) -> str:
    value = getattr(value, "value", value)  # boto3's Binary
    # botocore, too, takes text for a blob and encodes it as UTF-8.
    if isinstance(value, str):
        value = value.encode()
    if not isinstance(value, (bytes, bytearray)):
        raise ValueError(f"{type(value).__name__} is no type of a key attribute")  # noqa: TRY004 - one error for all bad values
    return b64encode(value).decode()
