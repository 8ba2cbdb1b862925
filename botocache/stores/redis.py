"""The store of many machines: Redis 6.2 or Valkey 7.2 and later.

A load is one round trip, or two when a generation is missing; a fill is one, and so is
each half of a write, whatever the number of items. What is kept, and the scripts that
change it, stand in redisscripts.py.

The clock of all users is the server's. Hold-offs are set by it; here it is known from
below, by what it last said and how long ago that was: a tag may seem to be held a
little longer than it is, never shorter.
"""

import os
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import wraps
from struct import error as UnpackError  # noqa: N812 - it is a class
from struct import unpack
from typing import Any, TypeVar, cast

from redis.exceptions import NoPermissionError, NoScriptError, OutOfMemoryError

from botocache._coherence import Eviction, Held, Loaded, Mark, is_held
from botocache._errors import ConfigError, StoreError
from botocache._keys import EVERYTHING, tag_digest
from botocache.stores import Clock, Fill, Opening, Random
from botocache.stores.breaker import Breaker
from botocache.stores.redislink import Command, Connection, Link, exchange, pack
from botocache.stores.redisreplicas import exchange_with
from botocache.stores.redisscripts import (
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
from botocache.stores.redisurl import (
    connections_of_client,
    connections_of_url,
    without_replicas,
)

ENTRY_LIMIT = 1024**2
"""Bytes; an entry that is larger is not kept."""

TIME_LASTS = 10.0
"""Seconds after which the server's clock is asked for again."""

_SLACK = 60.0
"""Seconds that a generation lives beyond what is known to need it: for a read."""

_LONGEST_LIFE = 1e14
"""Milliseconds; a server takes no more."""

_EVERYTHING = tag_digest(EVERYTHING)
_PROBED = tag_digest(EVERYTHING._replace(kind="probe"))

_TIME = pack((b"TIME",))

_Verb = TypeVar("_Verb", bound=Callable[..., Any])


def _understood(verb: _Verb) -> _Verb:
    """Raise StoreError where a verb finds that what it was told is no answer.

    Then nobody knows whose it was, and no connection is used any more.
    """

    @wraps(verb)
    def guarded(self: "RedisStore", *args: Any, **kwargs: Any) -> Any:
        try:
            return verb(self, *args, **kwargs)
        except (TypeError, ValueError, LookupError, UnpackError) as error:
            self._link.close()
            raise StoreError(f"no answer: {type(error).__name__}") from error

    return cast("_Verb", guarded)


class RedisStore:
    """Entries and generations on a server. See the Store protocol.

    make: returns a connection of redis-py, not connected. settle: seconds for which
    what may be lost is taken for settling. longest_ttl: seconds, of any entry.
    replicas: how many must have an eviction before it is done.
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
        replicas: int = 0,
        clock: Clock | None = None,
        random: Random = os.urandom,
    ) -> None:
        self._name = name
        self._namespace = namespace
        self._keys = Keys(namespace)
        self._clock = clock
        self._random = random
        self._doubt = b"%d" % round(settle * US)
        self._life = longest_ttl * 2 + _SLACK
        exchanging = exchange_with(replicas, timeout) if replicas else None
        self._link = Link(make, self._greet, timeout, exchanging)
        self._breaker = Breaker(self._probe)
        self._ahead = time.time() - time.monotonic()  # until the server tells
        self._told_at = -TIME_LASTS

    def __repr__(self) -> str:
        return (
            f"<RedisStore {self._name} namespace {self._namespace!r}, "
            f"{self._breaker!r}>"
        )

    def now(self) -> float:
        """See Store.now. By what the server said last; asks nobody."""
        return self._clock() if self._clock else time.monotonic() + self._ahead

    @_understood
    def load(self, key: bytes, tags: Sequence[bytes]) -> Loaded:
        """See Store.load."""
        packed = (bulk(self._keys.entry(key)), *map(self._keys.packed, tags))
        entry, *states = self._get(packed)
        if None in states:
            states = self._complete(tags, states)
        return self._loaded(entry, states)

    @_understood
    def load_many(
        self, lookups: Sequence[tuple[bytes, Sequence[bytes]]]
    ) -> list[Loaded]:
        """See Store.load_many."""
        if not lookups:
            return []
        tags = list(dict.fromkeys(tag for _, tags in lookups for tag in tags))
        packed = [bulk(self._keys.entry(key)) for key, _ in lookups]
        values = self._get([*packed, *map(self._keys.packed, tags)])
        states = values[len(lookups) :]
        if None in states:
            states = self._complete(tags, states)
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

    @_understood
    def fill_many(self, fills: Sequence[Fill]) -> None:
        """See Store.fill_many."""
        kept = [fill for fill in fills if len(fill.entry) <= ENTRY_LIMIT]
        if not kept:
            return
        commands: list[Command] = [
            (b"SET", self._keys.entry(key), entry, b"PX", _milliseconds(ttl))
            for key, entry, ttl, _ in kept
        ]
        tags = dict.fromkeys(tag for fill in kept for tag in fill.tags)
        if tags:
            longest = max(fill.ttl for fill in kept)
            life = max(self._life, longest * 2 + _SLACK)
            head = (_milliseconds(longest), _milliseconds(life))
            commands.append(self._call(PROLONG, tags, head, ()))
        self._ask(commands)

    @_understood
    def evict(
        self,
        tags: Sequence[bytes],
        hold_off: float,
        *,
        watch: Sequence[bytes] = (),
        since: Eviction | None = None,
        spare: Collection[bytes] = (),
    ) -> Eviction:
        """See Store.evict."""
        marks = dict(zip(tags, since.marks, strict=False)) if since else {}
        each = sorted(dict.fromkeys(tags), key=lambda tag: tag in spare)
        arguments: list[bytes] = []
        for tag in each:
            arguments += self._fresh(2)
            arguments += _evidence(marks.get(tag), is_spared=tag in spare)
        life = _milliseconds(hold_off + _SLACK)
        head = (b"%d" % round(hold_off * US), life)
        commands = [self._call(EVICT, each, head, arguments)]
        if watch:
            commands.append(self._look(watch))
        try:
            states, *watched = self._ask(commands)
        except _FullError:
            return self._evict_in_want(each, tags, watch)
        found = dict(
            zip(each, zip(states[1::2], states[2::2], strict=True), strict=True)
        )
        seen = watched[0][1:] if watched else []
        return Eviction(
            tuple([_mark(*found[tag], marks.get(tag)) for tag in tags]),
            tuple([STATE.unpack(state)[0] for state in seen]),
            self._held([STATE.unpack(state)[1] for state in seen]),
        )

    def is_current(self, tags: Sequence[bytes], snapshot: Sequence[int]) -> bool:  # noqa: ARG002 - see Store
        """See Store.is_current. Nobody tells it of changes, so it never knows."""
        return False

    @_understood
    def clear(self) -> None:
        """See Store.clear. Looks at every key of the database, a thousand at a time."""
        cursor = b"0"
        while True:
            ((cursor, keys),) = self._ask(
                [
                    (
                        *(b"SCAN", cursor, b"COUNT", b"1000"),
                        *(b"MATCH", self._keys.entries + b"*"),
                    )
                ]
            )
            if keys:
                self._ask([(b"UNLINK", *keys)])
            if cursor == b"0":
                return

    def close(self) -> None:
        """See Store.close."""
        self._breaker.close()
        self._link.close()

    # --- states --------------------------------------------------------------------

    def _complete(
        self, tags: Sequence[bytes], states: Sequence[bytes | None]
    ) -> list[bytes]:
        """Return the states of tags, of which some have no generation yet."""
        lacking = [t for t, s in zip(tags, states, strict=True) if s is None]
        (made,) = self._ask([self._look(lacking)])
        made_of = dict(zip(lacking, made[1:], strict=True))
        return [
            made_of[tag] if state is None else state
            for tag, state in zip(tags, states, strict=True)
        ]

    def _loaded(self, entry: bytes | None, states: Sequence[bytes]) -> Loaded:
        words = unpack(f"<{2 * len(states)}Q", b"".join(states))
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

    def _evict_in_want(
        self, each: Sequence[bytes], tags: Sequence[bytes], watch: Sequence[bytes]
    ) -> Eviction:
        """Evict on a server that has no room for anything: by removing generations.

        With the hold-offs of their shards, so that what cannot be held now is in doubt
        once there is room. Nothing is known of what was found.
        """
        removed = [self._keys.generation(tag) for tag in each]
        removed += dict.fromkeys(self._keys.held(tag) for tag in each)
        self._ask([(b"UNLINK", key) for key in removed])
        marks = [Mark(_number(fresh), 0.0) for fresh in self._fresh(len(tags))]
        watched = [_number(fresh) for fresh in self._fresh(len(watch))]
        return Eviction(tuple(marks), tuple(watched), Held.WRITING)

    # --- commands ------------------------------------------------------------------

    def _get(self, packed: Sequence[bytes]) -> list[Any]:
        """Return the values of keys; what is no state of a tag's length is damage."""
        command = b"*%d\r\n$4\r\nMGET\r\n%b" % (len(packed) + 1, b"".join(packed))
        if self._clock or time.monotonic() - self._told_at < TIME_LASTS:
            (values,) = self._exchange(command, 1)
        else:
            values, now = self._exchange(command + _TIME, 2)
            self._tell_time(int(now[0]) * US + int(now[1]))
        if len(values) != len(packed):
            raise ValueError("as many values as keys")
        found: list[Any] = values
        return found

    def _look(self, tags: Sequence[bytes]) -> Command:
        head = (_milliseconds(self._life),)
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

    def _ask(self, commands: Sequence[Command]) -> list[Any]:
        """Return the replies to commands. Raises StoreError when one is an error."""
        packed = b"".join(map(pack, commands))
        replies = self._exchange(packed, len(commands))
        if any(isinstance(reply, NoScriptError) for reply in replies):
            packed = b"".join(pack(_with_source(command)) for command in commands)
            replies = self._exchange(packed, len(commands))
        for command, reply in zip(commands, replies, strict=True):
            if command[0] == b"EVALSHA" and isinstance(reply, list):
                self._tell_time(int(reply[0]))
        return replies

    def _exchange(self, packed: bytes, count: int) -> list[Any]:
        breaker = self._breaker
        breaker.check()
        try:
            replies = self._link.ask(packed, count)
            _require_answers(replies)
        except _FullError:
            raise
        except StoreError as error:
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
        (info,) = exchange(connection, pack((b"INFO", b"server")), 1)
        if isinstance(info, NoPermissionError):
            return
        _require_answers([info])
        command = (
            *(b"EVAL", ARRIVE.source, b"3"),
            *(self._keys.generation(_EVERYTHING), self._keys.held(_EVERYTHING)),
            *(self._keys.runs, self._time_to_use(), self._doubt),
            *(_run_id(info), *self._fresh(1), _milliseconds(self._life)),
        )
        _require_answers(exchange(connection, pack(command), 1))

    def _probe(self) -> None:
        """Ask for all that is wanted of a server: that it can evict."""
        head = (b"0", _milliseconds(_SLACK))
        arguments = [*self._fresh(2), *_evidence(None, is_spared=False)]
        command = self._call(EVICT, [_PROBED], head, arguments)
        _require_answers(self._link.try_out(pack(_with_source(command)), 1))


def open_redis(opening: Opening) -> RedisStore:
    """Return the store that a URL or a client names. Raises ConfigError."""
    if opening.size_limit is not None:
        raise ConfigError(
            "size_limit: the server's own 'maxmemory' says how much it keeps; with "
            "Redis and Valkey size_limit cannot be set"
        )
    replicas = 0
    if opening.client is not None:
        name, make = connections_of_client(opening.client)
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
        replicas=replicas,
    )


class _FullError(StoreError):
    """The server has no room, and may not make any."""


def _require_answers(replies: Sequence[Any]) -> None:
    """Raise StoreError if one of the replies is an error, but for a lacking script."""
    for reply in replies:
        if isinstance(reply, OutOfMemoryError):
            raise _FullError(str(reply))
        if isinstance(reply, Exception) and not isinstance(reply, NoScriptError):
            raise StoreError(f"{type(reply).__name__}: {reply}")


def _with_source(command: Command) -> Command:
    """Return a call of a script that brings the script."""
    if command[0] != b"EVALSHA":
        return command
    return (b"EVAL", _SOURCES[command[1]], *command[2:])


_SOURCES: Mapping[bytes, bytes] = {
    script.sha: script.source for script in (LOOK, EVICT, PROLONG)
}


def _evidence(mark: Mark | None, *, is_spared: bool) -> tuple[bytes, ...]:
    """Return what EVICT is told of a write's first eviction of a tag."""
    if mark is None:
        return b"", b"", b"", b""
    word = 2 * round(mark.held_until * US) + mark.is_settling
    return (
        mark.generation.to_bytes(GENERATION, "little"),
        b"%d" % word,
        mark.replaced.to_bytes(GENERATION, "little"),
        b"1" if is_spared else b"",
    )


def _mark(found: bytes, left: bytes, before: Mark | None) -> Mark:
    generation, word = STATE.unpack(found)
    return Mark(
        STATE.unpack(left)[0],
        (word >> 1) / US,
        bool(word & 1),
        generation,
        was_alone=before is not None and before.generation == generation,
    )


def _number(generation: bytes) -> int:
    return int.from_bytes(generation, "little")


def _milliseconds(seconds: float) -> bytes:
    return b"%d" % min(max(1.0, seconds * 1000), _LONGEST_LIFE)


def _run_id(info: bytes) -> bytes:
    for line in info.splitlines():
        name, _, value = line.partition(b":")
        if name == b"run_id":
            return value
    raise StoreError("INFO names no run_id")
