"""One line says that answers travel in clear, where they do."""

import contextlib
import logging
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import redis

from botocache import _stats
from botocache.stores.opening import open_store
from botocache.stores.options import StoreOptions
from botocache.stores.redis import in_clear
from botocache.stores.redis.in_clear import is_loopback, is_readable_by_others
from tests.support.digests import key, tag
from tests.support.processes import TIMEOUT
from tests.support.tls_proxy import Authority, running_tls_proxy
from tests.support.valkey_cluster import ValkeyCluster
from tests.support.valkey_sentinel import running_service
from tests.support.valkey_server import ValkeyServer

KEY, TAG = key("an entry"), tag("a")

Lines = Callable[..., list[str]]


@pytest.mark.parametrize(
    ("host", "is_ours"),
    [
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("10.0.0.7", False),
        ("192.168.1.1", False),
        ("8.8.8.8", False),
        ("::ffff:10.0.0.7", False),
        ("fe80::1%eth0", False),
        ("0.0.0.0", False),
    ],
)
def test_an_address_is_this_machines_own(host: str, is_ours: bool) -> None:
    assert is_loopback(host) is is_ours


def connected(family: int, peer: Any, **more: object) -> Any:
    return SimpleNamespace(family=family, getpeername=lambda: peer, **more)


def test_a_socket_is_readable_by_others_without_tls_on_the_network_only() -> None:
    assert is_readable_by_others(connected(socket.AF_INET, ("10.0.0.7", 6379)))
    assert is_readable_by_others(connected(socket.AF_INET6, ("fd00::7", 6379, 0, 0)))
    assert not is_readable_by_others(connected(socket.AF_INET, ("127.0.0.1", 6379)))
    assert not is_readable_by_others(connected(socket.AF_UNIX, "/run/valkey"))
    encrypted = connected(socket.AF_INET, ("10.0.0.7", 6379), cipher=lambda: "")
    assert not is_readable_by_others(encrypted)

    def has_ended() -> object:
        raise OSError

    lost = SimpleNamespace(family=socket.AF_INET, getpeername=has_ended)
    assert not is_readable_by_others(lost)


@pytest.fixture
def lines(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> Iterator[Lines]:
    """Loads from a store twice, as if its server were elsewhere; returns the lines."""
    monkeypatch.setattr(_stats, "_logged", set())
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
                if record.levelno == logging.WARNING
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
