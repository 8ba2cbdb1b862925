"""The store in a cluster of Redis or Valkey: RedisStore, spread over its primaries.

The keys of an entry share no slot. A tag and its shard's hold-offs do, so a script is
called for each shard. A load is one round trip's latency still, and so is a fill, and
each half of a write; one that restores tags takes two, because these come last.

What is read in one round is not read at one moment. That is no harm: a write evicts
each of its tags before it begins and after it ended, so whoever began to read after it
sees each of them evicted, at whatever moment.

The clock of all users is that of the server which is furthest behind. Each server
sets hold-offs by its own clock, so none seems shorter than it is. Where they are more
than an hour apart the store is not used.

A primary that was never met may have lost the last evictions, for replication is
asynchronous. Whoever connects to one first evicts everything, where that is held, and
then remembers the primary as met; it asks nothing of it before. A load during which
that happens begins again: what it read before may be from before the eviction. A
process is not told, and two things remain until it notices: a primary that was cut off
from the others answers those that were cut off with it, for `cluster-node-timeout` at
most; and a connection that lay idle while its server was a replica for a while, and is
the primary again, is not seen to be another one's.

While a slot is on its way to another server, scripts cannot be carried out there on
what is divided between the two. Loads then fail, which is a miss. Evictions remove the
generations instead, with the hold-offs of their shards: what is made in their place is
held for `settle`, and not for `write_hold_off`.
"""

import logging
import os
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, TypeVar

from redis.exceptions import TryAgainError

from botocache._coherence import (
    Eviction,
    EvictionRequest,
    Held,
    Loaded,
    TagEviction,
)
from botocache._digests import EVERYTHING_DIGEST
from botocache._errors import StoreError
from botocache.stores.options import StoreOptions
from botocache.stores.protocol import Clock, Random
from botocache.stores.redis.cluster.batch import slot_of
from botocache.stores.redis.cluster.client import ClusterClient
from botocache.stores.redis.cluster.urls import (
    ClusterEndpoints,
    endpoints_of_client,
    endpoints_of_url,
)
from botocache.stores.redis.commands import (
    PROBED_DIGEST,
    SLACK,
    FullError,
    decode_eviction,
    encode_first,
    milliseconds,
    number,
    require_answers,
    with_source,
)
from botocache.stores.redis.connections import exchange, pack
from botocache.stores.redis.scripts import ARRIVE, EVICT, STATE
from botocache.stores.redis.store import RedisStore, run_of, understood
from botocache.stores.redis.types import ClusterServer, Command, Connection
from botocache.stores.redis.urls import without_replicas

log = logging.getLogger("botocache")

_T = TypeVar("_T")
_States = dict[bytes, tuple[bytes, bytes]]


class ClusterStore(RedisStore):
    """Entries and generations in a cluster. See the Store protocol and RedisStore."""

    def __init__(  # noqa: PLR0913 - as RedisStore
        self,
        endpoints: ClusterEndpoints,
        *,
        name: str = "",
        namespace: str = "default",
        timeout: float = 0.02,
        settle: float = 1.0,
        longest_ttl: float = 60.0,
        clock: Clock | None = None,
        random: Random = os.urandom,
    ) -> None:
        super().__init__(
            None,
            name=name,
            namespace=namespace,
            timeout=timeout,
            settle=settle,
            longest_ttl=longest_ttl,
            clock=clock,
            random=random,
        )
        shard = EVERYTHING_DIGEST[:1].hex().encode()
        self._keys.runs += b":{%b}" % shard  # where the generation of everything is
        self._cluster = ClusterClient(
            endpoints, self._verify_primary, timeout, with_source
        )
        self._met: set[bytes] = set()

    def now(self) -> float:
        """See Store.now. By what the servers said last; asks nobody."""
        return (
            self._clock()
            if self._clock
            else time.monotonic() + self._cluster.clocks.offset
        )

    def load(self, key: bytes, tags: Sequence[bytes]) -> Loaded:
        """See Store.load."""
        return self._among_those_met(lambda: super(ClusterStore, self).load(key, tags))

    def load_many(
        self, lookups: Sequence[tuple[bytes, Sequence[bytes]]]
    ) -> list[Loaded]:
        """See Store.load_many."""
        return self._among_those_met(
            lambda: super(ClusterStore, self).load_many(lookups)
        )

    @understood
    def evict(self, request: EvictionRequest) -> Eviction:
        """See Store.evict."""
        tags, hold_off, watch, first_eviction, restore = request
        first = first_eviction.evicted if first_eviction else {}
        restored = [tag for tag in tags if tag in restore]
        others = [tag for tag in tags if tag not in restore]
        looked: list[Sequence[bytes]] = []
        try:
            found, seen = self._replace(
                others, hold_off, first, () if restored else watch
            )
            if restored:
                # In a round of its own: restored after all others are evicted.
                more, seen = self._replace(
                    restored, hold_off, first, watch, is_restored=True
                )
                found |= more
            looked = [(b"", *[seen[tag] for tag in watch])]
        except FullError:
            found, _ = self._replace(tags, hold_off, first, (), is_full=True)
        except _DividedError:
            return self._remove(tags, watch)
        return Eviction(
            {tag: decode_eviction(*found[tag], first.get(tag)) for tag in tags},
            *self._watched(watch, looked),
        )

    def is_current(self, tags: Sequence[bytes], snapshot: Sequence[int]) -> bool:  # noqa: ARG002 - see Store
        """See Store.is_current. Nobody tells it of changes, so it never knows."""
        return False

    @understood
    def clear(self) -> None:
        """See Store.clear. Looks at every key of the cluster, a thousand at a time."""
        self._ask(lambda: [(b"EXISTS", self._keys.runs)])  # so that all are known
        for node in self._cluster.primaries:
            self._clear(node)

    def close(self) -> None:
        """See Store.close."""
        super().close()
        self._cluster.close()

    def _let_go(self) -> None:
        self._cluster.close()

    # --- states --------------------------------------------------------------------

    def _replace(  # noqa: PLR0913 - as evict
        self,
        tags: Sequence[bytes],
        hold_off: float,
        first: Mapping[bytes, TagEviction],
        watch: Sequence[bytes],
        *,
        is_restored: bool = False,
        is_full: bool = False,
    ) -> tuple[_States, dict[bytes, bytes]]:
        """Evict tags and look at others; return what was found and left, and seen."""
        shards, watched = _shards(tags), _shards(watch)

        def eviction(shard: Sequence[bytes]) -> Command:
            known = [
                encode_first(first.get(tag), is_restored=is_restored) for tag in shard
            ]
            return self._eviction(shard, hold_off, known, is_full=is_full)

        replies = self._ask(lambda: [*map(eviction, shards), *map(self._look, watched)])
        found: _States = {}
        for shard, (_, *states) in zip(shards, replies, strict=False):
            pairs = zip(states[::2], states[1::2], strict=True)
            found.update(zip(shard, pairs, strict=True))
        return found, _told(watched, replies[len(shards) :])

    def _complete(
        self, tags: Sequence[bytes], states: Sequence[bytes | None]
    ) -> list[bytes]:
        """Return the states of tags, some of which are missing or damaged."""
        state_of = dict(zip(tags, states, strict=True))
        shards = _shards(
            tag for tag, s in state_of.items() if s is None or len(s) != STATE.size
        )
        made = _told(shards, self._ask(lambda: [*map(self._look, shards)]))
        return [made.get(tag) or state_of[tag] or b"" for tag in tags]

    def _remove(self, tags: Sequence[bytes], watch: Sequence[bytes]) -> Eviction:
        """Evict where no script can write: by removing generations.

        Before them the hold-offs of their shards, so that what cannot be held now is in
        doubt as soon as it can. Nothing is known of what was found.
        """
        shards = _shards(tags)
        self._ask(lambda: [(b"UNLINK", self._keys.held(s[0])) for s in shards])
        self._ask(
            lambda: [(b"UNLINK", self._keys.generation(t)) for s in shards for t in s]
        )
        fresh = iter(map(number, self._fresh(len(tags) + len(watch))))
        evicted = {tag: TagEviction(next(fresh), 0.0) for tag in tags}
        return Eviction(evicted, {tag: next(fresh) for tag in watch}, Held.WRITING)

    # --- commands ------------------------------------------------------------------

    def _get(self, packed: Sequence[bytes]) -> list[Any]:
        """Return the values of keys."""
        # Not GET, which takes a key of another type for a failure; and not one MGET for
        # all of a slot, which fails while the slot is on its way.
        commands = [(b"MGET", one[one.index(b"\n") + 1 : -2]) for one in packed]
        return [value for (value,) in self._ask(lambda: commands)]

    def _together(self, tags: Collection[bytes]) -> Sequence[Collection[bytes]]:
        return _shards(tags)

    def _ask(self, make: Callable[[], Sequence[Command]]) -> list[Any]:
        """Return the replies to commands. Raises StoreError when one is an error."""
        breaker = self._breaker
        breaker.check()
        try:
            replies = self._cluster.ask(make)
            _require_whole(replies)
            require_answers(replies)
        except (FullError, _DividedError):
            raise
        except StoreError as error:
            breaker.failed(error)
            raise
        breaker.succeeded()
        return replies

    def _clear(self, node: ClusterServer) -> None:
        cursor = 0
        while True:
            scan = (
                *(b"SCAN", b"%d" % cursor, b"COUNT", b"1000"),
                *(b"MATCH", self._keys.entries + b"*"),
            )
            cursor, keys = self._cluster.ask_server(node, scan)
            self._ask(lambda keys=keys: [(b"UNLINK", key) for key in keys])  # type: ignore[misc]  # a default
            if not cursor:
                return

    # --- the servers ---------------------------------------------------------------

    def _verify_primary(self, connection: Connection) -> None:
        """Evict everything if this primary is a new one; see RedisStore._greet."""
        run = run_of(connection)
        if run is None or run in self._met:
            return
        command = (
            *(b"EVAL", ARRIVE.source, b"3"),
            *(
                self._keys.generation(EVERYTHING_DIGEST),
                self._keys.held(EVERYTHING_DIGEST),
            ),
            *(self._keys.runs, self._time_to_use(), self._doubt),
            *(run, *self._fresh(1), milliseconds(self._life)),
        )
        holder = self._cluster.holder(slot_of(command))
        if (holder.host, holder.port) == (connection.host, connection.port):
            require_answers(exchange(connection, pack(command), 1))
        else:
            self._cluster.ask_directly(holder, command)
        self._met.add(run)

    def _among_those_met(self, load: Callable[[], _T]) -> _T:
        """Load; again if a primary was met meanwhile for which all may be evicted."""
        for _ in range(3):
            before = len(self._met)
            loaded = load()
            if len(self._met) == before:
                return loaded
        raise StoreError("the cluster: its primaries change too often")

    def _probe(self) -> None:
        """Ask for all that is wanted of servers: that each can evict."""
        head = (b"0", milliseconds(SLACK))

        def probes() -> dict[ClusterServer, Command]:
            of_node = {}
            for shard in range(256):
                tag = bytes([shard]) + PROBED_DIGEST[1:]
                arguments = [*self._fresh(2), *encode_first(None, is_restored=False)]
                command = self._call(EVICT, [tag], head, arguments)
                of_node[self._cluster.holder(slot_of(command))] = with_source(command)
            return of_node

        self._cluster.probe(probes)


def open_cluster(opening: StoreOptions) -> ClusterStore:
    """Return the store that a URL or a client names. Raises ConfigError."""
    if opening.client_tracking:
        log.warning(
            "follow_refused: changes cannot be followed in a cluster, so every hit "
            "asks its servers"
        )
    if opening.client is not None:
        name, endpoints = endpoints_of_client(opening.client, opening.timeout)
    else:
        without_replicas(opening.url)  # raises where it says to wait for some
        name, endpoints = endpoints_of_url(opening.url, opening.timeout)
    return ClusterStore(
        endpoints,
        name=name,
        namespace=opening.namespace,
        timeout=opening.timeout,
        settle=opening.settle,
        longest_ttl=opening.longest_ttl,
    )


class _DividedError(StoreError):
    """A slot is on its way, and some of its keys are here and some there."""


def _require_whole(replies: Sequence[Any]) -> None:
    if any(isinstance(reply, TryAgainError) for reply in replies):
        raise _DividedError("a slot is on its way")


def _shards(tags: Iterable[bytes]) -> list[list[bytes]]:
    """Return tags, each once, by the shard that they are in."""
    each = sorted(dict.fromkeys(tags), key=_shard)
    return [list(shard) for _, shard in groupby(each, key=_shard)]


def _shard(tag: bytes) -> bytes:
    return tag[:1]


def _told(
    shards: Sequence[Sequence[bytes]], replies: Sequence[Any]
) -> dict[bytes, bytes]:
    """Return what LOOK said of each tag of some shards."""
    return {
        tag: state
        for shard, (_, *states) in zip(shards, replies, strict=True)
        for tag, state in zip(shard, states, strict=True)
    }
