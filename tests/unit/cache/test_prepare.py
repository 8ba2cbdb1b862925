"""Keys of entries and of key schemas: different for all that is different."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from botocache._cache.key_schemas import schema_key
from botocache._cache.prepare import entry_keys
from tests.support.values import short_texts

_PARTS: tuple[bytes, str, str, bytes] = (b"scope", "here", "GetItem", b"question")


def _key(scope: bytes, origin: str, operation: str, question: bytes) -> bytes:
    return entry_keys(scope, origin, operation).end(question)


@pytest.mark.parametrize(
    "other",
    [
        (b"Scope", "here", "GetItem", b"question"),
        (b"scope", "there", "GetItem", b"question"),
        (b"scope", "here", "Query", b"question"),
        (b"scope", "here", "GetItem", b"another"),
        (b"scope", "hereGet", "Item", b"question"),
        (b"scope", "here", "GetItemq", b"uestion"),
        (b"", "", "", b""),
    ],
)
def test_whatever_distinguishes_two_reads_gives_them_two_keys(
    other: tuple[bytes, str, str, bytes],
) -> None:
    assert _key(*_PARTS) != _key(*other)


_parts = st.tuples(
    st.binary(max_size=1), short_texts, short_texts, st.binary(max_size=1)
)


@given(_parts, _parts)
def test_two_reads_share_a_key_exactly_when_they_are_the_same(
    a: tuple[bytes, str, str, bytes], b: tuple[bytes, str, str, bytes]
) -> None:
    assert (_key(*a) == _key(*b)) == (a == b)


def test_the_schemas_of_each_table_name_have_a_key_of_their_own() -> None:
    assert schema_key("t") != schema_key("u")


def test_no_schema_and_entry_share_a_key() -> None:
    assert schema_key("t") != entry_keys(b"", "", "t").end(b"")
