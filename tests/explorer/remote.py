"""The store on Redis in a world: a RedisStore for each client, on one real server.

The store, its link, the server and its scripts are the real ones. Between them stands
a connection that takes what is sent apart into commands: between any two of them
others have their turn, for a pipeline is no transaction. What nothing waits for arrives
at any later moment, and at the latest before the connection's next command. A command
may time out, before it was carried out or after it; and a connection may be cut, upon
which the link sends again.

What may befall the server besides: it restarts empty, it is flushed, it loses a key, a
replica takes over that lacks the last evictions, it has no room for anything.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from struct import Struct
from typing import Any

from redis.exceptions import ConnectionError as LostError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as LateError

from botocache._dynamodb.tags import (
    EVERYTHING,
    item_tag,
    partition_tag,
    table_tag,
    tag_digest,
    writes_tag,
)
from botocache.stores.protocol import Store
from botocache.stores.redis import store as store_module
from botocache.stores.redis.connections import ServerConnections
from botocache.stores.redis.keys import Keys
from botocache.stores.redis.scripts import STATE, US
from botocache.stores.redis.store import RedisStore
from tests.explorer.backends import OPAQUE, Eyes, Moment, contents, opaque_numbers
from tests.explorer.database import Dump, the_database
from tests.explorer.turns import Offer, current_actor, pause, record
from tests.support.clock import FakeClock
from tests.support.redis_stores import redis_store

MOST_LACKED = 2
"""Evictions that a replica may lack when it takes over."""

_EVICTED = Struct("<QQQ")
"""Of a tag that was evicted: what was found, and the generation that was left."""

_EVICTING = ("evict", "unlink")
"""Commands; a read that begins after the first of a write's begins after its end."""

_SCRIPTS = ("EVICT", "LOOK", "PROLONG", "ARRIVE")
_ITEM = {"pk": {"S": "a"}, "sk": {"S": "b"}}

LOSABLE = {
    "everything": tag_digest(EVERYTHING),
    "the table": tag_digest(table_tag("t")),
    "the item": tag_digest(item_tag("t", _ITEM)),
    "the partition": tag_digest(partition_tag("t", "pk", _ITEM["pk"])),
    "the group": tag_digest(partition_tag("t", "g", {"S": "1"})),
    "the writes": tag_digest(writes_tag("t")),
}
"""The tags that a server may lose the generations of; others behave like these."""


class FewShards(Keys):
    """Keys that put all tags into some shards."""

    def __init__(self, shards: int) -> None:
        super().__init__("w")
        self._shards = shards

    def held(self, tag: bytes) -> bytes:
        """See Keys."""
        return b"%bh:{%02x}" % (self.prefix, tag[0] % self._shards)


class Wire:
    """A connection of redis-py's, as far as we use it: commands go one by one."""

    def __init__(self, backend: "RedisBackend", client: int) -> None:
        self._backend = backend
        self._client = client
        self._waiting: deque[bytes] = deque()
        self._arrived: deque[Any] = deque()
        self._unrecorded: Any = None
        self.run = -1
        self._sock = None  # of redis-py's connections; None has no descriptor
        self.owed: tuple[Any, ...] = ()

    def connect(self) -> None:
        """Connect to the server as it is now."""
        self.run = self._backend.run

    def disconnect(self) -> None:
        """Be of no use any more."""
        self._waiting.clear()
        self._arrived.clear()
        self.run = -1

    def send_packed_command(self, packed: Sequence[bytes], **_: object) -> None:
        """Take commands apart; or be cut, before the first one or after it."""
        commands = commands_in(b"".join(packed))
        way, actor = "works", current_actor()
        if actor is not None:
            way = self._backend.cuts.pop(self._client, way)
            actor.commands += way != "works"
        if way == "is done, but cut off" and self.run == self._backend.run:
            reply = self._backend.carry_out(commands[0])
            if name_of(commands[0]) in _EVICTING and not _is_error(reply):
                self._backend.note_eviction()
        if way != "works":
            raise LostError(way)
        self._waiting.extend(commands)

    def read_replies(self, count: int) -> list[Any]:
        """Carry commands out, each when its turn comes; return their replies."""
        return [self._reply() for _ in range(count)]

    @property
    def under_way(self) -> list[bytes]:
        """The commands that nothing waits for, and that have not arrived."""
        return [*self._waiting] if self.owed else []

    def arrive(self) -> None:
        """Let the server carry out the next command that nothing waits for."""
        packed = self._waiting.popleft()
        if self.run != self._backend.run:
            self._arrived.append(LostError("the server is no more"))
        else:
            self._arrived.append(self._backend.carry_out(packed))

    def _reply(self) -> Any:
        if self.owed:
            if not self._arrived:
                self.arrive()
            reply = self._arrived.popleft()
            if isinstance(reply, LostError):
                raise reply
            return reply
        packed = self._waiting.popleft()
        way = self._way_of(packed)
        if self.run != self._backend.run:
            raise LostError("the server that it was connected to is no more")
        if way == "fails":
            raise LateError("not carried out")
        self._unrecorded = reply = self._backend.carry_out(packed)
        if name_of(packed) in _EVICTING and not _is_error(reply):
            self._backend.note_eviction()
        if way == "is done, but fails":
            raise LateError("carried out")
        return reply

    def _way_of(self, packed: bytes) -> str:
        """Let others have their turn, unless it is the first command of a verb."""
        actor = current_actor()
        if actor is None or b"\r\nINFO\r\n" in packed:
            return "works"
        actor.commands += 1
        if actor.commands == 1:
            return "works"
        record(self._backend.run, *flat(self._unrecorded))
        verb = actor.verb
        label = f"{verb}, {name_of(packed)}"
        way: str = pause(lambda: self._backend.ways(label, verb))
        if way != "works":
            self._backend.fail(verb)
        return way


class TurnConnections(ServerConnections):
    """A ServerConnections that connects where it is: a schedule has one thread."""

    def _connect_for_read(self, _: float) -> Any:
        return self._connect()

    def _connect_for_eviction(self, deadline: float) -> tuple[Any, float]:
        return self._connect(), deadline


class RedisBackend:
    """A RedisStore for each client, on the one server of this process.

    shards: of hold-offs, among which tags are spread.
    ways: of the world, the offers between two commands of a verb.
    fail: of the world, raises what a command fails with.
    note_eviction: of the world, called when an eviction arrives.
    cuts: by client, how its next command is cut off.
    """

    is_remote = True

    def __init__(
        self, clock: FakeClock, clients: int, *, shards: int = 1, first: int = OPAQUE
    ) -> None:
        self.ways: Callable[[str, str], list[Offer]] = lambda name, _: [(name, "works")]
        self.fail: Callable[[str], None] = lambda _: None
        self.note_eviction: Callable[[], None] = lambda: None
        self.run = 0
        self.cuts: dict[int, str] = {}
        self.has_lost_generations = self.has_lost_hold_offs = False
        self._copies: list[Dump] = []
        self._database = the_database()
        self._database.replace([])
        self._shards = shards
        self._keys = FewShards(shards)
        self.stores = [
            self._new_store(clock, client, first) for client in range(clients)
        ]
        for store in self.stores:  # each has one connection, as after some calls
            store._connections._idle.append(store._connections._connect())

    def _new_store(self, clock: FakeClock, client: int, first: int) -> RedisStore:
        store = redis_store(
            lambda: None,
            settle=1.0,
            clock=clock,
            random=opaque_numbers(first + (client << 40)),
        )
        store._keys = self._keys
        if client:
            # Else no entry goes with an eviction: its fill prolongs generations first.
            store._known_tags.ending = lambda *_: []  # type: ignore[method-assign]

        def wire() -> Any:
            return Wire(self, client)

        store._connections = TurnConnections(wire, store._handshake, 0.0)
        store._breaker._ended.set()  # faults are too few for it; no thread in any case
        return store

    def copy_from(self, dump: Dump) -> None:
        """Copy another backend, whose generations must differ from this one's."""
        self._database.replace(dump)

    def dump(self) -> Dump:
        """Return all that is kept."""
        return self._database.everything()

    def carry_out(self, packed: bytes) -> Any:
        """Return the server's reply; an error is one."""
        if b"\r\nINFO\r\n" in packed:
            info = b"role:master run_id:%d master_replid:0".replace(b" ", b"\r\n")
            return info % self.run + b"\r\n"
        if self._may_be_lacked(packed):
            self._copies = [self.dump(), *self._copies[: MOST_LACKED - 1]]
        return self._database.carry_out(packed)

    def store_of(self, client: int) -> Store:
        """See Backend."""
        return self.stores[client]

    def snapshot(self, client: int, key: bytes, tags: Sequence[bytes]) -> Sequence[int]:
        """See Backend; without making any that are missing."""
        held = {key: value for key, kind, value in self.dump() if kind == b"string"}
        found = [held.get(self._keys.generation(tag)) for tag in tags]
        return tuple([STATE.unpack(state)[0] if state else 0 for state in found])

    def under_way(self) -> Iterator[tuple[int, "Wire"]]:
        """Yield connections with commands that have not arrived, with their clients."""
        for client, store in enumerate(self.stores):
            for wire in store._connections._idle:
                if isinstance(wire, Wire) and wire.under_way:
                    yield client, wire

    def is_evicting(self) -> bool:
        """See Backend."""
        return any(
            name_of(packed) == "evict"
            for _, wire in self.under_way()
            for packed in wire.under_way
        )

    # --- what may befall it ----------------------------------------------------------

    def may_be_cut(self, client: int) -> bool:
        """Tell whether a client's next command goes by a connection that it has."""
        return bool(self.stores[client]._connections._idle)

    def lose_entries(self) -> None:
        """See Backend."""
        for key, *_ in self.dump():
            if key.startswith(self._keys.entries):
                self._database.lose(key)

    def lose_generations(self) -> bool:
        """See Backend."""
        self._database.replace([])
        return True

    def misfortunes(self) -> list[str]:
        """See Backend."""
        there = {key for key, *_ in self.dump()}
        found = ["the server restarts", "the server is flushed"]
        found += [
            f"the generation of {name} is lost"
            for name, tag in LOSABLE.items()
            if self._keys.generation(tag) in there
        ]
        found += [
            f"the hold-offs {key.decode()[-3:-1]} are lost"
            for key in sorted(there)
            if key.startswith(self._keys.prefix + b"h:")
        ]
        found += [
            f"a replica takes over that lacks {number} evictions"
            for number in range(1, len(self._copies) + 1)
        ]
        return found + ["the server is full"] * (not self._database.is_full)

    def befall(self, what: str) -> bool:
        """See Backend."""
        words = what.split()
        if what == "the server is full":
            self._database.fill_up(is_full=True)
            return True
        if "generation" in words:
            lost = what.removeprefix("the generation of ").removesuffix(" is lost")
            self._database.lose(self._keys.generation(LOSABLE[lost]))
            self.has_lost_generations = True
            return self.has_lost_hold_offs
        if "hold-offs" in words:
            self._database.lose(self._keys.prefix + b"h:{%b}" % words[2].encode())
            self.has_lost_hold_offs = True
            return self.has_lost_generations
        copy: Dump = self._copies[int(words[-2]) - 1] if "replica" in words else []
        self._database.replace(copy)
        self.has_lost_generations = self.has_lost_hold_offs = True
        if "flushed" not in words:
            self.run += 1
        return True

    @property
    def is_full(self) -> bool:
        """Whether it has no room for anything."""
        return self._database.is_full

    def heal(self) -> None:
        """See Backend."""
        self._database.fill_up(is_full=False)

    def state(self, eyes: Eyes) -> list[Any]:
        """See Backend."""
        state: list[Any] = [self.run, self._database.is_full]
        state += (self.has_lost_generations, self.has_lost_hold_offs)
        state += self._look(self.dump(), eyes)
        for store in self.stores:
            wires: list[Any] = [*store._connections._idle]
            state += ("idle", *(wire.run for wire in wires))
            for wire in wires:
                for packed in wire.under_way:
                    if name_of(packed) != "set":
                        state.append(packed)
                        continue
                    _, key, entry, *_ = words_of(packed)
                    snapshot, stored_at, _, body = contents(entry)
                    state += (key, *snapshot, eyes.since(stored_at), body)
                state += ("owed", len(wire.owed), *map(str, wire._arrived))
            state += _known(store, eyes)
        if self.ways("", "load")[1:]:  # else no replica will ever take over
            for copy in self._copies:
                state += ("copy", *self._look(copy, eyes))
        return state

    def _look(self, dump: Dump, eyes: Eyes) -> Iterator[Any]:
        current = {0}
        for _, kind, value in dump:
            if kind == b"string" and len(value) == STATE.size:
                current.add(STATE.unpack(value)[0])
        for key, kind, value in dump:
            if kind == b"set":
                yield from (key, *sorted(value))
            elif kind == b"zset":
                yield from (key, *_shard(value, eyes))
            elif not key.startswith(self._keys.entries):
                generation, word = STATE.unpack(value)
                yield from (key, generation, _hold(word, eyes))
            else:
                snapshot, stored_at, expires_at, body = contents(value)
                # What cannot be served any more is as good as nothing.
                if expires_at > eyes.now and current.issuperset(snapshot):
                    yield from (key, *snapshot, eyes.since(stored_at), body)

    def _may_be_lacked(self, packed: bytes) -> bool:
        return bool(self.ways("", "load")[1:]) and name_of(packed) == "evict"


def commands_in(packed: bytes) -> list[bytes]:
    """Return each of some commands as it is on the wire."""
    commands, at = [], 0
    while at < len(packed):
        begin = at
        end = packed.index(b"\r\n", at)
        count, at = int(packed[at + 1 : end]), end + 2
        for _ in range(count):
            end = packed.index(b"\r\n", at)
            at = end + 2 + int(packed[at + 1 : end]) + 2
        commands.append(packed[begin:at])
    return commands


def words_of(packed: bytes) -> list[bytes]:
    """Return the words of a command."""
    words, at = [], packed.index(b"\n") + 1
    while at < len(packed):
        end = packed.index(b"\r\n", at)
        size, at = int(packed[at + 1 : end]), end + 2
        words.append(packed[at : at + size])
        at += size + 2
    return words


def name_of(packed: bytes) -> str:
    """Return the name of a command in a schedule."""
    for name in _SCRIPTS:
        script = getattr(store_module, name)  # a mutation's, perhaps
        if script.sha in packed or script.source in packed:
            return name.lower()
    return packed.split(b"\r\n", 3)[2].decode().lower()


def flat(reply: Any) -> list[Any]:
    """Return the content of a reply, for a history."""
    if isinstance(reply, list) and reply and isinstance(reply[0], int):
        return [*_of_script(*reply[1:])]
    if isinstance(reply, list):
        return [part for each in reply for part in flat(each)]
    if isinstance(reply, bytes) and len(reply) == STATE.size:
        generation, word = STATE.unpack(reply)
        return [generation, Moment((word >> 1) / US), word & 1]
    if isinstance(reply, bytes) and reply.startswith(b"role:"):
        return [reply]  # what INFO says
    if isinstance(reply, bytes) and len(reply) > 2 * STATE.size:
        snapshot, stored_at, _, body = contents(reply)
        return [*snapshot, Moment(stored_at), body]
    return [str(reply) if isinstance(reply, Exception) else None]


def _of_script(
    states: bytes = b"", watched: bytes | None = None, *put: int
) -> list[Any]:
    """Return the content of a script's reply: of EVICT if there are watched states."""
    kind = STATE if watched is None else _EVICTED
    parts = [*kind.iter_unpack(states), *STATE.iter_unpack(watched or b"")]
    return [
        field
        for generation, word, *left in parts
        for field in (generation, Moment((word >> 1) / US), word & 1, *left)
    ] + [*put]


def _is_error(reply: Any) -> bool:
    return isinstance(reply, ResponseError)


def _hold(word: int, eyes: Eyes) -> int:
    remaining = eyes.until((word >> 1) / US)
    return remaining * 2 + (word & 1) if remaining else 0


def _known(store: RedisStore, eyes: Eyes) -> Iterator[Any]:
    """Yield what a store remembers of tags."""
    known = store._known_tags
    yield from ("known", known._sureness, store._has_prolonged)
    for tag, generation in sorted(known._generations.items()):
        yield from (tag, int.from_bytes(generation, "little"))
        yield eyes.until(known._lives.get(tag, 0.0))


def _shard(members: Sequence[bytes], eyes: Eyes) -> Iterator[Any]:
    for member, score in zip(members[::2], members[1::2], strict=True):
        if score == b"inf":
            yield member
        elif hold := _hold(int(float(score)), eyes):
            yield from (member, hold)
