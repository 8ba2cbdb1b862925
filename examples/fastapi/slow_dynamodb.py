"""A program: moto's DynamoDB over HTTP, which takes its time and counts its requests.

Each request first waits `--latency-ms`, all together; then moto answers one after the
other. That takes moto milliseconds, and DynamoDB has many machines. So an answer to a
read is kept until the next write to its table. It prints where it listens.

    GET  /_counts   requests by operation, since this was last asked
"""

import argparse
import asyncio
import functools
import io
import json
from collections import Counter, defaultdict
from typing import Any, NamedTuple

from aiohttp import web
from moto.core import responses
from moto.core.request import Request
from moto.core.utils import method_names_from_class
from moto.dynamodb.responses import DynamoHandler

BACKLOG = 1024
READS = ("GetItem", "Query", "BatchGetItem")


class Answer(NamedTuple):
    """What moto answers."""

    status: int
    body: bytes
    headers: dict[str, str]


class SlowDynamoDB:
    """Answers as moto does, later, and counts."""

    def __init__(self, latency: float) -> None:
        self._latency = latency
        self._counts: Counter[str] = Counter()
        self._kept: defaultdict[str, dict[bytes, Answer]] = defaultdict(dict)

    async def answer(self, request: web.Request) -> web.Response:
        """Answer one request for DynamoDB."""
        operation = request.headers.get("X-Amz-Target", "").rpartition(".")[2]
        self._counts[operation] += 1
        body = await request.read()
        await asyncio.sleep(self._latency)
        answer = self._answer(operation, request, body)
        return web.Response(
            status=answer.status,
            body=answer.body,
            headers=answer.headers,
            content_type="application/x-amz-json-1.0",
        )

    def _answer(self, operation: str, request: web.Request, body: bytes) -> Answer:
        parameters = json.loads(body)
        table = parameters.get("TableName") or next(iter(parameters["RequestItems"]))
        kept, key = self._kept[table], operation.encode() + body
        if operation not in READS:
            kept.clear()
            return _answer_of_moto(request, body)
        if key not in kept:
            kept[key] = _answer_of_moto(request, body)
        return kept[key]

    async def counts(self, _: web.Request) -> web.Response:
        """Return the counts, and count anew."""
        counts, self._counts = self._counts, Counter()
        return web.json_response(counts)


def _answer_of_moto(request: web.Request, body: bytes) -> Answer:
    status, headers, text = DynamoHandler.dispatch(_for_moto(request, body))
    content = text.encode() if isinstance(text, str) else text
    kept = {name: each for name, each in headers.items() if name.startswith("x-amz")}
    return Answer(status, content, {name: str(each) for name, each in kept.items()})


def _for_moto(request: web.Request, body: bytes) -> Request:
    environ: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": request.path,
        "QUERY_STRING": "",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": str(request.url.port),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_TYPE": request.headers.get("Content-Type", ""),
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
    }
    for name, value in request.headers.items():
        environ[f"HTTP_{name.upper().replace('-', '_')}"] = value
    return Request(environ)


async def serve(latency: float) -> None:
    """Serve on a free port of this machine."""
    dynamodb = SlowDynamoDB(latency)
    app = web.Application()
    app.router.add_get("/_counts", dynamodb.counts)
    app.router.add_post("/", dynamodb.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=BACKLOG).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--latency-ms", type=float, required=True)
    latency = parser.parse_args().latency_ms / 1000
    # moto lists them for each request, which is an eighth of the time it takes.
    names = functools.cache(method_names_from_class)
    vars(responses)["method_names_from_class"] = names
    asyncio.run(serve(latency))


if __name__ == "__main__":
    main()
