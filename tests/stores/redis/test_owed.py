"""What is sent and not waited for: its replies reach whom they are for, or are lost."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from botocache._coherence import Eviction, EvictionRequest, Held
from botocache._errors import StoreError
from botocache.stores.protocol import Fill
from botocache.stores.redis.commands import pack
from botocache.stores.redis.known_tags import MOST_TAGS, KnownTags
from botocache.stores.redis.owed import MOST_OWED
from botocache.stores.redis.store import RedisStore
from tests.support.digests import key, tag
from tests.support.opening import open_store_at
from tests.support.processes import TIMEOUT, eventually, in_threads
from tests.support.tcp_proxy import TcpProxy, running_proxy
from tests.support.valkey_server import ValkeyServer

KEY, OTHER, TAGS = key("a"), key("b"), (tag("a"), tag("b"))
TTL = 60.0


@pytest.fixture
def proxy(valkey: ValkeyServer) -> Iterator[TcpProxy]:
    with running_proxy(valkey.port) as made:
        yield made


@pytest.fixture
def store(proxy: TcpProxy, namespace: str) -> Iterator[RedisStore]:
    """A store that has a connection, and knows its tags."""
    made: Any = open_store_at(
        proxy.url(), namespace=namespace, timeout=TIMEOUT, settle=0.0, longest_ttl=TTL
    )
    connected(made)
    made.fill(OTHER, b"other", TTL, TAGS)
    yield made
    made.close()


def connected(store: RedisStore) -> None:
    eventually(lambda: _loads(store))


def _loads(store: RedisStore) -> bool:
    try:
        store.load(KEY, TAGS)
    except StoreError:  # it is still being connected to
        return False
    return True


def fill_later(store: RedisStore, entry: bytes = b"entry") -> list[Exception | None]:
    """Fill; return what will be settled."""
    settled: list[Exception | None] = []
    store.for_call().fill_later([Fill(KEY, entry, TTL, TAGS)], settled.append)
    return settled


def test_a_fill_is_sent_at_once_and_its_reply_is_not_waited_for(
    store: RedisStore, proxy: TcpProxy
) -> None:
    proxy.hold_replies()
    settled = fill_later(store)
    assert settled == []
    eventually(lambda: proxy.unanswered == 1)
    proxy.release_replies()
    assert store.load(KEY, TAGS).entry == b"entry"
    assert settled == [None]


def test_an_error_is_that_of_its_fill_and_of_nothing_else(
    store: RedisStore, proxy: TcpProxy
) -> None:
    proxy.answer(b"-OOM command not allowed\r\n", to=b"SET")
    settled = fill_later(store)
    eventually(lambda: proxy.answered == 1)  # else it answers the load, too
    assert store.load(OTHER, TAGS).entry == b"other"
    (error,) = settled
    assert "OOM" in str(error) or "not allowed" in str(error)


def test_a_reply_that_is_none_is_a_fill_that_failed(
    store: RedisStore, proxy: TcpProxy
) -> None:
    proxy.answer(b":7\r\n", to=b"SET")
    settled = fill_later(store)
    eventually(lambda: proxy.answered == 1)  # else it answers the load, too
    assert store.load(OTHER, TAGS).entry == b"other"
    assert [type(error) for error in settled] == [StoreError]


@pytest.mark.parametrize("end", ["cut", "swallow", "close"])
def test_a_fill_whose_reply_is_lost_has_failed_once(
    store: RedisStore, proxy: TcpProxy, end: str
) -> None:
    proxy.hold_replies()
    settled = fill_later(store)
    eventually(lambda: proxy.unanswered == 1)
    if end == "cut":
        proxy.cut()
        store.deliver_until(time.monotonic() + TIMEOUT)
    elif end == "swallow":
        store.deliver_until(time.monotonic())
    else:
        store._connections.close()
    assert [type(error) for error in settled] == [StoreError]
    proxy.release_replies()
    connected(store)
    assert len(settled) == 1


def test_what_is_owed_can_be_waited_for(store: RedisStore) -> None:
    settled = fill_later(store)
    store.deliver_until(time.monotonic() + TIMEOUT)
    assert settled == [None]
    assert [c.owed for c in store._connections._idle] == [()]


def test_a_connection_owes_no_more_than_a_few_replies(store: RedisStore) -> None:
    settled = [fill_later(store, b"%d" % number) for number in range(MOST_OWED)]
    assert settled == [[]] * MOST_OWED
    last = fill_later(store, b"last")
    assert [*settled, last] == [[None]] * (MOST_OWED + 1)
    assert store.load(KEY, TAGS).entry == b"last"


def test_without_an_idle_connection_a_fill_is_waited_for(store: RedisStore) -> None:
    store._connections.close()
    eventually(lambda: _is_filled(store))
    assert store.load(KEY, TAGS).entry == b"entry"


def _is_filled(store: RedisStore) -> bool:
    try:
        return fill_later(store) == [None]
    except StoreError:  # it is still being connected to
        return False


def test_threads_at_once_settle_each_fill_once_and_get_their_own_replies(
    store: RedisStore,
) -> None:
    counts: list[int] = []

    def work(number: int) -> None:
        mine, entry = key(f"thread {number}"), b"%d" % number
        for _ in range(50):
            settled: list[Exception | None] = []
            fills = [Fill(mine, entry, TTL, TAGS)]
            store.for_call().fill_later(fills, settled.append)
            found = store.load(mine, TAGS).entry
            assert found in (entry, None)
            store.deliver_until(time.monotonic() + TIMEOUT)
            counts.append(len(settled))

    # The first connections are still being made behind these calls.
    for _ in range(8):
        store._connections._idle.append(store._connections._connect())
    in_threads([lambda number=number: work(number) for number in range(4)])  # type: ignore[misc]  # a default
    store.deliver_until(time.monotonic() + TIMEOUT)
    assert max(counts) == 1


def test_an_interrupted_call_settles_what_its_connection_owed(
    store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    settled = fill_later(store)
    (connection,) = store._connections._idle

    def interrupt(_: int) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(connection, "read_replies", interrupt)
    with pytest.raises(KeyboardInterrupt):
        store._connections.ask(pack((b"PING",)), 1)
    assert [type(error) for error in settled] == [StoreError]
    assert connection.owed == ()


# --- evictions -----------------------------------------------------------------------


def evict_later(store: RedisStore) -> tuple[Eviction, list[Any]]:
    """Evict twice, the second time late; return the first and what will be settled."""
    first = store.evict(EvictionRequest(TAGS, 5.0))
    settled: list[Any] = []
    second = EvictionRequest(TAGS, 1.0, [tag("c")], first)
    store.for_call().evict_later(second, settled.append)
    return first, settled


def test_a_late_eviction_does_what_one_does_that_is_waited_for(
    store: RedisStore,
) -> None:
    first, settled = evict_later(store)
    assert settled == []
    loaded = store.load(KEY, TAGS)  # by the same connection, so after it
    (watched,) = settled
    assert [*watched.watched] == [tag("c")]
    assert loaded.snapshot != tuple(first.evicted[each].generation for each in TAGS)
    assert loaded.held is Held.SETTLING


@pytest.mark.parametrize(
    "reply", [b"-OOM full\r\n", b"-NOSCRIPT unknown\r\n", b":1\r\n", b"*0\r\n"]
)
def test_a_late_eviction_that_failed_is_known_to_have_failed(
    store: RedisStore, proxy: TcpProxy, reply: bytes
) -> None:
    first = store.evict(EvictionRequest(TAGS, 5.0))
    proxy.answer(reply, to=b"EVALSHA")
    settled: list[Any] = []
    request = EvictionRequest(TAGS, 1.0, (), first)
    store.for_call().evict_later(request, settled.append)
    eventually(lambda: proxy.answered == 1)
    store.deliver_until(time.monotonic() + TIMEOUT)
    (outcome,) = settled
    assert isinstance(outcome, StoreError)


# --- known tags ----------------------------------------------------------------------


def test_tags_are_expected_to_be_missing_if_the_last_unknown_ones_were() -> None:
    known = KnownTags()
    assert not known.expects_missing
    for name in (b"a", b"b"):
        known.learn([name], [b"1" * 16], 1)
    assert known.expects_missing
    assert known.likely_missing([b"a", b"c"]) == [b"c"]
    for name in (b"d", b"e"):
        known.learn([name], [b"1" * 16], 0)
    assert not known.expects_missing


def test_a_tag_with_another_generation_is_not_known_to_live() -> None:
    known = KnownTags()
    known.learn([b"a", b"b"], [b"1" * 16, b"2" * 16], 0)
    known.live([b"a", b"b"], 10.0)
    assert known.ending([b"a", b"b"], 9.0) == []
    assert known.ending([b"a", b"b"], 11.0) == [b"a", b"b"]
    known.learn([b"a", b"b"], [b"1" * 16, b"3" * 16], 0)
    assert known.ending([b"a", b"b"], 9.0) == [b"b"]


def test_known_tags_are_bounded() -> None:
    known = KnownTags()
    names = [b"%d" % number for number in range(MOST_TAGS + 1)]
    known.learn(names, [b"1" * 16] * len(names), 0)
    assert known.ending(names[:1], 1.0) == names[:1]
    assert len(known._generations) <= MOST_TAGS


def test_lives_are_bounded_also_of_tags_that_were_never_looked_up() -> None:
    """As those of items that are written, and never read."""
    known = KnownTags()
    for number in range(MOST_TAGS + 1):
        known.live([b"%d" % number], 10.0)
    assert len(known._lives) <= MOST_TAGS
    known.live([b"last"], 10.0)
    assert known.ending([b"last"], 9.0) == []
