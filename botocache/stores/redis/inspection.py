"""Look at a server with the eyes of its user: what it is, and what the user may do.

For `botocache doctor`. Each command that the store sends is tried by itself, on keys of
the inspection's own, which begin as those of the namespace do: a user may be confined
to them. An access control list is checked before anything else about a command, so a
reply of any other kind means that the user may send it.
"""

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from redis.exceptions import NoPermissionError, RedisError, ResponseError

from botocache._digests import EVERYTHING_DIGEST
from botocache._errors import StoreError, pass_on, shows
from botocache._log import describe, text_of
from botocache.stores.options import StoreOptions
from botocache.stores.redis.cluster.urls import (
    ClusterEndpoints,
    endpoints_of_url,
    names_cluster,
)
from botocache.stores.redis.commands import pack, server_time
from botocache.stores.redis.connections import exchange
from botocache.stores.redis.facts import ServerFacts
from botocache.stores.redis.in_clear import address_in_clear, is_loopback
from botocache.stores.redis.keys import Keys
from botocache.stores.redis.scripts import US
from botocache.stores.redis.sockets import guarded
from botocache.stores.redis.store import RedisStore
from botocache.stores.redis.types import Command, Connection, Reply
from botocache.stores.redis.urls import connections_of_url

ROUND_TRIPS = 15
"""Look-ups that are timed. The median of so many is not moved by two slow ones."""

PATIENCE = 2.0
"""Seconds for all replies to one request."""

MOST_SERVERS = 6
"""Servers of a cluster that are inspected: there is little time."""

_LIFE = b"60000"
"""Milliseconds that a key of an inspection lives, if it is not removed."""

_NO_SCRIPT = b"0" * 40

_SECTIONS = (b"server", b"replication", b"memory", b"cluster")


@shows("options", "mark", "has_board")
class _Aim(NamedTuple):
    """What is inspected. See `inspect_servers`."""

    options: StoreOptions
    mark: bytes
    has_board: bool


def inspect_servers(
    options: StoreOptions, mark: bytes, *, has_board: bool
) -> Iterator[ServerFacts]:
    """Yield what each primary is like, or the one server that there is.

    options: how the store is opened, by a URL.
    has_board: processes post their counts there.
    mark: a word for the inspection's keys, which no other inspection has.

    Raises StoreError, or ConfigError for a wrong URL.
    """
    if names_cluster(options.url, None):
        yield from _inspect_cluster(_Aim(options, mark, has_board))
        return
    name, make = connections_of_url(options.url, options.timeout)
    yield _inspect_server(make, name, _Aim(options, mark, has_board))


def has_records(options: StoreOptions) -> bool:
    """Return whether processes have left records on the board of a namespace.

    It leaves nothing on a server. A store does: its handshake evicts everything on a
    server that is new to its namespace.

    options: how the store is opened, by a URL.

    Raises StoreError, or ConfigError for a wrong URL.
    """
    if not names_cluster(options.url, None):
        _, make = connections_of_url(options.url, options.timeout)
        return _has_records(make, options)
    _, endpoints = endpoints_of_url(options.url, options.timeout)
    # The primary that does not have the key's slot says so, which is no record.
    return any(
        _has_records(_maker(endpoints, host, port), options)
        for host, port in _primaries(endpoints)
    )


def _has_records(make: Callable[[], Connection], options: StoreOptions) -> bool:
    connection = make()
    try:
        connection.connect()
        board = Keys(options.namespace).board
        # An error is no number: of a user who may not, or of a key of another kind.
        (reply,) = _exchange(connection, [(b"HLEN", board)])
        return isinstance(reply, int) and reply > 0
    except (RedisError, OSError) as error:
        pass_on(error)
        raise StoreError(describe(error)) from error
    finally:
        connection.disconnect()


def remove_traces(
    store: RedisStore, keys: Sequence[bytes], tags: Sequence[bytes]
) -> None:
    """Remove what a store has kept in a namespace that is used no more.

    keys: of all its entries.
    tags: all that it has looked up or evicted.

    Raises StoreError.
    """
    names = store._keys  # noqa: SLF001 - the room's own; no verb removes generations
    # Also the tag of everything, which a handshake evicts on a server that is new.
    of_tags = [*tags, EVERYTHING_DIGEST]
    each = [
        *map(names.entry, keys),
        *map(names.generation, of_tags),
        *map(names.held, of_tags),
        names.runs,
    ]
    commands = [(b"UNLINK", name) for name in dict.fromkeys(each)]
    store._ask(lambda: commands)  # noqa: SLF001 - the room's own, as before


# --- one server --------------------------------------------------------------------


def _inspect_server(
    make: Callable[[], Connection], name: str, aim: _Aim
) -> ServerFacts:
    # A connection of its own, as the store makes them, and outside of its breaker: that
    # would stop asking after three failures, and hide what the others are.
    connection = make()
    try:
        began = time.monotonic()
        connection.connect()
        connecting = time.monotonic() - began
        return _facts(connection, name, aim, connecting)
    except (RedisError, OSError) as error:
        pass_on(error)
        raise StoreError(describe(error)) from error
    finally:
        connection.disconnect()


def _facts(
    connection: Connection,
    name: str,
    aim: _Aim,
    connecting: float,
) -> ServerFacts:
    # One by one: several sections in one INFO need Redis 7.
    infos = _exchange(connection, [(b"INFO", section) for section in _SECTIONS])
    fields = _fields([info for info in infos if isinstance(info, bytes)])
    version, numbers = _version(fields)
    is_clustered = fields.get("cluster_enabled") == "1"
    tries = _trial_commands(aim, is_clustered=is_clustered)
    refused, unknown, errors = _try_commands(connection, tries)
    key = tries["+mget"][1]
    round_trips = [
        _time_command(connection, (b"MGET", key))[0] for _ in range(ROUND_TRIPS)
    ]
    return ServerFacts(
        name=name,
        connecting=connecting,
        round_trips=tuple(round_trips),
        version=version,
        numbers=numbers,
        role=fields.get("role", ""),
        memory={n: v for n, v in fields.items() if n in _MEMORY},
        ahead=_ahead(connection),
        network=_network(connection),
        refused=refused,
        unknown=unknown,
        errors=errors,
        is_clustered=is_clustered,
    )


_MEMORY = ("maxmemory", "maxmemory_policy", "used_memory")


def _exchange(connection: Connection, commands: Sequence[Command]) -> list[Reply]:
    packed = b"".join(map(pack, commands))
    return exchange(connection, packed, len(commands), time.monotonic() + PATIENCE)


def _time_command(connection: Connection, command: Command) -> tuple[float, Reply]:
    """Return how long a command took, in seconds, and the reply."""
    began = time.monotonic()
    (reply,) = _exchange(connection, [command])
    return time.monotonic() - began, reply


def _ahead(connection: Connection) -> float | None:
    """Return by how many seconds the server's clock is ahead; None if unknown."""
    took, reply = _time_command(connection, (b"TIME",))
    # The server has looked at its clock in the middle of the round trip, more or less.
    here = time.time() - took / 2
    try:
        return server_time(*reply) / US - here
    except (TypeError, ValueError):
        # Not allowed, which is found elsewhere; or a year that no server's clock has.
        return None if isinstance(reply, Exception) else _seconds_in(reply) - here


def _seconds_in(reply: Any) -> float:
    try:
        return float(reply[0])
    except (TypeError, ValueError, LookupError):
        return 0.0


def _network(connection: Connection) -> str:
    connected = connection._sock  # noqa: SLF001 - redis-py has no other name for it
    if hasattr(connected, "cipher"):
        return "tls"
    address = address_in_clear(connected)
    if address is None or is_loopback(address):
        return "local"
    return "public" if address.is_global else "private"


def _fields(infos: Sequence[bytes]) -> dict[str, str]:
    lines = b"\n".join(infos).decode("ascii", "replace").splitlines()
    return {n: v for n, colon, v in (line.partition(":") for line in lines) if colon}


def _version(fields: Mapping[str, str]) -> tuple[str, tuple[int, ...]]:
    # Valkey says which Redis it is compatible with, beside its own version.
    for product in ("valkey", "redis"):
        text = fields.get(f"{product}_version", "")
        match = re.match(r"[0-9]+(?:\.[0-9]+)*", text)
        if match:
            return f"{product} {text}", tuple(map(int, match[0].split(".")))
    return "", ()


# --- what the user may do ----------------------------------------------------------


def _trial_commands(aim: _Aim, *, is_clustered: bool) -> dict[str, Command]:
    """Return a harmless use of each command that the store sends, by its ACL rule."""
    # In one slot of a cluster, as the keys of a script are.
    prefix = b"botocache:%b:doctor-%b:{00}:" % (
        aim.options.namespace.encode(),
        aim.mark,
    )
    text, scores, members, fields = (prefix + kind for kind in (b"s", b"z", b"m", b"h"))
    tries: dict[str, Command] = {
        "+set": (b"SET", text, b"1", b"PX", _LIFE),
        "+mget": (b"MGET", text),
        "+getrange": (b"GETRANGE", text, b"0", b"1"),
        "+pttl": (b"PTTL", text),
        "+pexpire": (b"PEXPIRE", text, _LIFE),
        "+zadd": (b"ZADD", scores, b"1", b"1"),
        "+zscore": (b"ZSCORE", scores, b"1"),
        "+zcard": (b"ZCARD", scores),
        "+zremrangebyscore": (b"ZREMRANGEBYSCORE", scores, b"-inf", b"+inf"),
        "+sadd": (b"SADD", members, b"1"),
        "+scard": (b"SCARD", members),
        "+eval": (b"EVAL", b"return 1", b"1", text),
        "+evalsha": (b"EVALSHA", _NO_SCRIPT, b"1", text),
        "+time": (b"TIME",),
        "+info": (b"INFO", b"server"),
        "+scan": (b"SCAN", b"0", b"COUNT", b"1", b"MATCH", text),
    }
    if is_clustered:
        tries["+exists"] = (b"EXISTS", text)
        tries["+cluster|slots"] = (b"CLUSTER", b"SLOTS")
        tries["+asking"] = (b"ASKING",)
    if aim.options.client_tracking and not is_clustered:
        tries["+client|id"] = (b"CLIENT", b"ID")
        tries["+client|tracking"] = (b"CLIENT", b"TRACKING", b"OFF")
    if aim.has_board:
        tries["+hset"] = (b"HSET", fields, b"1", b"1")
        tries["+hget"] = (b"HGET", fields, b"1")
        tries["+hmget"] = (b"HMGET", fields, b"1")
        tries["+hlen"] = (b"HLEN", fields)
        tries["+hstrlen"] = (b"HSTRLEN", fields, b"1")
        tries["+hkeys"] = (b"HKEYS", fields)
        tries["+hdel"] = (b"HDEL", fields, b"1")
    # Last: it removes what the others have made.
    tries["+unlink"] = (b"UNLINK", text, scores, members)
    return tries


def _try_commands(
    connection: Connection, tries: Mapping[str, Command]
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Return ACL rules that are missing, commands that are unknown, other errors."""
    refused: list[str] = []
    unknown: list[str] = []
    errors: list[str] = []
    replies = _exchange(connection, [*tries.values()])
    for rule, reply in zip(tries, replies, strict=True):
        if not isinstance(reply, ResponseError):
            continue
        text = text_of(reply)
        # Before all else about a command, a server checks its user's rules.
        if isinstance(reply, NoPermissionError):
            # "... to access one of the keys used as arguments"
            refused.append("~botocache:*" if " key" in text else rule)
        elif text.lower().startswith("unknown command"):
            unknown.append(rule.removeprefix("+").upper())
        elif not _is_expected(reply):
            errors.append(f"{rule.removeprefix('+').upper()}: {text}")
    return tuple(dict.fromkeys(refused)), tuple(unknown), tuple(errors)


def _is_expected(reply: ResponseError) -> bool:
    # The script is none that the server has, and another server may hold the slot.
    return type(reply).__name__ in ("NoScriptError", "MovedError", "AskError")


# --- a cluster ---------------------------------------------------------------------


def _inspect_cluster(aim: _Aim) -> Iterator[ServerFacts]:
    options = aim.options
    _, endpoints = endpoints_of_url(options.url, options.timeout)
    # One server that is down must not hide what is wrong with the others.
    failure: StoreError | None = None
    for host, port in _primaries(endpoints):
        name = f"{options.url.partition(':')[0]}://{host}:{port}"
        try:
            yield _inspect_server(_maker(endpoints, host, port), name, aim)
        except StoreError as error:
            failure = failure or StoreError(f"{name}: {error}")
    if failure is not None:
        raise failure


def _primaries(endpoints: ClusterEndpoints) -> list[tuple[str, int]]:
    """Return the addresses of some primaries; of the seeds if no server tells."""
    for host, port in endpoints.seeds:
        connection = _maker(endpoints, host, port)()
        try:
            connection.connect()
            (slots,) = _exchange(connection, [(b"CLUSTER", b"SLOTS")])
            found = [
                endpoints.seen(
                    (part[2][0].decode() if part[2][0] else None, part[2][1])
                )
                for part in slots
            ]
            return list(dict.fromkeys(found))[:MOST_SERVERS]
        # A reply that is none of a cluster fails in any way.
        except Exception as error:  # noqa: BLE001 - the next seed may answer
            pass_on(error)
        finally:
            connection.disconnect()
    return [*endpoints.seeds][:MOST_SERVERS]


def _maker(endpoints: ClusterEndpoints, host: str, port: int) -> Callable[[], Any]:
    kind = guarded(endpoints.connection_class)
    settings = {**endpoints.settings, "host": host, "port": port}
    return lambda: kind(**settings)
