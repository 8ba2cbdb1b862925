"""A service whose threads come and go, or stay idle; it measures what the cache takes.

    python -m tests.integration.long_run URL STORE NEAR      1,000 threads, 64 at a time
    python -m tests.integration.long_run URL STORE idle      200 idle threads

URL is of a DynamoDB, STORE of a store. Prints what it measured, as JSON. The second
form has 128 descriptors, and afterwards opens 60 files of its own.
"""

import contextlib
import json
import logging
import os
import re
import resource
import socket
import stat
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config

import botocache
from botocache.stores.disk import fill_queue
from tests.support.processes import TIMEOUT

THREADS = 1000
AT_A_TIME = 64
WARM = 200
"""From this thread on nothing has to grow any more."""

IDLE_THREADS = 200
DESCRIPTORS = 128
OWN_FILES = 60

FILLS_IDLE = 0.5
"""Seconds without an entry after which the thread that writes entries ends. It is five
in an application, which a test need not wait for."""

_OPEN = "/proc/self/fd"

_OURS = "application"
"""The name of a thread that is not the cache's."""

dynamodb_port = 0


def main(url: str, store: str, mode: Any) -> None:
    global dynamodb_port  # noqa: PLW0603 - a program
    dynamodb_port = urlsplit(url).port or 0
    logging.disable()
    fill_queue.IDLE = FILLS_IDLE
    is_idle = mode == "idle"
    cache = botocache.install(
        url=store, near="off" if is_idle else mode, settle=0, timeout=2
    )
    client = boto3.client(
        "dynamodb",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="AKIATEST",
        aws_secret_access_key="secret",
        config=Config(max_pool_connections=AT_A_TIME, retries={"max_attempts": 1}),
    )
    report = idle(client) if is_idle else long_run(client)
    stats = cache.stats()
    report |= {"hits": stats.hits, "misses": stats.misses}
    botocache.uninstall()
    print(json.dumps(report))


def long_run(client: Any) -> dict[str, Any]:
    """Let threads come and go; return what was in use on the way, and after it."""
    wrong: list[object] = []
    places = SimpleQueue[int]()
    for place in range(AT_A_TIME):
        places.put(place)
    samples: list[dict[str, int]] = []

    def work(number: int, place: int) -> None:
        try:
            wrong.extend(use(client, number, place))
        except Exception as error:  # noqa: BLE001 - the report has it
            wrong.append(repr(error))
        finally:
            places.put(place)

    started = []
    for number in range(THREADS):
        started.append(start(work, number, places.get()))
        if number % 20 == 0:
            samples.append(usage())
        if number == WARM:
            for thread in started:
                thread.join(TIMEOUT)
            before = usage()
    for thread in started:
        thread.join(TIMEOUT)
    await_end_of_fills()
    return {
        "wrong": wrong[:5],
        "before": before,
        "after": usage(),
        "most": {name: max(s[name] for s in samples) for name in samples[0]},
    }


def await_end_of_fills() -> None:
    """Wait until the thread that writes entries has ended by itself."""
    for thread in threading.enumerate():
        if thread.name == fill_queue.NAME:
            thread.join(TIMEOUT)


def use(client: Any, number: int, place: int) -> list[object]:
    """Write, miss and hit; return the answers that are not right.

    number: of the thread.
    place: that no other thread at work has.
    """
    key = {"id": {"S": str(number % 50)}}
    own = {"id": {"S": f"own-{place}"}}
    item = {**own, "n": {"N": str(number)}}
    wrong: list[object] = []
    for _ in range(2):
        found = client.get_item(TableName="t", Key=key).get("Item")
        if found not in (None, key):
            wrong.append(found)
    client.put_item(TableName="t", Item=item)
    for _ in range(3):
        found = client.get_item(TableName="t", Key=own).get("Item")
        if found != item:
            wrong.append(found)
    return wrong


def idle(client: Any) -> dict[str, Any]:
    """Let threads read and stay; then open files, as an application does."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))
    wrong: list[object] = []
    places = threading.Semaphore(8)  # the requests of so many threads need descriptors
    have_read = threading.Barrier(IDLE_THREADS + 1)
    may_end = threading.Event()

    def work(number: int) -> None:
        try:
            with places:
                wrong.extend(use(client, number, number))
        except Exception as error:  # noqa: BLE001 - the report has it
            wrong.append(repr(error))
        have_read.wait(2 * TIMEOUT)
        may_end.wait(2 * TIMEOUT)

    threads = [start(work, number) for number in range(IDLE_THREADS)]
    have_read.wait(2 * TIMEOUT)
    files = len(descriptors())
    try:
        with contextlib.ExitStack() as own:
            for _ in range(OWN_FILES):
                own.enter_context(tempfile.TemporaryFile())
    except OSError as error:
        wrong.append(repr(error))
    may_end.set()
    for thread in threads:
        thread.join(TIMEOUT)
    return {"wrong": wrong[:5], "files": files}


def start(work: Callable[..., None], *arguments: int) -> threading.Thread:
    thread = threading.Thread(target=work, args=arguments, name=_OURS)
    thread.start()
    return thread


def usage() -> dict[str, int]:
    """Return what this process has in use.

    files: descriptors, but for the connections to DynamoDB.
    threads: but for the application's.
    memory: KiB.
    """
    status = Path("/proc/self/status").read_text()
    (memory,) = re.findall(r"VmRSS:\s*(\d+) kB", status)
    return {
        "files": len(descriptors()),
        "threads": sum(thread.name != _OURS for thread in threading.enumerate()) - 1,
        "memory": int(memory),
    }


def descriptors() -> list[int]:
    """Return the descriptors that are no connection to DynamoDB."""
    numbers = [int(entry.name) for entry in Path(_OPEN).iterdir()]
    return [number for number in numbers if is_ours(number)]


def is_ours(number: int) -> bool:
    try:
        if not stat.S_ISSOCK(os.fstat(number).st_mode):
            return True
        with socket.socket(fileno=os.dup(number)) as connection:
            return bool(connection.getpeername()[1] != dynamodb_port)
    except OSError:  # closed meanwhile, or not connected yet
        return False


if __name__ == "__main__":
    main(*sys.argv[1:])
