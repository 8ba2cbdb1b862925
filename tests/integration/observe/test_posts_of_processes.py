"""What real processes count is on the board after they end, whatever their end.

The programs install on the process, make calls by the cache alone, and end.
"""

import os
import signal
import subprocess
import sys
import time
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from botocache._observe.overview import OpenBoard, open_board, read_overview
from botocache._observe.records import Overview
from botocache._observe.tidying import Tidying
from botocache._settings.load import load_settings
from botocache.stores.protocol import Board
from tests.support.processes import TIMEOUT, eventually
from tests.support.valkey_server import ValkeyServer

ROOT = Path(__file__).parents[3]

BEGIN = """
import atexit, multiprocessing, os, signal, sys, threading, time
import botocache

url, namespace, interval = sys.argv[1], sys.argv[2], float(sys.argv[3])
cache = botocache.install(url=url, namespace=namespace, stats_interval=interval)

def count(misses):
    cache.poster.note_call()
    series = cache.services.counters.series("t", "GetItem")
    for _ in range(misses):
        series.add_miss(0.01, 0.5)

def end():
    # What the end of a process calls, without the time that it takes to free modules.
    atexit._run_exitfuncs()
    os._exit(0)

def many(number, work, end=sys.exit):
    for at in range(number):
        if not os.fork():
            work(at)
            end()
    for at in range(number):
        os.wait()
"""

ENDS = {
    "the end of the script": ("count(3)", [3]),
    "sys.exit": ("count(3); sys.exit(3)", [3]),
    "an exception": ("count(3); raise ValueError", [3]),
    "a store that was closed": ("count(3); cache.close(); count(2)", [5]),
    "an installation that was undone": ("count(3); botocache.uninstall()", [3]),
    "a child of multiprocessing": (
        """
count(3)
child = multiprocessing.get_context("fork").Process(target=count, args=(4,))
child.start(); child.join(); count(1)""",
        [4, 4],
    ),
    "a child of os.fork": (
        "count(3)\nif not os.fork():\n    count(4); sys.exit()\nos.wait()",
        [3, 4],
    ),
    "a child that counts near hits alone": (
        """
count(3)
series = cache.services.counters.series("t", "GetItem")
near = series.near_hits(0.5)
def serve():
    for _ in range(4): near.number()
child = multiprocessing.get_context("fork").Process(target=serve)
child.start(); child.join()""",
        [3, 4],
    ),
    "workers of a server that forks them": (
        "many(6, lambda at: count(at + 1))",
        [1, 2, 3, 4, 5, 6],
    ),
    "a child that a thread forks, and that ends with that thread": (
        """
def fork():
    if not os.fork():
        count(4); sys.exit()
    os.wait()
count(3)
thread = threading.Thread(target=fork)
thread.start(); thread.join()""",
        [3, 4],
    ),
    "a child that ends by os._exit": (
        "count(3)\nif not os.fork():\n    count(4); os._exit(0)\nos.wait()",
        [3],
    ),
}


def start(
    program: str,
    url: str,
    *,
    interval: float = 3600.0,
    namespace: str = "posts",
    stdin: int = subprocess.DEVNULL,
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", f"{BEGIN}\n{program}\n", url, namespace, str(interval)],
        cwd=ROOT,
        env={"PYTHONPATH": ":".join(filter(None, sys.path)), "HOME": "/nowhere"},
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(program: str, url: str) -> str:
    """Run a program; return what it has printed on standard error."""
    with start(program, url) as process:
        _, errors = process.communicate(timeout=TIMEOUT)
    return errors


def opened(url: str, namespace: str = "posts") -> AbstractContextManager[OpenBoard]:
    arguments = {"url": url, "namespace": namespace, "timeout": 5.0}
    settings = load_settings(arguments, {}, "")
    return open_board(settings, os.environ)


def overview(url: str, namespace: str = "posts") -> Overview:
    with opened(url, namespace) as (store, codec, _):
        return read_overview(store, codec)


def reads(seen: Overview) -> list[int]:
    return sorted(r.stats.misses + r.stats.hits for r in seen.processes)


SELDOM = (
    "sys.exit",
    "an exception",
    "a child of os.fork",
    "a child of multiprocessing",
)
"""What differs little from another end of the table; the rest says as much."""


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(end, marks=[pytest.mark.long] if end in SELDOM else [])
        for end in ENDS
    ],
)
def test_a_process_that_ends_has_posted_all_that_it_counted(
    end: str, tmp_path: Path
) -> None:
    program, expected = ENDS[end]
    url = f"disk://{tmp_path}/cache"
    errors = run(program, url)
    assert "botocache" not in errors.replace("ValueError", "")
    seen = overview(url)
    assert reads(seen) == expected
    assert sum(p.hits + p.misses for p in seen.points) == sum(expected)
    assert all(record.has_ended for record in seen.processes)


def test_processes_of_several_machines_meet_on_a_server(
    valkey: ValkeyServer, namespace: str
) -> None:
    url = valkey.url
    running = [start(f"count({n})", url, namespace=namespace) for n in (3, 4, 5)]
    for process in running:
        process.communicate(timeout=TIMEOUT)
    seen = overview(url, namespace)
    assert reads(seen) == [3, 4, 5]
    assert sum(point.misses for point in seen.points) == 12


@pytest.mark.parametrize("crowds", [4, pytest.param(10, marks=pytest.mark.long)])
def test_many_short_processes_are_counted_exactly(tmp_path: Path, crowds: int) -> None:
    url = f"disk://{tmp_path}/cache"
    program = f"for _ in range({crowds}): many(20, lambda at: count(at + 1), end)"
    errors = run(program, url)
    assert errors == ""
    seen = overview(url)
    assert seen.unreadable == 0
    assert seen.total.misses == crowds * sum(range(1, 21))
    assert sum(point.misses for point in seen.points) == seen.total.misses
    assert len(seen.processes) + seen.past_processes == crowds * 20


def test_a_process_that_is_killed_loses_an_interval_at_most(tmp_path: Path) -> None:
    url = f"disk://{tmp_path}/cache"
    # Each line of its input is a step, so the kill comes when the test says so.
    program = "count(3)\nsys.stdin.readline()\ncount(2)\nsys.stdin.readline()"
    process = start(program, url, interval=0.1, stdin=subprocess.PIPE)
    assert process.stdin is not None
    try:
        eventually(lambda: reads(overview(url)) == [3])
        process.stdin.write("\n")
        process.stdin.flush()
        eventually(lambda: reads(overview(url)) == [5])
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=TIMEOUT)
    (record,) = overview(url).processes
    assert (record.stats.misses, record.has_ended) == (5, False)


def test_a_process_that_was_stopped_while_others_took_it_for_dead_counts_once(
    tmp_path: Path,
) -> None:
    url, go = f"disk://{tmp_path}/cache", tmp_path / "go"
    program = f"count(3)\nwhile not os.path.exists({str(go)!r}): "
    program += "time.sleep(0.05)  # a file announces nothing\n"
    process = start(f"{program}count(2)", url, interval=0.1)
    try:
        eventually(lambda: reads(overview(url)) == [3])

        def is_merged() -> bool:
            """Stop it, and merge its record; go on if it was stopped with the lock."""
            process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
            with opened(url) as (store, codec, _):
                assert isinstance(store, Board)
                month = time.time() + 30 * 86400.0
                Tidying(store, codec, month, lambda: os.urandom(8).hex()).tidy()
            if overview(url).past_processes:
                return True
            process.send_signal(signal.SIGCONT)
            return False

        eventually(is_merged)
    finally:
        go.touch()
        process.send_signal(signal.SIGCONT)
        process.communicate(timeout=TIMEOUT)
    seen = overview(url)
    assert (seen.past.misses, reads(seen)) == (3, [2])


IMPORTS = """
found = []
class Finder:
    def find_spec(self, name, path=None, target=None):
        if threading.current_thread() is not threading.main_thread():
            found.append(name)
sys.meta_path.insert(0, Finder())
count(3)
deadline = time.monotonic() + 30
while not cache.services.store.posted() and time.monotonic() < deadline:
    time.sleep(0.05)  # a post announces nothing
sys.stderr.write(str(found))
"""
"""A child forked while a thread imports a module waits for that module for ever."""


def test_no_thread_imports_anything(
    tmp_path: Path, valkey: ValkeyServer, namespace: str
) -> None:
    for url in (f"disk://{tmp_path}/cache", valkey.url):
        with start(IMPORTS, url, interval=0.05, namespace=namespace) as process:
            _, errors = process.communicate(timeout=TIMEOUT)
        assert errors == "[]"
        assert reads(overview(url, namespace)) == [3]


def test_no_thread_keeps_a_process_alive_and_none_is_there_at_a_fork(
    tmp_path: Path,
) -> None:
    program = """
count(1)
def names():
    return [thread.name for thread in threading.enumerate()]
before = "botocache-stats" in names()
if not os.fork():
    sys.stderr.write(f"{before} {'botocache-stats' in names()} ")
    sys.exit()
os.wait()
count(1)
sys.stderr.write(f"{'botocache-stats' in names()}")
"""
    assert run(program, f"disk://{tmp_path}/cache") == "True False True"


def test_a_child_of_a_fork_server_posts_what_it_counted(tmp_path: Path) -> None:
    # It installs as it imports the main module, which is before it is bootstrapped.
    url = f"disk://{tmp_path}/cache"
    main = tmp_path / "main.py"
    main.write_text(
        f"""{BEGIN}
if __name__ == "__main__":
    context = multiprocessing.get_context("forkserver")
    child = context.Process(target=count, args=(4,))
    child.start(); child.join(); count(3)
"""
    )
    done = subprocess.run(
        [sys.executable, str(main), url, "posts", "3600"],
        cwd=ROOT,
        env={"PYTHONPATH": ":".join(filter(None, sys.path)), "HOME": "/nowhere"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=True,
    )
    assert done.stderr == ""
    assert reads(overview(url)) == [3, 4]
