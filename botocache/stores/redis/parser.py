"""The parser of our connections, in the place of redis-py's and of hiredis.

replies.py says why. It has the methods that redis-py's connections call.
"""

import select
from typing import Any, ClassVar

import redis.cluster
from redis._parsers.base import BaseParser
from redis.exceptions import ConnectionError as LostError
from redis.exceptions import TimeoutError as LateError

from botocache._errors import pass_on
from botocache.stores.redis.replies import UNFINISHED, ReplyReader
from botocache.stores.redis.types import Reply

_AT_A_TIME = 1 << 16
_AT_MOST = 1 << 20

_CLOSED = "Connection closed by server."

# Early versions of redis-py 5 know MOVED and ASK in a parser of the cluster's only.
_OF_CLUSTERS = getattr(redis.cluster, "ClusterParser", BaseParser)


class BoundedParser(BaseParser):
    """Reads replies from a connection, within the bounds of replies.py."""

    EXCEPTION_CLASSES: ClassVar[dict[str, Any]] = {  # type: ignore[misc]  # redis-py does not say so
        **BaseParser.EXCEPTION_CLASSES,
        **_OF_CLUSTERS.EXCEPTION_CLASSES,
    }

    def __init__(self, socket_read_size: int) -> None:
        self._read_size = max(socket_read_size, _AT_A_TIME)
        self._socket: Any = None
        self._reader: ReplyReader | None = None
        self._secret = ""

    def on_connect(self, connection: Any) -> None:
        """Begin with a connection that has a socket."""
        self._socket = connection._sock  # noqa: SLF001 - redis-py's parsers do so
        self._encoder = connection.encoder
        self._reader = ReplyReader(self._error, int(connection.protocol))

    def hide(self, secret: str | bytes) -> None:
        """Let no error show a password, also where the server repeats it."""
        text = secret.decode(errors="replace") if isinstance(secret, bytes) else secret
        self._secret = text

    def on_disconnect(self) -> None:
        """Forget the connection."""
        self._socket = self._reader = None

    def can_read(self, timeout: float = 0) -> bool:
        """Wait for data; tell whether there is some, or the connection has ended."""
        reader, connected = self._reader, self._socket
        if reader is None:
            raise LostError(_CLOSED)
        pending = getattr(connected, "pending", None)  # of TLS
        if reader.has_data or (pending is not None and pending()):
            return True
        poll = select.poll()
        poll.register(connected.fileno(), select.POLLIN)
        return bool(poll.poll(timeout * 1000))

    def read_response(
        self,
        disable_decoding: bool = False,  # noqa: FBT001, FBT002 - as redis-py has it
        **_: object,
    ) -> Reply:
        """Return one reply; an error as an exception, which redis-py raises."""
        reply = self.read_reply()
        return reply if disable_decoding else self._decoded(reply)

    def read_reply(self) -> Reply:
        """Return one reply, not decoded; an error as an exception.

        Raises RedisError and OSError, and a reply that says that the connection ends.
        """
        reader, connected = self._reader, self._socket
        if reader is None:  # another thread has closed it
            raise LostError(_CLOSED)
        while (reply := reader.next_reply()) is UNFINISHED:
            size = min(max(reader.missing, self._read_size), _AT_MOST)
            try:
                chunk = connected.recv(size)
            except TimeoutError as error:
                pass_on(error)
                raise LateError("Timeout reading from socket") from error
            if not chunk:
                raise LostError(_CLOSED)
            reader.feed(chunk)
        if isinstance(reply, LostError):
            raise reply
        return reply

    def _decoded(self, reply: Reply) -> Reply:
        if isinstance(reply, list):
            return [*map(self._decoded, reply)]
        if isinstance(reply, dict):
            return {self._decoded(k): self._decoded(v) for k, v in reply.items()}
        return self._encoder.decode(reply)

    def _error(self, text: str) -> Exception:
        # Servers and proxies that do not know AUTH or HELLO repeat its arguments.
        text = text.partition(", with args")[0]
        error: Exception = self.parse_error(text)  # type: ignore[no-untyped-call]
        # In what is shown only: a short password may be a part of NOSCRIPT or MOVED.
        if self._secret and self._secret in text:
            error.args = (text.replace(self._secret, "***"),)
        return error
