"""A program: many clients of the service at once, for some seconds.

Prints what they saw as one line of JSON. A client makes a request as soon as it has the
answer to its last one: mostly reads, and now and then a write. An answer that is older
than a write that had completed before the request is counted as stale.
"""

import argparse
import asyncio
import json
import math
import random
import time
from collections import defaultdict
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import Any

import aiohttp
from seed import TENANTS

BATCH = 5
TIMEOUT_SECONDS = 30
ONE, RULES, SEVERAL, CHANGE = "one", "rules", "several", "change"
WEIGHTS = {ONE: 60, RULES: 25, SEVERAL: 14, CHANGE: 1}
"""Of the requests, in per cent."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the clients saw.

    reads: requests that read; the others write.
    """

    clients: int
    seconds: float
    requests: int
    reads: int
    failed: int
    stale: int
    per_second: float
    p50_ms: float
    p99_ms: float


class Clients:
    """What the clients of one load have in common."""

    def __init__(self, session: aiohttp.ClientSession, until: float) -> None:
        self._session = session
        self._until = until
        self._written: defaultdict[str, int] = defaultdict(int)
        self._latencies: list[float] = []
        self._reads = self._failed = self._stale = 0

    async def read_all(self) -> None:
        """Read all that there is once, all clients together."""
        paths = [
            f"/tenants/{name}{rest}" for name in TENANTS for rest in ("", "/rules")
        ]
        await asyncio.gather(*(self._call("GET", path) for path in paths))

    async def run(self, chooser: random.Random) -> None:
        """Be one client until the time is over."""
        while time.perf_counter() < self._until:
            (what,) = chooser.choices(tuple(WEIGHTS), tuple(WEIGHTS.values()))
            names = chooser.sample(TENANTS, BATCH if what == SEVERAL else 1)
            began = time.perf_counter()
            try:
                await self._request(what, names, chooser)
            except (aiohttp.ClientError, asyncio.TimeoutError):
                self._failed += 1
            self._latencies.append(time.perf_counter() - began)
            self._reads += what != CHANGE

    async def _request(
        self, what: str, names: list[str], chooser: random.Random
    ) -> None:
        (name, *_) = names
        # Before the request: a write that completes meanwhile may be seen or not.
        least = {each: self._written[each] for each in names}
        if what == CHANGE:
            changed = await self._call(
                "PUT", f"/tenants/{name}/limit", json=chooser.randrange(1000)
            )
            self._written[name] = max(self._written[name], changed["version"])
        elif what == RULES:
            await self._call("GET", f"/tenants/{name}/rules")
        elif what == ONE:
            self._check([await self._call("GET", f"/tenants/{name}")], least)
        else:
            named = [("id", each) for each in names]
            self._check(await self._call("GET", "/tenants", params=named), least)

    def _check(self, tenants: list[dict[str, Any]], least: dict[str, int]) -> None:
        self._stale += any(
            tenant["version"] < least[tenant["tenant"]] for tenant in tenants
        )

    async def _call(self, method: str, path: str, **options: Any) -> Any:
        async with self._session.request(method, path, **options) as answer:
            if answer.status != HTTPStatus.OK:
                raise aiohttp.ClientError(answer.status)
            return await answer.json()

    def seen(self, clients: int, seconds: float) -> Seen:
        """Return what they saw."""
        latencies = sorted(self._latencies)
        return Seen(
            clients=clients,
            seconds=seconds,
            requests=len(latencies),
            reads=self._reads,
            failed=self._failed,
            stale=self._stale,
            per_second=len(latencies) / seconds,
            p50_ms=1000 * percentile(latencies, 0.50),
            p99_ms=1000 * percentile(latencies, 0.99),
        )


def percentile(ordered: list[float], share: float) -> float:
    """Return a percentile by the nearest rank; 0 of nothing."""
    return ordered[math.ceil(share * len(ordered)) - 1] if ordered else 0.0


async def run(of: argparse.Namespace) -> Seen:
    """Run the clients; return what they saw."""
    timeout = aiohttp.ClientTimeout(TIMEOUT_SECONDS)
    connector = aiohttp.TCPConnector(limit=of.clients)
    async with aiohttp.ClientSession(
        f"http://127.0.0.1:{of.port}", connector=connector, timeout=timeout
    ) as session:
        began = time.perf_counter()
        clients = Clients(session, began + of.seconds)
        if of.warm_up:
            await clients.read_all()
        else:
            choosers = (random.Random(of.seed + each) for each in range(of.clients))
            await asyncio.gather(*(clients.run(chooser) for chooser in choosers))
        return clients.seen(of.clients, time.perf_counter() - began)


def main() -> None:
    """Run the clients, and print what they saw."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--warm-up", action="store_true", help="read all once, and end")
    print(json.dumps(asdict(asyncio.run(run(parser.parse_args())))))


if __name__ == "__main__":
    main()
