"""Names: canonical values, tags, entry keys, scope. Pure.

Everything that is hashed here is hashed from MessagePack, which is self-delimiting
and keeps types apart, so two different things never share a digest's input. Values
are compared as DynamoDB compares keys; where that is in doubt two spellings get two
names, which costs a hit and never a wrong answer.
"""

import re
from base64 import b32decode, b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec

DIGEST_SIZE = 16
"""Bytes of a key or tag: 2^64 of them before two are likely to collide."""

_pack = msgspec.msgpack.Encoder(order="deterministic").encode


def digest(*parts: Any) -> bytes:
    """Return a digest of plain data; equal parts, and only they, give equal ones."""
    return blake2b(_pack(parts), digest_size=DIGEST_SIZE).digest()


# --- canonical values --------------------------------------------------------------


def canonical_number(text: str) -> str:
    """Return one spelling for each number: `1`, `1.0`, `01` and `1e0` are the same.

    Never rounds, whatever the thread's decimal context says. What is not a finite
    number is returned as it is.
    """
    if text.isascii() and text.isdigit() and text[0] != "0":  # the common case, fast
        stripped = text.rstrip("0")
        return f"{stripped}e{len(text) - len(stripped)}"
    try:
        sign, digits, exponent = Decimal(text).as_tuple()
    except (InvalidOperation, ValueError):
        return text
    if not isinstance(exponent, int):
        return text
    significant = "".join(map(str, digits)).lstrip("0")
    if not significant:
        return "0"
    stripped = significant.rstrip("0")
    exponent += len(significant) - len(stripped)
    return f"{'-' if sign else ''}{stripped}e{exponent}"


def check_key(key: Mapping[str, Any]) -> None:
    """Raise ValueError for an item's key that DynamoDB will refuse for its spelling.

    `1_0` is a number to Python alone, and UTF-8 has no lone surrogates.
    """
    for value in key.values():
        number = value.get("N")
        if number is not None and not _NUMBER(number):
            raise ValueError("not a number")
        value.get("S", "").encode()


_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?").fullmatch


def canonical_value(value: Mapping[str, Any]) -> tuple[str, str | bytes]:
    """Return type and value of a key attribute, as DynamoDB compares it.

    value: an attribute value, `{"S": ...}`, `{"N": ...}` or `{"B": ...}`, with B in
    base64 as on the wire, or bytes as botocore has parsed it. Raises ValueError for
    anything else: it is no key's value.
    """
    if len(value) == 1:
        ((kind, content),) = value.items()
        if kind == "B" and isinstance(content, bytes):
            return kind, content
        if isinstance(content, str):
            if kind == "S":
                return kind, content
            if kind == "N":
                return kind, canonical_number(content)
            if kind == "B":
                return kind, _canonical_binary(content)
    raise ValueError("not the value of a key attribute")


def _canonical_binary(text: str) -> str | bytes:
    try:
        return b64decode(text, validate=True)
    except Base64Error:
        return text


# --- tags --------------------------------------------------------------------------


class Tag(NamedTuple):
    """Names something that a write can change.

    Tables are told apart by name alone, not by origin: every way to a table (account,
    FIPS, dual-stack and VPC endpoints, a proxy, another region of a global table)
    evicts the same tags, and `invalidate` need not be told where the table is. What
    it costs is an eviction too many where one store serves equal keys of equally
    named tables of several regions or accounts.
    """

    kind: str
    table: str = ""
    detail: tuple[str | bytes, ...] = ()


EVERYTHING = Tag("everything")
"""Every entry depends on it; evicted by what may have changed nobody knows what."""


def table_tag(table: str) -> Tag:
    """Return the tag of every entry of the table."""
    return Tag("table", table)


def writes_tag(table: str) -> Tag:
    """Return the tag that every write to the table evicts."""
    return Tag("writes", table)


def blind_tag(table: str) -> Tag:
    """Return the tag that writes evict which do not say what the item was before."""
    return Tag("blind", table)


def partition_tag(table: str, attribute: str, value: Mapping[str, Any]) -> Tag:
    """Return the tag of the items whose key attribute has this value."""
    return Tag("partition", table, (attribute, *canonical_value(value)))


def item_tag(table: str, key: Mapping[str, Mapping[str, Any]]) -> Tag:
    """Return the tag of one item, named by all of its key attributes."""
    detail: tuple[str | bytes, ...] = ()
    for attribute in sorted(key):
        detail += (attribute, *canonical_value(key[attribute]))
    return Tag("item", table, detail)


@lru_cache(maxsize=8192)
def tag_digest(tag: Tag) -> bytes:
    """Return the tag's digest.

    Memoised: every call names its table, and hot items come again and again.
    """
    return digest("tag", *tag)


def table_name(name: str) -> str:
    """Return the table's name for a TableName, which may be an ARN."""
    if name.startswith("arn:"):
        _, slash, rest = name.partition(":table/")
        if slash:
            return rest.split("/", 1)[0]
    return name


def wire_key(key: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Return an item's key as it is on the wire, from a client's or a resource's form.

    Raises ValueError when a value is none that a key attribute can have, or there is
    none at all.
    """
    if not key:
        raise ValueError("a key has at least one attribute")
    return {attribute: _wire_value(value) for attribute, value in key.items()}


def _wire_value(value: Any) -> dict[str, str]:
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
    if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        return {"N": str(value)}
    raise ValueError(f"{type(value).__name__} is no type of a key attribute")


def _wire_binary(value: Any) -> str:
    value = getattr(value, "value", value)  # boto3's Binary
    if isinstance(value, str):  # as botocore takes it too
        value = value.encode()
    if not isinstance(value, (bytes, bytearray)):
        raise ValueError(f"{type(value).__name__} is no type of a key attribute")  # noqa: TRY004 - one error for all bad values
    return b64encode(value).decode()


# --- entry keys --------------------------------------------------------------------


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


# --- scope -------------------------------------------------------------------------


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
