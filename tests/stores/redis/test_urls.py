"""What URLs and clients say of a server, and what is said of those that say nothing."""

from pathlib import Path
from typing import Any

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from redis.connection import SSLConnection, UnixDomainSocketConnection
from redis.sentinel import (
    Sentinel,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)

from botocache._errors import ConfigError
from botocache.stores.redis.cluster.urls import endpoints_of_url
from botocache.stores.redis.deadlines import CONNECT_TIMEOUT
from botocache.stores.redis.urls import (
    connections_of_client,
    connections_of_url,
)
from tests.support.opening import open_store_at

TIMEOUT = 0.5


def made(url: str) -> Any:
    """Return a connection that a URL makes, not connected."""
    return connections_of_url(url, TIMEOUT)[1]()


def login(connection: Any) -> tuple[Any, ...]:
    return connection.username, connection.password, connection.db


def said(url: str) -> str:
    """Return what is said of a URL that names no server."""
    with pytest.raises(ConfigError) as raised:
        open_store_at(
            url,
            namespace="mine",
            timeout=TIMEOUT,
            settle=1.0,
            longest_ttl=60.0,
        )
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__ or raised.value.__context__ is None
    return str(raised.value)


@pytest.mark.parametrize(
    ("url", "name", "place", "of_whom"),
    [
        ("redis://h", "redis://h:6379/0", ("h", 6379), (None, None, 0)),
        ("REDIS://h", "redis://h:6379/0", ("h", 6379), (None, None, 0)),
        ("redis://", "redis://localhost:6379/0", ("localhost", 6379), (None, None, 0)),
        ("valkey://h:1/2", "valkey://h:1/2", ("h", 1), (None, None, 2)),
        ("redis://h:1?db=3", "redis://h:1/3", ("h", 1), (None, None, 3)),
        ("redis://u:p%40%2F@h/1", "redis://h:6379/1", ("h", 6379), ("u", "p@/", 1)),
        ("redis://:p@h", "redis://h:6379/0", ("h", 6379), (None, "p", 0)),
        ("redis://[::1]:7/0", "redis://::1:7/0", ("::1", 7), (None, None, 0)),
    ],
)
def test_a_url_names_a_server(
    url: str, name: str, place: tuple[str, int], of_whom: tuple[Any, ...]
) -> None:
    assert connections_of_url(url, TIMEOUT)[0] == name
    connection = made(url)
    assert (connection.host, connection.port) == place
    assert login(connection) == of_whom
    assert connection.socket_timeout == CONNECT_TIMEOUT
    assert connection.socket_connect_timeout == CONNECT_TIMEOUT
    assert connection.retry.get_retries() == 0
    assert not isinstance(connection, SSLConnection)


@pytest.mark.parametrize("scheme", ["rediss", "valkeys", "REDISS"])
def test_an_s_stands_for_tls(scheme: str) -> None:
    connection = made(f"{scheme}://u:p@h:1/2?ssl_cert_reqs=none&ssl_ca_certs=/ca.pem")
    assert isinstance(connection, SSLConnection)
    assert login(connection) == ("u", "p", 2)
    assert connection.ca_certs == "/ca.pem"
    assert made(f"{scheme}://h").cert_reqs > 0


def test_a_path_names_a_socket() -> None:
    url = "unix://u:p@/run/valkey.sock?db=1"
    assert connections_of_url(url, TIMEOUT)[0] == "unix:///run/valkey.sock"
    assert isinstance(made(url), UnixDomainSocketConnection)
    assert login(made(url)) == ("u", "p", 1)


def test_an_option_of_redis_py_wins_over_the_timeout() -> None:
    assert made("redis://h?socket_timeout=7").socket_timeout == 7
    assert made("redis://h?protocol=2").protocol == 2


@pytest.mark.parametrize("scheme", ["redis+sentinel", "valkey+sentinel"])
def test_sentinels_name_a_service(scheme: str) -> None:
    url = (
        f"{scheme}://u:p%40@one:1,two,[::1]:3/shop/4"
        "?sentinel_username=su&sentinel_password=sp"
    )
    name, make = connections_of_url(url, TIMEOUT)
    assert name == f"{scheme}://one:1,two,[::1]:3/shop"
    connection = make()
    assert isinstance(connection, SentinelManagedConnection)
    assert not isinstance(connection, SSLConnection)
    assert login(connection) == ("u", "p@", 4)
    assert connection.socket_timeout == CONNECT_TIMEOUT
    pool = connection.connection_pool
    assert (pool.service_name, pool.is_master) == ("shop", True)
    of_sentinels = [
        client.connection_pool.connection_kwargs
        for client in pool.sentinel_manager.sentinels
    ]
    places = [(one["host"], one["port"]) for one in of_sentinels]
    assert places == [("one", 1), ("two", 26379), ("::1", 3)]
    for one in of_sentinels:
        assert (one["username"], one["password"]) == ("su", "sp")
        assert one["socket_timeout"] == TIMEOUT


def test_a_service_of_sentinels_by_tls_has_options_of_tls() -> None:
    options = "ssl_ca_certs=/ca.pem&ssl_check_hostname=False&ssl_cert_reqs=none"
    connection = made(f"rediss+sentinel://one/shop?{options}")
    assert isinstance(connection, SentinelManagedSSLConnection)
    assert connection.ca_certs == "/ca.pem"
    assert connection.check_hostname is False


WRONG = {
    "redis": [
        "redis://u:s3cret@h:port",
        "redis://u:s3cret@h:99999",
        "redis://u:s3cret@[h",
        "redis://u:s3cret@h/database",
        "redis://u:s3cret@h/0/1",
        "redis:u:s3cret@h",
        "redis://u:s3cret@h?nothing=1",
        "redis://u:s3cret@h?db=s3cret",
        "redis://h?password=s3cret&socket_timeout=short",
        "redis://u:s3cret/@h",
    ],
    "rediss": [
        "rediss://u:s3cret@h?ssl_cert_reqs=perhaps",
        "rediss://u:s3cret@h?ssl_min_version=new",
    ],
    "unix": [
        "unix://u:s3cret@/run/s?db=one",
        "unix://u:s3cret@/run/s?nothing=1",
        "unix://u:s3cret@",
    ],
    "redis+sentinel": [
        "redis+sentinel://u:s3cret@one:1",
        "redis+sentinel://u:s3cret@one:1/",
        "redis+sentinel://u:s3cret@one:port/shop",
        "redis+sentinel://u:s3cret@one:99999/shop",
        "redis+sentinel://u:s3cret@,/shop",
        "redis+sentinel://u:s3cret@one,/shop",
        "redis+sentinel://u:s3cret@/shop",
        "redis+sentinel://u:s3cret@one/shop/db",
        "redis+sentinel://u:/s3cret@one:1/0",
        "redis+sentinel://u:?s3cret@one:1/shop",
        "redis+sentinel://one#u:s3cret/shop",
        "redis+sentinel://u:s3cret@one/shop?nothing=1",
        "redis+sentinel://u:s3cret@one/shop?ssl_cert_reqs=none",
        "redis+sentinel://u:s3cret@[one/shop",
    ],
    "rediss+sentinel": [
        "rediss+sentinel://u:s3cret@one/shop?ssl_cert_reqs=perhaps",
        "rediss+sentinel://u:s3cret@one/shop?ssl_min_version=new",
        "rediss+sentinel://u:s3cret@one/shop?ssl_nothing=1",
    ],
}

EXPECTED = {
    "redis": "redis://user:password@host:6379/0",
    "rediss": "rediss://user:password@host:6379/0",
    "unix": "unix:///path/of/socket?db=0",
    "redis+sentinel": "redis+sentinel://host:26379,host:26379/service/0",
    "rediss+sentinel": "rediss+sentinel://host:26379,host:26379/service/0",
}


@pytest.mark.parametrize(
    ("scheme", "url"), [(scheme, url) for scheme in WRONG for url in WRONG[scheme]]
)
def test_a_url_that_cannot_be_read_is_said_in_one_sentence_without_its_password(
    scheme: str, url: str
) -> None:
    expected = EXPECTED[scheme]
    assert said(url) == f"url '{scheme}:...' cannot be read; expected {expected!r}"


_parts = st.text(alphabet="ab:/?#@[]%,. ", max_size=6)


def shown(url: str) -> str:
    """Return how a URL's server is called, or what is said of the URL."""
    try:
        return connections_of_url(url, TIMEOUT)[0]
    except ConfigError as error:
        return str(error)


@given(
    _parts,
    _parts,
    st.sampled_from(["redis", "rediss", "redis+sentinel", "rediss+sentinel"]),
)
def test_no_password_is_shown_whatever_is_in_it(
    before: str, after: str, scheme: str
) -> None:
    url = f"{scheme}://user:{before}S3CRET{after}@host:6379/0"
    assert "S3CRET" not in shown(url)


def test_no_store_shows_its_password() -> None:
    for url in ("redis://u:s3cret@h", "redis+sentinel://u:s3cret@h/shop"):
        store = open_store_at(
            url,
            namespace="mine",
            timeout=TIMEOUT,
            settle=1.0,
            longest_ttl=60.0,
        )
        assert "s3cret" not in repr(store)


@pytest.mark.parametrize(
    "url",
    [
        "redis://:s3cret@h?wait_replicas=1",
        "redis://:s3cret@h?db=1&wait_replicas=2",
        "redis+sentinel://:s3cret@h/s?wait_replicas",
        "redis+cluster://:s3cret@h?wait_replicas=1",
    ],
)
def test_an_option_that_is_gone_is_refused_with_what_to_do_instead(url: str) -> None:
    message = said(url)
    assert "there is no option 'wait_replicas'; remove it" in message
    assert "min-replicas-to-write" in message
    assert "s3cret" not in message


def test_a_client_makes_connections_as_it_would(tmp_path: Path) -> None:
    client = redis.Redis("h", 1, 2, password="s3cret", username="u")
    name, make = connections_of_client(client, TIMEOUT)
    connection = make()
    assert (connection.host, connection.port) == ("h", 1)
    assert login(connection) == ("u", "s3cret", 2)
    assert "s3cret" not in name


def test_a_client_of_sentinels_makes_connections_to_the_primary() -> None:
    manager = Sentinel([("one", 1)])  # type: ignore[no-untyped-call]  # redis-py's
    client = manager.master_for("shop", password="s3cret")  # type: ignore[no-untyped-call]  # as above
    connection = connections_of_client(client, TIMEOUT)[1]()
    assert isinstance(connection, SentinelManagedConnection)
    assert connection.connection_pool.service_name == "shop"
    assert connection.password == "s3cret"


@pytest.mark.parametrize("setup", ["", "+sentinel"])
@pytest.mark.parametrize(
    ("options", "is_checked"),
    [
        ("", True),
        ("?ssl_cert_reqs=required", True),
        ("?ssl_cert_reqs=none", False),
        ("?ssl_check_hostname=no", False),
    ],
)
def test_tls_checks_the_servers_name_whatever_the_version_of_redis_py(
    setup: str, options: str, is_checked: bool
) -> None:
    service = "/service" if setup else ""
    made: Any = connections_of_url(f"valkeys{setup}://h{service}/0{options}", 1.0)[1]()
    assert made.check_hostname is is_checked


def test_tls_in_a_cluster_checks_the_servers_names() -> None:
    _, endpoints = endpoints_of_url("rediss+cluster://h", 1.0)
    assert endpoints.settings["ssl_check_hostname"] is True
    _, endpoints = endpoints_of_url("rediss+cluster://h?ssl_cert_reqs=none", 1.0)
    assert endpoints.settings["ssl_check_hostname"] is False
