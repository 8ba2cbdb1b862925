"""A program that measures `botocache` 0.0.6 of PyPI in an environment of its own.

It has the same import name as this project. Lines of JSON come in and go out: which
client to make, and how often to call it. Its cache is a cachetools.TTLCache, as its
documentation shows. Its transport answers at once and counts requests.
"""

import json
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import boto3
from botocore.awsrequest import AWSResponse


class _Raw:
    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, **_: Any) -> list[bytes]:
        return [self._body]


class Program:
    """The calls that were made, by name."""

    def __init__(self) -> None:
        self._calls: dict[str, Callable[[], object]] = {}
        self._sent = 0

    def versions(self) -> dict[str, str]:
        """Return the versions of the packages here."""
        return {name: version(name) for name in ("botocache", "botocore", "cachetools")}

    def make(  # noqa: PLR0913 - what comes through the pipe
        self,
        *,
        name: str,
        kind: str,
        table: str,
        method: str,
        arguments: dict[str, Any],
        answer: dict[str, Any],
    ) -> None:
        """Make a client or a Table, and the call."""
        import cachetools
        from botocache.botocache import (  # type: ignore[import-not-found]  # theirs
            botocache_context,
        )

        session = boto3.Session(
            aws_access_key_id="AKIABENCH",
            aws_secret_access_key="secret",
            region_name="us-east-1",
        )
        cache: Any = cachetools.TTLCache(maxsize=100_000, ttl=3600)
        patterns = ["GetItem", "Query", "BatchGetItem"]
        with botocache_context(cache=cache, action_regex_to_cache=patterns):
            made = getattr(session, kind)("dynamodb", endpoint_url="http://127.0.0.1:1")
        client = made if kind == "client" else made.meta.client
        target = made if kind == "client" else made.Table(table)
        body = json.dumps(answer).encode()

        def answer_at_once(request: Any, **_: Any) -> AWSResponse:
            self._sent += 1
            return AWSResponse(request.url, 200, {}, _Raw(body))  # type: ignore[arg-type]

        client.meta.events.register("before-send.dynamodb", answer_at_once)
        call = getattr(target, method)
        self._calls[name] = lambda: call(**arguments)

    def run(self, *, name: str, calls: int) -> dict[str, float]:
        """Make so many calls; return the seconds, and how many were no hits."""
        call, sent = self._calls[name], self._sent
        for _ in range(3):  # warm up: the process has just been woken
            call()
        begin = time.perf_counter()
        for _ in range(calls):
            call()
        seconds = time.perf_counter() - begin
        return {"seconds": seconds, "sent": self._sent - sent}


def main() -> None:
    """Carry out each line until the input ends."""
    program = Program()
    for line in sys.stdin:
        arguments = json.loads(line)
        answer = getattr(program, arguments.pop("verb"))(**arguments)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
