"""Replies out of bytes: what a server may say comes back, and all else is refused."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from redis.exceptions import InvalidResponse, NoScriptError, ResponseError

from botocache._coherence import EvictionRequest, Loaded
from botocache._errors import StoreError
from botocache.stores.redis import replies as replies_module
from botocache.stores.redis.connections import exchange
from botocache.stores.redis.parser import BoundedParser
from botocache.stores.redis.replies import (
    DEEPEST,
    LONGEST_ERROR,
    MOST_VALUES,
    UNFINISHED,
    ReplyReader,
)
from tests.support.digests import key, tag
from tests.support.redis_stores import redis_store

REFUSED = {
    "a list of too many": b"*%d\r\n" % (MOST_VALUES + 1),
    "a map of too many": b"%%%d\r\n" % (MOST_VALUES // 2 + 1),
    "too many lists of many": b"*2\r\n*%d\r\n" % MOST_VALUES,
    "what nests too deeply": b"*1\r\n" * (DEEPEST + 1),
    "a size below zero": b"$-2\r\n",
    "a number of no digits": b":\r\n",
    "a number of too many digits": b":%b\r\n" % (b"1" * 21),
    "a list of a fraction": b"*1.5\r\n",
    "a string that ends elsewhere": b"$1\r\nabc",
    "an error in a list": b"*1\r\n-ERR\r\n",
    "an error in a list of lists": b"*1\r\n*1\r\n!3\r\nERR\r\n",
    "a list as a key": b"%1\r\n*0\r\n+a\r\n",
    "a streamed string": b"$?\r\n",
    "an attribute": b"|1\r\n+a\r\n+b\r\n",
    "a double that is none": b",1.2.3\r\n",
    "a line that is too long": b"+" + b"x" * (1 << 17),
    "a web server": b"HTTP/1.1 400 Bad Request\r\n",
    "an empty line": b"\r\n",
    "a byte": b"\x00\r\n",
}

OF_RESP3 = {
    b"_\r\n": None,
    b"#t\r\n": True,
    b"#f\r\n": False,
    b",1.5\r\n": 1.5,
    b"(12345678901234567890\r\n": 12345678901234567890,
    b"=7\r\ntxt:abc\r\n": b"abc",
    b"~2\r\n+a\r\n+b\r\n": [b"a", b"b"],
    b"%1\r\n+a\r\n*1\r\n:1\r\n": {b"a": [1]},
    b"%0\r\n": {},
    b">2\r\n+message\r\n+text\r\n+OK\r\n": b"OK",
    b"!5\r\nERR x\r\n": "ERR x",
}


def read(data: bytes, size: int = 1 << 20, protocol: int = 3) -> list[Any]:
    """Return all replies in bytes that arrive in pieces of a size."""
    reader, found = ReplyReader(str, protocol), []
    for at in range(0, len(data), size):
        reader.feed(data[at : at + size])
        while (reply := reader.next_reply()) is not UNFINISHED:
            found.append(reply)
    return found


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED.keys())
@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_what_is_no_reply_or_announces_too_much_is_refused(
    data: bytes, size: int
) -> None:
    with pytest.raises(InvalidResponse) as raised:
        read(data, size if len(data) < 1000 else 1 << 16)
    assert len(str(raised.value)) < 100


@pytest.mark.parametrize("data", OF_RESP3)
def test_values_of_resp3_are_read_and_are_none_in_resp2(data: bytes) -> None:
    for size in (1, 3, 100):
        assert read(data, size) == [OF_RESP3[data]]
    with pytest.raises(InvalidResponse):
        read(data, protocol=2)


@pytest.mark.parametrize(
    "data",
    [
        b"*%d\r\n" % MOST_VALUES + b"$-1\r\n" * MOST_VALUES,
        b"*1\r\n" * DEEPEST + b":1\r\n",
        b"$1000000\r\n" + b"x" * 1_000_000 + b"\r\n",
    ],
    ids=["values", "lists in lists", "a string"],
)
def test_what_is_just_within_the_bounds_is_read(data: bytes) -> None:
    assert len(read(data)) == 1


def test_of_a_long_error_the_beginning_is_kept() -> None:
    (text,) = read(b"-ERR " + b"x" * 5000 + b"\r\n")
    assert text == "ERR " + "x" * (LONGEST_ERROR - 4)


def packed(value: object) -> bytes:
    """Return a value as a server sends it."""
    if isinstance(value, int):
        return b":%d\r\n" % value
    if isinstance(value, bytes):
        return b"$%d\r\n%b\r\n" % (len(value), value)
    if isinstance(value, list):
        return b"*%d\r\n%b" % (len(value), b"".join(map(packed, value)))
    return b"$-1\r\n"


VALUES = st.recursive(
    st.none() | st.binary(max_size=40) | st.integers(-(2**63), 2**63 - 1),
    lambda inner: st.lists(inner, max_size=5),
    max_leaves=20,
)


@given(st.lists(VALUES, max_size=4), st.integers(1, 50))
def test_whatever_a_server_says_comes_back_in_any_pieces(
    values: list[object], size: int
) -> None:
    assert read(b"".join(map(packed, values)), size, protocol=2) == values


RANDOM = st.lists(
    st.sampled_from([b"*", b"$", b":", b"-", b"+", b"%", b"~", b">", b"_", b",", b"#"])
    | st.sampled_from([b"\r\n", b"1", b"2", b"16", b"-1", b"999999999", b"x" * 16])
    | st.sampled_from([b"MOVED 1 h:1", b"ASK x", b"NOSCRIPT", b"OOM", b"WRONGTYPE"])
    | VALUES.map(packed)
    | st.binary(max_size=8),
    max_size=12,
).map(b"".join)


@settings(max_examples=300)
@given(RANDOM, st.integers(1, 9))
@example(b"*1\r\n*1\r\n", 1)
def test_random_bytes_are_replies_or_invalid(data: bytes, size: int) -> None:
    try:
        read(data, size)
    except InvalidResponse:
        return


def test_small_pieces_do_not_cost_more_with_what_was_there_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    numbers: list[int] = []
    number = replies_module._number

    def counted(*place: Any) -> int:
        numbers.append(1)
        return number(*place)

    monkeypatch.setattr(replies_module, "_number", counted)
    data = b"*1000\r\n" + b"$3\r\nabc\r\n" * 1000
    assert read(data, 1) == [[b"abc"] * 1000]
    # A string's size is read again when the string is whole, and in no other case.
    assert len(numbers) <= 1 + 2 * 1000


# --- what the store makes of it ------------------------------------------------------


class Speaker:
    """A connection of a server that says what a test has prepared, and then ends."""

    host, port, protocol, socket_timeout, password = "", 0, 3, None, None
    encoder = None
    owed: tuple[Any, ...] = ()

    def __init__(self, said: bytes) -> None:
        self._said = said
        self._sock = self

    def connect(self) -> None:
        self._parser = BoundedParser(100)
        self._parser.on_connect(self)

    def disconnect(self) -> None:
        pass

    def send_packed_command(self, _: object, *, check_health: bool) -> None:
        assert check_health is False

    def read_replies(self, count: int) -> list[Any]:
        return [self._parser.read_reply() for _ in range(count)]

    def recv(self, size: int) -> bytes:
        part, self._said = self._said[:size], self._said[size:]
        return part


VERBS: list[Callable[[Any], object]] = [
    lambda store: store.load(key("k"), [tag("a"), tag("b")]),
    lambda store: store.load_many([(key("k"), [tag("a")]), (key("l"), [tag("b")])]),
    lambda store: store.fill(key("k"), b"entry", 60.0, [tag("a")]),
    lambda store: store.evict(EvictionRequest([tag("a")], 5.0, watch=[tag("b")])),
    lambda store: store.clear(),
]


@settings(max_examples=150, deadline=None)
@given(RANDOM, st.sampled_from(VERBS))
@example(packed([b"x" * 16, b"x" * 16, [1]]), VERBS[0])
@example(packed([b"x" * 16, b"x" * 16, 7]), VERBS[0])
@example(packed([b"9" * 300, b"x" * 16, b"x" * 16]), VERBS[3])
@example(packed([b"1e999", b"x" * 16, b"x" * 16]), VERBS[3])
def test_whatever_is_replied_a_verb_returns_a_result_or_raises_storeerror(
    said: bytes, verb: Callable[[Any], object]
) -> None:
    store = redis_store(lambda: None, timeout=10.0)
    speaker = Speaker(said)
    speaker.connect()
    store._connections._idle.append(speaker)  # type: ignore[arg-type]  # as far as it is needed
    store._synced_at = float("inf")
    try:
        found = verb(store)
    except StoreError:
        return
    finally:
        store.close()
    if isinstance(found, Loaded):
        assert found.entry is None or type(found.entry) is bytes
        assert len(found.snapshot) == 2


def test_errors_are_of_the_classes_that_the_store_looks_for() -> None:
    speaker = Speaker(b"-NOSCRIPT No matching script.\r\n-ERR other\r\n")
    speaker.connect()
    first, second = exchange(speaker, b"", 2)  # type: ignore[arg-type]  # as above
    assert type(first) is NoScriptError
    assert type(second) is ResponseError
