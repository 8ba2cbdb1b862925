"""A real Valkey server whose whole content can be read, replaced and crammed.

One for each process that explores, for as long as that lives. Whatever is in it belongs
to the schedule that runs.
"""

import atexit
import contextlib
import math
from collections.abc import Sequence
from functools import cache
from typing import Any, TypeAlias

from redis.exceptions import ResponseError

from botocache.stores.redis.commands import pack
from botocache.stores.redis.connections import exchange
from botocache.stores.redis.scripts import EVICT, LOOK, PROLONG, Script
from botocache.stores.redis.sockets import set_deadline
from botocache.stores.redis.types import Command
from botocache.stores.redis.urls import connections_of_url
from tests.support.processes import TIMEOUT
from tests.support.valkey_server import running_valkey

Dump: TypeAlias = list[tuple[bytes, bytes, Any]]
"""Everything that there is: key, type and value, in the order of the keys."""

_ADDING = {b"string": b"SET", b"zset": b"ZADD", b"set": b"SADD"}
"""What makes a key of a type."""

_SCRIPTS = (LOOK, EVICT, PROLONG)

_DUMP = b"""
local all = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
  local kind = redis.call('TYPE', key).ok
  local value
  if kind == 'string' then value = redis.call('GET', key) end
  if kind == 'zset' then value = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES') end
  if kind == 'set' then value = redis.call('SMEMBERS', key) end
  all[#all + 1] = {key, kind, value}
end
return all
"""


class Database:
    """The server, by a connection of our own. is_full: it has no room for anything."""

    def __init__(self, url: str) -> None:
        _, make = connections_of_url(url, TIMEOUT)
        self._connection = make()
        self._connection.connect()
        # Else that of the connecting holds for all that the process explores later.
        set_deadline(self._connection, math.inf)
        self.is_full = False
        self._everything: Dump | None = None

    def ask(self, *commands: Command) -> list[Any]:
        """Return the replies to commands; an error is one."""
        self._everything = None
        packed = b"".join(map(pack, commands))
        return exchange(self._connection, packed, len(commands))

    def carry_out(self, packed: bytes) -> Any:
        """Return the reply to one command; an error is one."""
        self._everything = None
        (reply,) = exchange(self._connection, packed, 1)
        return reply

    def everything(self) -> Dump:
        """Return all that is in it."""
        if self._everything is None:
            (found,) = self.ask((b"EVAL", _DUMP, b"0"))
            self._everything = sorted(map(tuple, found))
        return self._everything

    def replace(self, dump: Dump) -> None:
        """Hold this, and nothing else."""
        self.fill_up(is_full=False)
        _require(self.ask((b"FLUSHDB",), *map(_adding, dump)))

    def lose(self, key: bytes) -> None:
        """Lose a key, as a server does that is short of memory."""
        _require(self.ask((b"DEL", key)))

    def fill_up(self, *, is_full: bool) -> None:
        """Have no room for anything, or have it again."""
        if self.is_full != is_full:
            self.is_full = is_full
            size = b"1" if is_full else b"0"
            _require(self.ask((b"CONFIG", b"SET", b"maxmemory", size)))

    def load_scripts(self, scripts: Sequence[Script]) -> None:
        """Know scripts, as a server does that has been in use for a while."""
        _require(self.ask(*((b"SCRIPT", b"LOAD", each.source) for each in scripts)))

    def close(self) -> None:
        """Close the connection."""
        self._connection.disconnect()


@cache
def the_database() -> Database:
    """Return that of this process."""
    stack = contextlib.ExitStack()
    atexit.register(stack.close)
    server = stack.enter_context(running_valkey())
    database = stack.enter_context(contextlib.closing(Database(server.url)))
    database.load_scripts(_SCRIPTS)
    return database


def _adding(part: tuple[bytes, bytes, Any]) -> Command:
    key, kind, value = part
    if kind == b"zset":  # a score comes before its member
        value = [
            each for pair in zip(value[1::2], value[::2], strict=True) for each in pair
        ]
    return (_ADDING[kind], key, *(value if isinstance(value, list) else [value]))


def _require(replies: Sequence[Any]) -> None:
    for reply in replies:
        if isinstance(reply, ResponseError):
            raise reply
