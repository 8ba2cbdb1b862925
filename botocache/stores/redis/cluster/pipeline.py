"""Commands on their way to a cluster: which of them have no reply yet, and why."""

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

from redis.exceptions import (
    AskError,
    ClusterDownError,
    MovedError,
    NoScriptError,
    RedisError,
    ResponseError,
)
from redis.exceptions import TimeoutError as LateError

from botocache._errors import StoreError
from botocache.stores.redis.cluster.node import Node
from botocache.stores.redis.cluster.topology import (
    Address,
    Places,
    redirection,
    slot_of,
)
from botocache.stores.redis.connections import Attempt, Command, Connection, pack

_ASKING = pack((b"ASKING",))
_TIME = pack((b"TIME",))
_SHORTEST = 0.001
"""Seconds; who waits for less does not look at what is there already."""

_Step: TypeAlias = Callable[[Node], None]


class Directory(Protocol):
    """What is known of the cluster."""

    places: Places

    def holder(self, slot: int) -> Node:
        """Return who holds a slot. Raises StoreError when nobody is known to."""

    def node(self, address: Address) -> Node:
        """Return the server at an address."""

    def strangers(self) -> list[Node]:
        """Return primaries that nobody was told of yet. Each is returned once."""


class Errand:
    """Commands, their replies, and what was heard of those that have none.

    make: returns the commands; anew for those that are sent again. with_source: returns
    one that brings the script that it calls. still: those without a reply. moved: slots
    that are elsewhere. silent: servers that did not answer. is_lost: who holds what
    must be asked. has_heard_time: a server said how late it is. trouble: why the last
    of those has no reply.
    """

    def __init__(
        self,
        make: Callable[[], Sequence[Command]],
        with_source: Callable[[Command], Command],
    ) -> None:
        self._make = make
        self._with_source = with_source
        self.commands = make()
        self.slots = [*map(slot_of, self.commands)]
        self.replies: list[Any] = [None] * len(self.commands)
        self.still = list(range(len(self.commands)))
        self.redirected: dict[int, Address] = {}
        self.unknown: set[int] = set()
        self.has_heard_time = False
        self.trouble: Exception | None = None
        self.forget()

    def forget(self) -> None:
        """Forget what was heard of servers and slots, when it is known elsewhere."""
        self.moved: dict[int, Address] = {}
        self.silent: set[Address] = set()
        self.is_lost = False

    def reopen(self, failed: Sequence[int]) -> None:
        """Make anew what failed, and what comes after it for the same slot."""
        first: dict[int, int] = {}
        for at in sorted(failed):
            first.setdefault(self.slots[at], at)
        end = len(self.slots)
        self.still = [at for at in range(end) if at >= first.get(self.slots[at], end)]
        if self.still:
            self.commands = self._make()

    def packed(self, at: int) -> bytes:
        """Return a command as it is on the wire."""
        command = self.commands[at]
        if at in self.unknown:
            command = self._with_source(command)
        packed = pack(command)
        return _ASKING + packed if at in self.redirected else packed


class Round:
    """One attempt at all that is open: everything is sent, then everything is read."""

    def __init__(self, directory: Directory, errand: Errand, deadline: float) -> None:
        self._directory = directory
        self._errand = errand
        self._deadline = deadline
        self._failed: list[int] = []
        self._parts: dict[Node, list[int]] = defaultdict(list)
        self._begun: dict[Node, Connection | Attempt] = {}
        self._lent: dict[Node, Connection] = {}
        self._asked_for_time: set[Node] = set()

    def go(self) -> None:
        """Carry it out. What fails stays open."""
        self._divide()
        try:
            # Those that lack a connection make theirs at the same time; and nothing is
            # sent before there are all, for making one may evict everything.
            self._each(self._parts, self._begin)
            self._each(self._begun, self._wait)
            self._each(self._lent, self._send)
            self._each(self._lent, self._receive)
        finally:
            for connection in self._lent.values():  # it was interrupted
                connection.disconnect()
        self._errand.reopen(self._failed)

    def _divide(self) -> None:
        """Find out which commands each server gets.

        Whoever is new gets none at least: he is met, and tells the time. Else all would
        be evicted once more for each of them, whenever he is needed first.
        """
        for node in self._directory.strangers():
            self._parts[node] = []
        for at in self._errand.still:
            try:
                node = self._goal(at)
            except StoreError as error:  # noqa: PERF203 - each may
                self._errand.is_lost = True
                self._fail([at], error)
            else:
                self._parts[node].append(at)

    def _goal(self, at: int) -> Node:
        address = self._errand.redirected.get(at)
        if address is not None:
            return self._directory.node(address)
        return self._directory.holder(self._errand.slots[at])

    def _each(self, nodes: dict[Node, Any], step: _Step) -> None:
        """Take a step with each of the servers; without those that it fails with."""
        for node in list(nodes):
            try:
                step(node)
            except (RedisError, OSError, StoreError) as error:  # noqa: PERF203 - as above
                self._lose(node, error)

    def _lose(self, node: Node, error: Exception) -> None:
        connection = self._lent.pop(node, None)
        if connection is not None:
            connection.disconnect()
        node.lose()
        self._errand.silent.add(node.address)
        self._errand.is_lost = True
        self._fail(self._parts[node], error)

    def _fail(self, failed: Sequence[int], error: Exception) -> None:
        self._failed += failed
        self._errand.trouble = error

    # --- steps -----------------------------------------------------------------------

    def _begin(self, node: Node) -> None:
        self._begun[node] = node.begin()

    def _wait(self, node: Node) -> None:
        begun = self._begun[node]
        if isinstance(begun, Attempt):
            begun = begun.result(max(0.0, self._deadline - time.monotonic()))
        self._lent[node] = begun

    def _send(self, node: Node) -> None:
        packed = [*map(self._errand.packed, self._parts[node])]
        if node.is_due:
            self._asked_for_time.add(node)
            packed.append(_TIME)
        self._lent[node].send_packed_command((b"".join(packed),), check_health=False)

    def _receive(self, node: Node) -> None:
        connection = self._lent[node]
        for at in self._parts[node]:
            if at in self._errand.redirected:
                self._next(connection)
                del self._errand.redirected[at]
            self._take(node, at, self._next(connection))
        if node in self._asked_for_time:
            node.tell_time(*self._next(connection))
            self._errand.has_heard_time = True
        node.give(self._lent.pop(node))

    def _next(self, connection: Connection) -> Any:
        left = max(_SHORTEST, self._deadline - time.monotonic())
        if not connection.can_read(timeout=left):
            raise LateError("a server takes its time")
        try:
            return connection.read_response(disable_decoding=True)
        except ResponseError as error:
            return error

    def _take(self, node: Node, at: int, reply: Any) -> None:
        errand = self._errand
        match reply:
            case MovedError():
                where = redirection(reply, node.address, self._directory.places)
                errand.moved[errand.slots[at]] = where
            case AskError():
                where = redirection(reply, node.address, self._directory.places)
                errand.redirected[at] = where
            case NoScriptError():
                errand.unknown.add(at)
            case ClusterDownError():
                errand.is_lost = True
            case _:
                errand.replies[at] = reply
                return
        self._fail([at], reply)
