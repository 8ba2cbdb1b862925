"""A process that ends delivers what it owes before, and does not wait for ever."""

import gc
import subprocess
import sys
import time
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

from botocache import _exits as exits
from botocache._cache.pending_evictions import PendingEvictions
from botocache.stores.memory import MemoryStore
from botocache.stores.protocol import Store
from tests.support.failing_store import FailingStore
from tests.support.opening import open_store_at
from tests.support.processes import TIMEOUT, eventually
from tests.support.tcp_proxy import TcpProxy, running_proxy
from tests.support.threads import no_thread
from tests.support.valkey_server import ValkeyServer

KEY, TAG = b"k" * 16, b"t" * 16

OWING = """
import multiprocessing, os, redis.cluster, sys, threading
from botocache._cache.pending_evictions import PendingEvictions
from tests.support.opening import open_store_at

def owe():
    store = open_store_at(sys.argv[1], namespace=sys.argv[2], timeout={timeout})
    made = PendingEvictions(store, 1.0, lambda error: None)
    made.add([{tag!r}])
    return made  # or it would be as good as dead

if __name__ == "__main__":
"""
"""The beginning of a program: `owe` leaves an eviction pending, and returns what must
live as long as its cache would."""

ENDS = {
    "the end of the script": "kept = owe()",
    "sys.exit": "kept = owe(); sys.exit(3)",
    "an exception": "kept = owe(); raise ValueError",
    "a thread that still runs": """
    kept = []
    def later():
        threading.main_thread().join()
        kept.append(owe())
    threading.Thread(target=later).start()""",
    "a child of multiprocessing": """
    kept = []
    fork = multiprocessing.get_context("fork")
    child = fork.Process(target=lambda: kept.append(owe()))
    child.start(); child.join(); sys.exit(child.exitcode)""",
    "a spawned child": """
    child = multiprocessing.get_context("spawn").Process(target=owe)
    child.start(); child.join(); sys.exit(child.exitcode)""",
    "a forked child": """
    pid = os.fork()
    if pid:
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    kept = owe(); sys.exit(3)""",
}
STATUS = {"sys.exit": 3, "an exception": 1, "a forked child": 3}


@pytest.fixture
def slow(valkey: ValkeyServer) -> Iterator[TcpProxy]:
    """A server to which connecting takes much longer than a call may wait."""
    with running_proxy(valkey.port) as proxy:
        proxy.delay(to_client=0.15)
        yield proxy


def run(
    path: Path, url: str, namespace: str, end: str, timeout: float = 0.4
) -> "subprocess.CompletedProcess[str]":
    """Run a program that owes an eviction and ends."""
    program = path / "program.py"
    program.write_text(OWING.format(tag=TAG, timeout=timeout) + f"    {end.strip()}\n")
    return run_program(program, url, namespace)


def run_program(
    program: Path, url: str, namespace: str
) -> "subprocess.CompletedProcess[str]":
    """Run a program to its end."""
    return subprocess.run(
        [sys.executable, str(program), url, namespace],
        cwd=Path(__file__).parents[2],
        env={"PYTHONPATH": ":".join(filter(None, sys.path))},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


def is_evicted(store: Store, before: tuple[int, ...]) -> bool:
    return tuple(store.load(KEY, [TAG]).snapshot) != before


@pytest.mark.parametrize("end", ENDS)
def test_a_process_delivers_what_is_pending_before_it_ends(
    end: str, slow: TcpProxy, valkey: ValkeyServer, namespace: str, tmp_path: Path
) -> None:
    store = open_store_at(valkey.url, namespace=namespace, timeout=TIMEOUT)
    before = tuple(store.load(KEY, [TAG]).snapshot)
    ended = run(tmp_path, slow.url(), namespace, ENDS[end])
    assert is_evicted(store, before), ended.stderr
    assert ended.returncode == STATUS.get(end, 0)
    is_silent = end != "an exception"
    assert ended.stdout == ""
    assert (ended.stderr == "") is is_silent
    assert "botocache" not in ended.stderr
    store.close()


def test_what_is_pending_for_the_disk_is_delivered_as_well(
    namespace: str, tmp_path: Path
) -> None:
    url = f"disk://{tmp_path}/cache"
    store = open_store_at(url, namespace=namespace)
    before = tuple(store.load(KEY, [TAG]).snapshot)
    ended = run(tmp_path, url, namespace, ENDS["the end of the script"])
    assert is_evicted(store, before)
    assert (ended.returncode, ended.stderr) == (0, "")
    store.close()


def test_a_server_that_is_away_delays_the_end_for_a_bounded_time(
    slow: TcpProxy, namespace: str, tmp_path: Path
) -> None:
    slow.refuse()
    began = time.monotonic()
    ended = run(tmp_path, slow.url(), namespace, ENDS["the end of the script"])
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    assert time.monotonic() - began >= exits.EXIT_PATIENCE  # and less than TIMEOUT


AWAITING = """
import multiprocessing, os, sys, time
from botocache._errors import StoreError
from botocache.stores.protocol import Fill
from tests.support.opening import open_store_at

def owe():
    fills = [Fill({key!r}, b"entry", 60.0, [{tag!r}])]
    is_sent = False
    while not is_sent:  # it is still being connected to
        try:
            store.fill_many(fills)
            is_sent = True
        except StoreError:
            time.sleep(0.01)  # that a server can be reached again is not announced
    store.for_call().fill_later(fills, lambda error: os.write(1, b"%r" % error))

if __name__ == "__main__":
    store = open_store_at(sys.argv[1], namespace=sys.argv[2], timeout=0.4)
    {end}
"""
"""A program that does not wait for a server's reply, and ends. Its store may be older
than the process that ends."""


@pytest.mark.parametrize(
    "end", ["sys.exit", "a child of multiprocessing", "a forked child"]
)
def test_a_process_reads_the_replies_that_nothing_waited_for_before_it_ends(
    end: str, valkey: ValkeyServer, namespace: str, tmp_path: Path
) -> None:
    program = tmp_path / "program.py"
    text = AWAITING.format(key=KEY, tag=TAG, end=ENDS[end].strip())
    program.write_text(text)
    ended = run_program(program, valkey.url, namespace)
    assert (ended.stdout, ended.stderr) == ("None", "")


# --- within this process -------------------------------------------------------------


class Debtor:
    """Something that owes, and notes how long it may take."""

    def __init__(self) -> None:
        self.deadlines: list[float] = []

    def deliver_until(self, deadline: float) -> None:
        self.deadlines.append(deadline)


@pytest.fixture(autouse=True)
def _no_end_has_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exits._Exit, "deadline", None)
    monkeypatch.setattr(exits, "_debtors", weakref.WeakSet())
    monkeypatch.setattr(exits, "_last", weakref.WeakSet())


def test_all_who_owe_share_one_deadline() -> None:
    debtors = Debtor(), Debtor()
    for debtor in debtors:
        exits.deliver_at_exit(debtor)
    exits._deliver()
    exits._deliver()  # multiprocessing and atexit may both call it
    noted = [deadline for debtor in debtors for deadline in debtor.deadlines]
    assert len(noted) == 4
    assert len({*noted}) == 1


def test_what_is_less_urgent_is_delivered_last() -> None:
    order: list[str] = []

    class Noted(Debtor):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

        def deliver_until(self, deadline: float) -> None:
            super().deliver_until(deadline)
            order.append(self.name)

    counts, evictions = Noted("counts"), Noted("evictions")
    exits.deliver_last(counts)
    exits.deliver_at_exit(evictions)
    exits._deliver()
    assert order == ["evictions", "counts"]


def test_the_end_of_the_process_keeps_no_cache_alive() -> None:
    debtor = Debtor()
    exits.deliver_at_exit(debtor)
    alive = weakref.ref(debtor)
    del debtor
    gc.collect()
    assert alive() is None
    exits._deliver()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_nothing_is_raised_at_the_end(error: type[BaseException]) -> None:
    class Failing(Debtor):
        def deliver_until(self, deadline: float) -> None:
            super().deliver_until(deadline)
            raise error

    failing = Failing()
    exits.deliver_at_exit(failing)
    exits._deliver()
    assert failing.deadlines


def test_without_threads_the_end_delivers_itself() -> None:
    store = FailingStore(MemoryStore())
    store.failing = {"evict"}
    pending = PendingEvictions(store, 1.0, lambda _: None, start=no_thread)
    pending.add([TAG])
    assert len(pending) == 1
    store.failing = set()
    exits._deliver()
    eventually(lambda: not pending.tags)
