"""The store of many machines: Redis 6.2 or Valkey 7.2 and later.

A load is one round trip, or two when a generation is missing; a fill is one, and so is
each half of a write, whatever the number of items. What is kept, and the scripts that
change it, stand in stores/redis/scripts.py.

The clock of all users is the server's. Hold-offs are set by it; here it is known from
below, by what it last said and how long ago that was: a tag may seem to be held a
little longer than it is, never shorter.
"""

import os
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial, wraps
from struct import error as UnpackError  # noqa: N812 - it is a class
from struct import unpack
from typing import Any, TypeVar, cast

from redis.exceptions import (
    NoPermissionError,
    NoScriptError,
)

from botocache._coherence import Eviction, EvictionRequest, Held, Loaded, is_held
from botocache._digests import EVERYTHING_DIGEST
from botocache._errors import StoreError
from botocache.stores.options import StoreOptions
from botocache.stores.protocol import Clock, Fill, Random, StillCurrent
from botocache.stores.redis.circuit_breaker import Breaker
from botocache.stores.redis.commands import (
    PROBED_DIGEST,
    SLACK,
    FullError,
    ReplicaError,
    are_whole,
    decode_eviction,
    encode_first,
    milliseconds,
    number,
    require_answers,
    to_send,
    with_source,
)
from botocache.stores.redis.compression import unpack as unpack_entry
from botocache.stores.redis.connections import Command, Connection, Link, exchange, pack
from botocache.stores.redis.replicas import exchange_with
from botocache.stores.redis.scripts import (
    ARRIVE,
    EVICT,
    GENERATION,
    LOOK,
    PROLONG,
    STATE,
    US,
    Keys,
    Script,
    bulk,
)
from botocache.stores.redis.tracking.tracker import Following, forget
from botocache.stores.redis.urls import (
    connections_of_client,
    connections_of_url,
    without_replicas,
)

TIME_LASTS = 10.0
"""Seconds after which a server is asked again how late it is, and whether it leads."""

_TIME = pack((b"TIME",))

_RUNS_LAST = b"2592000000"
"""Milliseconds; as ARRIVE has it."""

_Verb = TypeVar("_Verb", bound=Callable[..., Any])


def understood(verb: _Verb) -> _Verb:
    """Raise StoreError where a verb finds that what it was told is no answer.

    Then nobody knows whose it was, and no connection is used any more.
    """

    @wraps(verb)
    def guarded(self: "RedisStore", *args: Any, **kwargs: Any) -> Any:
        try:
            return verb(self, *args, **kwargs)
        except (TypeError, ValueError, LookupError, UnpackError) as error:
            self._let_go()
            raise StoreError(f"no answer: {type(error).__name__}") from error

    return cast("_Verb", guarded)


class RedisStore:
    """Entries and generations on a server. See the Store protocol.

    make: returns a connection of redis-py, not connected. settle: seconds for which
    what may be lost is taken for settling. longest_ttl: seconds, of any entry. follow:
    hear of changes, so as to know what is current. replicas: how many must have an
    eviction before it is done.
    """

    def __init__(  # noqa: PLR0913 - what it was opened with
        self,
        make: Any,
        *,
        name: str = "",
        namespace: str = "default",
        timeout: float = 0.02,
        settle: float = 1.0,
        longest_ttl: float = 60.0,
        client_tracking: bool = False,
        replicas: int = 0,
        clock: Clock | None = None,
        random: Random = os.urandom,
    ) -> None:
        self._name = name
        self._namespace = namespace
        self._keys = Keys(namespace)
        # Who only reads is not told that a primary was demoted: it has to try to write.
        self._check = pack((b"PEXPIRE", self._keys.runs, _RUNS_LAST)) + _TIME
        self._clock = clock
        self._random = random
        self._doubt = b"%d" % round(settle * US)
        self._life = longest_ttl * 2 + SLACK
        exchanging = exchange_with(replicas, timeout) if replicas else None
        self._link = Link(make, self._greet, timeout, exchanging)
        self._breaker = Breaker(self._probe)
        self._following: Following | None = None
        if client_tracking:
            self._following = Following(make, self._keys, self._who, self._link.close)
        self._ahead = time.time() - time.monotonic()  # until the server tells
        self._told_at = -TIME_LASTS

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} {self._name} namespace {self._namespace!r}, "
            f"{self._breaker!r}{f', {self._following!r}' if self._following else ''}>"
        )

    def now(self) -> float:
        """See Store.now. By what the server said last; asks nobody."""
        return self._clock() if self._clock else time.monotonic() + self._ahead

    @understood
    def load(self, key: bytes, tags: Sequence[bytes]) -> Loaded:
        """See Store.load."""
        mark = self._begin()
        packed = (bulk(self._keys.entry(key)), *map(self._keys.packed, tags))
        entry, *states = self._get(packed)
        if not are_whole(states):
            states = self._complete(tags, states)
        loaded = self._loaded(entry, states)
        if self._following is not None:
            self._following.learn(mark, tags, loaded.snapshot)
        return loaded

    @understood
    def load_many(
        self, lookups: Sequence[tuple[bytes, Sequence[bytes]]]
    ) -> list[Loaded]:
        """See Store.load_many."""
        if not lookups:
            return []
        mark = self._begin()
        tags = list(dict.fromkeys(tag for _, tags in lookups for tag in tags))
        packed = [bulk(self._keys.entry(key)) for key, _ in lookups]
        values = self._get([*packed, *map(self._keys.packed, tags)])
        states = values[len(lookups) :]
        if not are_whole(states):
            states = self._complete(tags, states)
        if self._following is not None:
            self._following.learn(mark, tags, self._loaded(None, states).snapshot)
        state_of = dict(zip(tags, states, strict=True))
        return [
            self._loaded(entry, [state_of[tag] for tag in tags])
            for entry, (_, tags) in zip(values, lookups, strict=False)
        ]

    def fill(
        self, key: bytes, entry: bytes, ttl: float, tags: Sequence[bytes] = ()
    ) -> None:
        """See Store.fill."""
        self.fill_many((Fill(key, entry, ttl, tags),))

    @understood
    def fill_many(self, fills: Sequence[Fill]) -> None:
        """See Store.fill_many."""
        kept = [fill for fill in map(to_send, fills) if fill is not None]
        if not kept:
            return
        commands: list[Command] = [
            (b"SET", self._keys.entry(key), entry, b"PX", milliseconds(ttl))
            for key, entry, ttl, _ in kept
        ]
        longest = max(fill.ttl for fill in kept)
        life = max(self._life, longest * 2 + SLACK)
        head = (milliseconds(longest), milliseconds(life))
        tags = dict.fromkeys(tag for fill in kept for tag in fill.tags)
        commands += [
            self._call(PROLONG, some, head, ()) for some in self._together(tags)
        ]
        self._ask(lambda: commands)

    @understood
    def evict(self, request: EvictionRequest) -> Eviction:
        """See Store.evict."""
        tags, hold_off, watch, first_eviction, restore = request
        first = first_eviction.evicted if first_eviction else {}
        # Restored last: the script may be stopped between two tags.
        each = sorted(dict.fromkeys(tags), key=lambda tag: tag in restore)
        known = [encode_first(first.get(t), is_restored=t in restore) for t in each]

        def commands() -> list[Command]:
            eviction = self._eviction(each, hold_off, known)
            return [eviction, self._look(watch)] if watch else [eviction]

        def last() -> list[Command]:
            return [self._eviction(each, hold_off, known, is_full=True)]

        try:
            states, *looked = self._ask(commands)
        except FullError:
            (states,), looked = self._ask(last), []
        finally:  # also where nobody knows whether it was done
            forget(self._keys, tags)
        pairs = zip(states[1::2], states[2::2], strict=True)
        found = dict(zip(each, pairs, strict=True))
        return Eviction(
            {tag: decode_eviction(*found[tag], first.get(tag)) for tag in tags},
            *self._watched(watch, looked),
        )

    def is_current(self, tags: Sequence[bytes], snapshot: Sequence[int]) -> bool:
        """See Store.is_current. Unless it follows it never knows."""
        following = self._following
        return (
            following is not None
            and self._link.is_confirmed()
            and following.is_current(tags, snapshot)
        )

    def watch(self, tags: Sequence[bytes], snapshot: Sequence[int]) -> StillCurrent:
        """See Watching.watch."""
        if self._following is None:
            return partial(self.is_current, tags, snapshot)
        return self._following.watch(tags, snapshot, self._link.is_confirmed)

    @understood
    def clear(self) -> None:
        """See Store.clear. Looks at every key of the database, a thousand at a time."""
        cursor = b"0"
        while True:
            scan = (
                *(b"SCAN", cursor, b"COUNT", b"1000"),
                *(b"MATCH", self._keys.entries + b"*"),
            )
            ((cursor, keys),) = self._ask(lambda scan=scan: [scan])  # type: ignore[misc]  # a default
            if keys:
                self._ask(lambda keys=keys: [(b"UNLINK", *keys)])  # type: ignore[misc]  # a default
            if cursor == b"0":
                return

    def close(self) -> None:
        """See Store.close."""
        if self._following is not None:
            self._following.close()
        self._breaker.close()
        self._link.close()

    def _let_go(self) -> None:
        """Use no connection any more that there is."""
        self._link.close()

    # --- states --------------------------------------------------------------------

    def _begin(self) -> int:
        """Return the mark of a look-up, for those who follow."""
        return self._following.begin() if self._following is not None else 0

    def _complete(
        self, tags: Sequence[bytes], states: Sequence[bytes | None]
    ) -> list[bytes]:
        """Return the states of tags, some of which are missing or damaged."""
        is_whole = [are_whole((state,)) for state in states]
        lacking = [tag for tag, is_ in zip(tags, is_whole, strict=True) if not is_]
        (made,) = self._ask(lambda: [self._look(lacking)])
        made_of = dict(zip(lacking, made[1:], strict=True))
        found = dict(zip(tags, states, strict=True)) | made_of
        return [found[tag] for tag in tags]

    def _loaded(self, entry: bytes | None, states: Sequence[bytes]) -> Loaded:
        words = unpack(f"<{2 * len(states)}Q", b"".join(states))
        if entry is not None:
            entry = unpack_entry(entry)
        return Loaded(entry, words[::2], self._held(words[1::2]))

    def _held(self, words: Iterable[int]) -> Held:
        """Tell whether one of the tags is on hold-off, by the words of these."""
        now = self.now()
        held = Held.FREE
        for word in words:
            if word and is_held((word >> 1) / US, now):
                if not word & 1:
                    return Held.WRITING
                held = Held.SETTLING
        return held

    def _eviction(
        self,
        tags: Sequence[bytes],
        hold_off: float,
        known: Sequence[Sequence[bytes]],
        *,
        is_full: bool = False,
    ) -> Command:
        arguments: list[bytes] = []
        for of_tag in known:
            arguments += (*self._fresh(2), *of_tag)
        life = b"" if is_full else milliseconds(hold_off + SLACK)
        head = (b"%d" % round(hold_off * US), life)
        return self._call(EVICT, tags, head, arguments)

    def _watched(
        self, watch: Sequence[bytes], looked: Sequence[Sequence[bytes]]
    ) -> tuple[dict[bytes, int], Held]:
        """Return what LOOK told; a server that is full was not asked."""
        if watch and not looked:
            unknown = map(number, self._fresh(len(watch)))
            return dict(zip(watch, unknown, strict=True)), Held.WRITING
        states = [STATE.unpack(state) for told in looked for state in told[1:]]
        watched = {
            tag: generation for tag, (generation, _) in zip(watch, states, strict=True)
        }
        return watched, self._held([word for _, word in states])

    # --- commands ------------------------------------------------------------------

    def _get(self, packed: Sequence[bytes]) -> list[Any]:
        """Return the values of keys."""
        command = b"*%d\r\n$4\r\nMGET\r\n%b" % (len(packed) + 1, b"".join(packed))
        if self._clock or time.monotonic() - self._told_at < TIME_LASTS:
            (values,) = self._exchange(command, 1)
        else:
            values, _, now = self._exchange(command + self._check, 3)
            self._tell_time(int(now[0]) * US + int(now[1]))
        if len(values) != len(packed):
            raise ValueError("as many values as keys")
        found: list[Any] = values
        return found

    def _together(self, tags: Collection[bytes]) -> Sequence[Collection[bytes]]:
        """Return tags, divided into those that one script can be called for."""
        return [tags] if tags else []

    def _look(self, tags: Sequence[bytes]) -> Command:
        head = (milliseconds(self._life),)
        return self._call(LOOK, tags, head, self._fresh(len(tags)))

    def _call(
        self,
        script: Script,
        tags: Iterable[bytes],
        head: Sequence[bytes],
        arguments: Sequence[bytes],
    ) -> Command:
        keys = [
            key
            for tag in tags
            for key in (self._keys.generation(tag), self._keys.held(tag))
        ]
        return (
            *(b"EVALSHA", script.sha, b"%d" % len(keys), *keys),
            *(self._time_to_use(), self._doubt, *head, *arguments),
        )

    def _ask(self, make: Callable[[], Sequence[Command]]) -> list[Any]:
        """Return the replies to commands. Raises StoreError when one is an error.

        make: returns the commands. Those that are sent a second time are made anew: a
        generation that came twice could revive what others have evicted in between.
        """
        commands = make()

        def packed() -> bytes:
            return b"".join(map(pack, make()))

        replies = self._exchange(
            b"".join(map(pack, commands)), len(commands), again=packed
        )
        unknown = [
            at for at, reply in enumerate(replies) if isinstance(reply, NoScriptError)
        ]
        if unknown:

            def with_sources() -> bytes:
                each = make()
                return b"".join(pack(with_source(each[at])) for at in unknown)

            known = self._exchange(with_sources(), len(unknown), again=with_sources)
            for at, reply in zip(unknown, known, strict=True):
                replies[at] = reply
        for command, reply in zip(commands, replies, strict=True):
            if command[0] == b"EVALSHA" and isinstance(reply, list):
                self._tell_time(int(reply[0]))
        return replies

    def _exchange(
        self, packed: bytes, count: int, again: Callable[[], bytes] | None = None
    ) -> list[Any]:
        breaker = self._breaker
        breaker.check()
        try:
            replies = self._link.ask(packed, count, again)
            require_answers(replies)
        except FullError:
            raise
        except StoreError as error:
            if isinstance(error, ReplicaError):
                self._link.drop()
            breaker.failed(error)
            raise
        breaker.succeeded()
        return replies

    def _fresh(self, count: int) -> list[bytes]:
        """Return generations that were never used."""
        random = self._random(GENERATION * count)
        return [
            random[at : at + GENERATION] for at in range(0, len(random), GENERATION)
        ]

    # --- the server ----------------------------------------------------------------

    def _time_to_use(self) -> bytes:
        """Return the time that a script is to go by; none: the server's own."""
        return b"%d" % round(self._clock() * US) if self._clock else b""

    def _tell_time(self, microseconds: int) -> None:
        """Hear from the server how late it is."""
        here = time.monotonic()
        ahead = microseconds / US - here
        if ahead > self._ahead or here - self._told_at >= TIME_LASTS:
            self._ahead, self._told_at = ahead, here

    def _greet(self, _link: Link, connection: Connection) -> None:
        """Find out whether this server, as it is now, was met before.

        Whoever may not ask for INFO cannot tell a primary that lost its last writes.
        """
        run = self._who(connection)
        if self._following is not None:
            self._following.meet(run)
        if not run:
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
        (reply,) = exchange(connection, pack(command), 1)
        require_answers([reply])
        self._told_at = -TIME_LASTS  # whatever another server has told
        self._tell_time(int(reply[0]))

    def _who(self, connection: Connection) -> bytes:
        """Return the name of the server's run; empty where it may not be asked."""
        return run_of(connection) or b""

    def _probe(self) -> None:
        """Ask for all that is wanted of a server: that it can evict."""
        nothing = encode_first(None, is_restored=False)
        command = self._eviction([PROBED_DIGEST], 0.0, [nothing])
        require_answers(self._link.try_out(pack(with_source(command)), 1))


def open_redis(opening: StoreOptions) -> RedisStore:
    """Return the store that a URL or a client names. Raises ConfigError."""
    replicas = 0
    if opening.client is not None:
        name, make = connections_of_client(opening.client, opening.timeout)
    else:
        url, replicas = without_replicas(opening.url)
        name, make = connections_of_url(url, opening.timeout)
    return RedisStore(
        make,
        name=name,
        namespace=opening.namespace,
        timeout=opening.timeout,
        settle=opening.settle,
        longest_ttl=opening.longest_ttl,
        client_tracking=opening.client_tracking,
        replicas=replicas,
    )


def run_of(connection: Connection) -> bytes | None:
    """Return what names a server for as long as it is the primary without a break.

    None where it may not be asked. A replica that becomes the primary takes a new
    replication id; one that starts anew, also from a file, has a new run id.
    """
    sections = (b"server", b"replication")
    packed = b"".join(pack((b"INFO", section)) for section in sections)
    infos = exchange(connection, packed, len(sections))
    if any(isinstance(info, NoPermissionError) for info in infos):
        return None
    require_answers(infos)
    told = dict(line.split(b":", 1) for line in b"".join(infos).split() if b":" in line)
    if told.get(b"role") != b"master":
        raise StoreError("it is a replica, or does not say what it is")
    try:
        return told[b"run_id"] + b":" + told[b"master_replid"]
    except KeyError as error:
        raise StoreError(f"INFO names no {error}") from None
