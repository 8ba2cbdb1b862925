"""A TTL and a lease end at the same moment of the world, also if the machine slept."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any, cast

import pytest

from botocache.stores.clock import clock_of_the_machine, machine_clock
from botocache.stores.disk.store import DiskStore
from botocache.stores.memory import MemoryStore
from botocache.stores.redis import sentinel
from botocache.stores.redis import store as redis_store_module
from botocache.stores.redis.cluster import clocks
from botocache.stores.redis.keys import Keys
from botocache.stores.redis.tracking.tracker import InvalidationTracker
from tests.support.clock import FakeClock
from tests.support.processes import TIMEOUT
from tests.support.redis_stores import redis_store
from tests.support.valkey_server import ValkeyServer

HOUR = 3600.0


def refused(_clock: int) -> float:
    raise OSError(22, "Invalid argument")


# --- which clock ---------------------------------------------------------------------


def test_the_clock_counts_the_time_for_which_the_machine_slept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    times = {time.CLOCK_BOOTTIME: 5000.0, time.CLOCK_MONOTONIC: 1400.0}
    monkeypatch.setattr(time, "clock_gettime", times.__getitem__)
    assert clock_of_the_machine()() == 5000.0


def test_without_a_boot_clock_it_is_the_monotonic_one_of_the_system(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(time, "CLOCK_BOOTTIME")
    monkeypatch.setattr(time, "clock_gettime", {time.CLOCK_MONOTONIC: 7.0}.__getitem__)
    assert clock_of_the_machine()() == 7.0


@pytest.mark.parametrize("gettime", [None, refused])
def test_a_system_that_has_no_such_clock_or_refuses_it_measures_by_pythons(
    gettime: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    if gettime is None:
        monkeypatch.delattr(time, "clock_gettime")
    else:
        monkeypatch.setattr(time, "clock_gettime", gettime)
    assert clock_of_the_machine() is time.monotonic


# --- who goes by it ------------------------------------------------------------------


def test_the_stores_of_this_machine_go_by_it(tmp_path: Path) -> None:
    assert MemoryStore().now is machine_clock
    assert DiskStore(tmp_path).now is machine_clock


def test_the_estimate_of_a_servers_clock_goes_by_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here = FakeClock()
    monkeypatch.setattr(redis_store_module, "machine_clock", here)
    store = redis_store(lambda: cast("Any", None))
    before = store.now()
    here.advance(HOUR)
    assert store.now() == before + HOUR


def test_a_servers_clock_is_asked_again_after_a_sleep(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here = FakeClock()
    monkeypatch.setattr(clocks, "machine_clock", here)
    known = clocks.ServerClocks()
    known.sync("a", (1_700_000_000, 0))
    assert not known.is_due("a")
    here.advance(HOUR)
    assert known.is_due("a")


def test_a_lease_of_client_tracking_goes_by_it() -> None:
    tracker = InvalidationTracker(
        lambda: cast("Any", None), Keys("n"), lambda _: b"", lambda: None
    )
    assert tracker._clock is machine_clock


def test_what_sentinels_said_before_a_sleep_does_not_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here = FakeClock()
    monkeypatch.setattr(sentinel, "machine_clock", here)
    lease = sentinel.PrimaryLease(lambda: None)
    lease._discover = lambda: ("another", 1)
    lease._extend(here())
    assert lease.lasts(time.monotonic() + TIMEOUT)
    here.advance(HOUR)
    assert not lease.lasts(time.monotonic() + TIMEOUT)


# --- an application ------------------------------------------------------------------

APPLICATION = """
import os, sys, time

slept = 0.0
real = time.clock_gettime
counting_sleep = (time.CLOCK_BOOTTIME, time.CLOCK_REALTIME)
time.clock_gettime = lambda which: real(which) + slept * (which in counting_sleep)

import boto3, botocache

OLD, NEW = (b'{"Item":{"id":{"S":"7"},"v":{"S":"%s"}}}' % v for v in (b"old", b"new"))

def send(request, **_):
    from botocore.awsrequest import AWSResponse
    class Raw:
        def stream(self, **_):
            yield body
    body = next(answers)
    return AWSResponse(request.url, 200, {}, Raw())

for url in sys.argv[1:]:
    for near in ("on", "off"):
        session = boto3.Session("AKIATEST", "secret", region_name="us-east-1")
        botocache.install(
            session, url=url, ttl=60, near=near, scope="one", timeout=5, namespace=near
        )
        client = session.client("dynamodb")
        answers = iter([OLD, NEW])
        client.meta.events.register("before-send.dynamodb", send)
        read = lambda: client.get_item(TableName="t", Key={"id": {"S": "7"}})["Item"]
        found = [read()["v"]["S"] for _ in range(3)]
        slept += 3600.0
        print(url.partition(":")[0], near, *found, read()["v"]["S"])
"""


def test_no_hit_is_older_than_its_ttl_after_the_machine_slept(
    tmp_path: Path, valkey: ValkeyServer
) -> None:
    # In one process: each would take a second to import boto3.
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            APPLICATION,
            "memory:",
            f"disk://{tmp_path}",
            valkey.url,
        ],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=True,
    )
    assert done.stdout.splitlines() == [
        f"{kind} {near} old old old new"
        for kind in ("memory", "disk", "redis")
        for near in ("on", "off")
    ]
