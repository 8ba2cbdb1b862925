"""Ports of 127.0.0.1 that are one server's for as long as it wants, up or down."""

import socket


class ReservedPort:
    """A free port that nobody else is given, while a server of ours may listen on it.

    The socket that holds it never listens, so who connects while the server is down is
    refused. That it may be shared is said only after it was bound: the kernel hands it
    to nobody, and lets one in who asks for it by number and says so too, as Redis does.
    """

    def __init__(self) -> None:
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.number: int = self._socket.getsockname()[1]

    def close(self) -> None:
        """Give it back."""
        self._socket.close()
