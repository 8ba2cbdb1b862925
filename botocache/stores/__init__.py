"""The Store protocol, and `open_store(url)`.

A store keeps entries under keys, and for each tag a generation and a hold-off. Its
verbs are the protocol of _coherence.py, so that no caller can fill without having
read generations. Keys and tags are digests of 16 bytes. A store decides nothing about
coherence: it applies `next_held_until` where it evicts, and hands out what it holds.
"""

import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable
from urllib.parse import unquote, urlsplit

from botocache._coherence import Eviction, Loaded
from botocache._errors import ConfigError
from botocache._urls import scheme_of
from botocache._values import suggestion

Random: TypeAlias = Callable[[int], bytes]
"""Returns that many random bytes; os.urandom, save in tests."""

Clock: TypeAlias = Callable[[], float]
"""Returns seconds since a moment that stays the same for all users of the store."""

StillCurrent: TypeAlias = Callable[[], bool]
"""Tells whether some tags have some generations at this moment."""


class Fill(NamedTuple):
    """What is put: the arguments of `fill`."""

    key: bytes
    entry: bytes
    ttl: float
    tags: Sequence[bytes] = ()


@runtime_checkable
class Store(Protocol):
    """Where entries and generations live. Safe for threads and across a fork.

    Every verb may raise StoreError, and then nothing is known of its outcome; none
    raises anything else, and none waits for another process for more than a moment.
    One that finds that generations were lost raises StoreLostError, once.
    """

    def now(self) -> float:
        """Return seconds on the clock that all users of this store share."""

    def load(self, key: bytes, tags: Sequence[bytes]) -> Loaded:
        """Look up an entry together with the generations of its tags.

        The generations are read before the entry, and the hold-offs after both. A
        tag that has no generation gets one here.
        """

    def load_many(
        self, lookups: Sequence[tuple[bytes, Sequence[bytes]]]
    ) -> list[Loaded]:
        """Do what `load` does for each key and its tags; answer in the same order.

        In as few round trips as there can be, and not as one: others may evict between
        two of them.
        """

    def is_current(self, tags: Sequence[bytes], snapshot: Sequence[int]) -> bool:
        """Tell whether the tags have these generations at this moment.

        Waits for nobody and raises nothing: False where that is not known. Says
        nothing of hold-offs.
        """

    def fill(
        self, key: bytes, entry: bytes, ttl: float, tags: Sequence[bytes] = ()
    ) -> None:
        """Put an entry. It may be dropped after `ttl` seconds, or earlier.

        tags: on which it depends; where generations expire, theirs live as long.
        """

    def fill_many(self, fills: Sequence[Fill]) -> None:
        """Do what `fill` does for each. When it raises, any of them may be put."""

    def evict(
        self,
        tags: Sequence[bytes],
        hold_off: float,
        *,
        watch: Sequence[bytes] = (),
        since: Eviction | None = None,
        spare: Collection[bytes] = (),
    ) -> Eviction:
        """Give every tag a new generation and a hold-off of `hold_off` seconds.

        watch: tags whose generations and hold-off are returned, as they are after the
            eviction.
        since: what the first eviction of the same write returned; its tags are the
            first of these. spare: those to be put back as they were before it, if
            nobody else touched them since.
        Atomic per tag against other evictions; a reader sees a tag's hold-off no
        later than its generation.
        """

    def clear(self) -> None:
        """Drop all entries. Generations stay: it is no way to evict."""

    def close(self) -> None:
        """Give back what is held open; the next verb opens it again."""


@runtime_checkable
class Watching(Protocol):
    """A store that can answer `is_current` for the same tags in a hurry."""

    def watch(self, tags: Sequence[bytes], snapshot: Sequence[int]) -> StillCurrent:
        """Return what says, whenever it is called, what `is_current` would.

        It may say False where that would say True: when these generations are not those
        of now, were put back meanwhile, or when what it looks at was closed.
        """


BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
"""Where Linux tells one boot of a machine from another; a store on disk needs it."""


def default_url() -> str:
    """Return the store that is used unless the user names one."""
    return "disk:" if BOOT_ID.exists() else "memory:"


@dataclass(frozen=True, slots=True)
class Opening:
    """What a store is opened with.

    url: with its scheme; "" where there is a client. namespace: keeps applications
    that share a store apart. size_limit: bytes; None is the store's own default.
    environ: where the default directory is looked up. timeout: seconds that a call may
    be made to wait. settle: of hold-off after a write. longest_ttl: seconds that any
    answer is kept at most. client: of redis-py, built by the user. follow: whether a
    store across the network hears of changes, so that it need not be asked.
    """

    url: str = field(repr=False)
    namespace: str
    size_limit: int | None
    environ: Mapping[str, str] = field(repr=False)
    timeout: float
    settle: float
    longest_ttl: float
    client: Any = field(default=None, repr=False)
    follow: bool = False


def open_store(  # noqa: PLR0913 - what a store is opened with
    url: str,
    *,
    namespace: str,
    size_limit: int | None,
    environ: Mapping[str, str],
    timeout: float,
    settle: float,
    longest_ttl: float,
    client: Any = None,
    follow: bool = False,
) -> Store:
    """Return the store that a URL names. Touches neither disk nor network yet.

    See Opening; where there is a client the URL is not looked at. Raises ConfigError
    when the URL names no store.
    """
    opening = Opening(
        "" if client is not None else url,
        namespace,
        size_limit,
        environ,
        timeout,
        settle,
        longest_ttl,
        client,
        follow,
    )
    if client is not None:
        return _open_redis(opening)
    scheme = scheme_of(url)
    opener = _OPENERS.get(scheme or "")
    if opener is None:
        named = "" if scheme is None else f" {scheme + ':'!r}..."
        near = "" if scheme is None else suggestion(scheme, _OPENERS)
        raise ConfigError(
            f"url{named} names no store of this version; expected 'memory:', 'disk:', "
            f"'disk:///path' or 'redis://host:port/0'{near}"
        )
    return opener(opening)


def is_remote(url: str) -> bool:
    """Tell whether a URL names a store across the network."""
    return _OPENERS.get(scheme_of(url) or "") is _open_redis


def is_client(candidate: object) -> bool:
    """Tell whether an object is a client of redis-py, without importing that."""
    redis = sys.modules.get("redis")
    kinds = (getattr(redis, "Redis", None), getattr(redis, "RedisCluster", None))
    return isinstance(candidate, tuple(kind for kind in kinds if kind is not None))


def _open_memory(opening: Opening) -> Store:
    from botocache.stores import memory

    if opening.url not in ("memory:", "memory://"):
        raise ConfigError("url: nothing is expected after 'memory:'")
    return memory.MemoryStore(
        size_limit=opening.size_limit or memory.DEFAULT_SIZE_LIMIT
    )


def _open_disk(opening: Opening) -> Store:
    if not BOOT_ID.exists():
        raise ConfigError(
            f"url 'disk:' needs Linux: without {BOOT_ID} nobody knows whether what is "
            "on disk is from before a power cut; use 'memory:'"
        )
    from botocache.stores import disk

    try:
        parts = urlsplit(opening.url)
    except ValueError as error:  # of a network's address
        raise ConfigError(f"url 'disk:...': {error}") from None
    path = unquote(parts.path)
    if parts.netloc or parts.query or parts.fragment or (path and path[0] != "/"):
        raise ConfigError(
            "url 'disk:...' names no directory; expected 'disk:' or 'disk:///path' "
            "with an absolute path"
        )
    root = Path(path) if path else disk.default_directory(opening.environ)
    return disk.DiskStore(
        root,
        namespace=opening.namespace,
        size_limit=opening.size_limit or disk.DEFAULT_SIZE_LIMIT,
    )


def _open_redis(opening: Opening) -> Store:
    try:
        from botocache.stores import redis, rediscluster, redisseeds
    except ImportError as error:
        raise ConfigError(
            f"url '{scheme_of(opening.url)}:' needs the package redis: pip install "
            "'botocache-dynamodb[redis]'"
        ) from error
    if redisseeds.names_cluster(opening.url, opening.client):
        return rediscluster.open_cluster(opening)
    return redis.open_redis(opening)


_Opener: TypeAlias = Callable[[Opening], Store]

_SERVERS = ("redis", "rediss", "valkey", "valkeys")
"""With an `s`: by TLS. Redis and Valkey speak one protocol."""

_OPENERS: Mapping[str, _Opener] = {
    "memory": _open_memory,
    "disk": _open_disk,
    "unix": _open_redis,
    **{
        server + setup: _open_redis
        for server in _SERVERS
        for setup in ("", "+cluster", "+sentinel")
    },
}
