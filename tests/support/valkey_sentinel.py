"""A primary, its replica, and Sentinels that watch them: real ones, of one binary."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.support.processes import eventually
from tests.support.valkey_server import ValkeyServer, valkey_binary

SERVICE = "shop"


class Sentinel(ValkeyServer):
    """A Sentinel. config: its directives; it writes what it learns to a file."""

    def _arguments(self) -> list[str]:
        path = self._directory / "sentinel.conf"
        if not path.exists():
            lines = [f"{name} {value}" for name, value in self._config.items()]
            head = ["bind 127.0.0.1", f"port {self.port}", f"dir {self._directory}"]
            path.write_text("\n".join([*head, *lines, ""]))
        return [str(path), "--sentinel"]


class Service:
    """A primary and a replica under Sentinels; they change roles in a failover.

    password: of the servers, and the sentinels' own.
    """

    def __init__(self, directory: Path, sentinels: int, password: str) -> None:
        self.password = password
        self._directory = directory
        self._stack = contextlib.ExitStack()
        with contextlib.ExitStack() as stack:
            self.servers = [self._server(stack, name) for name in ("one", "two")]
            self.primary, self.replica = self.servers
            self.replica.command("REPLICAOF", "127.0.0.1", str(self.primary.port))
            self.await_replica()
            self.sentinels = [
                self._sentinel(stack, f"sentinel{number}", sentinels // 2 + 1)
                for number in range(sentinels)
            ]
            eventually(self._is_watched)
            self._stack = stack.pop_all()

    def url(self, service: str = SERVICE, options: str = "") -> str:
        """Return how the store finds it."""
        login = f":{self.password}@" if self.password else ""
        places = ",".join(f"127.0.0.1:{each.port}" for each in self.sentinels)
        query = [options] if options else []
        if self.password:
            query.append(f"sentinel_password={self.password}")
        end = f"?{'&'.join(query)}" if query else ""
        return f"redis+sentinel://{login}{places}/{service}/0{end}"

    def await_replica(self) -> None:
        """Wait until the replica has all that the primary has."""
        eventually(lambda: _field(self.replica, "master_link_status") == "up")

    def fail_over(self) -> None:
        """Have a Sentinel make the replica the primary; wait until it is one."""
        reply = self.sentinels[0].command("SENTINEL", "FAILOVER", SERVICE)
        assert reply == b"+OK\r\n", reply
        self._await_failover()

    def kill_primary(self) -> None:
        """Kill the primary; wait until the replica is one."""
        self.primary.kill()
        self._await_failover()

    def close(self) -> None:
        """End all of it."""
        self._stack.close()

    def _await_failover(self) -> None:
        self.primary, self.replica = self.replica, self.primary
        eventually(lambda: _field(self.primary, "role") == "master")
        eventually(lambda: all(map(self._knows_primary, self.sentinels)))

    def _knows_primary(self, sentinel: ValkeyServer) -> bool:
        words = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
        return str(self.primary.port).encode() in sentinel.command(*words)

    def _is_watched(self) -> bool:
        """Whether each Sentinel knows the replica, and the others."""
        return all(map(self._watches, self.sentinels))

    def _watches(self, sentinel: ValkeyServer) -> bool:
        primary = _pairs(sentinel.command("SENTINEL", "MASTER", SERVICE))
        replica = _pairs(sentinel.command("SENTINEL", "REPLICAS", SERVICE))
        return (
            primary.get("num-other-sentinels") == str(len(self.sentinels) - 1)
            and primary.get("flags") == "master"
            and replica.get("port") == str(self.replica.port)
            and replica.get("flags") == "slave"
            and replica.get("master-link-status") == "ok"
        )

    def _server(self, stack: contextlib.ExitStack, name: str) -> ValkeyServer:
        config = {"repl_diskless_sync_delay": "0"}
        if self.password:
            config |= {"requirepass": self.password, "masterauth": self.password}
        return self._started(stack, ValkeyServer, name, config)

    def _sentinel(
        self, stack: contextlib.ExitStack, name: str, quorum: int
    ) -> ValkeyServer:
        config = {
            "sentinel monitor": f"{SERVICE} 127.0.0.1 {self.primary.port} {quorum}",
            f"sentinel down-after-milliseconds {SERVICE}": "500",
            f"sentinel failover-timeout {SERVICE}": "5000",
        }
        if self.password:
            config[f"sentinel auth-pass {SERVICE}"] = self.password
            config["requirepass"] = self.password
        return self._started(stack, Sentinel, name, config)

    def _started(
        self,
        stack: contextlib.ExitStack,
        kind: type[ValkeyServer],
        name: str,
        config: dict[str, str],
    ) -> ValkeyServer:
        directory = self._directory / name
        directory.mkdir()
        server = kind(valkey_binary(), directory, config)
        stack.callback(server.close)
        return server


def _field(server: ValkeyServer, name: str) -> str:
    try:
        info = server.command("INFO", "replication").decode()
    except OSError:  # it changes what it is
        return ""
    fields = dict(line.split(":", 1) for line in info.splitlines() if ":" in line)
    return fields.get(name, "")


def _pairs(reply: bytes) -> dict[str, str]:
    """Return what a Sentinel says of one server."""
    lines = reply.decode().split("\r\n")
    words = [line for line in lines if line[:1] not in ("*", "$")]
    return dict(zip(words[::2], words[1::2], strict=False))


@contextlib.contextmanager
def running_service(sentinels: int = 1, password: str = "") -> Iterator[Service]:
    """Run a service for as long as the context lasts."""
    with (
        tempfile.TemporaryDirectory() as place,
        contextlib.closing(Service(Path(place), sentinels, password)) as service,
    ):
        yield service
