"""The store in a cluster of Redis or Valkey: RedisStore, spread over its primaries.

The keys of an entry share no slot. A tag and its shard's hold-offs do, so a script is
called for each shard. A load takes one round trip's time, and so does a fill, and each
half of a write. An eviction that restores tags takes two, because these come last.

The replies of one round are not from one moment. That does no harm: a write evicts each
of its tags before it begins and after it ends. So a load that begins after the write
sees each tag evicted, whenever its server replies.

All users go by the clock of the server that is furthest behind. Each server sets
hold-offs by its own clock, so none appears shorter than it is. If the clocks are more
than an hour apart, the store is not used.

Replication is asynchronous, so a new primary may lack the last evictions. The first
process that connects to it evicts everything before any other command, and registers
its run. A load during which that happens begins again: its first replies may be from
before that eviction. Two gaps remain until a process notices a new primary:
- A primary that the others cannot reach still answers clients that share its part of
  the network, for `cluster-node-timeout` at most.
- A process that sends nothing while a primary is replaced and returns to its role does
  not verify its idle connections to it.

While a slot moves to another server, scripts cannot work on keys that are divided
between the two. Loads fail then, which is a miss. Evictions remove the generations
instead, with the hold-offs of their shards: generations that take their place are held
for `settle`, and not for `write_hold_off`.
"""

import os
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import groupby
from typing import TypeVar

from redis.exceptions import TryAgainError

from botocache._coherence import Eviction, EvictionRequest, Held, Loaded, TagEviction
from botocache._digests import EVERYTHING_DIGEST
from botocache._errors import StoreConnectingError, StoreError, pass_on
from botocache._log import log
from botocache.stores.clock import machine_clock
from botocache.stores.options import StoreOptions
from botocache.stores.protocol import Clock, Fill, Random, Settle, SettleEviction
from botocache.stores.redis.cluster.batch import slot_of
from botocache.stores.redis.cluster.client import MOST_SERVERS, ClusterClient
from botocache.stores.redis.cluster.urls import (
    ClusterEndpoints,
    endpoints_of_client,
    endpoints_of_url,
)
from botocache.stores.redis.commands import (
    ENTRY_LIMIT,
    PROBED_DIGEST,
    RANGE_END,
    FullError,
    generation_number,
    pack,
    require_no_errors,
    unpack_bulk,
    value_of_range,
    with_source,
)
from botocache.stores.redis.connections import exchange
from botocache.stores.redis.evictions import decode, states_in
from botocache.stores.redis.in_clear import note_if_in_clear
from botocache.stores.redis.runs import run_id_of
from botocache.stores.redis.scripts import STATE
from botocache.stores.redis.sockets import REPLY_LIMIT
from botocache.stores.redis.store import (
    LONGEST_CLEAR,
    REPLY_HEAD,
    RedisStore,
    malformed_reply_is_store_error,
    require_time,
)
from botocache.stores.redis.types import ClusterServer, Command, Connection, Reply

_T = TypeVar("_T")


class ClusterStore(RedisStore):
    """Entries and generations in a cluster. See the Store protocol and RedisStore.

    endpoints: how to connect to the cluster.
    """

    def __init__(
        self,
        endpoints: ClusterEndpoints,
        options: StoreOptions,
        *,
        name: str = "",
        clock: Clock | None = None,
        random: Random = os.urandom,
    ) -> None:
        super().__init__(_no_server, options, name=name, clock=clock, random=random)
        shard = EVERYTHING_DIGEST[:1].hex().encode()
        self._keys.runs += b":{%b}" % shard  # where the generation of everything is
        self._cluster = ClusterClient(
            endpoints, self._verify_primary, options.timeout, with_source
        )
        self._known_primaries: set[bytes] = set()

    def now(self) -> float:
        """See Store.now. Sends nothing: by the last syncs."""
        clocks = self._cluster.clocks
        return self._clock() if self._clock else machine_clock() + clocks.offset

    def load(self, key: bytes, tags: Sequence[bytes]) -> Loaded:
        """See Store.load."""
        return self._with_known_primaries(
            lambda: super(ClusterStore, self).load(key, tags)
        )

    def load_many(
        self, lookups: Sequence[tuple[bytes, Sequence[bytes]]]
    ) -> list[Loaded]:
        """See Store.load_many."""
        return self._with_known_primaries(
            lambda: super(ClusterStore, self).load_many(lookups)
        )

    def fill_later(self, fills: Sequence[Fill], settle: Settle) -> None:
        """See BoundedCallVerbs.fill_later. It waits: a slot may have moved."""
        self.fill_many(fills)
        settle(None)

    def evict_later(self, request: EvictionRequest, settle: SettleEviction) -> None:
        """See BoundedCallVerbs.evict_later. It waits, too."""
        settle(self.evict(request))

    def _return_leases(self, commands: Sequence[Command]) -> bool:
        """See ServerLeases. It waits, too."""
        try:
            self._ask(lambda: commands)
        except Exception as error:  # noqa: BLE001 - as in malformed_reply_is_store_error
            pass_on(error)
            return False
        return True

    @malformed_reply_is_store_error
    def evict(self, request: EvictionRequest) -> Eviction:
        """See Store.evict."""
        tags, watch, restore = request.tags, request.watch, request.restore
        restored = [tag for tag in tags if tag in restore]
        others = [tag for tag in tags if tag not in restore]
        states: list[tuple[int, int]] = []
        try:
            evicted, seen = self._replace(others, request, () if restored else watch)
            if restored:
                # In a round of its own: restored after all others are evicted.
                more, seen = self._replace(restored, request, watch)
                evicted |= more
            states = [STATE.unpack(seen[tag]) for tag in watch]
        except FullError:
            evicted, _ = self._replace(tags, request, (), is_full=True)
        except _DividedError:
            return self._remove(tags, watch)
        in_order = {tag: evicted[tag] for tag in tags}
        return Eviction(in_order, *self._watched(watch, states))

    def is_current(self, tags: Sequence[bytes], snapshot: Sequence[int]) -> bool:  # noqa: ARG002 - the parameters are those of Store
        """See Store.is_current. False: there is no client tracking in a cluster."""
        return False

    @malformed_reply_is_store_error
    def clear(self) -> None:
        """See Store.clear. Looks at every key of the cluster, a thousand at a time."""
        self._ask(lambda: [(b"EXISTS", self._keys.runs)])  # connects
        for node in self._cluster.primaries:
            self._clear(node)

    def close(self) -> None:
        """See Store.close."""
        super().close()
        self._cluster.close()

    def _close_connections(self) -> None:
        self._cluster.close()

    # --- states --------------------------------------------------------------------

    def _replace(
        self,
        tags: Sequence[bytes],
        request: EvictionRequest,
        watch: Sequence[bytes],
        *,
        is_full: bool = False,
    ) -> tuple[dict[bytes, TagEviction], dict[bytes, bytes]]:
        """Evict some tags of a request and look at watched ones.

        Returns what was done to each tag, and the states of the watched tags.
        """
        shards, watched = _shards(tags), _shards(watch)

        def eviction(shard: Sequence[bytes]) -> Command:
            return self._eviction(shard, request, is_full=is_full)

        replies = self._ask(
            lambda: [*map(eviction, shards), *map(self._look, watched)],
            is_eviction=True,
        )
        evicted: dict[bytes, TagEviction] = {}
        for shard, reply in zip(shards, replies, strict=False):
            done = decode(reply, shard, request, self._fresh_number)
            evicted.update(done.evicted)
        self._known_tags.shorten(tags)
        return evicted, _states_by_tag(watched, replies[len(shards) :])

    def _complete(
        self, tags: Sequence[bytes], states: Sequence[bytes | None]
    ) -> list[bytes]:
        """Return the states of tags, some of which are missing or damaged."""
        state_of = dict(zip(tags, states, strict=True))
        shards = _shards(
            tag for tag, s in state_of.items() if s is None or len(s) != STATE.size
        )
        made = _states_by_tag(shards, self._ask(lambda: [*map(self._look, shards)]))
        return [made.get(tag) or state_of[tag] or b"" for tag in tags]

    def _remove(self, tags: Sequence[bytes], watch: Sequence[bytes]) -> Eviction:
        """Evict without a script, by removing generations.

        It is not known what the tags had.
        """
        shards = _shards(tags)
        # First the hold-offs of the shards. A generation that is made after that
        # settles with its shard. In the other order a generation could be made
        # in between that is held by nothing.
        self._ask(
            lambda: [(b"UNLINK", self._keys.held(s[0])) for s in shards],
            is_eviction=True,
        )
        self._ask(
            lambda: [(b"UNLINK", self._keys.generation(t)) for s in shards for t in s],
            is_eviction=True,
        )
        fresh = iter(map(generation_number, self._fresh(len(tags) + len(watch))))
        evicted = {tag: TagEviction(next(fresh), 0.0) for tag in tags}
        return Eviction(evicted, {tag: next(fresh) for tag in watch}, Held.WRITING)

    # --- commands ------------------------------------------------------------------

    def _get_at_once(
        self,
        packed: Sequence[bytes],
        entries: int,
        missing: Sequence[bytes],  # noqa: ARG002 - to look at them, too, takes more servers
    ) -> tuple[Sequence[Reply], Mapping[bytes, bytes]]:
        """Return the values of keys, of which so many belong to entries."""
        # Not one MGET for all keys of a slot, which fails while the slot moves.
        commands = [(b"GETRANGE", unpack_bulk(key), b"0", RANGE_END) for key in packed]
        limit = entries * ENTRY_LIMIT + len(packed) * REPLY_HEAD
        return self._ask(lambda: commands, limit=limit), {}

    def _together(self, tags: Collection[bytes]) -> Sequence[Collection[bytes]]:
        return _shards(tags)

    def _ask(
        self,
        make: Callable[[], Sequence[Command]],
        *,
        is_eviction: bool = False,
        limit: int | None = None,
    ) -> list[Reply]:
        """Return the replies to commands. Raises StoreError if one is an error.

        limit: bytes of all replies, if the commands get values.
        """
        breaker = self._breaker
        breaker.check()
        try:
            replies = self._cluster.ask(
                make, is_eviction=is_eviction, limit=limit or REPLY_LIMIT
            )
            if limit:
                replies = [*map(value_of_range, replies)]
            _require_whole(replies)
            require_no_errors(replies)
        except (FullError, _DividedError, StoreConnectingError):
            raise
        except StoreError as error:
            breaker.failed(error)
            raise
        breaker.succeeded()
        return replies

    def _ask_quietly(self, commands: Sequence[Command], limit: int) -> list[Reply]:
        return self._cluster.ask(lambda: commands, limit=limit)

    def _clear(self, node: ClusterServer) -> None:
        cursor, end = 0, time.monotonic() + LONGEST_CLEAR
        while True:
            scan = (
                *(b"SCAN", b"%d" % cursor, b"COUNT", b"1000"),
                *(b"MATCH", self._keys.entries + b"*"),
            )
            cursor, keys = self._cluster.ask_server(node, scan)
            keys = [key for key in keys if key.startswith(self._keys.entries)]
            self._ask(lambda keys=keys: [(b"UNLINK", key) for key in keys])  # type: ignore[misc]  # a default
            if not cursor:
                return
            require_time(end)

    # --- the servers ---------------------------------------------------------------

    def _verify_primary(self, connection: Connection) -> None:
        """Evict everything if this primary is a new one; see RedisStore._handshake."""
        note_if_in_clear(connection, self._name, is_encrypted=self._is_encrypted)
        run = run_id_of(connection)
        if run is None or run in self._known_primaries:
            return
        command = self._arrival(run)
        holder = self._cluster.holder(slot_of(command))
        if (holder.host, holder.port) == (connection.host, connection.port):
            require_no_errors(exchange(connection, pack(command), 1))
        else:
            self._cluster.ask_server(holder, command)
        if len(self._known_primaries) >= MOST_SERVERS:
            self._known_primaries.clear()  # to know one again costs a round trip
        self._known_primaries.add(run)

    def _with_known_primaries(self, load: Callable[[], _T]) -> _T:
        """Load; load again if a new primary may have made all be evicted meanwhile."""
        for _ in range(3):
            before = len(self._known_primaries)
            loaded = load()
            if len(self._known_primaries) == before:
                return loaded
        raise StoreError("the cluster: its primaries change too often")

    def _probe(self) -> None:
        """Evict a tag of no entry on each primary."""
        nothing = EvictionRequest((), 0.0)

        def probes() -> list[tuple[ClusterServer, Command]]:
            of_node = {}
            for shard in range(256):
                tag = bytes([shard]) + PROBED_DIGEST[1:]
                command = self._eviction([tag], nothing)
                node = self._cluster.holder(slot_of(command))
                of_node[node.name] = node, with_source(command)
            return [*of_node.values()]

        self._cluster.probe(probes)


def open_cluster(options: StoreOptions) -> ClusterStore:
    """Return the store that a URL or a client names. Raises ConfigError."""
    if options.client_tracking:
        log.warning(
            "client_tracking_refused: a cluster does not announce changes to us, so "
            "every hit asks its servers; remove client_tracking from the settings"
        )
    if options.client is not None:
        name, endpoints = endpoints_of_client(options.client, options.timeout)
    else:
        name, endpoints = endpoints_of_url(options.url, options.timeout)
    return ClusterStore(endpoints, options, name=name)


def _no_server() -> Connection:
    raise StoreError("the servers of a cluster are reached by ClusterClient")


class _DividedError(StoreError):
    """A slot is moving, and its keys are divided between two servers."""


def _require_whole(replies: Sequence[Reply]) -> None:
    if any(isinstance(reply, TryAgainError) for reply in replies):
        raise _DividedError("a slot is moving to another server")


def _shards(tags: Iterable[bytes]) -> list[list[bytes]]:
    """Return tags, each once, in groups of one shard."""
    each = sorted(dict.fromkeys(tags), key=_shard)
    return [list(shard) for _, shard in groupby(each, key=_shard)]


def _shard(tag: bytes) -> bytes:
    return tag[:1]


def _states_by_tag(
    shards: Sequence[Sequence[bytes]], replies: Sequence[Reply]
) -> dict[bytes, bytes]:
    """Return the state of each tag of some shards. replies: of LOOK."""
    return {
        tag: state
        for shard, reply in zip(shards, replies, strict=True)
        for tag, state in zip(shard, states_in(reply), strict=True)
    }
