"""A real cluster for the tests: three primaries of Valkey, and replicas where wanted.

Each node is a server of valkey_server.py, with all that is said there. What redis-cli
would do is sent by hand.
"""

import contextlib
import tempfile
import time
from collections.abc import Generator, Iterator
from pathlib import Path

from tests.support.processes import eventually
from tests.support.valkey_server import ValkeyServer, free_port, valkey_binary

SLOTS = 16384
PRIMARIES = 3


class ValkeyCluster:
    """A running cluster. has_replicas: one for each primary.

    nodes: all servers, the primaries first, each replica in the order of these.
    """

    def __init__(
        self, binary: Path, root: Path, config: dict[str, str], *, has_replicas: bool
    ) -> None:
        self.nodes: list[ValkeyServer] = []
        self._bus: dict[ValkeyServer, int] = {}
        try:
            for number in range(PRIMARIES * (1 + has_replicas)):
                self._add(binary, root / str(number), config)
            self._join()
            self._replicate()
        except BaseException:
            self.close()
            raise

    @property
    def url(self) -> str:
        """How the store finds it."""
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)
        return f"redis+cluster://{hosts}"

    @property
    def primaries(self) -> list[ValkeyServer]:
        """Those that hold the slots, by what they say themselves."""
        return [node for node in self.nodes if _says(node, "ROLE", b"master")]

    def owner(self, slot: int) -> ValkeyServer:
        """Return the primary that holds a slot."""
        (owner,) = (node for node in self.primaries if slot in slots_of(node))
        return owner

    def replica_of(self, primary: ValkeyServer) -> ValkeyServer:
        """Return a primary's replica."""
        name = b"master_port:%d\r" % primary.port
        (replica,) = (n for n in self.nodes if _says(n, "INFO", name, "replication"))
        return replica

    def failover(self, replica: ValkeyServer) -> None:
        """Let a replica change places with its primary, losing nothing."""
        # Again where it did not come about: it takes a link and votes, within seconds.
        eventually(lambda: _becomes_primary(replica))
        self.wait_for_primary(replica)

    def wait_for_primary(self, node: ValkeyServer) -> None:
        """Return when a node is a primary, and all that live know."""
        eventually(lambda: _says(node, "ROLE", b"master"))
        eventually(lambda: all(_sees_primary(other, node) for other in self._living()))
        eventually(self.is_well)

    def migrate(self, slot: int, target: ValkeyServer) -> Generator[None, None, None]:
        """Move a slot, key by key as it is done while in use.

        It stops twice: when the slot is open at both ends, and when all keys are moved.
        """
        source = self.owner(slot)
        number = str(slot)
        target.command("CLUSTER", "SETSLOT", number, "IMPORTING", identity(source))
        source.command("CLUSTER", "SETSLOT", number, "MIGRATING", identity(target))
        try:
            yield
            move_keys(source, target, *keys_in(source, slot))
            yield
        finally:
            move_keys(source, target, *keys_in(source, slot))
            for node in (target, source, *self.primaries):
                node.command("CLUSTER", "SETSLOT", number, "NODE", identity(target))

    def close(self) -> None:
        """End it."""
        for node in self.nodes:
            node.close()

    def _add(self, binary: Path, directory: Path, config: dict[str, str]) -> None:
        directory.mkdir()
        bus = free_port()
        own = {
            "cluster_enabled": "yes",
            "cluster_port": str(bus),
            "cluster_replica_validity_factor": "0",
            "repl_diskless_sync_delay": "0",
        }
        node = ValkeyServer(binary, directory, {**own, **config})
        self.nodes.append(node)
        self._bus[node] = bus

    def _join(self) -> None:
        first, bounds = self.nodes[0], [SLOTS * i // PRIMARIES for i in range(4)]
        for number, node in enumerate(self.nodes):
            node.command("CLUSTER", "SET-CONFIG-EPOCH", str(number + 1))
            if number < PRIMARIES:
                last = str(bounds[number + 1] - 1)
                node.command("CLUSTER", "ADDSLOTSRANGE", str(bounds[number]), last)
            if node is not first:
                where = ("127.0.0.1", str(node.port), str(self._bus[node]))
                first.command("CLUSTER", "MEET", *where)
        eventually(self.is_well)

    def _replicate(self) -> None:
        for primary, replica in zip(
            self.nodes[:PRIMARIES], self.nodes[PRIMARIES:], strict=False
        ):
            command = ("CLUSTER", "REPLICATE", identity(primary))
            eventually(lambda r=replica, c=command: r.command(*c) == b"+OK\r\n")  # type: ignore[misc]  # bound at once
        for replica in self.nodes[PRIMARIES:]:
            eventually(lambda r=replica: _is_following(r))  # type: ignore[misc]  # as above
        eventually(self.is_well)

    def _living(self) -> list[ValkeyServer]:
        return [node for node in self.nodes if _says(node, "PING", b"PONG")]

    def is_well(self) -> bool:
        """Tell whether all living servers agree on the map and on their health."""
        living = self._living()
        maps = {slot_map(node) for node in living}
        return len(maps) == 1 and all(
            _says(node, "CLUSTER", b"cluster_state:ok", "INFO") for node in living
        )


def keys_in(node: ValkeyServer, slot: int) -> list[str]:
    """Return the keys of a slot that a node has."""
    reply = node.command("CLUSTER", "GETKEYSINSLOT", str(slot), "10000")
    return [line.decode() for line in reply.split(b"\r\n")[2::2]]


def move_keys(source: ValkeyServer, target: ValkeyServer, *keys: str) -> None:
    """Move keys of a slot that is on its way."""
    if keys:
        where = ("127.0.0.1", str(target.port), "", "0", "5000", "KEYS")
        assert source.command("MIGRATE", *where, *keys) == b"+OK\r\n"


def identity(node: ValkeyServer) -> str:
    """Return the name that a node has in its cluster."""
    return node.command("CLUSTER", "MYID").split(b"\r\n")[1].decode()


def slot_map(node: ValkeyServer) -> bytes:
    """Return the map of slots as a node has it: lines of a name and its slots."""
    lines = node.command("CLUSTER", "NODES").splitlines()[1:]
    holders = [
        line.split() for line in lines if b" master " in line or b"myself,ma" in line
    ]
    return b"\n".join(sorted(b" ".join([h[0], *h[8:]]) for h in holders if len(h) > 8))


def slots_of(node: ValkeyServer) -> list[int]:
    """Return the slots that a node holds."""
    name = identity(node).encode()
    held: list[int] = []
    for line in slot_map(node).splitlines():
        owner, *ranges = line.split()
        for each in ranges if owner == name else []:
            first, _, last = each.partition(b"-")
            held += range(int(first), int(last or first) + 1)
    return held


def _sees_primary(node: ValkeyServer, primary: ValkeyServer) -> bool:
    return identity(primary).encode() in slot_map(node)


def _becomes_primary(replica: ValkeyServer) -> bool:
    if _says(replica, "ROLE", b"master"):
        return True
    replica.command("CLUSTER", "FAILOVER")
    deadline = time.monotonic() + 1.0
    while time.monotonic() < deadline and not _says(replica, "ROLE", b"master"):
        time.sleep(0.001)  # real: another process is waited for
    return False


def _is_following(node: ValkeyServer) -> bool:
    return _says(node, "INFO", b"master_link_status:up", "replication")


def _says(node: ValkeyServer, verb: str, text: bytes, *more: str) -> bool:
    try:
        return text in node.command(verb, *more)
    except OSError:
        return False


@contextlib.contextmanager
def running_cluster(
    *, has_replicas: bool = False, binary: Path | None = None, **config: str
) -> Iterator[ValkeyCluster]:
    """Run a cluster for as long as the context lasts."""
    with tempfile.TemporaryDirectory() as place:
        cluster = ValkeyCluster(
            binary or valkey_binary(), Path(place), config, has_replicas=has_replicas
        )
        try:
            yield cluster
        finally:
            cluster.close()
