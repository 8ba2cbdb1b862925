"""Keys are obtained once, and without them nothing is cached, and nothing in clear."""

import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import botocache
from botocache import Cache
from botocache._cache import keyring as keyrings
from botocache._cache.encryption import EncryptedEntries
from botocache._cache.entries import (
    CLEAR,
    ENCRYPTED,
    ClearEntries,
    decode_header,
)
from botocache._cache.keyring import PATIENCE, RETRY_INTERVAL, Keyring
from botocache._cache.tickets import Hit
from botocache._errors import ConfigError, EvictionError, StoreSkippedError
from botocache._settings.encryption_keys import EncryptionKeys
from botocache._settings.load import Settings
from botocache.stores.memory import MemoryStore
from tests.support import calls
from tests.support.clock import FakeClock
from tests.support.keys import key, key_text
from tests.support.processes import TIMEOUT, forked, in_threads

GET = {"TableName": "t", "Key": {"pk": {"S": "a"}}}
UPDATE = {**GET, "UpdateExpression": "SET n = n + 1"}
ANSWER = {"Item": {"pk": {"S": "a"}}}


class Source:
    """A function of the application's that returns keys, or fails.

    calls: how often it was called.
    result: what it returns, or the error that it raises.
    """

    def __init__(self, result: object) -> None:
        self.calls = 0
        self.result = result

    def __call__(self) -> object:
        self.calls += 1
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """The clock by which keyrings wait."""
    clock = FakeClock()
    monkeypatch.setattr(keyrings, "monotonic", clock)
    return clock


@pytest.fixture
def make(clock: FakeClock) -> Iterator[Callable[..., Cache]]:
    """Return what makes a cache in memory with these keys."""
    made = []

    def with_keys(source: Callable[[], object], **settings: Any) -> Cache:
        settings["encryption_keys"] = EncryptionKeys(source=source)
        made.append(Cache(MemoryStore(clock=clock), Settings(**settings)))
        return made[-1]

    yield with_keys
    for cache in made:
        cache._evictions.pending._tags.clear()
        cache.close()


def _unexpected(error: Exception) -> None:
    raise AssertionError("a report") from error


def _no_wait(*_: object) -> bool:
    raise AssertionError("it waits for itself")


def is_hit(cache: Cache) -> bool:
    """Make a read; return whether it was a hit."""
    return isinstance(calls.ask(cache, "GetItem", GET, ANSWER), Hit)


def entries_of(cache: Cache) -> list[bytes]:
    """Return what is in a cache's store."""
    store: Any = cache._store
    return list(store._store._entries.values())


# --- obtained ------------------------------------------------------------------------


def test_a_source_is_called_once_and_not_before_the_store_is_used(
    make: Callable[..., Cache],
) -> None:
    source = Source([key(1)])
    cache = make(source)
    repr(cache)
    assert source.calls == 0
    assert [is_hit(cache) for _ in range(3)] == [False, True, True]
    calls.ask(cache, "UpdateItem", UPDATE, {})
    assert source.calls == 1
    assert {entry[0] for entry in entries_of(cache)} == {ENCRYPTED}


@pytest.mark.parametrize(
    ("result", "version"),
    [
        (key(1), ENCRYPTED),
        (key_text(1), ENCRYPTED),
        ([key_text(1), "plain"], ENCRYPTED),
        (("plain", key(1)), CLEAR),
        (f"plain {key_text(1)}", CLEAR),
    ],
    ids=["bytes", "text", "a list", "a tuple that begins plain", "text that does"],
)
def test_a_source_returns_keys_in_any_form(
    make: Callable[..., Cache], result: object, version: int
) -> None:
    cache = make(Source(result))
    assert [is_hit(cache) for _ in range(2)] == [False, True]
    assert {entry[0] for entry in entries_of(cache)} == {version}


# --- not obtained ------------------------------------------------------------------


@pytest.mark.parametrize(
    "result",
    [
        RuntimeError("the KMS is down"),
        None,
        "",
        [],
        b"too short",
        "not base64!",
        [key(1), 5],
        {key(1)},
    ],
    ids=lambda result: type(result).__name__,
)
def test_without_keys_nothing_is_cached_and_one_line_says_so(
    make: Callable[..., Cache],
    now: FakeClock,
    caplog: pytest.LogCaptureFixture,
    result: object,
) -> None:
    source = Source(result)
    cache = make(source)
    for _ in range(3):
        assert not is_hit(cache)
        calls.ask(cache, "UpdateItem", UPDATE, {})
    assert entries_of(cache) == []
    assert source.calls == 1
    (line,) = caplog.messages
    assert "keys_failed: the application runs uncached" in line
    assert cache.stats().failures == {"keys_failed": 1}


def test_a_source_that_has_failed_is_called_again_after_a_while(
    make: Callable[..., Cache], now: FakeClock, clock: FakeClock
) -> None:
    source = Source(RuntimeError("the KMS is down"))
    cache = make(source)
    calls.ask(cache, "UpdateItem", UPDATE, {})
    assert cache.stats().undelivered > 0
    source.result = key(1)
    assert not is_hit(cache)
    now.advance(RETRY_INTERVAL)
    clock.advance(RETRY_INTERVAL)
    cache._evictions.pending.deliver(at_once=True)
    cache._evictions.pending.stop()  # its thread may be delivering the same
    assert cache.stats().undelivered == 0
    clock.advance(RETRY_INTERVAL)
    assert [is_hit(cache) for _ in range(2)] == [False, True]
    assert source.calls == 2


def test_a_write_without_keys_is_sent_or_refused_as_the_setting_says(
    make: Callable[..., Cache],
) -> None:
    sent = make(Source(RuntimeError("the KMS is down")))
    assert calls.begin(sent, "UpdateItem", UPDATE) is not None
    refused = make(Source(RuntimeError("no")), on_eviction_failure="refuse")
    with pytest.raises(EvictionError):
        calls.begin(refused, "UpdateItem", UPDATE)


def test_a_source_that_reads_through_the_cache_itself_is_not_waited_for(
    make: Callable[..., Cache],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(threading.Event, "wait", _no_wait)

    def source() -> object:
        assert not is_hit(cache)
        return key(1)

    cache = make(source)
    assert [is_hit(cache) for _ in range(2)] == [False, True]
    assert caplog.messages == []


def test_threads_wait_a_moment_for_the_one_that_calls_the_source(
    make: Callable[..., Cache], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyrings, "PATIENCE", TIMEOUT)
    is_asked, may_answer = threading.Event(), threading.Event()

    def source() -> object:
        is_asked.set()
        assert may_answer.wait(TIMEOUT)
        return key(1)

    cache = make(source, on_eviction_failure="refuse")

    def write() -> None:  # raises if it is refused
        calls.begin(cache, "UpdateItem", UPDATE)

    def answer() -> None:
        assert is_asked.wait(TIMEOUT)
        may_answer.set()

    in_threads([write, write, write, answer])


def test_threads_do_not_wait_longer_than_that(now: FakeClock) -> None:
    ring = Keyring(EncryptionKeys(source=lambda: key(1)), "default", _unexpected)
    ring._next_attempt = now() + RETRY_INTERVAL
    ring._patient_until = now() + PATIENCE
    now.advance(PATIENCE)
    with pytest.raises(StoreSkippedError):
        ring.names()


def test_a_forked_child_calls_the_source_that_its_parent_was_calling() -> None:
    ring = Keyring(EncryptionKeys(source=lambda: key(1)), "default", _unexpected)
    ring._next_attempt = float("inf")  # another thread of the parent
    with pytest.raises(StoreSkippedError):
        ring.names()
    ring._renew()
    assert isinstance(ring.codec(), EncryptedEntries)


def test_a_forked_child_encrypts_under_a_salt_of_its_own() -> None:
    """Else the entries of a thousand children would count as those of one process."""
    codec = Keyring(EncryptionKeys((key(1),)), "default", _unexpected).codec()

    def salt() -> bytes:
        entry = codec.encode(b"k", b"", (), 0.0, 1.0)
        end = decode_header(entry).end + 8  # of the time of storing
        return entry[end : end + 16]

    of_parent = salt()
    assert salt() == of_parent
    with forked(lambda pipe: pipe.send((salt(), salt()))) as child:
        of_child = child.recv()
    assert of_child[0] != of_parent
    assert of_child[0] == of_child[1]


def test_a_time_limit_in_a_source_is_passed_on() -> None:
    class TimeLimitError(BaseException):
        pass

    def source() -> object:
        raise TimeLimitError

    ring = Keyring(EncryptionKeys(source=source), "default", _unexpected)
    for _ in range(2):  # at the next call it is called again
        with pytest.raises(TimeLimitError):
            ring.names()


# --- without the package -----------------------------------------------------------


@pytest.fixture
def _without_cryptography(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "botocache._cache.encryption", raising=False)
    package = sys.modules["botocache._cache"]
    monkeypatch.delattr(package, "encryption", raising=False)
    for name in list(sys.modules):
        if name.partition(".")[0] == "cryptography":
            monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "cryptography", None)


@pytest.mark.usefixtures("_without_cryptography")
@pytest.mark.parametrize("keys", [key_text(1), [key(1), "plain"], lambda: key(1)])
def test_keys_without_the_package_are_a_config_error_that_says_what_to_install(
    keys: Any,
) -> None:
    with pytest.raises(ConfigError, match=r"pip install 'botocache-dynamodb\[encr"):
        botocache.install(url="memory:", encryption_keys=keys)
    assert botocache.installed() is None


@pytest.mark.usefixtures("_without_cryptography")
def test_plain_before_a_key_needs_no_package() -> None:
    ring = Keyring(EncryptionKeys((None, key(1))), "default", _unexpected)
    assert isinstance(ring.codec(), ClearEntries)
