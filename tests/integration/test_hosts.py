"""Several hosts share one Valkey: each has a home of its own, and two processes.

Only the environment turns the cache on.
"""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.integration import hosted
from tests.integration.app import put
from tests.support.dynamodb import DynamoDB
from tests.support.processes import Peer, eventually, running_peer
from tests.support.valkey_server import ValkeyServer, running_valkey


class Hosts(NamedTuple):
    """Processes, two of each host, and what all of them use."""

    processes: list[Peer]
    dynamodb: DynamoDB
    table: str

    def write(self, process: int, n: int) -> None:
        self._call(process, hosted.write, n)

    def read(self) -> list[int]:
        """Return what each process reads, one after the other."""
        processes = range(len(self.processes))
        return [self._call(process, hosted.read) for process in processes]

    def deliver(self) -> None:
        for process in self.processes:
            process.call(hosted.deliver)

    def failures(self) -> list[int]:
        return [process.call(hosted.failures) for process in self.processes]

    def is_cached(self) -> bool:
        """Return whether every host has a hit."""
        with self.dynamodb.counting() as counted:
            self.read()
        return not counted

    def _call(self, process: int, function: Any, *arguments: Any) -> Any:
        peer = self.processes[process]
        return peer.call(function, self.dynamodb.url, self.table, *arguments)


@pytest.fixture(scope="module")
def server() -> Iterator[ValkeyServer]:
    """One of these tests' own, which they kill."""
    with running_valkey() as started:
        yield started


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return [tmp_path_factory.mktemp("host") for _ in range(2)]


@pytest.fixture(scope="module")
def processes(server: ValkeyServer, homes: list[Path]) -> Iterator[list[Peer]]:
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(running_peer(*_on_host(home, server.url)))
            for home in homes
            for _ in range(2)
        ]


@pytest.fixture
def hosts(processes: list[Peer], dynamodb: DynamoDB) -> Hosts:
    """Two processes on each host, and an item."""
    table = dynamodb.create_table()
    put(dynamodb.client(), table, pk="a", n=0)
    return Hosts(processes, dynamodb, table)


def _on_host(home: Path, url: str) -> list[str]:
    """Return a command that starts another one as a container's environment would."""
    variables = {
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "BOTOCACHE": "1",
        "BOTOCACHE_URL": url,
    }
    assigned = [f"{name}={value}" for name, value in variables.items()]
    return ["env", *assigned, sys.executable, "-m", "botocache", "run", "--"]


def test_a_write_on_one_host_is_in_the_next_read_on_every_other(
    hosts: Hosts, homes: list[Path]
) -> None:
    assert hosts.read() == [0] * 4
    for n, process in enumerate((0, 3, 1, 2), start=1):
        eventually(hosts.is_cached)
        hosts.write(process, n)
        hosts.deliver()
        assert hosts.read() == [n] * 4
    assert [*homes[0].rglob("botocache*"), *homes[1].rglob("botocache*")] == []


def test_a_server_that_restarts_between_writes_causes_no_stale_read(
    hosts: Hosts, server: ValkeyServer
) -> None:
    for n, process in enumerate((0, 2), start=1):
        hosts.read()
        eventually(hosts.is_cached)
        server.kill()
        server.start()
        hosts.write(process, n)
        hosts.deliver()
        assert hosts.read() == [n] * 4


def test_without_the_server_no_call_fails_and_no_read_is_stale(
    hosts: Hosts, server: ValkeyServer
) -> None:
    hosts.read()
    eventually(hosts.is_cached)
    server.kill()
    for n, process in enumerate((0, 3), start=1):
        hosts.write(process, n)
        assert hosts.read() == [n] * 4
    assert all(hosts.failures())
    server.start()
    hosts.deliver()
    assert hosts.read() == [2] * 4
    eventually(hosts.is_cached)
