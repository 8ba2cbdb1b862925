"""An application whose calls a test makes in another process, through a Peer."""

import os
import signal
from pathlib import Path
from typing import Any, NamedTuple

import botocache
from botocache.stores.disk.store import DiskStore
from tests.integration.app import get, set_n
from tests.support.dynamodb import DynamoDB
from tests.support.network import intercept

_clients: dict[Path, Any] = {}


class Application(NamedTuple):
    """A table behind a cache in a directory. Its writes hold nothing off."""

    url: str
    directory: Path
    table: str

    def write(self, pk: str, n: int) -> None:
        """Set the attribute `n` of an item."""
        set_n(self._client(settle=0), self.table, n, pk=pk)

    def read(self, pk: str) -> Any:
        """Get an item."""
        return get(self._client(settle=0), self.table, pk=pk)

    def write_and_die(self, pk: str, n: int) -> None:
        """Write, and die when DynamoDB has answered and nobody here knows yet."""
        client = self._client()
        intercept(client, "response-received.dynamodb.UpdateItem", _die)
        set_n(client, self.table, n, pk=pk)

    def _client(self, **settings: Any) -> Any:
        """Return the client that this process has for the directory."""
        if self.directory not in _clients:
            server = DynamoDB(self.url)
            session = server.session()
            botocache.install(session, url=DiskStore(self.directory), **settings)
            _clients[self.directory] = server.client(session)
        return _clients[self.directory]


def _die(**_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)
