"""The service of examples/fastapi: what DynamoDB sees, by its environment alone."""

import http.client
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from threading import Timer
from typing import Any

import pytest

from tests.support.dynamodb import REGION, DynamoDB
from tests.support.processes import TIMEOUT

pytest.importorskip("aioboto3", reason="this environment has no aioboto3")

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "fastapi"
UVICORN = (
    *("-m", "uvicorn", "--app-dir", str(EXAMPLE), "service:app"),
    *("--port", "0", "--no-access-log"),
)
# The package is not installed with its start-up file here: `run` stands in for it.
TOGGLED = ("-m", "botocache", "run", "--", sys.executable)

TENANT = "/tenants/tenant-01"
READS = (
    TENANT,
    f"{TENANT}/rules",
    "/tenants?id=tenant-01&id=tenant-02",
)
REPEATED = 3


class Service:
    """The service, in a process of its own."""

    def __init__(self, port: int) -> None:
        self.port = port
        # Not urllib.request: it would send these through the user's HTTP proxy.
        self._connection = http.client.HTTPConnection(
            "127.0.0.1", port, timeout=TIMEOUT
        )

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def call(self, method: str, path: str, body: object = None) -> Any:
        """Return what it answers to a request."""
        headers = {"Content-Type": "application/json"}
        self._connection.request(method, path, json.dumps(body), headers)
        answer = self._connection.getresponse()
        content = answer.read()
        assert answer.status == 200, (path, answer.status, content)
        return json.loads(content)

    def read_all(self) -> list[Any]:
        """Make each kind of read once."""
        return [self.call("GET", path) for path in READS]


def environment(dynamodb: DynamoDB, **cache: str) -> dict[str, str]:
    """Return the service's environment. cache: what it says of botocache."""
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "AWS_ACCESS_KEY_ID": "AKIASERVICE000000000",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL_DYNAMODB": dynamodb.url,
        "AWS_EC2_METADATA_DISABLED": "true",
        **cache,
    }


def start(*arguments: str, **variables: str) -> "subprocess.Popen[str]":
    """Start the service; see `serving`."""
    return subprocess.Popen(
        [sys.executable, *arguments],
        env=variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def serving(process: "subprocess.Popen[str]") -> Iterator[Service]:
    """Yield the service that a process is; end it. It must not write a warning."""
    assert process.stderr is not None
    patience = Timer(TIMEOUT, process.kill)
    patience.start()
    try:
        with closing(Service(port_in(process.stderr))) as service:
            yield service
    finally:
        patience.cancel()
        process.terminate()
        log = process.stderr.read()
        process.wait(TIMEOUT)
        process.stderr.close()
    assert not [line for line in log.splitlines() if not line.startswith("INFO:")]


def port_in(log: Any) -> int:
    """Return the port that uvicorn names, once it listens."""
    printed = []
    for line in log:
        printed.append(line)
        if address := re.search(r"http://127\.0\.0\.1:(\d+)", line):
            return int(address[1])
    raise AssertionError("".join(printed))


def test_the_toggle_saves_reads_of_a_service_and_a_write_is_seen_at_once(
    dynamodb: DynamoDB,
) -> None:
    plain = environment(dynamodb)
    cached = environment(dynamodb, BOTOCACHE="1", BOTOCACHE_URL="memory:")
    with ExitStack() as stack:
        processes = [start(*UVICORN, **plain), start(*TOGGLED, *UVICORN, **cached)]
        seed = [sys.executable, str(EXAMPLE / "seed.py")]
        subprocess.run(seed, env=plain, check=True, timeout=TIMEOUT)
        without, with_cache = (stack.enter_context(serving(p)) for p in processes)

        with dynamodb.counting() as sent:
            answers = [without.read_all() for _ in range(REPEATED)]
        assert sent == dict.fromkeys(("GetItem", "Query", "BatchGetItem"), REPEATED)

        with dynamodb.counting() as sent:
            answers += [with_cache.read_all() for _ in range(REPEATED)]
        # Of the batch, one of two items was already there.
        assert sent == {"GetItem": 1, "Query": 1, "BatchGetItem": 1}
        assert all(answer == answers[0] for answer in answers)

        with dynamodb.counting() as sent:
            changed = with_cache.call("PUT", f"{TENANT}/limit", 7)
            one, rules, several = with_cache.read_all()
        assert changed["limit"] == 7
        assert one == changed
        assert several[0] == changed
        assert rules == answers[0][1]
        # The answer to the update has left the item in the cache.
        assert sent == {"UpdateItem": 1}

        seen = load(with_cache.port)
        assert seen["requests"] >= seen["clients"] > 0
        assert (seen["failed"], seen["stale"]) == (0, 0)


def load(port: int) -> Any:
    """Return what clients see of a service that they all call at once."""
    options = ("--port", str(port), "--clients", "8", "--seconds", "0.3")
    done = subprocess.run(
        [sys.executable, str(EXAMPLE / "load.py"), *options],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=True,
    )
    return json.loads(done.stdout)
