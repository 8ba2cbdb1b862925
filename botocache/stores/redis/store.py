"""The store that many machines share: Redis 6.2 or Valkey 7.2 and later.

A load is one round trip, or two if a generation that was expected is missing. Each half
of a write is one, whatever the number of items. Fills are not waited for, nor is the
second half of a write where the law allows that (_coherence.py, owed.py). What is kept,
and the scripts that change it, stand in scripts.py.

All users go by the server's clock, which sets the hold-offs. The local estimate of it
never runs ahead of it. So a hold-off may appear longer than it is, never shorter.
"""

import math
import os
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial, wraps
from itertools import chain
from struct import unpack
from typing import Concatenate, ParamSpec, TypeVar

from redis.exceptions import NoScriptError

from botocache._coherence import (
    Eviction,
    EvictionRequest,
    Held,
    LeftEntry,
    Loaded,
    is_held,
)
from botocache._digests import EVERYTHING_DIGEST
from botocache._errors import StoreConnectingError, StoreError, pass_on
from botocache._exits import deliver_after_fork, deliver_first
from botocache._forks import renew_after_fork
from botocache._log import log, log_once
from botocache.stores.clock import machine_clock
from botocache.stores.options import StoreOptions
from botocache.stores.protocol import (
    BoundedCallVerbs,
    Clock,
    Fill,
    Random,
    Settle,
    SettleEviction,
    StillCurrent,
    Usage,
)
from botocache.stores.redis.board import PATIENCE, RedisBoard
from botocache.stores.redis.circuit_breaker import Breaker
from botocache.stores.redis.commands import (
    ENTRY_LIMIT,
    MGET_LIMIT,
    PROBED_DIGEST,
    SLACK,
    FullError,
    ReplicaError,
    are_whole,
    bulk,
    compressed_fill,
    generation_number,
    milliseconds,
    pack,
    pack_mget,
    pack_ranges,
    require_no_errors,
    require_replies,
    server_time,
    value_of_range,
    with_source,
)
from botocache.stores.redis.compression import unpack as unpack_entry
from botocache.stores.redis.connections import ServerConnections, exchange
from botocache.stores.redis.deadlines import BoundedVerbs, with_deadline
from botocache.stores.redis.evictions import (
    decode,
    encode_second,
    generation_word,
    has_entry,
    in_order,
    states_in,
)
from botocache.stores.redis.in_clear import note_if_in_clear
from botocache.stores.redis.keys import Keys
from botocache.stores.redis.known_tags import KnownTags
from botocache.stores.redis.leases import TOKEN, ServerLease, ServerLeases
from botocache.stores.redis.runs import run_id_of
from botocache.stores.redis.scripts import (
    ARRIVE,
    EVICT,
    GENERATION,
    LOOK,
    PROLONG,
    US,
    Script,
)
from botocache.stores.redis.sockets import REPLY_LIMIT, OversizedError
from botocache.stores.redis.tracking.tracker import InvalidationTracker, forget
from botocache.stores.redis.types import Command, Connection, Reply
from botocache.stores.redis.urls import connections_of_client, connections_of_url

CLOCK_SYNC_INTERVAL = 10.0
"""Seconds after which the server's clock, and whether it is the primary, is asked."""

CAREFUL = 60.0
"""Seconds in which each value is asked for by itself, after one that is too large."""

LONGEST_CLEAR = 300.0
"""Seconds for `clear`: a server may never say that it has returned all keys."""

REPLY_HEAD = 128
"""Bytes for what comes before and after a value, for a tag, and for other replies."""

SET_BACK = 5.0
"""Seconds. A server's clock that went back by more was set, or is slow."""

_TIME = pack((b"TIME",))

_TOO_LARGE = (
    "an answer has more than 1.5 MiB as it is sent to the server, so it is not kept, "
    "and each of its reads goes to DynamoDB; a smaller Limit makes smaller pages"
)

_RUNS_LAST = b"2592000000"
"""Milliseconds, as in arrive.lua."""

_P = ParamSpec("_P")
_T = TypeVar("_T")
_Store = TypeVar("_Store", bound="RedisStore")
_Verb = Callable[Concatenate[_Store, _P], _T]


def malformed_reply_is_store_error(
    verb: "_Verb[_Store, _P, _T]",
) -> "_Verb[_Store, _P, _T]":
    """Turn a malformed reply into StoreError, and close all connections.

    Replies may be out of step with commands then, on any of them.
    """

    @wraps(verb)
    def guarded(self: _Store, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            return verb(self, *args, **kwargs)
        except StoreError:
            raise
        # What does not suit the code may fail in any way: by an OverflowError, too.
        except Exception as error:
            pass_on(error)
            self._close_connections()
            raise StoreError(f"no answer: {type(error).__name__}") from error

    return guarded


class RedisStore:
    """Entries and generations on a server. See the Store protocol.

    make: returns a connection of redis-py, not connected.
    name: of the server, as it is shown.
    clock: used instead of the server's clock, in tests.
    """

    def __init__(
        self,
        make: Callable[[], Connection],
        options: StoreOptions,
        *,
        name: str = "",
        clock: Clock | None = None,
        random: Random = os.urandom,
    ) -> None:
        self._name = name
        self._namespace = options.namespace
        self._is_encrypted = options.is_encrypted
        self._keys = Keys(options.namespace)
        # A demoted primary still answers reads. A write is refused, so one is tried.
        self._check = pack((b"PEXPIRE", self._keys.runs, _RUNS_LAST)) + _TIME
        self._clock = clock
        self._random = random
        self._settle_us = b"%d" % round(options.settle * US)
        self._generation_ttl = options.longest_ttl * 2 + SLACK
        self._timeout = options.timeout
        self._board = RedisBoard(self._ask_for_board, self._keys.board, self.now)
        self._breaker = Breaker(self._probe)
        self._connections = ServerConnections(
            make, self._handshake, options.timeout, self._breaker.failed
        )
        self._tracker: InvalidationTracker | None = None
        if options.client_tracking:
            self._tracker = InvalidationTracker(
                make, self._keys, self._server_run_id, self._connections.close
            )
        self._clock_offset = time.time() - machine_clock()  # until the first sync
        self._synced_at = -CLOCK_SYNC_INTERVAL
        self._latest_offset = -math.inf  # since the clock was last set back
        self._careful_until = -CAREFUL
        self._known_tags = KnownTags()
        self._leases = ServerLeases(self._keys, self._return_leases)
        self._has_prolonged = False  # so the server knows the script
        deliver_first(self)
        renew_after_fork(self, _deliver_first_in_child)

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} {self._name} namespace {self._namespace!r}, "
            f"{self._breaker!r}{f', {self._tracker!r}' if self._tracker else ''}>"
        )

    def for_call(self) -> BoundedCallVerbs:
        """See Bounding.for_call."""
        return BoundedVerbs(self, self._timeout)

    def now(self) -> float:
        """See Store.now. Sends nothing: by the last sync."""
        return self._clock() if self._clock else machine_clock() + self._clock_offset

    @malformed_reply_is_store_error
    def load(self, key: bytes, tags: Sequence[bytes]) -> Loaded:
        """See Store.load."""
        mark = self._begin()
        (entry,), states = self._get((bulk(self._keys.entry(key)),), tags)
        loaded = self._loaded(entry, states)
        if self._tracker is not None:
            self._tracker.learn(mark, tags, loaded.snapshot)
        return loaded

    @malformed_reply_is_store_error
    def load_many(
        self, lookups: Sequence[tuple[bytes, Sequence[bytes]]]
    ) -> list[Loaded]:
        """See Store.load_many."""
        if not lookups:
            return []
        mark = self._begin()
        tags = list(dict.fromkeys(tag for _, tags in lookups for tag in tags))
        names = [bulk(self._keys.entry(key)) for key, _ in lookups]
        entries, states = self._get(names, tags)
        if self._tracker is not None:
            self._tracker.learn(mark, tags, self._loaded(None, states).snapshot)
        state_of = dict(zip(tags, states, strict=True))
        return [
            self._loaded(entry, [state_of[tag] for tag in tags])
            for entry, (_, tags) in zip(entries, lookups, strict=True)
        ]

    def fill(
        self, key: bytes, entry: bytes, ttl: float, tags: Sequence[bytes] = ()
    ) -> None:
        """See Store.fill."""
        self.fill_many((Fill(key, entry, ttl, tags),))

    @malformed_reply_is_store_error
    def fill_many(self, fills: Sequence[Fill]) -> None:
        """See Store.fill_many."""
        kept = self._kept(fills)
        if kept:
            prolong, note = self._prolonging(kept)
            # Behind the entries: who finds the lease free must find them.
            leases = self._leases
            ends = leases.returns_for(kept) if leases.held else ()
            self._ask(lambda: [*map(self._set, kept), *prolong, *ends])
            note()
            self._has_prolonged = self._has_prolonged or bool(prolong)

    @malformed_reply_is_store_error
    def fill_later(self, fills: Sequence[Fill], settle: Settle) -> None:
        """See BoundedCallVerbs.fill_later."""
        kept = self._kept(fills)
        prolong, note = self._prolonging(kept) if kept else ((), _ignore)
        # A script that the server does not know has to be sent, which needs its reply.
        if not kept or (prolong and not self._has_prolonged):
            self.fill_many(fills)
            settle(None)
            return
        note()
        leases = self._leases
        ends = leases.returns_for(kept) if leases.held else ()
        commands = [*map(self._set, kept), *prolong, *ends]
        packed = b"".join(map(pack, commands))
        settled = partial(self._settle_fills, len(kept), len(prolong), settle)
        self._send(packed, len(commands), settled)

    @malformed_reply_is_store_error
    def take_lease(self, key: bytes, seconds: float) -> ServerLease | None:
        """See Leasing.take_lease."""
        token = self._random(TOKEN)
        take = (
            *(b"SET", self._keys.lease(key), token),
            *(b"NX", b"PX", milliseconds(seconds)),
        )
        ends = self._leases.returns_for(())
        reply = self._ask(lambda: [*ends, take])[-1]
        if reply is None:
            return None
        if reply != b"OK" and reply is not True:  # as redis-py's cluster client has it
            raise StoreError("the reply to a lease is none")
        return self._leases.hold(key, token)

    def _return_leases(self, commands: Sequence[Command]) -> bool:
        """See ServerLeases."""
        if not self._connections.is_idle():
            return False
        try:
            self._send(b"".join(map(pack, commands)), len(commands), _ignore_replies)
        except StoreError:
            return False
        return True

    def deliver_until(self, deadline: float) -> None:
        """See Bounding.deliver_until."""
        self._connections.settle(deadline)

    def _settle_fills(
        self,
        count: int,
        prolonged: int,
        settle: Settle,
        replies: list[Reply] | BaseException,
    ) -> None:
        """Settle fills by their replies. See Owed.

        count: of entries.
        prolonged: of the replies behind them, so many are those of PROLONG.
        """
        if isinstance(replies, list):
            # If one failed, a generation may end early, and the next one is waited for.
            if any(not isinstance(each, list) for each in replies[count:][:prolonged]):
                self._has_prolonged = False
            replies = replies[:count]
        try:
            if any(reply != b"OK" for reply in require_replies(replies)):
                raise StoreError("the reply to a fill is none")  # noqa: TRY301 - as those of require_replies
        except StoreError as error:
            settle(error)
        else:
            settle(None)

    def _settle_eviction(
        self,
        request: EvictionRequest,
        settle: SettleEviction,
        replies: list[Reply] | BaseException,
    ) -> None:
        """Settle an eviction by its replies. See Owed."""
        outcome: Eviction | Exception
        try:
            outcome = self._eviction_in(require_replies(replies), request)
        except StoreError as error:
            outcome = error
        except Exception as error:  # noqa: BLE001 - as in malformed_reply_is_store_error
            outcome = StoreError(f"no answer: {type(error).__name__}")
        settle(outcome)

    def _kept(self, fills: Sequence[Fill]) -> list[Fill]:
        """Return fills as they are sent, without those that are too large."""
        kept = [fill for fill in map(compressed_fill, fills) if fill is not None]
        if len(kept) < len(fills):
            log_once(log.info, "answer_too_large", _TOO_LARGE)
        return kept

    def _set(self, fill: Fill) -> Command:
        key, entry, ttl, _ = fill
        return (b"SET", self._keys.entry(key), entry, b"PX", milliseconds(ttl))

    def _prolonging(
        self, fills: Sequence[Fill]
    ) -> tuple[Sequence[Command], Callable[[], None]]:
        """Return what lets generations live as long as fills, where that is needed.

        The function notes that it was done.
        """
        longest = max(fill.ttl for fill in fills)
        tags = dict.fromkeys(tag for fill in fills for tag in fill.tags)
        now = self.now()
        ending = self._known_tags.ending(tags, now + longest)
        if not ending:
            return (), _ignore
        # More than is needed: then the next fills find that they live long enough.
        least = longest + min(longest, self._generation_ttl) / 2
        life = max(self._generation_ttl, longest * 2 + SLACK)
        head = (milliseconds(least), milliseconds(life))
        calls = [self._call(PROLONG, some, head, ()) for some in self._together(ending)]
        return calls, lambda: self._known_tags.live(ending, now + least)

    @malformed_reply_is_store_error
    def evict(self, request: EvictionRequest) -> Eviction:
        """See Store.evict."""
        try:
            replies = self._ask(lambda: [self._evicting(request)], is_eviction=True)
        except FullError:
            replies = self._ask(
                lambda: [self._evicting(request, is_full=True)], is_eviction=True
            )
        finally:  # also after an error: the server may have evicted
            forget(self._keys, request.tags)
        return self._eviction_in(replies, request)

    @malformed_reply_is_store_error
    def evict_later(self, request: EvictionRequest, settle: SettleEviction) -> None:
        """See BoundedCallVerbs.evict_later."""
        command = self._evicting(request)
        is_lacking = request.left is not None and not has_entry(command)
        if is_lacking or not self._connections.is_idle():
            settle(self.evict(request))
            return
        try:
            settled = partial(self._settle_eviction, request, settle)
            self._send(
                *(pack(command), 1, settled),
                lambda: pack(self._evicting(request)),
            )
        finally:
            forget(self._keys, request.tags)

    def is_current(self, tags: Sequence[bytes], snapshot: Sequence[int]) -> bool:
        """See Store.is_current. False without client tracking."""
        tracker = self._tracker
        return (
            tracker is not None
            and self._connections.is_confirmed()
            and tracker.is_current(tags, snapshot)
        )

    def watch(self, tags: Sequence[bytes], snapshot: Sequence[int]) -> StillCurrent:
        """See Watching.watch."""
        if self._tracker is None:
            return partial(self.is_current, tags, snapshot)
        return self._tracker.watch(tags, snapshot, self._connections.is_confirmed)

    @malformed_reply_is_store_error
    def clear(self) -> None:
        """See Store.clear. Looks at every key of the database, a thousand at a time."""
        cursor, end = b"0", time.monotonic() + LONGEST_CLEAR
        while True:
            scan = (
                *(b"SCAN", cursor, b"COUNT", b"1000"),
                *(b"MATCH", self._keys.entries + b"*"),
            )
            ((cursor, keys),) = self._ask(lambda scan=scan: [scan])  # type: ignore[misc]  # a default
            keys = [key for key in keys if key.startswith(self._keys.entries)]
            if keys:
                self._ask(lambda keys=keys: [(b"UNLINK", *keys)])  # type: ignore[misc]  # a default
            if cursor == b"0":
                return
            require_time(end)

    def close(self) -> None:
        """See Store.close."""
        if self._tracker is not None:
            self._tracker.close()
        self._breaker.close()
        self._connections.close()

    # --- the board -----------------------------------------------------------------

    @malformed_reply_is_store_error
    def post(self, name: str, record: bytes, ttl: float) -> None:
        """See Board.post."""
        self._board.post(name, record, ttl)

    @malformed_reply_is_store_error
    def names(self) -> Collection[str]:
        """See Board.names."""
        return self._board.names()

    @malformed_reply_is_store_error
    def posted(self, names: Collection[str] | None = None) -> dict[str, bytes]:
        """See Board.posted."""
        return self._board.posted(names)

    @malformed_reply_is_store_error
    def merge(
        self, parts: Mapping[str, bytes], name: str, record: bytes, ttl: float
    ) -> bool:
        """See Board.merge."""
        return self._board.merge(parts, name, record, ttl)

    def usage(self) -> Usage:
        """See Board.usage. A server counts its keys alone, of all namespaces."""
        return Usage(None, None)

    def _close_connections(self) -> None:
        """Close all connections that are idle, and those in use after their use."""
        self._connections.close()

    # --- states --------------------------------------------------------------------

    def _begin(self) -> int:
        """Return the mark of a look-up that begins now; see InvalidationTracker."""
        return self._tracker.begin() if self._tracker is not None else 0

    def _complete(
        self, tags: Sequence[bytes], states: Sequence[bytes | None]
    ) -> list[bytes]:
        """Return the states of tags, some of which are missing or damaged."""
        is_whole = [are_whole((state,)) for state in states]
        lacking = [tag for tag, is_ in zip(tags, is_whole, strict=True) if not is_]
        (made,) = self._ask(lambda: [self._look(lacking)])
        made_of = dict(zip(lacking, states_in(made), strict=True))
        return [
            made_of.get(tag) or state or b""
            for tag, state in zip(tags, states, strict=True)
        ]

    def _loaded(self, entry: bytes | None, states: Sequence[bytes]) -> Loaded:
        words = unpack(f"<{2 * len(states)}Q", b"".join(states))
        if entry is not None:
            if type(entry) is not bytes:
                raise TypeError("an entry is a string")
            entry = unpack_entry(entry) if len(entry) <= ENTRY_LIMIT else None
        return Loaded(entry, words[::2], self._held(words[1::2]))

    def _held(self, words: Iterable[int]) -> Held:
        """Return the strictest hold-off of some tags. words: of their states."""
        now = self.now()
        held = Held.FREE
        for word in words:
            if word and is_held((word >> 1) / US, now):
                if not word & 1:
                    return Held.WRITING
                held = Held.SETTLING
        return held

    def _evicting(self, request: EvictionRequest, *, is_full: bool = False) -> Command:
        """Return the command of an eviction. is_full: the server has no room."""
        tags = in_order(request.tags, request.restore)
        return self._eviction(tags, request, request.watch, is_full=is_full)

    def _eviction(
        self,
        tags: Sequence[bytes],
        request: EvictionRequest,
        watch: Sequence[bytes] = (),
        *,
        is_full: bool = False,
    ) -> Command:
        """Return a call of EVICT. See `_evicting`.

        tags: of the request, as many as one call may evict.
        watch: tags to look at, if they can be looked at by the same call.
        """
        fresh = self._fresh(len(tags) + len(watch))
        arguments: Sequence[bytes] = fresh
        keys: tuple[bytes, ...] = ()
        if request.first_eviction is not None:
            arguments = encode_second(fresh, tags, request)
        if is_full:
            watch, life = (), b""
        else:
            life = milliseconds(request.hold_off + SLACK)
            if request.left is not None and watch:
                keys, arguments = self._with_entry(request.left, tags, watch, arguments)
        head = (
            *(b"%d" % round(request.hold_off * US), life, b"%d" % len(tags)),
            milliseconds(self._generation_ttl),
        )
        return self._call(EVICT, (*tags, *watch), head, arguments, keys)

    def _with_entry(
        self,
        left: LeftEntry,
        tags: Sequence[bytes],
        watch: Sequence[bytes],
        arguments: Sequence[bytes],
    ) -> tuple[tuple[bytes, ...], Sequence[bytes]]:
        """Return the key and the arguments with which EVICT puts an entry."""
        at = tags.index(left.item)
        made = left.made(generation_number(arguments[at][:GENERATION]))
        fill = compressed_fill(Fill(left.key, *made)) if made is not None else None
        if fill is None or self._known_tags.ending(left.others, self.now() + fill.ttl):
            return (), arguments  # the caller's fill lets the generations live longer
        life = max(self._generation_ttl, fill.ttl * 2 + SLACK)
        of_watched = [
            unused + generation_word(left.others.get(tag))
            for tag, unused in zip(watch, arguments[len(tags) :], strict=True)
        ]
        of_entry = (
            *(fill.entry, milliseconds(fill.ttl)),
            *(b"%d" % (at + 1), milliseconds(life)),
        )
        keys = (self._keys.entry(left.key),)
        return keys, [*arguments[: len(tags)], *of_watched, *of_entry]

    def _eviction_in(
        self, replies: Sequence[Reply], request: EvictionRequest
    ) -> Eviction:
        """Return what an eviction did by the reply to its command."""
        tags = in_order(request.tags, request.restore)
        done = decode(replies[0], tags, request, self._fresh_number)
        self._known_tags.shorten(tags)
        return Eviction(
            done.evicted, *self._watched(request.watch, done.watched), done.has_put
        )

    def _watched(
        self, watch: Sequence[bytes], states: Sequence[tuple[int, int]]
    ) -> tuple[dict[bytes, int], Held]:
        """Return generations and hold-off of watched tags.

        states: of them; none if the server is full.
        """
        if watch and not states:
            return {tag: self._fresh_number() for tag in watch}, Held.WRITING
        watched = {
            tag: generation for tag, (generation, _) in zip(watch, states, strict=True)
        }
        return watched, self._held([word for _, word in states])

    # --- commands ------------------------------------------------------------------

    def _get(
        self, entries: Sequence[bytes], tags: Sequence[bytes]
    ) -> tuple[Sequence[Reply], Sequence[bytes]]:
        """Return the values of entries, and the states of tags.

        entries: keys, as on the wire.
        """
        packed = [*map(self._keys.packed, tags), *entries]
        known = self._known_tags
        missing: Sequence[bytes] = ()
        if known.expects_missing:
            missing = known.likely_missing(tags)
        try:
            values, made = self._get_at_once(packed, len(entries), missing)
        except FullError:
            if not missing:
                raise
            values, made = self._get_at_once(packed, len(entries), ())
        if len(values) != len(packed):
            raise ValueError("as many values as keys")
        states: Sequence[bytes] = values[: len(tags)]
        if not are_whole(states):
            is_lacking = [not are_whole((state,)) for state in states]
            states = [
                made.get(tag, state) if is_ else state
                for tag, state, is_ in zip(tags, states, is_lacking, strict=True)
            ]
            if not are_whole(states):
                states = self._complete(tags, states)
            lacked = [tag for tag, is_ in zip(tags, is_lacking, strict=True) if is_]
            self._known_tags.learn(tags, states, len(lacked))
            self._known_tags.live(lacked, self.now() + self._generation_ttl)
        else:
            self._known_tags.learn(tags, states, 0)
        return values[len(tags) :], states

    def _get_at_once(
        self, packed: Sequence[bytes], entries: int, missing: Sequence[bytes]
    ) -> tuple[Sequence[Reply], Mapping[bytes, bytes]]:
        """Return the values of keys, and the states of tags that may have none.

        entries: so many keys belong to entries.
        missing: the tags that may have no state.
        """
        if machine_clock() >= self._careful_until:
            limit = min(entries * ENTRY_LIMIT, MGET_LIMIT) + len(packed) * REPLY_HEAD
            try:
                (values,), made = self._get_and_check(
                    pack_mget(packed), 1, limit, missing
                )
            except OversizedError:
                # Others can write to the server. One of the values is theirs, or many
                # entries are large. To ask one by one takes 2 % longer for one entry.
                self._careful_until = machine_clock() + CAREFUL
            else:
                found: list[Reply] = values
                return found, made
        limit = entries * ENTRY_LIMIT + len(packed) * REPLY_HEAD
        return self._get_and_check(pack_ranges(packed), len(packed), limit, ())

    def _get_and_check(
        self, packed: bytes, count: int, limit: int, missing: Sequence[bytes]
    ) -> tuple[list[Reply], Mapping[bytes, bytes]]:
        """Return replies of commands that get values. Ask for the time if it is due.

        For `missing`, see `_get_at_once`.
        """
        is_due = not self._clock and (
            machine_clock() - self._synced_at >= CLOCK_SYNC_INTERVAL
        )
        if not is_due and not missing:
            return self._exchange(packed, count, limit=limit), {}

        def with_more() -> bytes:
            # After the values: a generation that is made now is of no older entry.
            look = pack(self._look(missing)) if missing else b""
            return packed + look + (self._check if is_due else b"")

        more = (1 if missing else 0) + (2 if is_due else 0)
        limit += len(missing) * REPLY_HEAD
        replies = self._exchange(with_more(), count + more, with_more, limit=limit)
        if is_due:
            self._sync_clock(server_time(*replies[-1]))
        looked = replies[count] if missing else None
        # Not a list if the server does not know the script yet; `_complete` brings it.
        if not isinstance(looked, list):
            return replies[:count], {}
        self._sync_clock(self._time_in(looked))
        return replies[:count], dict(zip(missing, states_in(looked), strict=True))

    def _together(self, tags: Collection[bytes]) -> Sequence[Collection[bytes]]:
        """Return tags in groups, for each of which one call of a script is allowed."""
        return [tags] if tags else []

    def _look(self, tags: Sequence[bytes]) -> Command:
        head = (milliseconds(self._generation_ttl),)
        return self._call(LOOK, tags, head, [self._random(GENERATION * len(tags))])

    def _call(
        self,
        script: Script,
        tags: Iterable[bytes],
        head: Sequence[bytes],
        arguments: Sequence[bytes],
        more_keys: Sequence[bytes] = (),
    ) -> Command:
        keys = [*chain.from_iterable(map(self._keys.pair, tags)), *more_keys]
        return (
            *(b"EVALSHA", script.sha, b"%d" % len(keys), *keys),
            *(self._time_to_use(), self._settle_us, *head, *arguments),
        )

    def _ask(
        self, make: Callable[[], Sequence[Command]], *, is_eviction: bool = False
    ) -> list[Reply]:
        """Return the replies to commands. Raises StoreError if one is an error.

        make: returns the commands. It is called again for what is sent a second time.
        is_eviction: it may wait longer for a connection.
        """
        # A fresh generation must not be sent twice. The server may have carried out the
        # first command, and another process may have evicted since. The second would
        # bring back a generation under which that process has outdated entries.
        commands = make()

        def packed() -> bytes:
            return b"".join(map(pack, make()))

        replies = self._exchange(
            b"".join(map(pack, commands)), len(commands), packed, is_eviction
        )
        unknown = [
            at for at, reply in enumerate(replies) if isinstance(reply, NoScriptError)
        ]
        if unknown:

            def with_sources() -> bytes:
                each = make()
                return b"".join(pack(with_source(each[at])) for at in unknown)

            known = self._exchange(
                with_sources(), len(unknown), with_sources, is_eviction
            )
            for at, reply in zip(unknown, known, strict=True):
                replies[at] = reply
        for command, reply in zip(commands, replies, strict=True):
            if command[0] == b"EVALSHA" and isinstance(reply, list):
                self._sync_clock(self._time_in(reply))
        return replies

    def _exchange(
        self,
        packed: bytes,
        count: int,
        again: Callable[[], bytes] | None = None,
        is_eviction: bool = False,  # noqa: FBT001, FBT002 - `ask` passes it on by its place
        limit: int | None = None,
    ) -> list[Reply]:
        """Return the replies to packed commands. limit: bytes, if they get values."""
        breaker = self._breaker
        breaker.check()
        try:
            replies = self._connections.ask(
                packed,
                count,
                again,
                is_eviction=is_eviction,
                limit=limit or REPLY_LIMIT,
            )
            if limit:
                replies = [*map(value_of_range, replies)]
            require_no_errors(replies)
        except (FullError, StoreConnectingError):
            raise
        except StoreError as error:
            if limit and isinstance(error, OversizedError):
                raise  # the server is well
            if isinstance(error, ReplicaError):
                self._connections.drop()
            breaker.failed(error)
            raise
        breaker.succeeded()
        return replies

    def _send(
        self,
        packed: bytes,
        count: int,
        settle: Callable[[list[Reply] | BaseException], object],
        again: Callable[[], bytes] | None = None,
    ) -> None:
        """Send commands without waiting for replies. See ServerConnections.send."""
        self._breaker.check()
        try:
            self._connections.send(packed, count, settle, again)
        except StoreConnectingError:
            raise
        except StoreError as error:
            self._breaker.failed(error)
            raise

    def _ask_for_board(self, commands: Sequence[Command], limit: int) -> list[Reply]:
        """Return the replies to commands that belong to no call. Raises StoreError.

        The breaker counts neither their failures nor their successes: a server may
        refuse these commands alone, or take long for large records.
        """
        self._breaker.check()
        if not commands:
            return []
        with with_deadline(PATIENCE + self._timeout):
            replies = self._ask_quietly(commands, limit)
        require_no_errors(replies)
        return replies

    def _ask_quietly(self, commands: Sequence[Command], limit: int) -> list[Reply]:
        replies: list[Reply] = []
        for each in (commands, [*map(with_source, commands)]):
            packed = b"".join(map(pack, each))
            replies = self._connections.ask(packed, len(each), limit=limit)
            if not any(isinstance(reply, NoScriptError) for reply in replies):
                break
        return replies

    def _fresh(self, count: int) -> list[bytes]:
        """Return generations that were never used."""
        random = self._random(GENERATION * count)
        return [
            random[at : at + GENERATION] for at in range(0, len(random), GENERATION)
        ]

    def _fresh_number(self) -> int:
        return generation_number(self._random(GENERATION))

    # --- the server ----------------------------------------------------------------

    def _time_to_use(self) -> bytes:
        """Return the time that a script goes by; empty for the server's own."""
        return b"%d" % round(self._clock() * US) if self._clock else b""

    def _sync_clock(self, microseconds: int) -> None:
        """Take in the server's time."""
        # The reply took a while, so the estimate is too low by that. The highest of
        # several is the best; an old one is replaced, for clocks drift.
        here = machine_clock()
        ahead = microseconds / US - here
        if ahead > self._clock_offset or here - self._synced_at >= CLOCK_SYNC_INTERVAL:
            self._clock_offset, self._synced_at = ahead, here
            if self._tracker is not None and self._latest_offset - ahead > SET_BACK:
                # Time went back by that for what this process remembers, too: a
                # server that stops its clock would have it served beyond its TTL.
                self._tracker.end_session()
                self._latest_offset = ahead
            self._latest_offset = max(self._latest_offset, ahead)

    def _handshake(self, connection: Connection) -> None:
        """Evict everything if this primary is a new one.

        It may have lost evictions. Without permission for INFO that cannot be known.
        """
        note_if_in_clear(connection, self._name, is_encrypted=self._is_encrypted)
        run = self._server_run_id(connection)
        if self._tracker is not None:
            self._tracker.on_server_changed(run)
        if not run:
            return
        (reply,) = exchange(connection, pack(self._arrival(run)), 1)
        require_no_errors([reply])
        self._synced_at = -CLOCK_SYNC_INTERVAL  # what is known is another server's time
        self._sync_clock(self._time_in(reply))

    def _time_in(self, reply: Sequence[Reply]) -> int:
        """Return the time that a script has replied, in microseconds."""
        return int(reply[0]) if self._clock else server_time(0, reply[0])

    def _arrival(self, run: bytes) -> Command:
        """Return the call of ARRIVE for a run of a primary."""
        keys = (
            self._keys.generation(EVERYTHING_DIGEST),
            self._keys.held(EVERYTHING_DIGEST),
            self._keys.runs,
        )
        return (
            *(b"EVAL", ARRIVE.source, b"3", *keys),
            *(self._time_to_use(), self._settle_us),
            *(run, *self._fresh(1), milliseconds(self._generation_ttl)),
        )

    def _server_run_id(self, connection: Connection) -> bytes:
        """Return the id of the server's run; empty without permission for INFO."""
        return run_id_of(connection) or b""

    def _probe(self) -> None:
        """Evict a tag of no entry: a server that can do that can do all else."""
        command = self._eviction([PROBED_DIGEST], EvictionRequest((), 0.0))
        require_no_errors(self._connections.try_out(pack(with_source(command)), 1))


def _deliver_first_in_child(store: RedisStore) -> None:
    """Have a store deliver what this child of a fork will owe."""
    deliver_after_fork(store, deliver_first)


def _ignore() -> None:
    """Stand in for a note of nothing."""


def _ignore_replies(_replies: object) -> None:
    """Settle what nothing depends on."""


def open_redis(options: StoreOptions) -> RedisStore:
    """Return the store that a URL or a client names. Raises ConfigError."""
    if options.client is not None:
        name, make = connections_of_client(options.client, options.timeout)
    else:
        name, make = connections_of_url(options.url, options.timeout)
    return RedisStore(make, options, name=name)


def require_time(end: float) -> None:
    """Raise StoreError at the moment of `time.monotonic` at which `clear` gives up."""
    if time.monotonic() >= end:
        raise StoreError("the server does not come to the end of its keys")
