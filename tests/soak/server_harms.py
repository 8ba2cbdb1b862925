"""Harms to the Redis server while workers use it, and their schedule.

It is killed and starts again, empty; stopped for a while; made to pause, to sleep, to
cut all connections; emptied; crowded, so that it drops keys to have room for others;
and full, so that it refuses whatever needs room.
"""

import signal
from collections.abc import Callable, Mapping
from random import Random

from tests.soak.disturbances import Disturbance, Kind
from tests.support.valkey_server import ValkeyServer

_ENDS = {
    Kind.FREEZE: Kind.THAW,
    Kind.CROWD: Kind.MAKE_ROOM,
    Kind.FILL_UP: Kind.MAKE_ROOM,
}
"""Harms that last until they are ended."""

_HARMS = (
    *(Kind.RESTART, Kind.FREEZE, Kind.PAUSE, Kind.SLEEP),
    *(Kind.CUT, Kind.FLUSH, Kind.CROWD, Kind.FILL_UP),
)


def plan_harms(seconds: float, random: Random) -> list[Disturbance]:
    """Plan each harm in turn, one after the other."""
    planned: list[Disturbance] = []
    at = 0.0
    while True:
        for kind in random.sample(_HARMS, len(_HARMS)):
            at += random.uniform(0.2, 1.0)
            if at >= seconds:
                return planned
            planned.append(Disturbance(at, kind))
            if kind in _ENDS:
                at += random.uniform(0.1, 0.8)
                planned.append(Disturbance(at, _ENDS[kind]))


def harm(server: ValkeyServer, kind: Kind) -> None:
    """Do it."""
    _DEEDS[kind](server)


def _restart(server: ValkeyServer) -> None:
    server.kill()
    server.start()


def _crowd(server: ValkeyServer) -> None:
    """Lower the memory limit so far that the server drops keys."""
    _limit(server, "allkeys-lru", _used(server) - 10_000)


def _fill_up(server: ValkeyServer) -> None:
    _limit(server, "noeviction", _used(server) - 10_000)


def _limit(server: ValkeyServer, policy: str, size: int) -> None:
    server.command("CONFIG", "SET", "maxmemory-policy", policy, "maxmemory", str(size))


def _used(server: ValkeyServer) -> int:
    for line in server.command("INFO", "memory").splitlines():
        name, _, value = line.partition(b":")
        if name == b"used_memory":
            return int(value)
    raise ValueError("INFO names no used_memory")


_DEEDS: Mapping[Kind, Callable[[ValkeyServer], object]] = {
    Kind.RESTART: _restart,
    Kind.FREEZE: lambda server: server.signal(signal.SIGSTOP),
    Kind.THAW: lambda server: server.signal(signal.SIGCONT),
    Kind.PAUSE: lambda server: server.command("CLIENT", "PAUSE", "300"),
    Kind.SLEEP: lambda server: server.command("DEBUG", "SLEEP", "0.2"),
    Kind.CUT: lambda server: server.command("CLIENT", "KILL", "TYPE", "normal"),
    Kind.FLUSH: lambda server: server.command("FLUSHALL"),
    Kind.CROWD: _crowd,
    Kind.FILL_UP: _fill_up,
    Kind.MAKE_ROOM: lambda server: _limit(server, "noeviction", 0),
}
