"""A URL, or a client that the user built, names a store; whatever does not is said."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py

from botocache._errors import ConfigError, StoreUnavailableError
from botocache.stores import opening, options
from botocache.stores.disk.store import DiskStore
from botocache.stores.memory import MemoryStore
from botocache.stores.options import (
    StoreIdentity,
    StoreOptions,
    identity_of,
    is_client,
)
from botocache.stores.protocol import Store
from botocache.stores.redis import store as redis_store
from botocache.stores.redis.cluster import store as cluster_store

SCHEMES = [
    "unix",
    *(
        server + setup
        for server in ("redis", "rediss", "valkey", "valkeys")
        for setup in ("", "+cluster", "+sentinel")
    ),
]


def options_of(url: str, **more: Any) -> StoreOptions:
    usual: dict[str, Any] = {
        "namespace": "mine",
        "environ": {},
        "timeout": 0.5,
        "settle": 2.0,
        "longest_ttl": 300.0,
    }
    return StoreOptions(url, **{**usual, **more})


def opened(url: str, **more: Any) -> Store:
    return opening.open_store(options_of(url, **more))


def message(url: str, **more: Any) -> str:
    with pytest.raises(ConfigError) as raised:
        opened(url, **more)
    return str(raised.value)


@pytest.fixture
def openings(monkeypatch: pytest.MonkeyPatch) -> list[StoreOptions]:
    """The options of each opened Redis store."""
    made: list[StoreOptions] = []

    def open_redis(opening: StoreOptions) -> Store:
        made.append(opening)
        return MemoryStore()

    monkeypatch.setattr(redis_store, "open_redis", open_redis)
    monkeypatch.setattr(cluster_store, "open_cluster", open_redis)
    return made


@pytest.mark.parametrize("url", ["memory:", "memory://"])
def test_a_memory_url_opens_the_memory_store(url: str) -> None:
    store = opened(f"{url}?size_limit=5MiB")
    assert isinstance(store, MemoryStore)
    assert repr(store).endswith("0 of 5242880 bytes>")
    assert repr(opened(url)).endswith("0 of 268435456 bytes>")


def test_the_size_limit_of_disk_is_that_of_its_entries(tmp_path: Path) -> None:
    for url in ("disk:?size_limit=7MiB", f"disk://{tmp_path}?size_limit=7340032"):
        store = opened(url)
        assert isinstance(store, DiskStore)
        assert store._size_limit == 7 * 1024**2
    store = opened("disk:")
    assert isinstance(store, DiskStore)
    assert store._size_limit == 1024**3


def test_opening_a_disk_url_does_not_make_its_directory(tmp_path: Path) -> None:
    store = opened(f"disk://{tmp_path}/there")
    assert isinstance(store, DiskStore)
    assert store.directory == tmp_path / "there" / "v1" / "mine"
    default = opened("disk:", environ={"XDG_CACHE_HOME": str(tmp_path)})
    assert isinstance(default, DiskStore)
    assert default.directory == tmp_path / "botocache" / "v1" / "mine"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_redis_url_opens_the_redis_store(
    scheme: str, openings: list[StoreOptions]
) -> None:
    opened(f"{scheme}://user:pw@host:1/2")
    opened(f"{scheme.upper()}://host")
    assert openings == [
        options_of(f"{scheme}://user:pw@host:1/2"),
        options_of(f"{scheme.upper()}://host"),
    ]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_redis_url_takes_no_size_limit(scheme: str) -> None:
    for query in ("?size_limit=1GiB", "?db=1&size_limit=1GiB"):
        said = message(f"{scheme}://:s3cret@host{query}")
        assert said.startswith(f"url '{scheme}:...': size_limit is an option of ")
        assert "maxmemory" in said
        assert "s3cret" not in said


def test_client_tracking_is_passed_to_the_redis_store(
    openings: list[StoreOptions],
) -> None:
    opened("redis://host")
    opened("redis://host", client_tracking=True)
    assert [opening.client_tracking for opening in openings] == [False, True]


def test_a_redis_client_opens_the_redis_store_and_no_url_is_read(
    openings: list[StoreOptions],
) -> None:
    client = redis_py.Redis()
    opened("nosql:", client=client)
    assert [opening.client for opening in openings] == [client]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nosql://h", "url 'nosql:'... names no store of this version; expected "),
        ("redi://h", "did you mean 'redis'?"),
        ("redis+sentinels://h", "did you mean 'redis+sentinel'?"),
        ("valkey+clusters://h", "did you mean 'valkey+cluster'?"),
        ("", "url names no store of this version"),
        ("localhost", "url names no store of this version"),
        ("memory", "expected 'memory:'"),
        ("memory://x", "url 'memory:...' cannot be read; expected 'memory:', opt"),
        ("memory:x", "url 'memory:...' cannot be read; expected 'memory:', opt"),
        ("memory:///x", "url 'memory:...' cannot be read; expected 'memory:', opt"),
        ("disk://x/y", "expected 'disk:' or 'disk:///path'"),
        ("disk:x", "expected 'disk:' or 'disk:///path'"),
        ("disk://[/y", "url 'disk:...'"),
        ("disk:///y#z", "expected 'disk:' or 'disk:///path'"),
        ("disk:?size=1GiB", "optionally with '?size_limit=1GiB'"),
        ("disk:?size_limit=1GiB&size_limit=1GiB", "url 'disk:...' cannot be read"),
        ("disk:?size_limit=1GiB&x=1", "url 'disk:...' cannot be read"),
        ("memory:?size_limit=", "size_limit: expected bytes as 65536 or '64KiB', at l"),
        ("disk:?size_limit=1023KiB", "at least 1048576, not '1023KiB'"),
    ],
)
def test_an_unknown_url_is_an_error_that_names_the_known_ones(
    url: str, said: str
) -> None:
    assert said in message(url)


@pytest.mark.parametrize(
    "url",
    [
        "nosql://user:s3cret@host",
        "s3cret@host:1",
        "s3cret@host",
        ":s3cret@host",
        "s3cret",
        "memory://s3cret@host",
        "disk://s3cret@host/x",
        "disk://user:s3cret@[host/x",
    ],
)
def test_the_error_for_an_unknown_url_hides_its_password(url: str) -> None:
    assert "s3cret" not in message(url)


def test_the_disk_store_needs_a_boot_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "BOOT_ID", Path("/nowhere"))
    monkeypatch.setattr(sys, "platform", "darwin")
    assert message("disk:").startswith("url 'disk:' needs Linux: ")
    assert "use 'memory:'" in message("disk:")


def test_a_linux_without_a_boot_id_cannot_have_the_disk_store(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(options, "BOOT_ID", Path("/nowhere"))
    with pytest.raises(StoreUnavailableError, match="use 'memory:'"):
        opened("disk:")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_without_redis_py_a_redis_url_names_what_to_install(
    scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    for module in [m for m in sys.modules if m.startswith("botocache.stores.redis")]:
        monkeypatch.delitem(sys.modules, module)
    assert message(f"{scheme}://:s3cret@host") == (
        f"url '{scheme}:' needs the package redis: "
        "pip install 'botocache-dynamodb[redis]'"
    )


def test_an_opening_shows_neither_url_nor_environment_nor_client() -> None:
    client = redis_py.Redis(password="s3cret")
    shown = repr(
        StoreOptions("redis://:s3cret@h", "n", {"K": "s3cret"}, 1.0, 1.0, 1.0, client)
    )
    assert "s3cret" not in shown
    assert "namespace='n'" in shown


# --- which installations share a store ---------------------------------------------


@pytest.mark.parametrize(
    ("url", "other"),
    [
        ("memory:", "memory://"),
        ("memory:", "MEMORY:"),
        ("memory:?size_limit=1MiB", "memory:?size_limit=1024K"),
        ("disk:///a%20b", "disk:///a b"),
    ],
)
def test_urls_of_one_place_are_one_store(url: str, other: str) -> None:
    one = identity_of(options_of(url))
    assert one == identity_of(options_of(other, timeout=1.0, settle=1.0))
    assert not one.differs_in_size_limit(one)


OTHER_OPTIONS: dict[str, Any] = {
    "timeout": 1.0,
    "settle": 1.0,
    "longest_ttl": 1.0,
    "client_tracking": True,
    "namespace": "another",
    "client": redis_py.Redis(),
}


@pytest.mark.parametrize("option", OTHER_OPTIONS)
def test_other_options_make_another_redis_store(option: str) -> None:
    one = identity_of(options_of("redis://h"))
    other = identity_of(options_of("redis://h", **{option: OTHER_OPTIONS[option]}))
    assert one == identity_of(options_of("redis://h", environ={"HOME": "/"}))
    assert one != other
    assert not one.differs_in_size_limit(other)


@pytest.mark.parametrize("url", ["memory:", "disk:", "disk:///a"])
def test_one_place_with_two_size_limits_is_seen(url: str) -> None:
    def identity(url: str, **more: Any) -> StoreIdentity:
        return identity_of(options_of(url, **more))

    one, other = identity(f"{url}?size_limit=1MiB"), identity(f"{url}?size_limit=2MiB")
    assert one.differs_in_size_limit(other)
    assert one.differs_in_size_limit(identity(url))
    assert not one.differs_in_size_limit(identity("disk:///b?size_limit=2MiB"))
    assert not one.differs_in_size_limit(
        identity(f"{url}?size_limit=2MiB", namespace="another")
    )


@pytest.mark.parametrize(
    ("candidate", "expected"),
    [
        (redis_py.Redis(), True),
        (redis_py.StrictRedis(), True),
        (redis_py.Redis, False),
        (redis_py.ConnectionPool(), False),
        ("redis://host", False),
        (None, False),
        (MemoryStore(), False),
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_a_client_is_recognised(candidate: object, expected: bool) -> None:
    assert is_client(candidate) is expected


def test_a_client_of_a_cluster_is_recognised() -> None:
    client = redis_py.RedisCluster.__new__(redis_py.RedisCluster)  # else it connects
    assert is_client(client)


def test_looking_for_a_client_does_not_import_redis_py() -> None:
    program = (
        "import sys, botocache.stores.options as s\n"
        "print(s.is_client(object()), 'redis' in sys.modules)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, text=True
    )
    assert ended.stdout == "False False\n"
