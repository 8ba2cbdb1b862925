"""One run of the story: starts its processes, crawls, measures, ends everything.

Owns processes, their environment and temporary files. What the numbers mean is
decided in `report.py`.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from typing import IO, Any, cast

from report import Run

HERE = Path(__file__).parent
START_SECONDS = 60.0
CRAWL_SECONDS = 900.0
END_SECONDS = 3.0

Environment = dict[str, str]


class StageError(Exception):
    """A process did not start, or did not do its work."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What all runs have in common."""

    pages: int
    read_capacity: int
    burst_seconds: int
    workers: int
    seed: int


class Cache:
    """A run's cache: a directory, on which its processes leave their counts.

    toggle: "shadow" or "1".
    """

    def __init__(self, directory: Path, toggle: str) -> None:
        self._url = f"disk://{directory}"
        self.environment = {"BOTOCACHE": toggle, "BOTOCACHE_URL": self._url}
        """What makes the difference between two runs: all of it."""

    def document(self) -> Any:
        """Return the figures that the report shows."""
        return json.loads(self._command("report", "--json"))

    def write_report(self, path: Path) -> None:
        """Write the report, one HTML page."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._command("report", "--output", str(path))

    def _command(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "botocache", *arguments],
            env=_environment() | {"BOTOCACHE_URL": self._url},
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
            check=False,
        )
        if done.returncode:
            message = f"botocache {arguments[0]} failed: {done.stderr.strip()}"
            raise StageError(message)
        return done.stdout


def perform(
    settings: Settings, cache: Cache | None = None, graph_program: str = "graph.py"
) -> Run:
    """Run the story once with processes of its own; StageError if it cannot.

    cache: of the graph service.
    graph_program: runs that service.
    """
    with ExitStack() as stack:
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="crawl-demo-"))

        def start(program: str, environment: Environment, *options: str) -> int:
            return stack.enter_context(_server(program, environment, *options))

        plain = _environment()
        burst = str(settings.burst_seconds)
        dynamodb = start("dynamodb.py", plain, "--burst-seconds", burst)
        aws = plain | {"AWS_ENDPOINT_URL_DYNAMODB": f"http://127.0.0.1:{dynamodb}"}
        _finish("tables.py", aws, "--read-capacity", str(settings.read_capacity))

        pages = ("--pages", str(settings.pages))
        site = start("website.py", plain, *pages, "--seed", str(settings.seed))
        graph = start(graph_program, aws | (cache.environment if cache else {}))

        result = Path(scratch, "result.json")
        ports = ("--site", str(site), "--graph", str(graph))
        workers = ("--workers", str(settings.workers))
        _call(dynamodb, "POST", "/_meter/reset")
        before = _cpu_seconds(graph)
        _finish("crawler.py", plain, *ports, *pages, *workers, "--result", str(result))
        used = _cpu_seconds(graph) - before
        meter = _call(dynamodb, "GET", "/_meter")
        return Run.from_json(json.loads(result.read_text()), meter, used)


def _cpu_seconds(graph: int) -> float:
    """Return the processor time that the graph service has used so far."""
    return float(_call(graph, "GET", "/usage")["cpu_seconds"])


def _environment() -> Environment:
    """Return this process's environment without the user's AWS and cache settings."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "BOTOCACHE", "BOTOCORE_"))
    }
    return kept | {
        "AWS_ACCESS_KEY_ID": "demo",
        "AWS_SECRET_ACCESS_KEY": "demo",
        "AWS_REGION": "eu-central-1",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }


@contextmanager
def _server(program: str, environment: Environment, *options: str) -> Iterator[int]:
    """Run a server process for as long as the block; yields its port."""
    with _process(program, environment, *options, stdout=subprocess.PIPE) as process:
        yield _announced_port(program, process)


def _announced_port(program: str, process: subprocess.Popen[bytes]) -> int:
    patience = Timer(START_SECONDS, process.kill)
    patience.start()
    try:
        line = cast("IO[bytes]", process.stdout).readline()
        return int(json.loads(line)["port"])
    except ValueError:
        message = f"{program} did not start"
        raise StageError(message) from None
    finally:
        patience.cancel()


def _finish(program: str, environment: Environment, *options: str) -> None:
    """Run a process to its end; its output goes where ours goes."""
    with _process(program, environment, *options, stdout=None) as process:
        try:
            status = process.wait(CRAWL_SECONDS)
        except subprocess.TimeoutExpired:
            message = f"{program} did not end within {CRAWL_SECONDS:.0f} s"
            raise StageError(message) from None
        if status:
            message = f"{program} failed (exit status {status})"
            raise StageError(message)


@contextmanager
def _process(
    program: str, environment: Environment, *options: str, stdout: int | None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run one of our programs; whatever happens in the block, it is ended."""
    process = subprocess.Popen(
        [sys.executable, str(HERE / program), *options],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=stdout,
        # Ctrl-C is for the conductor: it ends the others in an orderly way.
        start_new_session=True,
    )
    try:
        yield process
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask by closing stdin, then terminate, then kill: by this handle only."""
    if process.stdin is not None:
        process.stdin.close()
    for insist in (process.terminate, process.kill):
        if _has_ended(process):
            break
        insist()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        return False
    return True


def _call(port: int, method: str, path: str) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=START_SECONDS)
    try:
        connection.request(method, path)
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()
