"""Entries that are damaged, misplaced, replayed or forged are misses, and heal.

The attacker uses the store as the application does, and knows how entries are made.
"""

import contextlib
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import msgspec
import pytest

from botocache import Cache
from botocache._cache.encryption import SKEW, EncryptedEntries
from botocache._cache.entries import CLEAR, ENCRYPTED, ClearEntries, decode_header
from botocache._cache.tickets import Hit
from botocache._coherence import Eviction, EvictionRequest, TagEviction
from botocache._settings.encryption_keys import EncryptionKeys
from botocache._settings.load import Settings
from botocache.stores.memory import MemoryStore
from botocache.stores.protocol import Fill, Store
from tests.support import calls
from tests.support.clock import FakeClock
from tests.support.forwarding_store import ForwardingStore
from tests.support.keys import key

SECRET = "marked-secret-of-an-item"
TTL = 60.0
STORES = ["memory", "disk", "redis"]


class Attacked(ForwardingStore):
    """A store that an attacker reads and writes beside the application.

    fills: what the application has filled, by name; the last one of each.
    """

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.fills: dict[bytes, Fill] = {}

    def _before(self, verb: str) -> None:
        """Do nothing."""

    def fill(
        self, key: bytes, entry: bytes, ttl: float, tags: Sequence[bytes] = ()
    ) -> None:
        super().fill(key, entry, ttl, tags)
        self.fills[key] = Fill(key, entry, ttl, tags)

    def plant(self, key: bytes, entry: bytes) -> None:
        """Put any bytes in the place of an entry."""
        self.store.fill(key, entry, 10 * TTL, self.fills[key].tags)

    def set_generations(self, tags: Sequence[bytes], snapshot: Sequence[int]) -> None:
        """Give tags any generations."""
        found = self.store.load(b"an attacker's key", tags).snapshot
        first = Eviction(
            {
                tag: TagEviction(there, 0.0, previous_generation=wanted)
                for tag, there, wanted in zip(tags, found, snapshot, strict=True)
            },
            {},
        )
        request = EvictionRequest(tags, 0.0, first_eviction=first, restore=tags)
        self.store.evict(request)
        assert self.store.load(b"", tags).snapshot == tuple(snapshot)


@pytest.fixture(params=["clear", "encrypted"])
def settings(request: pytest.FixtureRequest) -> Settings:
    keys = EncryptionKeys((key(1),)) if request.param == "encrypted" else None
    return Settings(encryption_keys=keys)


@pytest.fixture
def attacked(store: Store) -> Attacked:
    return Attacked(store)


@pytest.fixture
def wall_clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """The wall clock of this machine."""
    clock = FakeClock(1e9)
    monkeypatch.setattr("botocache._cache.keyring.wall_clock", clock)
    return clock


@pytest.fixture
def cache(attacked: Attacked, settings: Settings, wall_clock: FakeClock) -> Cache:
    return Cache(attacked, settings)


Read: TypeAlias = tuple[str, dict[str, Any], dict[str, Any]]


def read_of(pk: str) -> Read:
    """Return a read of an item, and DynamoDB's answer to it."""
    item = {"pk": {"S": pk}, "secret": {"S": SECRET}, "b": {"B": b"\xff\0"}}
    return "GetItem", {"TableName": "t", "Key": {"pk": {"S": pk}}}, {"Item": item}


A, B = read_of("a"), read_of("b")


def ask(cache: Cache, read: Read = A) -> dict[str, Any] | None:
    """Make a read; return the answer of a hit, or None for a miss, which is filled."""
    outcome = calls.ask(cache, *read)
    assert outcome is not None
    return outcome.answer if isinstance(outcome, Hit) else None


def filled(cache: Cache, attacked: Attacked, read: Read = A) -> Fill:
    """Make a read a hit; return its entry's fill, with its name."""
    assert ask(cache, read) is None
    assert ask(cache, read) == read[2]
    return next(reversed(attacked.fills.values()))


def key_of(read: Read) -> bytes:
    """Return the key of a read's entry, which is no secret."""
    plain = Attacked(MemoryStore())
    with contextlib.closing(Cache(plain, Settings())) as cache:
        return filled(cache, plain, read).key


def assert_heals(cache: Cache, read: Read = A) -> None:
    """The read is a miss that is filled, and from then on a hit."""
    assert ask(cache, read) is None
    assert ask(cache, read) == read[2]


# --- damaged and misplaced -----------------------------------------------------------


def test_an_entry_with_any_byte_flipped_is_a_miss_and_heals(
    cache: Cache, attacked: Attacked
) -> None:
    name, entry, _, _ = filled(cache, attacked)
    for at in range(len(entry)):
        damaged = bytearray(entry)
        damaged[at] ^= 1 << at % 8
        attacked.plant(name, bytes(damaged))
        assert_heals(cache)
    assert cache.stats().failures.keys() <= {"load_failed"}


def test_an_entry_that_was_cut_or_prolonged_is_a_miss_and_heals(
    cache: Cache, attacked: Attacked
) -> None:
    name, entry, _, _ = filled(cache, attacked)
    cuts = [entry[:at] for at in (0, 1, 10, 20, 60, 80, -16, -1)]
    for damaged in (*cuts, entry[1:], entry + b"\0", entry * 2):
        attacked.plant(name, damaged)
        assert_heals(cache)


def test_an_entry_that_was_copied_to_another_item_is_a_miss_and_heals(
    cache: Cache, attacked: Attacked
) -> None:
    of_a, of_b = filled(cache, attacked, A), filled(cache, attacked, B)
    attacked.set_generations(of_a.tags, decode_header(of_b.entry).snapshot)
    attacked.plant(of_a.key, of_b.entry)
    assert_heals(cache, A)


def test_an_entry_that_was_copied_to_another_principal_is_a_miss_and_heals(
    cache: Cache, attacked: Attacked
) -> None:
    mine = filled(cache, attacked)
    other = calls.call_of("GetItem", scope=b"another principal")
    ticket = cache.begin(other, A[1])
    assert ticket is not None
    assert not isinstance(ticket, Hit)
    theirs = {"Item": {"pk": {"S": "a"}, "secret": {"S": "theirs"}}}
    cache.finish(ticket, theirs, succeeded=True, certain=True)
    their_name = next(reversed(attacked.fills))
    assert their_name != mine.key
    attacked.plant(mine.key, attacked.fills[their_name].entry)
    assert_heals(cache)
    attacked.plant(their_name, attacked.fills[mine.key].entry)
    assert not isinstance(cache.begin(other, A[1]), Hit)


def test_an_entry_that_is_put_back_after_an_eviction_is_a_miss_and_heals(
    cache: Cache, attacked: Attacked, clock: FakeClock, wall_clock: FakeClock
) -> None:
    name, entry, _, _ = filled(cache, attacked)
    write = {"TableName": "t", "Key": A[1]["Key"], "UpdateExpression": "REMOVE n"}
    calls.ask(cache, "UpdateItem", write, {})
    attacked.plant(name, entry)
    assert ask(cache) is None
    for each in (clock, wall_clock):
        each.advance(10.0)
    attacked.plant(name, entry)
    assert_heals(cache)


# --- forged, by who knows no key ----------------------------------------------------

ANSWER = msgspec.msgpack.encode(A[2])
NAN, INF = float("nan"), float("inf")

Forge: TypeAlias = Callable[[bytes, tuple[int, ...], float], bytes]


def clear(packed: bytes, stored_at: float = -1.0, expires_at: float = TTL) -> Forge:
    """Return what forges entries in clear. Times count from now."""
    return lambda name, snapshot, now: ClearEntries().encode(
        name, packed, snapshot, now + stored_at, now + expires_at
    )


def encrypted(packed: bytes, number: int) -> Forge:
    """Return what forges entries with a key of the attacker's own."""
    codec = EncryptedEntries(key(number), "default", bytes, lambda: 1e9)
    return lambda name, snapshot, now: codec.encode(
        name, packed, snapshot, now - 1, now + TTL
    )


FORGED: dict[str, Forge] = {
    "stored at NaN": clear(ANSWER, stored_at=NAN),
    "expiring at NaN": clear(ANSWER, expires_at=NAN),
    "stored at infinity": clear(ANSWER, INF, INF),
    "stored at minus infinity": clear(ANSWER, stored_at=-INF),
    "expiring at infinity": clear(ANSWER, expires_at=INF),
    "stored far in the future": clear(ANSWER, 1e6, 2e6),
    "stored tomorrow": clear(ANSWER, 86_400.0, 2 * 86_400.0),
    "expiring before it was stored": clear(ANSWER, 10.0, 5.0),
    "older than any TTL": clear(ANSWER, -1e6, TTL),
    "a timestamp": clear(b"\x81\xa4Item\x81\xa2pk\x81\xa1S\xd6\xff\0\0\0\0"),
    "an extension": clear(b"\x81\xa4Item\x81\xa2pk\x81\xa1S\xd4\x05\0"),
    "a number as a name": clear(b"\x81\xa4Item\x81\x05\x81\xa1S\xa0"),
    "an answer nested too deeply": clear(
        b"\x81\xa4Item\x81\xa2pk" + b"\x81\xa1L\x91" * 500 + b"\x81\xa1S\xa0"
    ),
    "nested without an end": clear(b"\x91" * 100_000),
    "a promise of much": clear(b"\x81\xa5Items\xdd\xff\xff\xff\xff"),
    "no MessagePack": clear(b"\xc1"),
    "nothing": lambda *_: b"",
    "a pickle": lambda *_: b"\x80\x04\x95\x0b\0\0\0\0\0\0\0\x8c\x02os\x94.",
    "an entry of version 1": lambda _, snapshot, now: (
        struct.pack("<BBdd", 1, len(snapshot), now, now + TTL)
        + struct.pack(f"<{len(snapshot)}Q", *snapshot)
        + ANSWER
    ),
    "encrypted with another key": encrypted(ANSWER, 2),
}


def test_a_forged_entry_is_a_miss_and_heals(
    cache: Cache, attacked: Attacked, clock: FakeClock
) -> None:
    name, entry, _, _ = filled(cache, attacked)
    digest = key_of(A)
    for what, forge in FORGED.items():
        attacked.plant(name, forge(digest, decode_header(entry).snapshot, clock()))
        assert ask(cache) is None, what
        assert ask(cache) == A[2], what


def test_an_entry_of_many_megabytes_is_a_miss_and_heals(
    store: Store, cache: Cache, attacked: Attacked, clock: FakeClock
) -> None:
    name, entry, _, _ = filled(cache, attacked)
    giant = bytearray(entry + bytes(5 * 1024**2))
    attacked.plant(name, bytes(giant))
    assert ask(cache) in (None, A[2])  # a store may not even take it
    assert ask(cache) == A[2]


@pytest.mark.parametrize("settings", ["clear", "encrypted"], indirect=True)
def test_what_a_forger_needs_a_key_for(
    cache: Cache, attacked: Attacked, clock: FakeClock, settings: Settings
) -> None:
    """Without a key the forger succeeds, which shows that this attacker is able."""
    name, entry, _, _ = filled(cache, attacked)
    planted = {"Item": {"pk": {"S": "a"}, "is_admin": {"BOOL": True}}}
    forged = clear(msgspec.msgpack.encode(planted))(
        key_of(A), decode_header(entry).snapshot, clock()
    )
    attacked.plant(name, forged)
    assert ask(cache) == (None if settings.encryption_keys else planted)


# --- encrypted -----------------------------------------------------------------------

encrypted_only = pytest.mark.parametrize("settings", ["encrypted"], indirect=True)


@encrypted_only
def test_an_encrypted_entry_shows_nothing_and_is_under_a_name_that_needs_the_key(
    store: Store, cache: Cache, attacked: Attacked
) -> None:
    plain = Attacked(store)
    clear_fill = filled(Cache(plain, Settings()), plain)
    fill = filled(cache, attacked)
    assert SECRET.encode() in clear_fill.entry
    assert SECRET.encode() not in fill.entry
    assert fill.entry[0] == ENCRYPTED
    assert clear_fill.entry[0] == CLEAR
    assert clear_fill.key not in attacked.fills
    # The digest of everything is the same in each cache, and tells nothing.
    assert len({*clear_fill.tags} & {*fill.tags}) == 1
    again = {ask(cache) and attacked.fills[fill.key].entry for _ in range(2)}
    assert again == {fill.entry}


@encrypted_only
def test_an_old_entry_with_its_old_generations_is_served_until_its_ttl_and_no_longer(
    cache: Cache, attacked: Attacked, clock: FakeClock, wall_clock: FakeClock
) -> None:
    """What `security.md` says that a writer of the store can still do."""
    name, entry, _, tags = filled(cache, attacked)
    old = decode_header(entry).snapshot
    write = {"TableName": "t", "Key": A[1]["Key"], "UpdateExpression": "REMOVE n"}
    calls.ask(cache, "UpdateItem", write, {})
    assert ask(cache) is None
    attacked.set_generations(tags, old)
    attacked.plant(name, entry)
    assert ask(cache) == A[2]
    # The attacker also stops the store's clock. The machine's own goes on.
    wall_clock.advance(TTL + SKEW)
    assert ask(cache) == A[2]
    wall_clock.advance(1.0)
    assert ask(cache) is None


@encrypted_only
def test_an_entry_from_the_future_of_this_machine_is_a_miss(
    cache: Cache, attacked: Attacked, wall_clock: FakeClock
) -> None:
    filled(cache, attacked)
    wall_clock.advance(-SKEW)
    assert ask(cache) == A[2]
    wall_clock.advance(-1.0)
    assert ask(cache) is None


@encrypted_only
def test_an_encrypted_entry_is_a_miss_for_a_cache_with_another_key(
    store: Store, cache: Cache, attacked: Attacked, clock: FakeClock
) -> None:
    fill = filled(cache, attacked)
    other_store = Attacked(store)
    other = Cache(other_store, Settings(encryption_keys=EncryptionKeys((key(9),))))
    assert ask(other) is None
    own_name = next(reversed(other_store.fills))
    assert own_name != fill.key
    other_store.set_generations(
        other_store.fills[own_name].tags, decode_header(fill.entry).snapshot
    )
    other_store.plant(own_name, fill.entry)
    assert_heals(other)
    assert other.stats().failures == {"load_failed": 1}


@encrypted_only
def test_an_entry_that_was_moved_to_another_namespace_of_one_key_is_a_miss(
    cache: Cache, attacked: Attacked, settings: Settings
) -> None:
    """A namespace may be an environment, or an account: requests in both are equal."""
    fill = filled(cache, attacked)
    other_store = Attacked(MemoryStore(clock=attacked.now))
    with contextlib.closing(
        Cache(other_store, replace(settings, namespace="test"))
    ) as other:
        assert ask(other) is None
        (own,) = (each for each in other_store.fills.values() if each.key == fill.key)
        other_store.set_generations(own.tags, decode_header(fill.entry).snapshot)
        other_store.plant(own.key, fill.entry)
        assert_heals(other)
        assert other.stats().failures == {"load_failed": 1}


@pytest.fixture(autouse=True)
def _closed(cache: Cache) -> Iterator[None]:
    yield
    cache.close()
