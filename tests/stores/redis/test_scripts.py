"""The scripts of the store on Redis by themselves, held against _coherence.py.

On a real server. Moments are multiples of 1/64 s, which binary fractions and whole
microseconds hold exactly; the time is given, as nothing else could be compared.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, TypeAlias

import pytest
import redis as redis_py
from hypothesis import example, given, settings
from hypothesis import strategies as st

from botocache._coherence import (
    LONGEST_HOLD_OFF,
    Eviction,
    EvictionRequest,
    TagEviction,
    TagState,
    is_held,
    next_state,
    restored_state,
)
from botocache.stores.redis.evictions import encode_second
from botocache.stores.redis.keys import Keys
from botocache.stores.redis.scripts import (
    ARRIVE,
    EVICT,
    LOOK,
    PROLONG,
    STATE,
    US,
    Script,
)
from tests.support.digests import tag
from tests.support.valkey_server import ValkeyServer

Server: TypeAlias = "redis_py.Redis"

NOW = 1000.0
DOUBT = 1.0
TICK = 1 / 64
DAMAGE = 2 * LONGEST_HOLD_OFF
DAY = 86_400_000

FOUND, FRESH, MINE, REPLACED, OTHER = (b"%d" % n * 8 for n in range(1, 6))
"""Generations: found there, brought, of a mark, and one more."""

NONE = bytes(8)

TENDING = b"\x1f" + FRESH[1:]
"""A fresh generation with which an eviction tends the shard. One in eight is so."""

_numbers = count()


@pytest.fixture(scope="module")
def server(valkey: ValkeyServer) -> Iterator[Server]:
    with redis_py.Redis.from_url(valkey.url) as client:
        yield client


@pytest.fixture
def tags(server: Server) -> "Tags":
    return Tags(server)


def word(held_until: float, settling: bool = False) -> int:
    return 2 * round(held_until * US) + settling


def number(generation: bytes) -> int:
    return int.from_bytes(generation, "little")


def state(generation: bytes, held_until: float = 0.0, settling: bool = False) -> bytes:
    return STATE.pack(number(generation), word(held_until, settling))


def read(packed: bytes) -> TagState:
    generation, held = STATE.unpack(packed)
    return TagState(generation, (held >> 1) / US, bool(held & 1))


def pieces(packed: bytes, size: int) -> list[bytes]:
    return [packed[at : at + size] for at in range(0, len(packed), size)]


class Tags:
    """Tags of one shard in a namespace of their own, and what a server has of them."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.keys = Keys(f"scripts-{next(_numbers)}")
        self.tag = tag("a")
        self.other = self.tag[:1] + tag("b")[1:]
        self.key = self.keys.generation(self.tag)
        self.shard = self.keys.held(self.tag)

    def run(
        self,
        script: Script,
        *arguments: Any,
        of: Sequence[bytes] | None = None,
        now: float | None = NOW,
        doubt: float = DOUBT,
    ) -> list[Any]:
        tags = [self.tag] if of is None else of
        keys = [k for t in tags for k in (self.keys.generation(t), self.keys.held(t))]
        time = "" if now is None else round(now * US)
        head = (time, round(doubt * US))
        told: Any = self.server.eval(
            script.source.decode(),
            len(keys),
            *keys,
            *head,
            *arguments,
        )
        assert now is None or int(told[0]) == round(now * US)
        answer: list[Any] = told[1:]
        return answer

    def look(self, *of: bytes, life: int = 60_000, **more: float) -> list[TagState]:
        asked = of or (self.tag,)
        fresh = b"".join([FRESH[:7] + bytes([n]) for n in range(len(asked))])
        (seen,) = self.run(LOOK, life, fresh, of=asked, **more)
        return [*map(read, pieces(seen, STATE.size))]

    def evict(  # noqa: PLR0913 - as many as there are
        self,
        hold_off: float,
        mark: TagEviction | None = None,
        *,
        restore: bool = False,
        life: int | str = 60_000,
        now: float = NOW,
        doubt: float = DOUBT,
    ) -> tuple[TagState, TagState]:
        request = EvictionRequest(
            [self.tag],
            hold_off,
            first_eviction=Eviction({self.tag: mark}, {}) if mark else None,
            restore=[self.tag] if restore else [],
        )
        arguments = encode_second([FRESH], [self.tag], request)
        head = (round(hold_off * US), life, 1, 60_000)
        evicted, _, _ = self.run(EVICT, *head, *arguments, now=now, doubt=doubt)
        found, generation = evicted[: STATE.size], number(evicted[STATE.size :])
        left = self.now_there()
        if left is None:  # the server is full, so only the hold-off is remembered
            (left,) = self.look(now=now, doubt=doubt)
            self.server.delete(self.key)
            left = left._replace(generation=generation)
        assert generation == left.generation
        return read(found), left

    def put(self, value: bytes) -> None:
        self.server.set(self.key, value, px=60_000)

    def now_there(self) -> TagState | None:
        value: Any = self.server.get(self.key)
        return None if value is None else read(value)

    def remember(self, held_until: float, settling: bool = False) -> None:
        """Let the shard know of a hold-off of the tag."""
        scores = {b"kept": float("inf"), self.key: word(held_until, settling)}
        self.server.zadd(self.shard, scores)

    def remembered(self, member: bytes | None = None) -> int | None:
        score: Any = self.server.zscore(self.shard, member or self.key)
        return None if score is None else int(score)

    def life(self, key: bytes | None = None) -> int:
        left: Any = self.server.pttl(key or self.key)
        return int(left)


# --- EVICT ---------------------------------------------------------------------------

offsets = st.one_of(
    st.integers(-64 * 10, 64 * 10),
    st.integers(-64 * 10_000, 64 * 10_000),
    st.sampled_from([0, 1, -1, int(64 * DAMAGE), int(64 * DAMAGE) + 1]),
).map(lambda ticks: ticks * TICK)
"""Seconds from now."""

moments = st.one_of(st.just(0.0), offsets.map(lambda offset: max(0.0, NOW + offset)))

hold_offs = st.one_of(
    st.sampled_from([0.0, TICK, 1.0, 5.0, LONGEST_HOLD_OFF]),
    st.integers(0, 64 * 10).map(lambda ticks: ticks * TICK),
)

states = st.builds(TagState, st.just(number(FOUND)), moments, st.booleans())


@dataclass(frozen=True)
class Second:
    """A mark, of this write's first eviction, and whether the tag is restored."""

    mark: TagEviction
    restore: bool


seconds = st.builds(
    Second,
    st.builds(
        TagEviction,
        st.sampled_from([number(FOUND), number(MINE)]),
        moments,
        st.booleans(),
        st.just(number(REPLACED)),
    ),
    st.booleans(),
)


def expected(
    found: TagState, hold_off: float, second: Second | None, now: float = NOW
) -> TagState:
    mark = second.mark if second else None
    restore = bool(second and second.restore)
    restored = restored_state(found, mark) if restore else None
    return restored or next_state(found, number(FRESH), now, hold_off, mark)


def evicted(
    tags: Tags, hold_off: float, second: Second | None, **more: Any
) -> tuple[TagState, TagState]:
    mark, restore = (second.mark, second.restore) if second else (None, False)
    return tags.evict(hold_off, mark, restore=restore, **more)


@given(states, hold_offs, st.none() | seconds)
@settings(deadline=None, max_examples=300)
def test_an_eviction_leaves_what_next_state_says(
    server: Server, found: TagState, hold_off: float, second: Second | None
) -> None:
    tags = Tags(server)
    tags.put(state(FOUND, found.held_until, found.is_settling))
    told, left = evicted(tags, hold_off, second)
    assert told == found
    assert left == expected(found, hold_off, second)
    assert tags.now_there() == left
    if is_held(left.held_until, NOW):
        assert tags.remembered() == word(left.held_until, left.is_settling)
    else:
        assert tags.remembered() is None


@given(
    st.none() | st.tuples(moments, st.booleans()),
    st.none() | st.tuples(moments, st.booleans()),
    hold_offs,
    st.none() | seconds,
)
@settings(deadline=None, max_examples=200)
@example((NOW + 5, False), (NOW + 1, True), 1.0, None)
@example((NOW + 1, True), (NOW + 5, True), 1.0, None)
def test_a_tag_that_lost_its_generation_is_found_with_the_hold_off_of_its_shard(
    server: Server,
    own: tuple[float, bool] | None,
    everybodys: tuple[float, bool] | None,
    hold_off: float,
    second: Second | None,
) -> None:
    tags = Tags(server)
    server.zadd(tags.shard, {"kept": float("inf")})
    for member, held in ((tags.key, own), (b"all", everybodys)):
        if held is not None:
            server.zadd(tags.shard, {member: word(*held)})
    told, left = evicted(tags, hold_off, second)
    standing = [held for held in (own, everybodys) if held and is_held(held[0], NOW)]
    assert told.generation == number(NONE)
    assert told.held_until == max([held[0] for held in standing], default=0.0)
    assert told.is_settling == all(settling for _, settling in standing)
    assert left == expected(told, hold_off, second)
    assert left.generation == number(FRESH)
    assert tags.now_there() == left


@given(st.binary(max_size=40).filter(lambda value: len(value) != 16), hold_offs)
@settings(deadline=None, max_examples=50)
def test_a_value_of_another_length_is_no_state_and_is_replaced(
    server: Server, damage: bytes, hold_off: float
) -> None:
    tags = Tags(server)
    tags.put(damage)
    tags.remember(NOW + 5)
    told, left = tags.evict(hold_off)
    assert told == TagState(number(NONE), NOW + 5, is_settling=False)
    assert left == expected(told, hold_off, None)
    assert tags.now_there() == left


@given(
    st.integers(0, (1 << 64) - 1),
    hold_offs,
    st.none() | seconds,
    st.integers(0, (1 << 64) - 1),
)
@example((1 << 64) - 1, 1.0, Second(TagEviction(number(FOUND), 1e13), restore=True), 7)
@settings(deadline=None, max_examples=100)
def test_a_hold_off_that_can_only_be_damage_holds_nothing(
    server: Server, damage: int, hold_off: float, second: Second | None, before: int
) -> None:
    tags = Tags(server)
    tags.server.set(tags.key, STATE.pack(number(FOUND), damage))
    if second:
        second = Second(second.mark._replace(held_until=(before >> 1) / US), False)
    found = TagState(number(FOUND), (damage >> 1) / US, bool(damage & 1))
    told, left = evicted(tags, hold_off, second)
    wanted = expected(found, hold_off, second)
    assert is_held(told.held_until, NOW) == is_held(found.held_until, NOW)
    assert left.generation == number(FRESH)
    # Beyond 53 bits Lua's numbers are not exact: by then it is damage.
    assert left.held_until == pytest.approx(wanted.held_until, abs=2 / US)
    assert is_held(left.held_until, NOW) == is_held(wanted.held_until, NOW)


def test_what_is_restored_over_a_damaged_hold_off_holds_nothing(tags: Tags) -> None:
    tags.put(state(FOUND, NOW + 5))
    mark = TagEviction(
        number(FOUND), (1 << 63) / US, previous_generation=number(REPLACED)
    )
    _, left = tags.evict(1.0, mark, restore=True)
    assert left.generation == number(REPLACED)
    assert not is_held(left.held_until, NOW)


KINDS = ["list", "set", "hash", "sorted set", "stream"]


@pytest.mark.parametrize(
    ("where", "kind"),
    [
        *(("generation", kind) for kind in KINDS),
        *(("shard", kind) for kind in KINDS if kind != "sorted set"),
    ],
)
def test_another_type_at_a_key_is_replaced(tags: Tags, where: str, kind: str) -> None:
    put_foreign(tags.server, tags.key if where == "generation" else tags.shard, kind)
    told, left = tags.evict(5.0)
    assert told == TagState(number(NONE), NOW + DOUBT, is_settling=True)
    assert left == TagState(number(FRESH), NOW + 5)
    assert tags.now_there() == left
    assert tags.remembered() == word(NOW + 5)


def put_foreign(server: Any, at: bytes, kind: str) -> None:
    """Put something of that type there."""
    {
        "list": lambda: server.rpush(at, "x"),
        "set": lambda: server.sadd(at, "x"),
        "hash": lambda: server.hset(at, "x", "y"),
        "sorted set": lambda: server.zadd(at, {"x": 1}),
        "stream": lambda: server.xadd(at, {"x": "y"}),
    }[kind]()


def test_a_shard_of_another_type_is_replaced_although_the_generation_is_there(
    tags: Tags,
) -> None:
    tags.put(state(FOUND))
    tags.server.rpush(tags.shard, "x")
    tags.evict(5.0)
    assert tags.remembered() == word(NOW + 5)
    assert tags.remembered(b"all") == word(NOW + DOUBT, settling=True)


def test_a_generation_lives_as_long_as_is_asked_or_longer(tags: Tags) -> None:
    tags.evict(5.0, life=50_000)
    assert 40_000 < tags.life() <= 50_000
    tags.evict(5.0, life=90_000)
    assert 80_000 < tags.life() <= 90_000
    tags.evict(5.0, life=50_000)
    assert 80_000 < tags.life() <= 90_000


def test_a_shard_outlives_the_longest_hold_off(tags: Tags) -> None:
    tags.evict(LONGEST_HOLD_OFF)
    assert LONGEST_HOLD_OFF * 1000 < tags.life(tags.shard) <= DAY


def test_a_shard_remembers_no_hold_off_that_is_over(tags: Tags) -> None:
    tags.evict(5.0)
    members = tags.server.zcard(tags.shard)
    tags.run(EVICT, 0, 60_000, 1, 60_000, TENDING, of=[tags.other], now=NOW + 6)
    assert tags.remembered() is None
    assert (members, tags.server.zcard(tags.shard)) == (3, 1)


def test_tags_are_evicted_each_by_its_own_evidence(tags: Tags) -> None:
    tags.put(state(FOUND, NOW + 5))
    mark = TagEviction(number(FOUND), NOW + 2, True, number(REPLACED))
    request = EvictionRequest(
        [], 0.0, first_eviction=Eviction({tags.tag: mark}, {}), restore=[tags.tag]
    )
    both = [tags.tag, tags.other]
    arguments = encode_second([FRESH, OTHER], both, request)
    told, _, _ = tags.run(EVICT, US, 60_000, 2, 60_000, *arguments, of=both)
    one, other = pieces(told, STATE.size + 8)
    assert (read(one[:16]), one[16:]) == (TagState(number(FOUND), NOW + 5), REPLACED)
    assert read(other[:16]) == TagState(number(NONE), NOW + DOUBT, is_settling=True)
    assert other[16:] == OTHER
    assert tags.look(*both) == [
        TagState(number(REPLACED), NOW + 2, is_settling=True),
        TagState(number(OTHER), NOW + 1),
    ]


def test_without_a_time_the_servers_own_counts(tags: Tags) -> None:
    seconds, micros = tags.server.time()
    before = seconds + micros / US
    told, _, _ = tags.run(EVICT, 5 * US, 60_000, 1, 60_000, FRESH, now=None)
    found, left = read(told[: STATE.size]), tags.now_there()
    assert left is not None
    seconds, micros = tags.server.time()
    after = seconds + micros / US
    assert before + DOUBT <= found.held_until + 1e-6 <= after + DOUBT + 2e-6
    assert before + 5 <= left.held_until + 1e-6 <= after + 5 + 2e-6


# --- EVICT that puts an entry ---------------------------------------------------------

ALONE = TagEviction(number(FOUND), NOW + 5)


def put_with_eviction(
    tags: Tags, mark: TagEviction | None, other: bytes = MINE, life: int | str = 60_000
) -> bool:
    """Evict a tag and put an entry; tell whether that was done."""
    tags.server.set(tags.keys.generation(tags.other), state(MINE), px=60_000)
    request = EvictionRequest(
        [], 0.0, first_eviction=Eviction({tags.tag: mark}, {}) if mark else None
    )
    arguments = encode_second([FRESH], [tags.tag], request)
    head = (round(NOW * US), 0, US, life, 1, 60_000)
    keys = [key for each in (tags.tag, tags.other) for key in tags.keys.pair(each)]
    entry = tags.keys.entry(tags.tag)
    rest = (TENDING + other, b"entry", 30_000, 1, 90_000)
    reply: Any = tags.server.eval(
        EVICT.source.decode(), 5, *keys, entry, *head, *arguments, *rest
    )
    assert (reply[3] == 1) == (tags.server.get(entry) is not None)
    return bool(reply[3])


def test_a_write_that_was_alone_puts_the_entry(tags: Tags) -> None:
    tags.put(state(FOUND, NOW + 50))
    assert put_with_eviction(tags, ALONE)
    entry = tags.keys.entry(tags.tag)
    assert tags.server.get(entry) == b"entry"
    assert 20_000 < tags.life(entry) <= 30_000
    assert 80_000 < tags.life() <= 90_000


@pytest.mark.parametrize(
    ("mark", "other", "life"),
    [
        (ALONE._replace(generation=number(REPLACED)), MINE, 60_000),
        (None, MINE, 60_000),
        (ALONE, REPLACED, 60_000),
        (ALONE, b"", 60_000),
        (ALONE, MINE, ""),
    ],
    ids=["another write", "no first", "the table changed", "unknown", "full"],
)
def test_otherwise_it_puts_none(
    tags: Tags, mark: TagEviction | None, other: bytes, life: int | str
) -> None:
    tags.put(state(FOUND, NOW + 50))
    assert not put_with_eviction(tags, mark, other, life)


def test_a_second_eviction_of_a_write_that_was_alone_shortens_no_life(
    tags: Tags,
) -> None:
    tags.server.set(tags.key, state(FOUND, NOW + 50), px=900_000)
    tags.evict(1.0, ALONE)
    assert 800_000 < tags.life() <= 900_000
    tags.evict(1.0, ALONE, now=NOW + 60)  # long after: its hold-off is over
    assert 800_000 < tags.life() <= 900_000


# --- EVICT on a full server ----------------------------------------------------------


@given(st.none() | states, hold_offs, st.none() | seconds)
@settings(deadline=None, max_examples=100)
def test_on_a_full_server_an_eviction_leaves_the_hold_off_without_the_generation(
    server: Server, found: TagState | None, hold_off: float, second: Second | None
) -> None:
    tags = Tags(server)
    tags.server.zadd(tags.shard, {"kept": float("inf")})
    if found is not None:
        tags.put(state(FOUND, found.held_until, found.is_settling))
    told, left = evicted(tags, hold_off, second, life="")
    was = found or TagState(number(NONE), 0.0, is_settling=True)
    assert told == was
    unrestored = Second(second.mark, restore=False) if second else None
    wanted = expected(was, hold_off, unrestored)
    assert left.generation == wanted.generation
    if is_held(wanted.held_until, NOW):
        assert left == wanted
    else:
        assert not is_held(left.held_until, NOW)


def test_what_was_evicted_on_a_full_server_is_held_at_the_end_of_the_write(
    tags: Tags,
) -> None:
    tags.look()
    _, first = tags.evict(5.0, life="")
    mark = TagEviction(first.generation, 0.0, previous_generation=number(FOUND))
    found, left = tags.evict(1.0, mark, restore=True, life="", now=NOW + 2)
    assert (found.generation, found.held_until) == (number(NONE), NOW + 5)
    assert (left.held_until, left.is_settling) == (NOW + 5, False)


# --- LOOK ----------------------------------------------------------------------------


def test_a_look_changes_no_generation_that_is_there(tags: Tags) -> None:
    tags.put(state(FOUND, NOW + 5, settling=True))
    before = tags.life()
    there = TagState(number(FOUND), NOW + 5, is_settling=True)
    assert tags.look(life=900_000) == [there]
    assert tags.now_there() == there
    assert tags.life() <= before
    assert not tags.server.exists(tags.shard)


def test_a_look_gives_a_tag_that_has_no_generation_the_one_it_brings(
    tags: Tags,
) -> None:
    (first,) = tags.look(doubt=0.0)
    assert first == TagState(number(FRESH[:7] + b"\0"), 0.0, is_settling=True)
    assert tags.look() == [first]
    assert tags.now_there() == first


def test_a_look_at_one_tag_twice_gives_it_one_generation(tags: Tags) -> None:
    one, two = tags.look(tags.tag, tags.tag)
    assert one == two


def test_a_look_lets_a_new_generation_live_as_long_as_it_says(tags: Tags) -> None:
    tags.look(life=70_000)
    assert 60_000 < tags.life() <= 70_000
    assert tags.life(tags.shard) <= DAY


@pytest.mark.parametrize("damage", [b"", b"x", b"x" * 15, b"x" * 17, b"x" * 160])
def test_a_look_replaces_what_is_no_state(tags: Tags, damage: bytes) -> None:
    tags.put(damage)
    tags.remember(NOW + 5)
    assert tags.look() == [TagState(number(FRESH[:7] + b"\0"), NOW + 5)]
    assert tags.now_there() == tags.look()[0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_look_replaces_another_type(tags: Tags, kind: str) -> None:
    put_foreign(tags.server, tags.key, kind)
    put_foreign(tags.server, tags.shard, "list")
    (seen,) = tags.look()
    assert seen.held_until == NOW + DOUBT
    assert tags.now_there() == seen


def test_a_shard_that_is_lost_with_a_generation_puts_its_tags_in_doubt(
    tags: Tags,
) -> None:
    doubtful = TagState(number(FRESH[:7] + b"\0"), NOW + DOUBT, is_settling=True)
    assert tags.look() == [doubtful]
    (other,) = tags.look(tags.other, now=NOW + DOUBT / 2)
    assert (other.held_until, other.is_settling) == (NOW + DOUBT, True)


def test_the_doubt_of_a_shard_ends(tags: Tags) -> None:
    tags.look()
    (other,) = tags.look(tags.other, now=NOW + DOUBT)
    assert other.held_until == 0.0


def test_a_shard_that_an_eviction_makes_anew_puts_its_other_tags_in_doubt(
    tags: Tags,
) -> None:
    tags.put(state(FOUND))
    tags.evict(5.0)
    (other,) = tags.look(tags.other)
    assert (other.held_until, other.is_settling) == (NOW + DOUBT, True)


# --- PROLONG -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("life", "needed", "left"),
    [
        (10_000, 20_000, 90_000),
        (30_000, 20_000, 30_000),
        (None, 20_000, None),
    ],
    ids=["too short", "long enough", "for ever"],
)
def test_a_life_is_prolonged_where_it_is_too_short(
    tags: Tags, life: int | None, needed: int, left: int | None
) -> None:
    tags.server.set(tags.key, state(FOUND), px=life)
    assert tags.run(PROLONG, needed, 90_000) == []
    if left is None:
        assert tags.life() == -1
    else:
        assert left - 10_000 < tags.life() <= left
    assert tags.now_there() == TagState(number(FOUND), 0.0)


def test_what_is_missing_is_not_made_by_prolonging(tags: Tags) -> None:
    tags.run(PROLONG, 20_000, 90_000)
    assert not tags.server.exists(tags.key, tags.shard)


# --- ARRIVE --------------------------------------------------------------------------

RUN, NEXT_RUN = "a" * 40, "b" * 40


def arrive(tags: Tags, run: str, **more: Any) -> None:
    keys = [tags.key, tags.shard, tags.keys.runs]
    head = [round(more.get("now", NOW) * US), round(DOUBT * US)]
    tags.server.eval(
        ARRIVE.source.decode(),
        3,
        *keys,
        *head,
        *(run, FRESH, 90_000),
    )


def test_a_run_that_was_met_before_changes_nothing(tags: Tags) -> None:
    arrive(tags, RUN)
    tags.put(state(FOUND))
    arrive(tags, RUN)
    assert tags.now_there() == TagState(number(FOUND), 0.0)
    assert tags.server.smembers(tags.keys.runs) == {RUN.encode()}


def test_an_unknown_server_run_evicts_everything_and_doubts_its_hold_offs(
    tags: Tags,
) -> None:
    arrive(tags, RUN)
    tags.put(state(FOUND))
    arrive(tags, NEXT_RUN)
    assert tags.now_there() == TagState(number(FRESH), NOW + DOUBT, is_settling=True)
    assert tags.remembered() == word(NOW + DOUBT, settling=True)
    assert 80_000 < tags.life() <= 90_000


@pytest.mark.parametrize(
    ("held_until", "settling", "end", "settles"),
    [
        (NOW + 5, False, NOW + 5, False),
        (NOW + 5, True, NOW + 5, True),
        (NOW + TICK, False, NOW + DOUBT, False),
        (NOW + TICK, True, NOW + DOUBT, True),
        (NOW - 1, False, NOW + DOUBT, True),
        (NOW + DAMAGE + 1, False, NOW + DOUBT, True),
    ],
)
def test_a_new_run_shortens_no_hold_off(
    tags: Tags, held_until: float, settling: bool, end: float, settles: bool
) -> None:
    tags.put(state(FOUND, held_until, settling))
    arrive(tags, RUN)
    assert tags.now_there() == TagState(number(FRESH), end, is_settling=settles)


def test_a_new_run_puts_everything_in_doubt_although_its_generation_is_lost(
    tags: Tags,
) -> None:
    tags.remember(NOW - 5)  # the shard is there, and nothing in it stands
    arrive(tags, RUN)
    assert tags.now_there() is None
    (seen,) = tags.look()
    assert (seen.held_until, seen.is_settling) == (NOW + DOUBT, True)


def test_a_new_run_shortens_no_life(tags: Tags) -> None:
    tags.server.set(tags.key, state(FOUND), px=900_000)
    arrive(tags, RUN)
    assert 800_000 < tags.life() <= 900_000


def test_the_runs_that_were_met_are_forgotten_after_a_month(tags: Tags) -> None:
    arrive(tags, RUN)
    assert DAY < tags.life(tags.keys.runs) <= 31 * DAY


@pytest.mark.parametrize("kind", ["list", "hash", "sorted set", "stream"])
def test_another_type_in_place_of_the_runs_is_replaced_and_is_a_new_run(
    tags: Tags, kind: str
) -> None:
    put_foreign(tags.server, tags.keys.runs, kind)
    tags.put(state(FOUND))
    arrive(tags, RUN)
    assert tags.now_there() == TagState(number(FRESH), NOW + DOUBT, is_settling=True)
    assert tags.server.smembers(tags.keys.runs) == {RUN.encode()}


# --- names ---------------------------------------------------------------------------


def test_the_keys_of_a_tag_share_a_slot_of_a_cluster() -> None:
    keys = Keys("default")
    generation, held = keys.generation(tag("x")), keys.held(tag("x"))
    inside = generation[generation.index(b"{") + 1 : generation.index(b"}")]
    assert inside == held[held.index(b"{") + 1 : held.index(b"}")]
    assert len(inside) == 2


def test_a_script_is_called_by_the_name_that_servers_give_it(server: Server) -> None:
    for script in (LOOK, EVICT, PROLONG, ARRIVE):
        assert server.script_load(script.source.decode()) == script.sha.decode()
