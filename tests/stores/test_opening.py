"""A URL, or a client that the user built, names a store; whatever does not is said."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py

from botocache._errors import ConfigError
from botocache.stores import opening
from botocache.stores.disk.store import DiskStore
from botocache.stores.memory import MemoryStore
from botocache.stores.opening import is_remote, open_store
from botocache.stores.options import StoreOptions, is_client
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


def opened(url: str, **more: Any) -> Store:
    usual: dict[str, Any] = {
        "namespace": "mine",
        "size_limit": None,
        "environ": {},
        "timeout": 0.5,
        "settle": 2.0,
        "longest_ttl": 300.0,
    }
    return open_store(url, **{**usual, **more})


def message(url: str, **more: Any) -> str:
    with pytest.raises(ConfigError) as raised:
        opened(url, **more)
    return str(raised.value)


@pytest.fixture
def openings(monkeypatch: pytest.MonkeyPatch) -> list[StoreOptions]:
    """What the store of Redis is opened with."""
    made: list[StoreOptions] = []

    def open_redis(opening: StoreOptions) -> Store:
        made.append(opening)
        return MemoryStore()

    monkeypatch.setattr(redis_store, "open_redis", open_redis)
    monkeypatch.setattr(cluster_store, "open_cluster", open_redis)
    return made


@pytest.mark.parametrize("url", ["memory:", "memory://"])
def test_memory_is_this_process(url: str) -> None:
    store = opened(url, size_limit=5 * 1024**2)
    assert isinstance(store, MemoryStore)
    assert repr(store).endswith("0 of 5242880 bytes>")


def test_disk_is_a_directory_that_is_not_made_yet(tmp_path: Path) -> None:
    store = opened(f"disk://{tmp_path}/there")
    assert isinstance(store, DiskStore)
    assert store.directory == tmp_path / "there" / "v1" / "mine"
    default = opened("disk:", environ={"XDG_CACHE_HOME": str(tmp_path)})
    assert isinstance(default, DiskStore)
    assert default.directory == tmp_path / "botocache" / "v1" / "mine"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_server_is_opened_by_the_store_of_redis(
    scheme: str, openings: list[StoreOptions]
) -> None:
    environ = {"HOME": "/nowhere"}
    opened(f"{scheme}://user:pw@host:1/2", environ=environ, size_limit=7)
    assert openings == [
        StoreOptions(
            f"{scheme}://user:pw@host:1/2", "mine", 7, environ, 0.5, 2.0, 300.0, None
        )
    ]
    assert is_remote(f"{scheme}://host")
    assert is_remote(f"{scheme.upper()}://host")


def test_whether_it_follows_is_told_to_the_store_of_redis(
    openings: list[StoreOptions],
) -> None:
    opened("redis://host")
    opened("redis://host", client_tracking=True)
    assert [opening.client_tracking for opening in openings] == [False, True]


def test_a_client_is_opened_by_the_store_of_redis_and_no_url_is_looked_at(
    openings: list[StoreOptions],
) -> None:
    client = redis_py.Redis()
    opened("nosql:", client=client)
    assert [opening.client for opening in openings] == [client]
    assert [opening.url for opening in openings] == [""]


@pytest.mark.parametrize("url", ["memory:", "disk:", "nosql:", "", "memory"])
def test_what_is_on_this_machine_is_not_remote(url: str) -> None:
    assert not is_remote(url)


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
        ("memory://x", "nothing is expected after 'memory:'"),
        ("disk://x/y", "expected 'disk:' or 'disk:///path'"),
        ("disk:x", "expected 'disk:' or 'disk:///path'"),
        ("disk://[/y", "url 'disk:...'"),
    ],
)
def test_what_names_no_store_is_said_with_what_would(url: str, said: str) -> None:
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
def test_what_names_no_store_is_said_without_its_password(url: str) -> None:
    assert "s3cret" not in message(url)


def test_disk_needs_to_know_of_boots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "BOOT_ID", Path("/nowhere"))
    assert "use 'memory:'" in message("disk:")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_without_redis_py_its_stores_say_what_to_install(
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
        StoreOptions(
            "redis://:s3cret@h", "n", None, {"K": "s3cret"}, 1.0, 1.0, 1.0, client
        )
    )
    assert "s3cret" not in shown
    assert "namespace='n'" in shown


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
