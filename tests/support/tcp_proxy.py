"""A faulty network: a proxy in front of a real server, with faults that a test sets.

It runs in a thread of this process. A fault affects present and later connections,
until `heal` ends all faults.
"""

import asyncio
import contextlib
import socket
import ssl
import struct
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, NamedTuple

from tests.support.processes import TIMEOUT

_CHUNK = 1 << 20
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Answer(NamedTuple):
    """A reply in place of the server's.

    reply: for each command, or for all of them if `is_whole`.
    then_cut: whether the connection ends afterwards.
    is_whole: whether the reply is for a whole request.
    to: a word of the command to answer; empty for any command.
    """

    reply: bytes
    then_cut: bool
    is_whole: bool
    to: bytes


class TcpProxy:
    """Forwards requests and replies, unless a fault is set.

    port: of the proxy.
    target: port of the server.
    accepted: connections so far.
    commands: the first words of the commands that clients sent.
    unanswered: requests without a reply, each of which a client waited for.
    answered: requests that the proxy answered itself.
    """

    def __init__(self, target: int, context: ssl.SSLContext | None = None) -> None:
        self.target = target
        self.port = 0
        self.accepted = 0
        self.unanswered = 0
        self.answered = 0
        self.commands: list[bytes] = []
        self._context = context
        self._answers: deque[Answer] = deque()
        self._always: Answer | None = None
        self._pairs: set[_Pair] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._healthy()
        self._do(self._open)

    def url(self, scheme: str = "redis", options: str = "") -> str:
        """Return how the store finds it."""
        return f"{scheme}://127.0.0.1:{self.port}/0{options}"

    # --- faults ----------------------------------------------------------------------

    def delay(self, *, to_server: float = 0.0, to_client: float = 0.0) -> None:
        """Let everything take that many seconds more."""
        self.to_server, self.to_client = to_server, to_client

    def drip(self, seconds: float) -> None:
        """Let each byte of a reply come so much later than the one before it."""
        self.seconds_per_byte = seconds

    def swallow(self) -> None:
        """Take whatever clients send, and answer nothing."""
        self.swallows = True

    def hold_replies(self) -> None:
        """Let the server carry out what clients send, and its replies wait."""
        self._set(self._replies_pass.clear)

    def release_replies(self) -> None:
        """Let all replies go that waited: late."""
        self._set(self._replies_pass.set)

    def answer(
        self,
        reply: bytes,
        *,
        times: int = 1,
        then_cut: bool = False,
        is_whole: bool = False,
        to: bytes = b"",
    ) -> None:
        """Answer the next requests so, each command in them; see Answer."""
        self._answers.extend([Answer(reply, then_cut, is_whole, to)] * times)

    def answer_always(self, reply: bytes, *, to: bytes = b"") -> None:
        """Answer so until `heal`."""
        self._always = Answer(reply, then_cut=False, is_whole=False, to=to)

    def cut(self, *, reset: bool = True) -> None:
        """End all connections: with a RST, or else with a FIN."""
        self._do(lambda: self._cut(reset=reset))

    def half_close(self) -> None:
        """Send clients a FIN, and still forward what they send."""

        async def half() -> None:
            for pair in self._pairs:
                pair.half_close()

        self._do(half)

    def stop_accepting(self) -> None:
        """Let new connections wait where the system keeps them."""
        self._do(self._stop_accepting)

    def refuse(self) -> None:
        """Refuse new connections."""
        self._do(self._close_listener)

    def heal(self) -> None:
        """End all faults. Connections that were cut stay cut."""
        self._healthy()
        self._set(self._replies_pass.set)
        self._do(self._open)

    def close(self) -> None:
        """End it, and all connections."""
        self._do(self._end)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(TIMEOUT)
        self._loop.close()

    # --- inside ----------------------------------------------------------------------

    def _healthy(self) -> None:
        self.delay()
        self.drip(0.0)
        self.swallows = False
        self._answers.clear()
        self._always = None

    def _do(self, work: Callable[[], Awaitable[None]]) -> None:
        async def run() -> None:
            await work()

        asyncio.run_coroutine_threadsafe(run(), self._loop).result(TIMEOUT)

    def _set(self, change: Callable[[], None]) -> None:
        async def run() -> None:
            change()

        self._do(run)

    async def _open(self) -> None:
        if not self.port:
            self._replies_pass = asyncio.Event()
            self._replies_pass.set()
            self._listener: socket.socket | None = None
        if self._listener is None:
            self._listener = socket.create_server(("127.0.0.1", self.port))
            self._listener.setblocking(False)
            self.port = self._listener.getsockname()[1]
        self._loop.add_reader(self._listener, self._accept, self._listener)

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):  # the client has gone already
            client, _ = listener.accept()
            client.setblocking(False)
            self.accepted += 1
            pair = _Pair(self, client)
            self._pairs.add(pair)
            pair.task = self._loop.create_task(pair.serve())

    async def _stop_accepting(self) -> None:
        if self._listener is not None:
            self._loop.remove_reader(self._listener)

    async def _close_listener(self) -> None:
        await self._stop_accepting()
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    async def _cut(self, *, reset: bool) -> None:
        for pair in list(self._pairs):
            await pair.end(reset=reset)

    async def _end(self) -> None:
        await self._close_listener()
        await self._cut(reset=True)

    def _answer_to(self, words: list[bytes]) -> Answer | None:
        """Return the answer in place of the server's reply, or None."""
        answer = self._always or (self._answers[0] if self._answers else None)
        if answer is None or (answer.to and answer.to not in words):
            return None
        if answer is not self._always:
            self._answers.popleft()
        return answer


class _Pair:
    """A client's connection, and that to the server for it."""

    task: "asyncio.Task[None]"

    def __init__(self, proxy: TcpProxy, client: socket.socket) -> None:
        self._proxy = proxy
        self._socket = client
        self._writers: list[asyncio.StreamWriter] = []

    async def serve(self) -> None:
        """Pass on, until one side ends."""
        try:
            client = await self._client()
            server = await asyncio.open_connection("127.0.0.1", self._proxy.target)
            self._writers.append(server[1])
            pumps = [
                asyncio.ensure_future(self._to_server(client, server[1])),
                asyncio.ensure_future(self._to_client(server[0], client[1])),
            ]
            try:
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
        except OSError:
            pass  # refused by the server, or by a client that trusts no certificate
        finally:
            self._close()

    async def end(self, *, reset: bool) -> None:
        """Cut it."""
        if reset:
            with contextlib.suppress(OSError):
                self._socket.setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE
                )
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        self._close()  # it may not have begun

    def half_close(self) -> None:
        self._writers[0].write_eof()

    async def _client(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        loop, context = asyncio.get_running_loop(), self._proxy._context
        transport: Any
        transport, _ = await loop.connect_accepted_socket(
            lambda: protocol, self._socket, ssl=context
        )
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        self._writers.append(writer)
        return reader, writer

    async def _to_server(
        self,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        server: asyncio.StreamWriter,
    ) -> None:
        reader, writer = client
        while request := await reader.read(_CHUNK):
            await asyncio.sleep(self._proxy.to_server)
            if await self._is_diverted(request, writer):
                continue
            server.write(request)
            await server.drain()

    async def _is_diverted(self, request: bytes, client: asyncio.StreamWriter) -> bool:
        """Apply the current fault to a request; return False to forward it."""
        proxy = self._proxy
        commands = list(commands_in(request))
        proxy.commands += [words[0] for words in commands]
        if proxy.swallows:
            proxy.unanswered += 1
            return True
        words = [word for command in commands for word in command]
        answer = proxy._answer_to(words)
        if answer is None:
            return False
        client.write(answer.reply * (1 if answer.is_whole else len(commands)))
        await client.drain()
        proxy.answered += 1
        if answer.then_cut:
            raise ConnectionResetError
        return True

    async def _to_client(
        self, server: asyncio.StreamReader, client: asyncio.StreamWriter
    ) -> None:
        while reply := await server.read(_CHUNK):
            if not self._proxy._replies_pass.is_set():
                self._proxy.unanswered += 1
                await self._proxy._replies_pass.wait()
            await asyncio.sleep(self._proxy.to_client)
            with contextlib.suppress(RuntimeError):  # it was half closed
                for part in self._parts(reply):
                    client.write(part)
                    await client.drain()
                    await asyncio.sleep(self._proxy.seconds_per_byte)

    def _parts(self, reply: bytes) -> list[bytes]:
        if not self._proxy.seconds_per_byte:
            return [reply]
        return [reply[at : at + 1] for at in range(len(reply))]

    def _close(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        if not self._writers:
            self._socket.close()
        self._proxy._pairs.discard(self)


def commands_in(request: bytes) -> Iterator[list[bytes]]:
    """Yield the words of each command of a request, as far as it has begun."""
    at = 0
    while at < len(request) and request[at : at + 1] == b"*":
        line, at = _line(request, at)
        words = []
        for _ in range(int(line[1:])):
            line, at = _line(request, at)
            size = int(line[1:] or 0)
            words.append(request[at : at + size])
            at += size + 2
        yield words


def _line(text: bytes, at: int) -> tuple[bytes, int]:
    end = text.find(b"\r\n", at)
    return (text[at:end], end + 2) if end >= 0 else (b"$0", len(text))


@contextlib.contextmanager
def running_proxy(
    target: int, context: ssl.SSLContext | None = None
) -> Iterator[TcpProxy]:
    """Run a proxy for as long as the context lasts.

    target: the server's port. context: what TLS is ended with.
    """
    with contextlib.closing(TcpProxy(target, context)) as proxy:
        yield proxy
