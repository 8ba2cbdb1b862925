"""The store by TLS: see tests/support/tls_proxy.py. Valkey here has none of its own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from botocache._coherence import EvictionRequest
from botocache._errors import StoreError
from botocache.stores.protocol import Store
from botocache.stores.redis.store import RedisStore
from botocache.stores.redis.urls import connections_of_url
from tests.support.digests import key, tag
from tests.support.opening import open_store_at
from tests.support.processes import TIMEOUT
from tests.support.redis_stores import redis_store
from tests.support.tcp_proxy import TcpProxy
from tests.support.tls_proxy import Authority, running_tls_proxy
from tests.support.valkey_server import ValkeyServer

SHORT = 0.2
"""Seconds; it waits in vain."""

KEY, TAG = key("an entry"), tag("a")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def proxy(valkey: ValkeyServer, authority: Authority) -> Iterator[TcpProxy]:
    with running_tls_proxy(valkey.port, authority) as made:
        yield made


def opened(url: str, namespace: str, client: Any = None) -> RedisStore:
    store = open_store_at(
        url,
        namespace=namespace,
        timeout=TIMEOUT,
        settle=0.0,
        longest_ttl=60.0,
        client=client,
    )
    assert isinstance(store, RedisStore)
    return store


def assert_works(store: Store) -> None:
    snapshot = store.load(KEY, [TAG]).snapshot
    store.fill(KEY, b"entry" * 100_000, 60.0, [TAG])
    found = store.load(KEY, [TAG])
    assert found.entry == b"entry" * 100_000
    assert found.snapshot == snapshot
    store.evict(EvictionRequest([TAG], 0.0))
    assert store.load(KEY, [TAG]).snapshot != snapshot


@pytest.mark.parametrize("scheme", ["rediss", "valkeys"])
def test_a_server_is_trusted_by_the_authority_that_signed_it(
    scheme: str, proxy: TcpProxy, authority: Authority, namespace: str
) -> None:
    store = opened(proxy.url(scheme, f"?ssl_ca_certs={authority.path}"), namespace)
    assert_works(store)
    store.close()


def test_without_certificate_checks_any_certificate_is_accepted(
    proxy: TcpProxy, namespace: str
) -> None:
    store = opened(proxy.url("rediss", "?ssl_cert_reqs=none"), namespace)
    assert_works(store)
    store.close()


def test_a_client_brings_what_it_trusts(
    proxy: TcpProxy, authority: Authority, namespace: str
) -> None:
    client = redis.Redis(
        "127.0.0.1",
        proxy.port,
        ssl=True,
        ssl_ca_certs=str(authority.path),
        socket_timeout=TIMEOUT,
    )
    store = opened("", namespace, client)
    assert_works(store)
    store.close()


def test_a_connection_by_tls_that_was_cut_is_replaced(
    proxy: TcpProxy, authority: Authority, namespace: str
) -> None:
    store = opened(proxy.url("rediss", f"?ssl_ca_certs={authority.path}"), namespace)
    for reset in (True, False):
        assert_works(store)
        proxy.cut(reset=reset)
    assert_works(store)
    assert proxy.accepted == 3
    store.close()


@pytest.mark.parametrize("trusted", ["nobody", "another"])
def test_a_server_with_an_untrusted_certificate_is_refused(
    trusted: str, proxy: TcpProxy, tmp_path: Path, namespace: str
) -> None:
    options = ""
    if trusted == "another":
        options = f"?ssl_ca_certs={Authority(tmp_path, 'another').path}"
    store = opened(proxy.url("rediss", options), namespace)
    store._breaker._pauses = (TIMEOUT,)  # the test makes its own attempts
    for _ in range(3):
        with pytest.raises(StoreError, match="CERTIFICATE_VERIFY_FAILED"):
            store.load(KEY, [TAG])
    assert store._breaker.is_open
    with pytest.raises(StoreError, match="left alone"):
        store.evict(EvictionRequest([TAG], 0.0))
    assert proxy.commands == []  # nothing was said to it, no password least of all
    store.close()


def test_a_certificate_for_another_address_is_refused(
    valkey: ValkeyServer, authority: Authority, namespace: str
) -> None:
    with running_tls_proxy(valkey.port, authority, host="127.0.0.2") as proxy:
        url = proxy.url("rediss", f"?ssl_ca_certs={authority.path}")
        store = opened(f"{url}&ssl_check_hostname=True", namespace)
        with pytest.raises(StoreError, match="CERTIFICATE_VERIFY_FAILED"):
            store.load(KEY, [TAG])
        assert proxy.commands == []
        store.close()


def test_a_client_without_tls_fails_on_a_tls_server(
    proxy: TcpProxy, namespace: str
) -> None:
    store = opened(proxy.url("redis"), namespace)
    with pytest.raises(StoreError):
        store.load(KEY, [TAG])
    store.close()


def test_a_client_with_tls_fails_on_a_plain_server(
    valkey: ValkeyServer, namespace: str
) -> None:
    _, make = connections_of_url(valkey.url.replace("redis:", "rediss:"), SHORT)
    store = redis_store(make, namespace=namespace, timeout=SHORT)
    with pytest.raises(StoreError):
        store.load(KEY, [TAG])
    store.close()
