"""What the store on Redis costs when there is more of everything.

    python -m benchmarks.redis_scale [--quick]

More processes: 1, 2, 4 and 8 of them look up the same entry on one server, as fast as
they can; beside them as many that ask redis-py for the same keys. More entries: what a
write's evictions cost on servers that hold 1,000, 100,000 and 1,000,000 entries, each
with a tag of its own; side by side, because the cost must not grow.
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeAlias

import redis

from benchmarks.measure import compare, figure_of, report
from benchmarks.redis_store import TTL, Verbs, opened
from botocache.stores.protocol import Fill, Store
from tests.support.valkey_server import running_valkey

ROOT = Path(__file__).resolve().parent.parent
PROCESSES = (1, 2, 4, 8)
BATCH = 1000

Worker: TypeAlias = "subprocess.Popen[str]"


# --- more processes ----------------------------------------------------------------


def work(url: str) -> None:
    """Be one of the processes: for each line, a kind and seconds, count calls."""
    with redis.Redis.from_url(url) as bare:
        store = opened(url)
        verbs = Verbs(store, bare)
        kinds: dict[str, Callable[[], object]] = {
            "load": verbs.hit,
            "MGET": verbs.mget,
        }
        print("ready", flush=True)
        for line in sys.stdin:
            kind, seconds = line.split()
            print(_calls_in(float(seconds), kinds[kind]), flush=True)
        store.close()


def _calls_in(seconds: float, call: Callable[[], object]) -> int:
    end, calls = time.perf_counter() + seconds, 0
    while time.perf_counter() < end:
        call()
        calls += 1
    return calls


@contextmanager
def workers(count: int, url: str) -> Iterator[list[Worker]]:
    """Run some processes for as long as the context lasts."""
    command = [sys.executable, "-m", "benchmarks.redis_scale", "--work", url]
    with ExitStack() as stack:
        team = []
        for _ in range(count):
            worker = subprocess.Popen(
                command,
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            team.append(stack.enter_context(worker))
        for each in team:
            _answer(each)
        yield team


def _answer(worker: Worker) -> str:
    assert worker.stdout is not None
    return worker.stdout.readline()


def throughput(team: list[Worker], kind: str, seconds: float) -> float:
    """Return the calls per second of all of them together."""
    for each in team:
        assert each.stdin is not None
        each.stdin.write(f"{kind} {seconds}\n")
        each.stdin.flush()
    return sum(int(_answer(each)) for each in team) / seconds


def compare_processes(rounds: int, seconds: float) -> None:
    """Report how much less time a look-up takes when more processes share a server."""
    base = "1 process, MGET"
    contenders = {
        f"{count} process{'es' if count > 1 else ''}, {kind}": (count, kind)
        for count in PROCESSES
        for kind in ("MGET", "load")
    }
    times: dict[str, list[float]] = {name: [] for name in contenders}
    with running_valkey() as server, workers(max(PROCESSES), server.url) as team:
        for _ in range(rounds):
            for name, (count, kind) in contenders.items():
                calls = throughput(team[:count], kind, seconds)
                times[name].append(1e6 / calls)
    figures = [figure_of(name, own, times[base]) for name, own in times.items()]
    report("Redis processes: time per look-up, of all together", base, figures)
    for name, own in times.items():
        print(f"  {name:44} {1e6 / statistics.median(own):10,.0f} look-ups/s")


# --- more entries ------------------------------------------------------------------


def fill(store: Store, entries: int) -> None:
    """Put small entries, each with a tag of its own."""
    for begin in range(0, entries, BATCH):
        names = [b"%016d" % number for number in range(begin, begin + BATCH)]
        lookups = [(name, [name]) for name in names]
        store.load_many(lookups)
        store.fill_many([Fill(name, b"x" * 100, TTL, [name]) for name in names])


def compare_entries(sizes: tuple[int, ...], rounds: int, calls: int) -> None:
    """Report what a write's evictions cost beside more and more entries."""
    base = f"{sizes[0]:,} entries"
    contenders: dict[str, Callable[[], object]] = {}
    with ExitStack() as stack:
        for size in sizes:
            server = stack.enter_context(running_valkey())
            store = opened(server.url)
            stack.callback(store.close)
            fill(store, size)
            bare = stack.enter_context(redis.Redis.from_url(server.url))
            contenders[f"{size:,} entries"] = Verbs(store, bare).write
            print(f"  {bare.dbsize():,} keys, {bare.info('memory')['used_memory']:,} B")
        figures = compare(contenders, base=base, rounds=rounds, calls=calls)
    report("Redis eviction: both halves of a write's", base, figures)


def main() -> None:
    """Compare, or be one of the processes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds and entries")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        work(arguments.work)
    elif arguments.quick:
        compare_processes(3, 0.1)
        compare_entries((1_000, 50_000), 7, 100)
    else:
        compare_processes(7, 1.0)
        compare_entries((1_000, 100_000, 1_000_000), 31, 300)


if __name__ == "__main__":
    main()
