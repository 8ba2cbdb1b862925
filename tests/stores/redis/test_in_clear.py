"""One line says that answers travel in clear, where they do."""

import contextlib
import logging
import socket
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import redis

from botocache import _log
from botocache.stores.opening import open_store
from botocache.stores.options import StoreOptions
from botocache.stores.redis import in_clear
from botocache.stores.redis.in_clear import (
    address_in_clear,
    is_loopback,
    note_if_in_clear,
)
from tests.support.digests import key, tag
from tests.support.processes import TIMEOUT
from tests.support.tls_proxy import Authority, running_tls_proxy
from tests.support.valkey_cluster import ValkeyCluster
from tests.support.valkey_sentinel import running_service
from tests.support.valkey_server import ValkeyServer

KEY, TAG = key("an entry"), tag("a")

Lines = Callable[..., list[str]]


def connected(family: int, peer: Any, **more: object) -> Any:
    return SimpleNamespace(family=family, getpeername=lambda: peer, **more)


ADDRESSES = {
    "127.0.0.1": None,
    "127.1.2.3": None,
    "::1": None,
    "::ffff:127.0.0.1": None,
    "10.0.0.7": logging.INFO,
    "100.64.0.1": logging.INFO,
    "192.168.1.1": logging.INFO,
    "::ffff:10.0.0.7": logging.INFO,
    "fd00::7": logging.INFO,
    "fe80::1%eth0": logging.INFO,
    "8.8.8.8": logging.WARNING,
    "2600::1": logging.WARNING,
}
"""The level of the line for a server at an address; None if there is none."""


@pytest.mark.parametrize("host", ADDRESSES)
def test_the_level_depends_on_where_the_server_is(
    host: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(_log, "_logged", set())
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    connection: Any = SimpleNamespace(_sock=connected(family, (host, 6379)))
    with caplog.at_level(logging.DEBUG):
        for _ in range(2):
            note_if_in_clear(connection, "redis://h", is_encrypted=False)
    level = ADDRESSES[host]
    expected = [] if level is None else [level]
    assert [record.levelno for record in caplog.records] == expected


def test_only_a_socket_on_the_network_without_tls_is_in_clear() -> None:
    found = address_in_clear(connected(socket.AF_INET, ("10.0.0.7", 6379)))
    assert found == ip_address("10.0.0.7")
    assert address_in_clear(connected(socket.AF_UNIX, "/run/valkey")) is None
    encrypted = connected(socket.AF_INET, ("10.0.0.7", 6379), cipher=lambda: "")
    assert address_in_clear(encrypted) is None

    def has_ended() -> object:
        raise OSError

    lost = SimpleNamespace(family=socket.AF_INET, getpeername=has_ended)
    assert address_in_clear(lost) is None


@pytest.fixture
def lines(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> Iterator[Lines]:
    """Loads from a store twice, as if its server were elsewhere; returns the lines."""
    monkeypatch.setattr(_log, "_logged", set())
    monkeypatch.setattr(in_clear, "is_loopback", lambda _: False)
    with contextlib.ExitStack() as stack:

        def load(url: str, **options: Any) -> list[str]:
            usual = {"namespace": "in clear", "environ": {}, "timeout": TIMEOUT}
            times = {"settle": 0.0, "longest_ttl": 60.0}
            store = open_store(StoreOptions(url, **{**usual, **times, **options}))
            stack.callback(store.close)
            with caplog.at_level(logging.INFO):
                store.load(KEY, [TAG])
                store.close()
                store.load(KEY, [TAG])
            return [
                record.getMessage()
                for record in caplog.records
                if "store_in_clear" in record.getMessage()
            ]

        yield load


def test_a_server_elsewhere_without_tls_is_one_line(
    valkey: ValkeyServer, lines: Lines
) -> None:
    url = f"redis://default:s3cret@127.0.0.1:{valkey.port}/0"
    (line,) = lines(url)
    assert line.startswith("botocache: store_in_clear: answers pass the network")
    assert f"redis://127.0.0.1:{valkey.port}/0" in line
    assert "rediss://" in line
    assert "s3cret" not in line
    assert lines(url) == [line]


def test_a_server_on_this_machine_is_no_line(
    valkey: ValkeyServer, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_clear, "is_loopback", is_loopback)
    assert lines(valkey.url) == []


def test_a_unix_socket_is_no_line(valkey: ValkeyServer, lines: Lines) -> None:
    assert lines(f"unix://{valkey.socket_path}") == []


def test_tls_is_no_line(valkey: ValkeyServer, lines: Lines, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with running_tls_proxy(valkey.port, authority) as proxy:
        assert lines(proxy.url("rediss", f"?ssl_ca_certs={authority.path}")) == []


def test_answers_that_are_encrypted_are_no_line(
    valkey: ValkeyServer, lines: Lines
) -> None:
    assert lines(valkey.url, is_encrypted=True) == []


def test_a_client_that_the_user_built_is_judged_by_its_connections(
    valkey: ValkeyServer, lines: Lines
) -> None:
    with redis.Redis(port=valkey.port) as client:
        (line,) = lines("", client=client)
    assert "store_in_clear" in line
    with redis.Redis(unix_socket_path=str(valkey.socket_path)) as client:
        assert lines("", client=client) == [line]


def test_a_cluster_is_one_line_for_all_servers(
    cluster: ValkeyCluster, lines: Lines
) -> None:
    (line,) = lines(cluster.url)
    assert "store_in_clear" in line


def test_a_server_that_sentinels_name_is_one_line(lines: Lines) -> None:
    with running_service() as service:
        (line,) = lines(service.url())
        assert "store_in_clear" in line
