"""How to connect to a server, by its URL or a client of redis-py.

Nothing connects here. No name and no message contains a password.
"""

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

from redis.backoff import NoBackoff
from redis.connection import ConnectionPool
from redis.exceptions import RedisError
from redis.retry import Retry
from redis.sentinel import Sentinel

from botocache._errors import ConfigError
from botocache.stores.redis.deadlines import CONNECT_TIMEOUT, SENTINEL_TIMEOUT
from botocache.stores.redis.sockets import guarded
from botocache.stores.redis.types import Connection

_Maker = Callable[[], Connection]

_REPLICAS = "wait_replicas"

_UNREADABLE = (TypeError, ValueError, RedisError)
"""What redis-py raises for a URL, or an option of it, that it cannot read."""


def connections_of_url(url: str, timeout: float) -> tuple[str, _Maker]:
    """Return a server's name, and a function that makes connections to it.

    timeout: seconds that a call waits. Each step of connecting may take longer, behind
        the call; see CONNECT_TIMEOUT.

    Raises ConfigError.
    """
    refuse_unknown_options(url)
    scheme, _, rest = url.partition(":")
    scheme = scheme.lower()
    server, _, setup = scheme.partition("+")
    is_encrypted = server in ("rediss", "valkeys")
    common: dict[str, Any] = {
        "socket_timeout": max(timeout, CONNECT_TIMEOUT),
        "socket_connect_timeout": max(timeout, CONNECT_TIMEOUT),
        "retry": Retry(NoBackoff(), 0),
    }
    if setup == "sentinel":
        return _by_sentinel(scheme, rest, common, timeout, is_encrypted=is_encrypted)
    plain = {"unix": "unix"}.get(server, "rediss" if is_encrypted else "redis")
    try:
        if plain != "unix":
            int(urlsplit(rest).path.strip("/") or 0)  # redis-py ignores a wrong one
        pool = ConnectionPool.from_url(f"{plain}:{rest}", **common)
        if is_encrypted:
            check_names(pool.connection_kwargs)
        made: Any = _maker(pool)()
    except _UNREADABLE:
        raise wrong_url(scheme) from None
    if plain == "unix":
        if not made.path:
            raise wrong_url(scheme)
        return f"unix://{made.path}", _maker(pool)
    return f"{server}://{made.host}:{made.port}/{made.db}", _maker(pool)


def check_names(options: dict[str, Any]) -> None:
    """Let TLS compare the server's name with its certificate, unless a URL says not to.

    redis-py does so by default from version 6 on.
    """
    is_checked = str(options.get("ssl_cert_reqs", "required")) != "none"
    options.setdefault("ssl_check_hostname", is_checked)


def refuse_unknown_options(url: str) -> None:
    """Raise ConfigError for `wait_replicas`, with what to do instead.

    redis-py would pass it on to a connection, whose error does not help.
    """
    scheme = url.partition(":")[0].lower()
    names = [option.partition("=")[0] for option in url.partition("?")[2].split("&")]
    if _REPLICAS in names:
        raise ConfigError(
            f"url '{scheme}:...': there is no option '{_REPLICAS}'; remove it. Each "
            "server can be told to refuse writes that few replicas would have: see "
            "'min-replicas-to-write' of Redis and Valkey"
        )


def connections_of_client(client: Any, timeout: float) -> tuple[str, _Maker]:
    """Return the same for a client that the user built.

    Connections have the client's settings, except for time-outs and retries. The
    client's own suit other uses, and redis-py's default is seconds or none.
    """
    pool, patience = client.connection_pool, max(timeout, CONNECT_TIMEOUT)
    own: dict[str, Any] = {
        "socket_timeout": patience,
        "socket_connect_timeout": patience,
    }
    own |= {"retry": Retry(NoBackoff(), 0)}
    kind = guarded(pool.connection_class)
    return "of a client", lambda: kind(**{**pool.connection_kwargs, **own})


def _maker(pool: ConnectionPool) -> _Maker:
    # Not by the pool's own `make_connection`: it counts, and refuses beyond a limit.
    kind = guarded(pool.connection_class)
    return lambda: kind(**pool.connection_kwargs)


def _by_sentinel(
    scheme: str,
    rest: str,
    common: dict[str, Any],
    timeout: float,
    *,
    is_encrypted: bool,
) -> tuple[str, _Maker]:
    """Read `//user:password@host:port,host:port/service/db?...`."""
    try:
        # urlsplit takes one host: newer ones refuse an IPv6 address among several.
        place, _, tail = rest.removeprefix("//").partition("/")
        parts = urlsplit(f"/{tail}")
        login, _, hosts = place.rpartition("@")
        user, _, password = login.partition(":")
        service, _, db = parts.path.strip("/").partition("/")
        sentinels = [_address(host) for host in hosts.split(",")]
        given = {name: values[0] for name, values in parse_qs(parts.query).items()}
        of_sentinels = {
            name.removeprefix("sentinel_"): given.pop(name)
            for name in ("sentinel_username", "sentinel_password")
            if name in given
        }
        of_tls = _options_of_tls(given) if is_encrypted else {}
        of_one = max(timeout, SENTINEL_TIMEOUT)
        patience = {"socket_timeout": of_one, "socket_connect_timeout": of_one}
        # A password with a "/", "?" or "#" in it would be shown as a service's name.
        is_named = (
            service
            and not parts.fragment
            and "@" not in parts.path + parts.query
            and {"?", "#"}.isdisjoint(place)
        )
        if given or not is_named or not all(host for host, _ in sentinels):
            raise wrong_url(scheme)
        manager = Sentinel(  # type: ignore[no-untyped-call]  # redis-py has no types there
            sentinels,
            sentinel_kwargs={**common, **patience, **of_sentinels},
            **common,
            **({"ssl": True, **of_tls} if is_encrypted else {}),
            db=int(db or 0),
            username=unquote(user) or None,
            password=unquote(password) or None,
        )
        for client in manager.sentinels:
            asked = client.connection_pool
            asked.connection_class = guarded(asked.connection_class)
        pool = manager.master_for(service).connection_pool  # type: ignore[no-untyped-call]  # as above
        _maker(pool)()
    except _UNREADABLE as error:
        if isinstance(error, ConfigError):
            raise
        raise wrong_url(scheme) from None
    return f"{scheme}://{hosts}/{service}", _maker(pool)


def _options_of_tls(given: dict[str, str]) -> dict[str, Any]:
    """Remove the options of TLS from those of a URL; return them as values."""
    ours = {name: given.pop(name) for name in list(given) if name.startswith("ssl_")}
    read = ConnectionPool.from_url(f"rediss://host?{urlencode(ours)}").connection_kwargs
    options = {name: read[name] for name in ours}
    check_names(options)
    return options


def _address(text: str) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    return parts.hostname or "", 26379 if parts.port is None else parts.port


def wrong_url(scheme: str) -> ConfigError:
    """Return the error for a URL that cannot be read."""
    expected = {
        "unix": "unix:///path/of/socket?db=0",
        "sentinel": f"{scheme}://host:26379,host:26379/service/0",
        "cluster": f"{scheme}://user:password@host:6379,host:6379",
    }
    kind = "unix" if scheme == "unix" else scheme.partition("+")[2]
    form = expected.get(kind, f"{scheme}://user:password@host:6379/0")
    return ConfigError(f"url '{scheme}:...' cannot be read; expected {form!r}")
