"""How commands get to the servers of a cluster, and replies back: Link for many.

Commands go to the primaries that hold their keys: to all of them before any reply is
read, so that they take as long as the slowest, and not as long as all. Who holds what
is asked for when it is needed first, and again when a server says that it is otherwise
or does not answer; what was not carried out is then sent again. A replica is never
asked for more than that.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

from redis.exceptions import RedisError

from botocache._coherence import LONGEST_HOLD_OFF
from botocache._errors import StoreError
from botocache._forks import renew_after_fork
from botocache.stores.redis.cluster.node import Node
from botocache.stores.redis.cluster.pipeline import Errand, Round
from botocache.stores.redis.cluster.topology import (
    SLOTS,
    Address,
    Places,
    holders,
    slot_of,
)
from botocache.stores.redis.connections import Command, Connection, exchange, pack

ATTEMPTS = 4
"""How often a command is sent: its key may have moved, be on its way again, and get to
a server that does not know the script."""

_MAP = pack((b"CLUSTER", b"SLOTS"))

_Greet: TypeAlias = Callable[[Node, Connection], object]


class Nodes:
    """The primaries of a cluster.

    places: where they are found. greet, patience: see Link. with_source: returns a
    command that brings the script that it calls.

    ahead: how far their clocks are ahead of this process's, at the least: that of the
    one which is furthest behind.
    """

    _renewing: threading.Event | None

    def __init__(
        self,
        places: Places,
        greet: _Greet,
        patience: float,
        with_source: Callable[[Command], Command],
    ) -> None:
        self.places = places
        self.ahead = time.time() - time.monotonic()  # until they tell
        self._greet = greet
        self._patience = patience
        self._with_source = with_source
        self._trouble = ""
        self._strangers: list[Node] = []
        self._of_address: dict[Address, Node] = {}
        self._of_slot: list[Node | None] = [None] * SLOTS
        self._told_by = list(places.seeds)  # whom to ask for a map, in this order
        self._reset()
        renew_after_fork(self, Nodes._reset)

    def __repr__(self) -> str:
        return f"<Nodes {[*self._of_address]}>"

    def primaries(self) -> list[Node]:
        """Return those that hold slots, as far as it is known."""
        return list(dict.fromkeys(node for node in self._of_slot if node))

    def holder(self, slot: int) -> Node:
        """Return who holds a slot. Raises StoreError when nobody is known to."""
        node = self._of_slot[slot]
        if node is None:
            raise StoreError(self._trouble or f"nobody holds slot {slot}")
        return node

    def ask(self, make: Callable[[], Sequence[Command]]) -> list[Any]:
        """Return the replies to commands, in the time of one round trip.

        make: returns the commands. What must be sent again is made anew, for it may
        have been carried out already. Those whose keys share a slot are carried out in
        their order, others in any. A reply may be a ResponseError. Raises StoreError.
        """
        deadline = time.monotonic() + self._patience
        errand = Errand(make, self._with_source)
        for _ in range(ATTEMPTS):
            if not self._of_address:
                self._renew_patiently(deadline)
            Round(self, errand, deadline).go()
            if not errand.still:
                break
            self._learn(errand, deadline)
            if time.monotonic() >= deadline:
                break
        if errand.has_heard_time:
            self._compare_clocks()
        if errand.still:
            raise StoreError(f"the cluster: {errand.trouble}") from errand.trouble
        return errand.replies

    def ask_apart(self, command: Command) -> Any:
        """Return the reply to a command, by a connection that nobody has greeted."""
        node = self.holder(slot_of(command))
        connection = self.places.make(node.address)
        try:
            connection.connect()
            (reply,) = exchange(connection, pack(command), 1)
        finally:
            connection.disconnect()
        return reply

    def try_out(self, commands: Callable[[], Iterable[Command]]) -> list[Any]:
        """Ask by new connections and a new map, however long it takes to make them."""
        self.renew()
        return [
            reply
            for command in commands()
            for reply in self.holder(slot_of(command)).try_out(pack(command), 1)
        ]

    def node(self, address: Address) -> Node:
        """Return the server at an address."""
        with self._lock:
            node = self._of_address.get(address)
            if node is None:
                node = Node(address, self.places.make, self._greet, self._patience)
                self._of_address[address] = node
        return node

    def strangers(self) -> list[Node]:
        """Return primaries that nobody was told of yet. Each is returned once."""
        self._strangers, strangers = [], self._strangers
        return strangers

    def renew(self) -> None:
        """Ask who holds what, until somebody tells; StoreError if nobody does."""
        trouble = ""
        for address in list(dict.fromkeys([*self._told_by, *self.places.seeds])):
            try:
                self._take_over([*holders(*self._map_of(address))])
            except (RedisError, OSError, StoreError) as error:  # noqa: PERF203
                trouble = f"nobody tells who holds what: {error}"
                self._distrust(address)
            else:
                trouble = ""
                break
        self._trouble = trouble
        if trouble:
            raise StoreError(f"the cluster: {trouble}")

    def close(self) -> None:
        """Close what is idle."""
        with self._lock:
            nodes = [*self._of_address.values()]
            self._of_address.clear()
            self._of_slot = [None] * SLOTS
        for node in nodes:
            node.retire()

    def _learn(self, errand: Errand, deadline: float) -> None:
        """Take in what the last round has told."""
        for slot, address in errand.moved.items():
            self._of_slot[slot] = self.node(address)
        for address in errand.silent:
            self._distrust(address)
        if errand.is_lost:
            self._renew_patiently(deadline)
        elif errand.moved:
            self._begin_to_renew()
        errand.forget()

    def _compare_clocks(self) -> None:
        """Go by the one that is furthest behind, so that no hold-off seems shorter."""
        told = [node.ahead for node in [*self._of_address.values()] if node.has_told]
        self.ahead = min(told, default=self.ahead)
        if max(told, default=self.ahead) - self.ahead > LONGEST_HOLD_OFF:
            raise StoreError("the cluster: the clocks of its servers are too far apart")

    def _map_of(self, address: Address) -> tuple[Any, Address, Places]:
        connection = self.places.make(address)
        try:
            connection.connect()
            (reply,) = exchange(connection, _MAP, 1)
        finally:
            connection.disconnect()
        if isinstance(reply, Exception):
            raise StoreError(f"{type(reply).__name__}: {reply}")
        return reply, address, self.places

    def _take_over(self, held: Sequence[tuple[Address, range]]) -> None:
        """Go by a new map. Who holds nothing any more is left alone."""
        if not held:
            raise StoreError("it holds no slots")
        of_slot: list[Node | None] = [None] * SLOTS
        for address, slots in held:
            of_slot[slots.start : slots.stop] = [self.node(address)] * len(slots)
        primaries = {address for address, _ in held}
        with self._lock:
            known = {*self._of_slot}
            self._strangers += [
                n for n in dict.fromkeys(of_slot) if n and n not in known
            ]
            self._of_slot = of_slot
            gone = [a for a in self._of_address if a not in primaries]
            retired = [self._of_address.pop(address) for address in gone]
            self._told_by.extend(primaries.difference(self._told_by))
        for node in retired:
            node.retire()

    def _distrust(self, address: Address) -> None:
        """Ask this one last from now on."""
        with self._lock, contextlib.suppress(ValueError):
            self._told_by.remove(address)
            if address in self._of_address or address in self.places.seeds:
                self._told_by.append(address)

    def _renew_patiently(self, deadline: float) -> None:
        self._begin_to_renew().wait(max(0.0, deadline - time.monotonic()))

    def _begin_to_renew(self) -> threading.Event:
        """Ask in a thread; one at a time."""
        with self._lock:
            done = self._renewing
            if done is not None:
                return done
            done = self._renewing = threading.Event()
        try:
            threading.Thread(target=self._renew, args=(done,), daemon=True).start()
        except RuntimeError:  # no thread can be started now
            self._end_renewing(done)
        return done

    def _renew(self, done: threading.Event) -> None:
        try:
            with contextlib.suppress(StoreError):
                self.renew()
        finally:
            self._end_renewing(done)

    def _end_renewing(self, done: threading.Event) -> None:
        with self._lock:
            self._renewing = None
        done.set()

    def _reset(self) -> None:
        self._lock = threading.RLock()
        self._renewing = None
