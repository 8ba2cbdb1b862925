"""A soak of following: followers are killed and stopped, shards split and are trimmed.

`python -m tests.soak --followed`. A program writes around the cache, services read by
it, and `botocache follow-streams` runs as often as SLOTS says. The streams are the
stand-in's, because moto's have one shard that never splits.

The judge knows two promises. The first one as ever: no hit is older than a write that
completed through the cache. And: no hit is served longer after it was overwritten
around the cache than the docs say, whatever happens to followers and store.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from botocache._coherence import TRUST
from botocache._streams.ledger import LEASE
from tests.soak.checker import Violation, violations
from tests.soak.disturbances import Kind, clear
from tests.soak.followed_worker import Service
from tests.soak.journal import History, Journal, Outcome, read_history
from tests.soak.server_harms import harm
from tests.soak.stale import AROUND, StaleHit, stale_hits
from tests.support.dynamodb import REGION, DynamoDB, running_dynamodb
from tests.support.dynamodb_streams import serving
from tests.support.environment import ROOT
from tests.support.processes import TIMEOUT, eventually
from tests.support.stand_in_streams import StandInStream
from tests.support.streamed_table import StreamedTable
from tests.support.valkey_server import running_valkey

SLOTS = 2
SERVICES = 2
ITEMS = 8
SHARDS = 3

SLACK = 1.0
"""Seconds from a write's end to its record in the stream, at most: the writer is one of
many processes on a busy machine."""


@dataclass(frozen=True, slots=True)
class FollowedReport:
    """The report of a soak, which failed if there are problems.

    bound: seconds for which the docs allow a hit on what was overwritten around us.
    """

    history: History
    disturbances: Counter[str]
    violations: list[Violation]
    stale: list[StaleHit]
    bound: float

    @property
    def hits(self) -> int:
        return sum(read.is_hit for read in self.history.reads)

    @property
    def late(self) -> list[StaleHit]:
        """The hits that were served for too long."""
        return [each for each in self.stale if each.seconds > self.bound]

    def problems(self) -> list[str]:
        """Return what ought not to be."""
        return [
            *map(str, self.violations),
            *map(str, self.late),
            *self.history.errors,
        ]

    def __str__(self) -> str:
        ages = sorted(each.seconds for each in self.stale) or [0.0]
        around = sum(w.name.startswith(AROUND) for w in self.history.writes)
        done = ", ".join(f"{k} {n}" for k, n in sorted(self.disturbances.items()))
        return "\n".join(
            [
                f"reads: {len(self.history.reads)}, hits: {self.hits}",
                f"writes: {len(self.history.writes)}, around the cache: {around}",
                f"disturbances: {self.disturbances.total()} ({done})",
                f"hits on what was overwritten around the cache: {len(self.stale)}; "
                f"seconds: p50 {_quantile(ages, 0.5):.2f}, p99 "
                f"{_quantile(ages, 0.99):.2f}, max {ages[-1]:.2f}; "
                f"allowed {self.bound:.2f}",
                f"errors: {len(self.history.errors)}",
                f"violations: {len(self.violations)}, too late: {len(self.late)}",
            ]
        )


def _quantile(ordered: list[float], share: float) -> float:
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


class Followers:
    """Processes of `botocache follow-streams`, in slots."""

    def __init__(self, table: str, **variables: str) -> None:
        self._table = table
        self._variables = variables
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self, slots: int) -> None:
        """Start as many."""
        self._processes = [self._start() for _ in range(slots)]

    def kill(self, slot: int) -> None:
        """Kill one; another one takes its place."""
        self._end(self._processes[slot])
        self._processes[slot] = self._start()

    def kill_for_good(self) -> None:
        """Kill all."""
        for each in self._processes:
            self._end(each)
        self._processes.clear()

    def signal(self, slot: int, number: int) -> None:
        """Send one a signal: SIGSTOP, SIGCONT."""
        self._processes[slot].send_signal(number)

    def _end(self, process: "subprocess.Popen[bytes]") -> None:
        process.kill()
        process.wait(TIMEOUT)

    def _start(self) -> "subprocess.Popen[bytes]":
        given = {k: v for k, v in os.environ.items() if not k.startswith("COV")}
        command = [sys.executable, "-m", "botocache", "follow-streams"]
        return subprocess.Popen(
            [*command, "--table", self._table],
            cwd=ROOT,
            env={**given, **self._variables},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


class FollowedWorld:
    """A soak that runs: what can be done to it.

    do_harm: does something to the store.
    end: by `time.monotonic`.
    """

    end = 0.0

    def __init__(
        self, stream: StandInStream, followers: Followers, do_harm: Callable[[], str]
    ) -> None:
        self.stream = stream
        self.followers = followers
        self.do_harm = do_harm
        self.is_over = threading.Event()
        self.done: Counter[str] = Counter()

    def seconds_left(self) -> float:
        """Return for how long it goes on."""
        return max(0.0, self.end - time.monotonic())

    def disturb(self, random: Random) -> None:
        """Do something, and wait until it is over."""
        choices = (self._kill, self._stop, self._split, self._harm_stream, self._harm)
        self.done[random.choices(choices, [3, 2, 4, 4, 2])[0](random)] += 1

    def _kill(self, random: Random) -> str:
        self.followers.kill(random.randrange(SLOTS))
        return "kills"

    def _stop(self, random: Random) -> str:
        """Stop a follower, mostly for longer than its leases."""
        slot = random.randrange(SLOTS)
        self.followers.signal(slot, signal.SIGSTOP)
        self.is_over.wait(min(random.uniform(0.5, 2 * LEASE), self.seconds_left()))
        self.followers.signal(slot, signal.SIGCONT)
        return "stops"

    def _split(self, random: Random) -> str:
        shard = random.choice(self.stream.open_shards).id
        if len(self.stream.open_shards) < 2 * SHARDS and random.random() < 0.5:
            self.stream.split(shard)
            return "splits"
        self.stream.roll_over(shard)
        return "closed shards"

    def _harm_stream(self, random: Random) -> str:
        what = random.choice(("trims", "expiries", "throttles", "empty pages", "lates"))
        if what == "trims":
            self.stream.trim(random.choice(self.stream.open_shards).id)
        elif what == "expiries":
            self.stream.expire_iterators()
        elif what == "throttles":
            self.stream.throttle(5)
        elif what == "empty pages":
            self.stream.return_empty_pages(3)
        elif what == "lates":
            # As a record that comes again: in its order, and with an old moment.
            for shard in self.stream.open_shards:
                if shard.records:
                    self.stream.repeat(shard.id)
        return what

    def _harm(self, _random: Random) -> str:
        return self.do_harm()


def followed_soak(  # noqa: PLR0913 - all but two have defaults
    seconds: float,
    seed: int,
    *,
    store: str = "disk",
    trust: float = TRUST,
    ttl_unfollowed: float = 1.0,
    mutant: str = "",
    is_abandoned: bool = False,
    is_calm: bool = False,
    slots: int = SLOTS,
    ttl: float = 3600.0,
) -> FollowedReport:
    """Let services read, and others write around them, for some seconds.

    trust: in place of TRUST.
    is_abandoned: in place of disturbances, all followers are killed in the middle.
    is_calm: nothing is disturbed.
    slots: followers.
    ttl: of the entries.
    """
    random = Random(seed)
    with contextlib.ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(running_dynamodb())
        url, do_harm = stack.enter_context(_STORES[store](place, random))
        table = server.create_table("id:S", name="users")
        stream = StandInStream(table, view="KEYS_ONLY", shards=SHARDS)
        streams = stack.enter_context(serving(stream))
        journals = place / "journals"
        journals.mkdir()
        followers = Followers(
            table,
            AWS_ENDPOINT_URL_DYNAMODB_STREAMS=streams.url,
            AWS_ACCESS_KEY_ID="AKIATEST",
            AWS_SECRET_ACCESS_KEY="secret",
            AWS_REGION=REGION,
            AWS_DEFAULT_REGION=REGION,
            BOTOCACHE_URL=url,
            BOTOCACHE_SETTLE="0.02",
        )
        stack.callback(followers.kill_for_good)
        world = FollowedWorld(stream, followers, do_harm)
        followers.start(slots)
        service = Service(
            "",
            server.url,
            table,
            url,
            str(journals),
            ITEMS,
            ttl_unfollowed,
            trust,
            ttl,
            mutant=mutant,
        )
        with _services(service), _writer(server, stream, journals, world, seed):
            eventually(lambda: len([*journals.glob("*.journal")]) > SERVICES)
            eventually(lambda: not slots or bool(stream.requests("GetRecords")))
            world.end = time.monotonic() + seconds
            if is_abandoned:
                world.is_over.wait(seconds / 2)
                followers.kill_for_good()
                world.is_over.wait(seconds / 2)
            if is_calm:
                world.is_over.wait(seconds)
            while world.seconds_left():
                world.is_over.wait(min(random.uniform(0.3, 2.0), world.seconds_left()))
                world.disturb(random)
            world.is_over.set()
        history = read_history(journals)
    bound = max(trust, ttl_unfollowed) + SLACK
    return FollowedReport(
        history, world.done, violations(history), [*stale_hits(history)], bound
    )


@contextlib.contextmanager
def _services(service: Service) -> Iterator[None]:
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.soak.followed_worker", each.to_json()],
            cwd=ROOT,
            env={k: v for k, v in os.environ.items() if not k.startswith("COV")},
            stdin=subprocess.PIPE,
        )
        for each in (
            replace(service, name=f"service{n}", has_near=not n % 2)
            for n in range(SERVICES)
        )
    ]
    try:
        yield
    finally:
        for each in running:
            assert each.stdin is not None
            each.stdin.close()
        codes = [each.wait(TIMEOUT) for each in running]
    assert not any(codes), codes


@contextlib.contextmanager
def _writer(
    server: DynamoDB,
    stream: StandInStream,
    journals: Path,
    world: FollowedWorld,
    seed: int,
) -> Iterator[None]:
    """Write around the cache, in a thread."""
    table = StreamedTable(server.client(), stream)
    journal = Journal(journals / f"{AROUND}.journal")
    random = Random(f"{seed} writer")

    def write_all() -> None:
        number = 0
        while not world.is_over.wait(random.uniform(0.02, 0.4)):
            number += 1
            name, item = f"{AROUND}/{number}", str(random.randrange(ITEMS))
            journal.started(name, "PutItem", {item: name}, ())
            table.put({"id": {"S": item}, "v": {"S": name}})
            journal.ended(name, outcome=Outcome.UNKNOWN.value)

    thread = threading.Thread(target=write_all, daemon=True)
    thread.start()
    try:
        yield
    finally:
        world.is_over.set()
        thread.join(TIMEOUT)


@contextlib.contextmanager
def _on_disk(place: Path, _random: Random) -> Iterator[tuple[str, Callable[[], str]]]:
    directory = place / "store"
    directory.mkdir(mode=0o700)

    def do_harm() -> str:
        clear(directory)
        return Kind.CLEAR.value

    yield f"disk://{directory}", do_harm


@contextlib.contextmanager
def _on_redis(_: Path, random: Random) -> Iterator[tuple[str, Callable[[], str]]]:
    with running_valkey(enable_debug_command="local") as server:

        def do_harm() -> str:
            kind = random.choice((Kind.RESTART, Kind.FREEZE, Kind.FLUSH, Kind.CUT))
            harm(server, kind)
            if kind is Kind.FREEZE:
                time.sleep(random.uniform(0.5, 4.0))  # real: the store is down
                harm(server, Kind.THAW)
            return kind.value

        yield server.url, do_harm


_STORES = {"disk": _on_disk, "redis": _on_redis}
