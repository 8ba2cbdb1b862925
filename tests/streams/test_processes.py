"""`botocache follow-streams` as people run it: real processes, stores and requests.

A writer without the cache changes an item in a process of its own; this process reads
it through the cache.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

import botocache
from botocache import Cache
from botocache._streams.ledger import LEASE, Ledger, ledger_name, open_ledger
from botocache.stores.boards import board_of
from tests.support.dynamodb import REGION, DynamoDB
from tests.support.dynamodb_streams import serving
from tests.support.processes import TIMEOUT, Peer, eventually, running_peer
from tests.support.stand_in_streams import StandInStream
from tests.support.valkey_server import ValkeyServer

_ROOT = Path(__file__).parents[2]
KEY = {"pk": {"S": "7"}}
SEEN_WITHIN = 5.0
"""Seconds: a quiet shard is read every two. The rest is for a busy machine."""


@pytest.fixture(params=["disk", "redis"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of each store that processes share."""
    if request.param == "disk":
        return f"disk:{tmp_path}/store"
    server: ValkeyServer = request.getfixturevalue("valkey")
    return server.url


class World:
    """A table that is followed, with a reader and a writer. It starts followers.

    url: of the store.
    """

    def __init__(
        self, dynamodb: DynamoDB, url: str, namespace: str, stack: ExitStack
    ) -> None:
        self._stack = stack
        specification = {"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"}
        self.table = dynamodb.create_table(StreamSpecification=specification)
        self.variables = {
            "AWS_ENDPOINT_URL": dynamodb.url,
            "BOTOCACHE_URL": url,
            "BOTOCACHE_NAMESPACE": namespace,
            "BOTOCACHE_SETTLE": "0.05",
        }
        session = dynamodb.session()
        self.cache: Cache = botocache.install(
            session,
            url=url,
            namespace=namespace,
            ttl=3600.0,
            settle=0.05,
            timeout=5.0,  # a call that skips the store would see any change
        )
        stack.callback(self.cache.close)
        self._client = dynamodb.client(session)
        self._writer: Peer = stack.enter_context(running_peer())
        self._endpoint = dynamodb.url

    def follow(self) -> "subprocess.Popen[str]":
        """Start a follower."""
        return self._stack.enter_context(
            following("--table", self.table, **self.variables)
        )

    def write(self, value: str) -> None:
        """Write around the cache, in another process."""
        self._writer.call(put, self._endpoint, self.table, value)

    def read(self) -> tuple[str, bool]:
        """Return what the cache shows, and whether it was a hit."""
        answer = self._client.get_item(TableName=self.table, Key=KEY)
        headers = answer["ResponseMetadata"]["HTTPHeaders"]
        return answer["Item"]["v"]["S"], headers.get("x-botocache") == "hit"

    def cached(self) -> str:
        """Return what the cache shows once it has an entry."""
        eventually(lambda: self.read()[1])
        return self.read()[0]

    def seen_within(self, seconds: float, value: str) -> bool:
        """Return whether the cache shows a value soon."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.read()[0] == value:
                return True
            time.sleep(0.01)  # real: another process is waited for
        return False

    def ledger(self) -> Ledger | None:
        """Return the ledger of the table; None before there is one."""
        services = self.cache.services
        board = board_of(services.store)
        assert board is not None
        name = ledger_name(REGION, self.table)
        found = board.posted([name]).get(name)
        return None if found is None else open_ledger(services.records, name, found)

    def leaders(self) -> set[int]:
        """Return the process ids of those that lead shards."""
        ledger = self.ledger()
        if ledger is None:
            return set()
        pids = {each.process: each.pid for each in ledger.followers}
        return {pids.get(each.leader, 0) for each in ledger.shards}


def put(endpoint: str, table: str, value: str) -> None:
    """Write as a program without the cache does. In the other process."""
    item = {**KEY, "v": {"S": value}}
    DynamoDB(endpoint).client().put_item(TableName=table, Item=item)


@contextmanager
def following(*arguments: str, **variables: str) -> Iterator["subprocess.Popen[str]"]:
    """Run `botocache follow-streams` for as long as the context lasts."""
    given = {k: v for k, v in os.environ.items() if not k.startswith("COV")}
    credentials = {
        "AWS_ACCESS_KEY_ID": "AKIATEST",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "botocache", "follow-streams", *arguments],
        cwd=_ROOT,
        env={**given, **credentials, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=TIMEOUT)


def ended(*arguments: str, **variables: str) -> tuple[int, str]:
    """Return the exit status of a follower that ends by itself, and what it says."""
    with following(*arguments, **variables) as process:
        out, err = process.communicate(timeout=TIMEOUT)
        return process.returncode, out + err


@pytest.fixture
def world(dynamodb: DynamoDB, url: str, namespace: str) -> Iterator[World]:
    with ExitStack() as stack:
        yield World(dynamodb, url, namespace, stack)


def test_a_change_around_the_cache_is_seen_and_a_signal_hands_over(
    world: World,
) -> None:
    world.write("1")
    follower = world.follow()
    eventually(lambda: world.leaders() == {follower.pid})
    assert world.cached() == "1"
    world.write("2")
    assert world.seen_within(SEEN_WITHIN, "2")
    follower.send_signal(signal.SIGTERM)
    assert follower.wait(TIMEOUT) == 0
    assert world.leaders() == {0}  # so the next one need not wait for the leases


def _end(process: "subprocess.Popen[str]") -> None:
    process.kill()
    process.wait(TIMEOUT)


def _stop(process: "subprocess.Popen[str]") -> None:
    process.send_signal(signal.SIGSTOP)


@pytest.mark.long("another follower takes over from one that is killed or stopped")
@pytest.mark.parametrize("harm", [_end, _stop])
def test_another_follower_takes_over(
    world: World, harm: Callable[["subprocess.Popen[str]"], None]
) -> None:
    first = world.follow()
    eventually(lambda: world.leaders() == {first.pid})
    second = world.follow()
    eventually(lambda: len((world.ledger() or Never).followers) == 2)
    world.write("1")
    # A shard without a place could only be followed anew, with the table evicted.
    eventually(lambda: all(s.after for s in (world.ledger() or Never).shards))
    assert world.cached() == "1"  # behind the eviction of its own record
    harm(first)
    world.write("2")
    assert world.seen_within(LEASE + 2 * SEEN_WITHIN, "2")
    eventually(lambda: world.leaders() == {second.pid})
    assert world.cached() == "2"
    if first.poll() is None:
        first.send_signal(signal.SIGCONT)
        world.write("3")
        assert world.seen_within(SEEN_WITHIN, "3")
        assert world.cached() == "3"
    ledger = world.ledger()
    assert ledger is not None
    assert ledger.gaps == 0


class Never:
    """In place of a ledger that is not there yet."""

    followers = shards = ()


def test_a_service_follows_and_ends_at_once(
    dynamodb: DynamoDB, tmp_path: Path, namespace: str
) -> None:
    with ExitStack() as stack:
        world = World(dynamodb, f"disk:{tmp_path}/store", namespace, stack)
        service = stack.enter_context(running_peer())
        service.call(serve, world.variables, world.table)
        eventually(lambda: bool(world.leaders() - {0}))
        world.write("1")
        assert world.seen_within(SEEN_WITHIN, "1")
        assert world.cached() == "1"
        world.write("2")
        assert world.seen_within(SEEN_WITHIN, "2")
        began = time.monotonic()
        service.close()
        assert time.monotonic() - began < 5
        assert world.leaders() == {0}


_service: dict[str, Any] = {}


def serve(variables: dict[str, str], table: str) -> None:
    """Be a service that follows, and make a call. In the other process."""
    os.environ.update(variables)
    dynamodb = DynamoDB(variables["AWS_ENDPOINT_URL"])
    session = dynamodb.session()
    _service["cache"] = botocache.install(session, streams=table)
    dynamodb.client(session).get_item(TableName=table, Key=KEY)


def test_a_table_without_a_stream_is_said(dynamodb: DynamoDB, tmp_path: Path) -> None:
    table = dynamodb.create_table()
    status, said = ended(
        "--table",
        table,
        AWS_ENDPOINT_URL=dynamodb.url,
        BOTOCACHE_URL=f"disk:{tmp_path}/store",
    )
    assert status == 1
    assert "has no stream that is switched on" in said
    assert f"update-table --table-name {table}" in said
    assert "Traceback" not in said


def test_credentials_that_may_not_read_the_stream_are_said(tmp_path: Path) -> None:
    stream = StandInStream()
    stream.deny("DescribeStream")
    with serving(stream) as server:
        status, said = ended(
            "--table",
            stream.table,
            AWS_ENDPOINT_URL_DYNAMODB_STREAMS=server.url,
            BOTOCACHE_URL=f"disk:{tmp_path}/store",
        )
    assert status == 1
    assert "may not call dynamodb:DescribeStream" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("arguments", "variables", "sentence"),
    [
        ([], {}, "name a table with --table, or set BOTOCACHE_STREAMS"),
        (["--table", "a b"], {}, "--table"),
        (["--table", "users"], {"BOTOCACHE_URL": "memory:"}, "memory of one process"),
    ],
)
def test_wrong_usage_is_said(
    tmp_path: Path, arguments: list[str], variables: dict[str, str], sentence: str
) -> None:
    status, said = ended(
        *arguments, **{"BOTOCACHE_URL": f"disk:{tmp_path}/store", **variables}
    )
    assert status == 2
    assert sentence in said
    assert "Traceback" not in said
