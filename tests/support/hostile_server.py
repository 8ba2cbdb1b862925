"""A server that means harm: it answers as a test says, in the place of a real one.

It stands before a real server, in threads of this process. What an attack leaves alone
goes to the real one. So a store can connect, be attacked, and be well afterwards.
"""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

from botocache.stores.redis.replies import UNFINISHED, ReplyReader
from tests.support.processes import TIMEOUT

Part: TypeAlias = bytes | float
"""Bytes that are sent, or seconds that pass before the next ones."""

Attack: TypeAlias = Callable[[list[bytes]], Iterable[Part] | None]
"""Returns what to answer to a command; None to let the real server answer."""

_AT_A_TIME = 1 << 16


class HostileServer:
    """Answers by `attack`, which a test sets, and otherwise as the real server does.

    target: port of the real server.

    port: its own.
    sent: bytes that attacks have sent.
    commands: the words of each command that clients have sent.
    """

    def __init__(self, target: int) -> None:
        self.attack: Attack = _none
        self.sent = 0
        self.commands: list[list[bytes]] = []
        self._target = target
        self._ended = threading.Event()
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._start(self._accept)

    def url(self, scheme: str = "redis", options: str = "") -> str:
        """Return how a store finds it."""
        return f"{scheme}://127.0.0.1:{self.port}/0{options}"

    def answer(self, *parts: Part, to: bytes = b"") -> None:
        """Answer so to each command that has a word, or to all commands."""
        self.attack = lambda words: parts if to in (b"", *words) else None

    def stream(self, parts: Callable[[], Iterator[Part]], to: bytes = b"") -> None:
        """Do the same with parts that are made while they are sent."""
        self.attack = lambda words: parts() if to in (b"", *words) else None

    def heal(self) -> None:
        """Let the real server answer everything."""
        self.attack = _none

    def cut(self) -> None:
        """End all connections."""
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End it."""
        self._ended.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join(TIMEOUT)
        for each in self._sockets:
            each.close()

    def _start(self, run: Callable[[], None]) -> None:
        thread = threading.Thread(target=run, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while not self._ended.is_set():
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
                self._sockets += (client, server)
                for each in (client, server):
                    each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._start(lambda c=client, s=server: self._serve(c, s))  # type: ignore[misc]  # defaults

    def _serve(self, client: socket.socket, server: socket.socket) -> None:
        # A command is a list of strings, as a reply may be.
        commands = ReplyReader(str)
        with contextlib.suppress(OSError):
            while chunk := client.recv(_AT_A_TIME):
                commands.feed(chunk)
                while (words := commands.next_reply()) is not UNFINISHED:
                    self.commands.append(words)
                    self._reply(words, client, server)
            server.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)

    def _reply(
        self, words: list[bytes], client: socket.socket, server: socket.socket
    ) -> None:
        parts = self.attack(words)
        for part in self._true_reply(words, server) if parts is None else parts:
            if isinstance(part, float):
                if self._ended.wait(part):
                    raise ConnectionResetError
                continue
            client.sendall(part)
            if parts is not None:
                self.sent += len(part)

    @staticmethod
    def _true_reply(words: list[bytes], server: socket.socket) -> Iterator[bytes]:
        each = [b"$%d\r\n%b\r\n" % (len(word), word) for word in words]
        server.sendall(b"*%d\r\n%b" % (len(each), b"".join(each)))
        replies = ReplyReader(str)
        while replies.next_reply() is UNFINISHED:
            chunk = server.recv(_AT_A_TIME)
            if not chunk:
                raise ConnectionResetError
            replies.feed(chunk)
            yield chunk


def _none(_: list[bytes]) -> None:
    return None


@contextlib.contextmanager
def hostile_server(target: int) -> Iterator[HostileServer]:
    """Run one before a real server for as long as the context lasts."""
    with contextlib.closing(HostileServer(target)) as server:
        yield server
