"""A server that attacks: each reply costs a miss or a StoreError, in time, in bounds.

tests/support/hostile_server.py answers in the place of a real server, which answers
again afterwards.
"""

import contextlib
import logging
import time
import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial
from itertools import repeat
from typing import Any, NamedTuple

import pytest
import redis

from botocache._coherence import EvictionRequest, Held, Loaded
from botocache._errors import StoreError
from botocache.stores.redis import store as store_module
from botocache.stores.redis.commands import ENTRY_LIMIT
from botocache.stores.redis.store import RedisStore
from botocache.stores.redis.tracking import tracker
from botocache.stores.redis.urls import connections_of_client, connections_of_url
from tests.support.digests import key, tag
from tests.support.hostile_server import HostileServer, Part, hostile_server
from tests.support.processes import TIMEOUT, eventually, in_thread
from tests.support.redis_stores import redis_store
from tests.support.valkey_server import ValkeyServer

KEY, A, B = key("an entry"), tag("a"), tag("b")

PATIENCE = 0.15
"""Seconds that a call waits here."""

MOST_MEMORY = 40 * 1024**2
"""Bytes. What some attacks announce is a hundred times as much."""

LINE = b"x" * 1000 + b"\r\n"


class Attack(NamedTuple):
    """What is answered: parts, or a function that makes them; and to which word."""

    parts: Callable[[], Iterator[Part]]
    to: bytes = b""


def says(*parts: Part, to: bytes = b"") -> Attack:
    return Attack(lambda: iter(parts), to)


def again_and_again(part: bytes, first: bytes = b"", to: bytes = b"") -> Attack:
    def endless() -> Iterator[Part]:
        yield first
        yield from repeat(part)

    return Attack(endless, to)


def drip(part: bytes, first: bytes = b"") -> Attack:
    def slowly() -> Iterator[Part]:
        yield first
        while True:
            yield PATIENCE / 20
            yield part

    return Attack(slowly)


def now_is(seconds: bytes, microseconds: bytes = b"0") -> Attack:
    each = [b"$%d\r\n%b\r\n" % (len(part), part) for part in (seconds, microseconds)]
    return says(b"*2\r\n" + b"".join(each), to=b"TIME")


def states(packed: bytes) -> Attack:
    """Return what a script would reply, at this time."""
    count = 1 + packed.count(b"$") + packed.count(b"*")

    def reply() -> Iterator[Part]:
        now = b"%d" % (time.time() * 1e6)
        yield b"*%d\r\n$%d\r\n%b\r\n" % (count, len(now), now)
        yield packed

    return Attack(reply, b"EVALSHA")


NINES = b"9" * 18

ATTACKS: dict[str, Attack] = {
    # what is announced
    "a list of two thousand million": says(b"*2000000000\r\n"),
    "a list of more than there are": says(b"*%b\r\n" % (b"9" * 30)),
    "a list of fewer than none": says(b"*-7\r\n"),
    "a map of a thousand million": says(b"%1000000000\r\n"),
    "a set of a thousand million": says(b"~1000000000\r\n"),
    "a string of two thousand million": says(b"$2000000000\r\n", b"x" * 5_000_000),
    "a string that ends elsewhere": says(b"$3\r\nabcdef\r\n"),
    "a string of fewer bytes than none": says(b"$-3\r\n"),
    "a number of many digits": says(b":" + b"9" * 60_000 + b"\r\n"),
    "a number that is none": says(b":12three\r\n"),
    "a big number": says(b"(" + b"9" * 60_000 + b"\r\n"),
    # what nests
    "lists in lists": says(b"*1\r\n" * 100_000),
    "maps in maps": says(b"%1\r\n+key\r\n" * 100_000),
    "lists in lists in lists of many": says(b"*1000\r\n" * 1000),
    # what does not end
    "values without end": again_and_again(LINE, b"*300000\r\n"),
    "empty lists": again_and_again(b"*0\r\n" * 1000, b"*300000\r\n"),
    "errors in a list": again_and_again(b"-\r\n" * 1000, b"*300000\r\n"),
    "a line without end": again_and_again(b"x" * 10_000, b"+"),
    "an error without end": again_and_again(b"x" * 10_000, b"-"),
    "an error of four megabytes": says(b"-ERR " + b"x" * 4_000_000 + b"\r\n"),
    "a string without end": again_and_again(b"x" * 10_000, b"$3000000\r\n"),
    "messages": again_and_again(b">2\r\n+pubsub\r\n+x\r\n" * 100),
    "a message of a million": says(b">1000000\r\n", b"$-1\r\n" * 1_000_000),
    "statuses": again_and_again(b"+OK\r\n" * 1000),
    # what is slow
    "nothing": says(),
    "a byte at a time": drip(b"x", b"$3000000\r\n"),
    "a value at a time": drip(b"$1\r\nx\r\n", b"*30000\r\n"),
    "a message at a time": drip(b">1\r\n+x\r\n"),
    "a line, a byte at a time": drip(b"x", b"+"),
    # the clock
    "the year 9999": now_is(b"253370764800"),
    "the first year": now_is(b"-62135596800"),
    "a time of no number": now_is(b"noon"),
    "a time beyond floats": now_is(b"9" * 18, b"9" * 18),
    "a time of nothing": says(b"*2\r\n$-1\r\n$-1\r\n", to=b"TIME"),
    "a time in a list": says(b"*2\r\n*1\r\n:1\r\n:1\r\n", to=b"TIME"),
    "scripts of the year 9999": says(
        b"*3\r\n$18\r\n%b\r\n%b" % (NINES, b"$16\r\n0123456789abcdef\r\n" * 2),
        to=b"EVALSHA",
    ),
    # scripts
    "states that are too short": states(b"$1\r\na\r\n" * 2),
    "states that are lists": states(b"*0\r\n" * 2),
    "no states": states(b""),
    "200,000 states": states(b"$16\r\n0123456789abcdef\r\n" * 200_000),
    # values
    "an entry that is a list": says(
        b"*3\r\n%b*1\r\n:1\r\n" % (b"$16\r\n01234567\0\0\0\0\0\0\0\0\r\n" * 2),
        to=b"MGET",
    ),
    "an entry that is a map": says(
        b"*3\r\n%b%%1\r\n+a\r\n+b\r\n" % (b"$16\r\n01234567\0\0\0\0\0\0\0\0\r\n" * 2),
        to=b"MGET",
    ),
    "generations that are lists": says(b"*3\r\n" + b"*16\r\n" * 3, to=b"MGET"),
    "a cursor that is none": says(b"*2\r\n+next\r\n*0\r\n", to=b"SCAN"),
    "keys that are none": says(b"*2\r\n+0\r\n*2\r\n:1\r\n*0\r\n", to=b"SCAN"),
}

VERBS: dict[str, Callable[[Any], object]] = {
    "load": lambda store: store.load(KEY, [A, B]),
    "load_many": lambda store: store.load_many([(KEY, [A]), (key("other"), [B])]),
    "fill": lambda store: store.fill(KEY, b"theirs", 60.0, [A]),
    "evict": lambda store: store.evict(EvictionRequest([A], 0.0, watch=[B])),
    "clear": lambda store: store.clear(),
}


AFFECTED = {
    b"MGET": ["load", "load_many"],
    b"TIME": ["load"],
    b"EVALSHA": ["fill", "evict"],
    b"SCAN": ["clear"],
}
"""The verbs that send a command."""


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a SCAN that does not end be given up soon."""
    monkeypatch.setattr(store_module, "LONGEST_CLEAR", PATIENCE)


@pytest.fixture
def server(valkey: ValkeyServer) -> Iterator[HostileServer]:
    with hostile_server(valkey.port) as made:
        yield made


@pytest.fixture
def store(server: HostileServer, namespace: str) -> Iterator[RedisStore]:
    """A store that has connected, and has sent each script once."""
    made = opened(server, namespace)
    for verb in VERBS.values():
        verb(made)
    yield made
    made.close()


def opened(server: HostileServer, namespace: str, options: str = "") -> RedisStore:
    _, make = connections_of_url(server.url(options=options), TIMEOUT)
    return redis_store(make, namespace=namespace, timeout=TIMEOUT, settle=0.0)


def assert_works(store: RedisStore) -> None:
    """An entry is found, and no longer once it was evicted."""
    store._connections._patience = TIMEOUT
    eventually(lambda: works_again(store))
    snapshot = store.load(KEY, [A, B]).snapshot
    store.fill(KEY, b"right", 60.0, [A, B])
    assert store.load(KEY, [A, B]) == Loaded(b"right", snapshot, Held.FREE)
    store.evict(EvictionRequest([A], 0.0))
    assert store.load(KEY, [A, B]).snapshot[0] != snapshot[0]


def works_again(store: RedisStore) -> bool:
    with contextlib.suppress(StoreError):
        store.load(KEY, [A, B])
        return not store._breaker.is_open
    return False


def outcome(store: RedisStore, verb: Callable[[Any], object]) -> object:
    """Return what a verb returns within a call, or its StoreError."""
    store._connections._patience = PATIENCE
    store._timeout = PATIENCE
    target: Any = store if verb is VERBS["clear"] else store.for_call()
    try:
        return verb(target)
    except StoreError as error:
        return error


@pytest.mark.parametrize(
    "is_all", [False, pytest.param(True, marks=pytest.mark.long)], ids=["", "all"]
)
@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
def test_an_attack_costs_a_miss_in_time_and_within_bounds(
    attack: Attack, is_all: bool, server: HostileServer, store: RedisStore
) -> None:
    for name in VERBS if is_all else AFFECTED.get(attack.to, ["load"]):
        server.stream(attack.parts, attack.to)
        store._synced_at = -TIMEOUT  # the time is asked for
        tracemalloc.start()
        # An endless reply would go on; the time is for a machine that is busy.
        found = in_thread(partial(outcome, store, VERBS[name]), TIMEOUT)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < MOST_MEMORY
        if isinstance(found, Loaded):
            assert found.entry is None
        assert len(str(found)) < 1000 or not isinstance(found, StoreError)
        assert abs(store.now() - time.time()) < TIMEOUT
        server.heal()
        assert_works(store)


@pytest.mark.parametrize(
    "name",
    [
        *("HELLO", "INFO"),
        *(pytest.param(name, marks=pytest.mark.long) for name in ("EVAL", "CLIENT")),
    ],
)
@pytest.mark.parametrize(
    "attack",
    [
        "a list of two thousand million",
        "lists in lists",
        "a line without end",
        "a byte at a time",
        "a number that is none",
        "messages",
    ],
)
def test_an_attack_on_the_handshake_costs_a_miss(
    name: str, attack: str, server: HostileServer, namespace: str
) -> None:
    server.stream(ATTACKS[attack].parts, name.encode())
    store = opened(server, namespace, "?protocol=3&client_name=us")
    found = in_thread(partial(outcome, store, VERBS["load"]), TIMEOUT)
    assert isinstance(found, StoreError)
    server.heal()
    assert_works(store)
    store.close()


INFOS = {
    "nothing": b"",
    "no role": b"run_id:1\r\nmaster_replid:2\r\n",
    "no run": b"role:master\r\n",
    "a run of a megabyte": b"role:master\r\nmaster_replid:1\r\nrun_id:"
    + b"x" * 1_000_000
    + b"\r\n",
    "bytes": bytes(range(256)),
}


@pytest.mark.parametrize("info", INFOS.values(), ids=INFOS.keys())
def test_a_server_that_says_nothing_usable_of_itself_is_not_used(
    info: bytes, server: HostileServer, namespace: str
) -> None:
    server.answer(b"$%d\r\n%b\r\n" % (len(info), info), to=b"INFO")
    store = opened(server, namespace)
    assert isinstance(outcome(store, VERBS["load"]), StoreError)
    assert not [words for words in server.commands if words[0] in (b"EVAL", b"MGET")]
    server.heal()
    assert_works(store)
    store.close()


def test_a_scan_that_does_not_end_is_given_up(
    server: HostileServer, store: RedisStore
) -> None:
    server.answer(b"*2\r\n$1\r\n7\r\n*0\r\n", to=b"SCAN")
    with pytest.raises(StoreError, match="end of its keys"):
        in_thread(store.clear, TIMEOUT)
    server.heal()
    assert_works(store)


def test_a_scan_removes_no_keys_of_others(
    server: HostileServer, store: RedisStore
) -> None:
    server.answer(b"*2\r\n$1\r\n0\r\n*1\r\n$6\r\ntheirs\r\n", to=b"SCAN")
    del server.commands[:]
    store.clear()
    assert [words[0] for words in server.commands] == [b"SCAN"]


class Provider(redis.CredentialProvider):
    """A user's own, which asks a service for a token."""

    def get_credentials(self) -> tuple[str, str]:
        return "app", "s3cret"


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("is_provided", [False, True], ids=["url", "provider"])
def test_an_error_repeats_neither_what_was_sent_nor_the_password(
    protocol: int,
    is_provided: bool,
    server: HostileServer,
    namespace: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    url = f"{server.url()}?protocol={protocol}"
    if is_provided:
        client = redis.Redis.from_url(url, credential_provider=Provider())
        _, make = connections_of_client(client, TIMEOUT)
    else:
        url = url.replace("//", "//app:s3cret@")
        _, make = connections_of_url(url, TIMEOUT)
    store = redis_store(make, namespace=namespace, timeout=TIMEOUT)
    for text in (
        b"ERR unknown command `HELLO`, with args beginning with: `3` `AUTH` `s3cret`",
        b"ERR what is s3cret?",
        b"WRONGPASS s3cret is not the password",
        b"NOPERM s3cret",
    ):
        server.answer(b"-%b\r\n" % text)
        with caplog.at_level(logging.DEBUG), pytest.raises(StoreError) as raised:
            store.load(KEY, [A])
        error: BaseException | None = raised.value
        while error is not None:
            assert "s3cret" not in f"{error!r} {error}"
            # Without its arguments: what is cut off in the middle is not found in it.
            assert "with args" not in str(error)
            error = error.__cause__ or error.__context__
        assert "s3cret" not in f"{store!r} {store._connections!r} {caplog.text}"
    store.close()


@pytest.mark.parametrize("password", ["O", "SCRIPT", "1", "ERR"])
def test_a_password_that_is_a_part_of_an_error_does_not_change_what_it_says(
    password: str, valkey: ValkeyServer, namespace: str
) -> None:
    """A script that the server has forgotten is brought again."""
    user = f"user-{namespace}"
    valkey.command("ACL", "SETUSER", user, "on", f">{password}", "~*", "&*", "+@all")
    url = valkey.url.replace("//", f"//{user}:{password}@")
    store = redis_store(connections_of_url(url, TIMEOUT)[1], namespace=namespace)
    store._connections._patience = TIMEOUT
    store.load(KEY, [A])
    valkey.command("SCRIPT", "FLUSH")
    before = store.load(KEY, [A, B]).snapshot
    store.evict(EvictionRequest([A, B], 0.0))
    assert set(before).isdisjoint(store.load(KEY, [A, B]).snapshot)
    store.close()
    valkey.command("ACL", "DELUSER", user)


# --- values that are too large -------------------------------------------------------


LARGE = 40 * 1024**2


def plant(valkey: ValkeyServer, name: bytes, size: int) -> None:
    """Let a value have so many bytes."""
    reply = valkey.command("SETRANGE", name.decode(), str(size - 1), "x")
    assert reply == b":%d\r\n" % size


@pytest.mark.parametrize("what", ["entry", "generation"])
@pytest.mark.parametrize("verb", ["load", "load_many"])
def test_a_value_of_many_megabytes_is_a_miss_that_the_next_fill_heals(
    what: str, verb: str, valkey: ValkeyServer, store: RedisStore
) -> None:
    keys = store._keys
    failures: list[Exception] = []
    store._breaker.failed = failures.append  # type: ignore[method-assign, assignment]
    plant(valkey, keys.entry(KEY) if what == "entry" else keys.generation(A), LARGE)
    for _ in range(2):
        if verb == "load":
            found = store.load(KEY, [A, B])
        else:
            found, other = store.load_many([(KEY, [A, B]), (key("other"), [B])])
            assert other.snapshot == found.snapshot[1:]
        assert found.entry is None
    assert failures == []
    store.fill(KEY, b"right", 60.0, [A, B])
    assert store.load(KEY, [A, B]) == Loaded(b"right", found.snapshot, Held.FREE)


def test_no_more_of_a_value_is_read_than_an_entry_may_have(
    valkey: ValkeyServer, store: RedisStore
) -> None:
    plant(valkey, store._keys.entry(KEY), LARGE)
    tracemalloc.start()
    assert store.load(KEY, [A, B]).entry is None
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * ENTRY_LIMIT
    store.fill(KEY, b"right", 60.0, [A])  # the server is for other tests as well


def test_the_largest_entry_is_found_and_one_that_is_larger_is_not(
    store: RedisStore,
) -> None:
    for is_careful in (False, True):
        store._careful_until = time.monotonic() + TIMEOUT if is_careful else 0.0
        for size, is_found in ((ENTRY_LIMIT, True), (ENTRY_LIMIT + 1, False)):
            name = store._keys.entry(KEY)
            store._ask(lambda n=name, s=size: [(b"SET", n, b"x" * s)])  # type: ignore[misc]  # defaults
            assert (store.load(KEY, [A, B]).entry is not None) is is_found


def test_many_large_entries_are_all_found(store: RedisStore) -> None:
    lookups = [(key(f"large {n}"), [A]) for n in range(10)]
    for name, _ in lookups:
        store._ask(lambda n=name: [(b"SET", store._keys.entry(n), b"x" * ENTRY_LIMIT)])  # type: ignore[misc]  # a default
    found = store.load_many(lookups)
    assert [len(each.entry or b"") for each in found] == [ENTRY_LIMIT] * 10


# --- Sentinels, and client tracking --------------------------------------------------

SENTINELS = {
    "no Sentinel": b"-ERR unknown command\r\n",
    "a list of two thousand million": b"*2000000000\r\n",
    "a number": b":1\r\n",
    "a list of numbers": b"*2\r\n:1\r\n:2\r\n",
    "a primary without an address": b"*1\r\n*2\r\n$4\r\nname\r\n$7\r\nservice\r\n",
    "a map of nothing": b"*1\r\n%0\r\n",
    "text": b"$5\r\nhello\r\n",
    "much text": b"$5000000\r\n" + b"x" * 5_000_000 + b"\r\n",
}


@pytest.mark.parametrize("reply", SENTINELS.values(), ids=SENTINELS.keys())
def test_what_is_no_sentinel_costs_a_miss(
    reply: bytes, server: HostileServer, namespace: str
) -> None:
    server.answer(reply, to=b"SENTINEL")
    url = server.url("redis+sentinel").replace("/0", "/service/0")
    _, make = connections_of_url(url, TIMEOUT)
    store = redis_store(make, namespace=namespace, timeout=TIMEOUT)
    with pytest.raises(StoreError):
        in_thread(lambda: store.load(KEY, [A]), TIMEOUT)
    store.close()


MESSAGE = b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n"

MESSAGES: dict[str, Attack] = {
    "a million keys": says(MESSAGE + b"*1000000\r\n", b"$1\r\nx\r\n" * 1_000_000),
    "keys without end": again_and_again(
        b"$1\r\nx\r\n" * 1000, MESSAGE + b"*300000\r\n"
    ),
    "messages without end": again_and_again((MESSAGE + b"*1\r\n$1\r\nx\r\n") * 1000),
    "keys that are numbers": says(MESSAGE + b"*2\r\n:1\r\n:2\r\n"),
    "keys that are lists": says(MESSAGE + b"*1\r\n*0\r\n"),
    "keys that are a number": says(MESSAGE + b":5\r\n"),
    "a message of RESP3": says(b">2\r\n+invalidate\r\n*0\r\n"),
    "a message of nothing": says(b"*0\r\n"),
    "a number": says(b":7\r\n"),
    "lists in lists": says(b"*1\r\n" * 1000),
    "a list of two thousand million": says(b"*2000000000\r\n"),
    "an error of a megabyte": says(b"-" + b"x" * 1_000_000 + b"\r\n"),
    "a line without end": again_and_again(b"x" * 10_000, b"+"),
}


@pytest.mark.parametrize("attack", MESSAGES.values(), ids=MESSAGES.keys())
def test_messages_that_are_none_end_tracking_until_the_server_is_well(
    attack: Attack,
    server: HostileServer,
    namespace: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tracker, "PAUSES", (0.01,))
    _, make = connections_of_url(server.url(), TIMEOUT)
    store = redis_store(
        make, namespace=namespace, timeout=TIMEOUT, settle=0.0, client_tracking=True
    )

    def is_tracked() -> bool:
        return store.is_current([A], store.load(KEY, [A]).snapshot)

    eventually(is_tracked)
    assert store._tracker is not None
    session = store._tracker._session
    assert session is not None
    tracemalloc.start()
    server.stream(attack.parts, b"PING")
    eventually(lambda: session.attempts > 0)  # its connection is lost
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < MOST_MEMORY
    assert store.load(KEY, [A]).entry is None
    server.heal()
    eventually(is_tracked)
    assert_works(store)
    store.close()
