"""How a child process lives: it says its port, and ends when its parent does.

The parent holds the other end of the child's standard input. When the parent ends,
however it ends, that closes: nothing is left behind.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from socketserver import TCPServer

SWITCH_SECONDS = 0.0005


def serve_until_parent_ends(server: TCPServer) -> None:
    """Serve, announce the port as one line of JSON, return when stdin closes."""
    # A thread back from I/O waits this long for one that computes. With the default
    # of 5 ms these servers answer half as many requests, which are all this small.
    sys.setswitchinterval(SWITCH_SECONDS)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(json.dumps({"port": server.server_address[1]}), flush=True)
    _wait_for_end_of_stdin()
    server.shutdown()


def exit_with_parent() -> None:
    """End this process at once should its stdin close while it works."""

    def watch() -> None:
        _wait_for_end_of_stdin()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _wait_for_end_of_stdin() -> None:
    # Not sys.stdin.read(): a daemon thread inside it holds the buffer's lock, and
    # the interpreter aborts when it finds that lock taken at shutdown.
    while os.read(sys.stdin.fileno(), 1):
        pass
