"""A program: ministack's DynamoDB over HTTP, on a free port of 127.0.0.1.

It runs in an environment of its own: ministack wants another botocore than ours. Prints
`{"port": ...}` and ends when its standard input does, so that nothing outlives the
tests. What it would write goes into a directory that is removed with it.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import tempfile
import threading

from hypercorn.asyncio import serve
from hypercorn.config import Config

_SWITCHED_OFF = {"SFTP_ENABLED": "0", "IOT_MTLS_ENABLED": "0", "PERSIST_STATE": "0"}
"""What would open ports, or read what an earlier run has left."""


async def _serve_until_input_ends(listener: socket.socket, port: int) -> None:
    # It reads the environment when it is imported.
    from ministack.app import app

    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.loglevel = "ERROR"
    config.keep_alive_timeout = 600.0
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    # A test run that is ended may signal all of its processes, this one too.
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    waiting = threading.Thread(target=_await_input, args=(loop, ended), daemon=True)
    waiting.start()
    print(json.dumps({"port": port}), flush=True)
    await serve(app, config, shutdown_trigger=ended.wait)


def _await_input(loop: asyncio.AbstractEventLoop, ended: asyncio.Event) -> None:
    sys.stdin.read()
    with contextlib.suppress(RuntimeError):  # the loop has ended already
        loop.call_soon_threadsafe(ended.set)


def main() -> None:
    """Serve until standard input ends."""
    with (
        tempfile.TemporaryDirectory(prefix="ministack") as directory,
        socket.socket() as listener,
    ):
        listener.bind(("127.0.0.1", 0))
        listener.listen(100)
        port = listener.getsockname()[1]
        os.environ.update(
            _SWITCHED_OFF,
            GATEWAY_PORT=str(port),
            LOG_LEVEL="ERROR",
            SERVICES="dynamodb,dynamodbstreams",
            STATE_DIR=directory,
            S3_DATA_DIR=directory,
            TMPDIR=directory,
        )
        tempfile.tempdir = None  # it looks TMPDIR up again
        asyncio.run(_serve_until_input_ends(listener, port))


if __name__ == "__main__":
    main()
