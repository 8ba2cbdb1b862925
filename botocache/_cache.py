"""The cache: plan -> load -> hit | ticket -> fill or evict, and the failure policy.

It knows neither botocore nor any URL. Whoever sits between an application and
DynamoDB asks `begin` before a call is sent and says `finish` or `fail` after it. None
of the three ever raises: whatever goes wrong in here, the call proceeds as without a
cache. A ticket may be abandoned at any point; it holds no lock.

Failure policy. A read that fails in here is a miss that is not filled. A write is
sent even when its tags could not be evicted; they are remembered, retried before
anything else is asked of the store, and until then nothing that depends on them is
served or filled by this process.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from botocache import _codec
from botocache._coherence import Eviction, Loaded, may_fill, may_serve
from botocache._config import Settings
from botocache._errors import CodecError, StoreLostError, assert_never
from botocache._failures import Failures
from botocache._keys import (
    EVERYTHING,
    entry_key,
    table_name,
    table_tag,
    tag_digest,
    wire_key,
)
from botocache._plan import (
    Bypass,
    Describe,
    KeyAttributes,
    Read,
    Write,
    described_keys,
    item_tags,
    last_key_attributes,
    may_write,
    plan,
)
from botocache._policies import TablePolicy
from botocache._schemas import Schema, Schemas
from botocache._stats import Counters, Stats
from botocache._undelivered import Undelivered
from botocache.stores import Store

_EVERYTHING = tag_digest(EVERYTHING)
_TABLE_TAG = 1
"""Index of the table's tag among a Read's tags."""

_DROPPED_FROM_ANSWERS = ("ResponseMetadata", "ConsumedCapacity")


class Request(NamedTuple):
    """One call, as the hooks see it.

    operation: `GetItem`. body: JSON, as on the wire. scope: returns whose answers may
    be served, or None when nobody's: the call will be refused for want of credentials.
    """

    operation: str
    body: bytes
    origin: str
    scope: Callable[[], bytes | None]


class Hit(NamedTuple):
    """An answer from the cache. answer: a fresh object, without ResponseMetadata.

    age: seconds since it was filled. key: of the entry.
    """

    answer: dict[str, Any]
    age: float
    key: bytes


class ReadTicket(NamedTuple):
    """A read that was sent: what its answer is filled with."""

    read: Read
    origin: str
    policy: TablePolicy
    key: bytes
    loaded: Loaded
    began: float


@dataclass(frozen=True, slots=True)
class WriteTicket:
    """A write that was sent. first: its first eviction; None when that failed."""

    write: Write
    origin: str
    tags: tuple[bytes, ...]
    first: Eviction | None
    assumed: tuple[Schema, ...]


@dataclass(frozen=True, slots=True)
class DescribeTicket:
    """A call that was sent and whose answer describes a table."""

    origin: str
    table: str
    generation: int


Ticket: TypeAlias = ReadTicket | WriteTicket | DescribeTicket


class _Mode(Enum):
    NORMAL = "normal"
    BYPASS = "bypass"
    REFRESH = "refresh"


_mode: ContextVar[_Mode] = ContextVar("botocache_mode", default=_Mode.NORMAL)


@contextmanager
def _in_mode(mode: _Mode) -> Iterator[None]:
    token = _mode.set(mode)
    try:
        yield
    finally:
        _mode.reset(token)


def bypass() -> AbstractContextManager[None]:
    """Within this context, reads neither ask the cache nor fill it; writes evict.

    Holds for the calling thread or asyncio task alone, and for what it awaits or runs
    by asyncio.to_thread. A context manager.
    """
    return _in_mode(_Mode.BYPASS)


def refresh() -> AbstractContextManager[None]:
    """Within this context, reads are answered by DynamoDB, and fill the cache.

    Holds for the calling thread or asyncio task alone, and for what it awaits or runs
    by asyncio.to_thread. A context manager.
    """
    return _in_mode(_Mode.REFRESH)


class Cache:
    """The cache of one installation. Made by `botocache.install`; safe for threads.

    store: where entries and generations live, shared with whoever uses the same.
    """

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store: Final = store
        self._settings: Final = settings
        self._counters: Final = Counters()
        self._failures: Final = Failures(self._counters, store.now)
        self._policies: Final[dict[str, TablePolicy]] = {}
        self._schemas: Final = Schemas(store, settings.ttl)
        self._undelivered: Final = Undelivered(store, settings.write_window)

    def __repr__(self) -> str:
        return f"<Cache {self._store!r}, {self.stats()!r}>"

    # --- for the application -------------------------------------------------------

    @property
    def settings(self) -> Settings:
        """The settings that it was installed with."""
        return self._settings

    def stats(self) -> Stats:
        """Return the counts since it was installed, for this process alone."""
        return self._counters.read(undelivered=len(self._undelivered))

    def invalidate(self, table: str, key: Mapping[str, Any] | None = None) -> None:
        """Evict a table, or one item of it, in all processes that share the store.

        For whoever wrote around botocache, after the write. When the store cannot do
        it now it is retried, and this process serves nothing of it until then.

        table: its name or ARN. key: when given, every key attribute of the item, as a
        client (`{"id": {"S": "7"}}`) or a resource (`{"id": "7"}`) takes it.
        Raises ValueError when a value is none that a key attribute can have.
        """
        name = table_name(table)
        tags = [table_tag(name)] if key is None else item_tags(name, wire_key(key))
        self._evict_now(tuple(map(tag_digest, tags)))

    def clear(self) -> None:
        """Evict everything, in all processes that share the store, and drop it."""
        self._evict_now((_EVERYTHING,))
        try:
            self._store.clear()
        except Exception as error:  # noqa: BLE001 - as ever
            self._report("clear_failed", "entries age out instead", error)

    def close(self) -> None:
        """Give back what the store holds open. The next call opens it again.

        To stop caching, use `botocache.uninstall`.
        """
        try:
            self._store.close()
        except Exception as error:  # noqa: BLE001 - as ever
            self._report("close_failed", "left to the process's end", error)

    # --- for the hooks -------------------------------------------------------------

    def begin(self, request: Request) -> Hit | Ticket | None:
        """Say what is to be done before a call is sent. Never raises.

        Returns a hit, which is the answer; or a ticket for `finish` or `fail` after
        the call; or None, when the call is none of the cache's business.
        """
        try:
            return self._begin(request)
        except Exception as error:  # noqa: BLE001 - a failure in here is never the application's
            return self.begin_blindly(request.operation, error)

    def begin_blindly(self, operation: str, error: Exception) -> WriteTicket | None:
        """Say that a call is sent of which nothing could be found out, and why.

        Nobody knows what a write would have evicted, so it evicts everything, at its
        end too: hence the ticket.
        """
        is_write = may_write(operation)
        self._give_up("begin_failed", error, is_write=is_write)
        if not is_write:
            return None
        return WriteTicket(Write((EVERYTHING,)), "", (_EVERYTHING,), None, ())

    def finish(
        self, ticket: Ticket, answer: dict[str, Any], *, succeeded: bool, certain: bool
    ) -> None:
        """Say that DynamoDB answered. Never raises; leaves `answer` alone.

        answer: parsed, as botocore has it. succeeded: it is not an error. certain: no
        earlier attempt of the same call may still land.
        """
        try:
            self._finish(ticket, answer, succeeded=succeeded, certain=certain)
        except Exception as error:  # noqa: BLE001 - a failure in here is never the application's
            is_write = isinstance(ticket, WriteTicket)
            self._give_up("finish_failed", error, is_write=is_write)

    def fail(self, ticket: Ticket) -> None:
        """Say that no answer came: nobody knows what happened. Never raises."""
        self.finish(ticket, {}, succeeded=False, certain=False)

    # --- planning ------------------------------------------------------------------

    def _begin(self, request: Request) -> Hit | Ticket | None:
        body = _decode_body(request.body)
        recalled: dict[str, Schema] = {}
        is_read = not may_write(request.operation)

        def keys_of(table: str) -> KeyAttributes | None:
            schema = self._recall(request.origin, table)
            if schema is None or (is_read and not self._schemas.is_fresh(schema)):
                return None
            recalled[table] = schema
            return schema.attributes

        planned = plan(request.operation, body, keys_of)
        match planned:
            case Read():
                return self._begin_read(request, planned, recalled.get(planned.table))
            case Write():
                return self._begin_write(request, planned, recalled)
            case Describe():
                table = planned.table
                generation = self._schemas.generation(request.origin, table)
                return DescribeTicket(request.origin, table, generation)
            case Bypass():
                return None
            case _:
                return assert_never(planned)

    def _finish(
        self, ticket: Ticket, answer: dict[str, Any], *, succeeded: bool, certain: bool
    ) -> None:
        match ticket:
            case ReadTicket():
                if succeeded:
                    self._finish_read(ticket, answer)
            case WriteTicket():
                self._finish_write(ticket, answer, succeeded=succeeded, certain=certain)
            case DescribeTicket():
                if succeeded:
                    self._learn_described(
                        ticket.origin, ticket.table, ticket.generation, answer
                    )
            case _:
                assert_never(ticket)

    # --- reads ---------------------------------------------------------------------

    def _begin_read(
        self, request: Request, read: Read, assumed: Schema | None
    ) -> Hit | ReadTicket | None:
        policy = self._policy(read.table)
        mode = _mode.get()
        if mode is _Mode.BYPASS or not policy.enabled:
            self._counters.add("bypassed")
            return None
        tags = tuple(map(tag_digest, read.tags))
        if self._undelivered and self._is_undelivered(tags):
            self._counters.add("bypassed")
            return None
        scope = request.scope()
        if scope is None:
            return None
        key = entry_key(scope, request.origin, request.operation, read.question)
        now = self._store.now()
        loaded = self._store.load(key, tags)
        is_servable = mode is _Mode.NORMAL and not read.is_consistent
        if assumed is not None and assumed.generation != loaded.snapshot[_TABLE_TAG]:
            self._schemas.forget(assumed)
            self._counters.add("misses")
            return None
        if is_servable and loaded.entry is not None:
            try:
                entry = _codec.decode(loaded.entry)
                if may_serve(entry.snapshot, loaded.snapshot, entry.expires_at, now):
                    return self._hit(read, key, entry, now)
            except CodecError as error:
                self._report("load_failed", "a miss, and filled anew", error)
        self._counters.add("misses")
        return ReadTicket(read, request.origin, policy, key, loaded, now)

    def _hit(self, read: Read, key: bytes, entry: _codec.Entry, now: float) -> Hit:
        """Return the hit that an entry is. Raises CodecError when it is damaged."""
        answer = entry.body()
        if read.capacity != "NONE":
            answer["ConsumedCapacity"] = _no_capacity(read)
        self._counters.add("hits")
        return Hit(answer, now - entry.stored_at, key)

    def _finish_read(self, ticket: ReadTicket, answer: dict[str, Any]) -> None:
        read, loaded = ticket.read, ticket.loaded
        generation = loaded.snapshot[_TABLE_TAG]
        if not self._learn_from_read(ticket, answer, generation):
            return
        if not may_fill(loaded):
            self._counters.add("held")
            return
        is_absent = read.names_all and "Item" not in answer
        ttl = ticket.policy.negative_ttl if is_absent else ticket.policy.ttl
        if ttl <= 0.0:
            return
        kept = {k: v for k, v in answer.items() if k not in _DROPPED_FROM_ANSWERS}
        entry = _codec.encode(kept, loaded.snapshot, ticket.began, ticket.began + ttl)
        try:
            self._store.fill(ticket.key, entry, ttl)
        except Exception as error:  # noqa: BLE001 - as ever
            self._report("fill_failed", "an answer is not kept", error)
        else:
            self._counters.add("fills")

    def _learn_from_read(
        self, ticket: ReadTicket, answer: dict[str, Any], generation: int
    ) -> bool:
        """Learn the table's key attributes; False when they have changed."""
        read = ticket.read
        named, is_complete = read.named, read.names_all
        last = last_key_attributes(read, answer)
        if last is not None:
            named, is_complete = last, True
        return self._learn(
            ticket.origin, read.table, named, generation, is_complete=is_complete
        )

    # --- writes --------------------------------------------------------------------

    def _begin_write(
        self, request: Request, write: Write, recalled: Mapping[str, Schema]
    ) -> WriteTicket:
        tags = tuple(map(tag_digest, write.tags))
        assumed = tuple(recalled[table] for table in write.assumed)
        watch = [schema.tag for schema in assumed]
        self._counters.add("writes")
        self._counters.add("evicted", len(tags))
        first = self._evict(tags, self._settings.write_window, watch)
        if first is not None:
            outdated = self._outdated(assumed, first.watched)
            if outdated:
                tags = tuple(dict.fromkeys((*tags, *outdated)))
                first = self._evict(tags, self._settings.write_window, watch)
        return WriteTicket(write, request.origin, tags, first, assumed)

    def _finish_write(
        self,
        ticket: WriteTicket,
        answer: dict[str, Any],
        *,
        succeeded: bool,
        certain: bool,
    ) -> None:
        write, assumed, settings = ticket.write, ticket.assumed, self._settings
        taught = [table for table, _ in write.named]
        if write.described:
            taught.append(write.described)
        second = self._evict(
            ticket.tags,
            settings.settle if certain else settings.write_window,
            [
                *(schema.tag for schema in assumed),
                *(tag_digest(table_tag(table)) for table in taught),
            ],
            since=ticket.first if certain else None,
        )
        if second is None:
            return
        outdated = self._outdated(assumed, second.watched)
        if outdated:
            self._evict_now(outdated)
        if not succeeded:
            return
        generations = second.watched[len(assumed) :]
        for (table, attributes), generation in zip(
            write.named, generations, strict=False
        ):
            self._learn(ticket.origin, table, attributes, generation)
        if write.described:
            table, generation = write.described, generations[-1]
            self._learn_described(ticket.origin, table, generation, answer)

    def _outdated(
        self, assumed: tuple[Schema, ...], generations: tuple[int, ...]
    ) -> tuple[bytes, ...]:
        """Forget the schemas that no longer hold; return their tables' tags.

        generations: of their tags now, first of all that were watched.
        """
        outdated = [
            schema
            for schema, generation in zip(assumed, generations, strict=False)
            if schema.generation != generation
        ]
        for schema in outdated:
            self._schemas.forget(schema)
        return tuple(schema.tag for schema in outdated)

    # --- key attributes ------------------------------------------------------------

    def _recall(self, origin: str, table: str) -> Schema | None:
        try:
            return self._schemas.recall(origin, table)
        except Exception as error:  # noqa: BLE001 - as ever
            self._report("recall_failed", "a put evicts its table", error)
            return None

    def _learn(
        self,
        origin: str,
        table: str,
        attributes: KeyAttributes,
        generation: int,
        *,
        is_complete: bool = True,
    ) -> bool:
        """Learn what DynamoDB confirmed; False, and evict, when it was otherwise.

        False too when the store could not say how it was.
        """
        try:
            is_as_known = self._schemas.learn(
                origin, table, attributes, generation, is_complete=is_complete
            )
        except Exception as error:  # noqa: BLE001 - as ever
            self._report("learn_failed", "key attributes are learned later", error)
            return False
        if is_as_known:
            return True
        self._evict_now((tag_digest(table_tag(table)),))
        return False

    def _learn_described(
        self, origin: str, table: str, generation: int, answer: dict[str, Any]
    ) -> None:
        described = described_keys(answer)
        if described is not None and described[0] == table:
            self._learn(origin, table, described[1], generation)

    def _give_up(self, kind: str, error: Exception, *, is_write: bool) -> None:
        if is_write:
            self._remember((_EVERYTHING,), error)
        self._report(kind, "the call goes on uncached", error)

    # --- evictions that may fail ---------------------------------------------------

    def _evict(
        self,
        tags: tuple[bytes, ...],
        hold_off: float,
        watch: Sequence[bytes] = (),
        since: Eviction | None = None,
    ) -> Eviction | None:
        """Evict, or remember that it is to be done."""
        try:
            return self._store.evict(tags, hold_off, watch=watch, since=since)
        except StoreLostError as error:
            self._report("evict_failed", "everything is evicted instead", error)
        except Exception as error:  # noqa: BLE001 - whatever it is, the tags must be remembered
            self._remember(tags, error)
            return None
        # A process that is new to the store may have filled it during this write, and
        # no other will evict there. The marks of what was lost mean nothing now.
        self._deliver()
        try:
            return self._store.evict(tags, hold_off, watch=watch)
        except Exception as error:  # noqa: BLE001 - as above
            self._remember(tags, error)
            return None

    def _evict_now(self, tags: tuple[bytes, ...]) -> None:
        self._evict(tags, self._settings.settle)

    def _remember(self, tags: tuple[bytes, ...], error: Exception) -> None:
        self._undelivered.add(tags)
        self._report(
            "evict_failed",
            "it is retried, and until then this process serves nothing that depends "
            "on it; other processes may serve what they have until its TTL ends",
            error,
        )

    def _report(self, kind: str, consequence: str, error: Exception) -> None:
        if isinstance(error, StoreLostError):  # and with it, who was on hold-off
            self._undelivered.add((_EVERYTHING,))
        self._failures.report(kind, consequence, error)

    def _is_undelivered(self, tags: tuple[bytes, ...]) -> bool:
        self._deliver()
        return self._undelivered.concerns(tags)

    def _deliver(self) -> None:
        try:
            self._undelivered.deliver()
        except Exception as error:  # noqa: BLE001 - as ever
            self._report("evict_failed", "it is retried", error)

    def _policy(self, table: str) -> TablePolicy:
        policy = self._policies.get(table)
        if policy is None:
            policy = self._policies[table] = self._settings.policy(table)
        return policy


def _decode_body(body: bytes) -> dict[str, Any]:
    try:
        decoded: dict[str, Any] = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        decoded = json.loads(body)  # knows lone surrogates
    return decoded


def _no_capacity(read: Read) -> dict[str, Any]:
    """Return the ConsumedCapacity of an answer that consumed none."""
    consumed: dict[str, Any] = {
        "TableName": read.table_parameter,
        "CapacityUnits": 0.0,
    }
    if read.capacity == "INDEXES":
        consumed["Table"] = {"CapacityUnits": 0.0}
    return consumed
