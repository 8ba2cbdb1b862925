"""The crawler: visits the site and tells the graph service every page and link.

Owns the workers and the result. At fixed numbers of pages a worker interrupts its
crawling to check that a revoked credential is refused (`revocation.py`). Progress
goes to standard output, the result as JSON to the file named by --result.
"""

from __future__ import annotations

import argparse
import json
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from http import HTTPStatus
from pathlib import Path

from client import GraphClient, Record, SiteClient
from frontier import Frontier
from process import exit_with_parent
from revocation import Revocation, revoke_and_check
from revocation import summary as revocation_summary
from tables import CRAWL_KEY, TEMPORARY_KEYS

PROGRESS_SECONDS = 4.0
POLITE_SECONDS = 0.5


class Crawl:
    """One crawl: what its workers share."""

    def __init__(self, site_port: int, graph_port: int, budget: int) -> None:
        self.record = Record()
        self.pages = 0
        self.revocations: list[Revocation] = []
        self._site_port = site_port
        self._graph_port = graph_port
        self._frontier = Frontier(budget)
        self._turns = turns(budget)
        self._lock = threading.Lock()

    def work(self) -> None:
        """Visit pages until there are none left: the body of one worker thread."""
        site = SiteClient(self._site_port)
        graph = GraphClient(self._graph_port, self.record)
        graph.warm_up()
        self._frontier.offer(f"{site.root}/", 0)
        while taken := self._frontier.take():
            try:
                self._take_turn(site, graph)
                self._visit(site, graph, *taken)
            finally:
                self._frontier.done()
            # A well-behaved crawler leaves the site alone between two pages.
            time.sleep(POLITE_SECONDS)  # a crawler is polite

    def _take_turn(self, site: SiteClient, graph: GraphClient) -> None:
        """Count a page, and check a revocation if that is due at this number."""
        with self._lock:
            self.pages += 1
            api_key = self._turns.get(self.pages)
        if api_key:
            outcome = revoke_and_check(graph, api_key, f"{site.root}/")
            self.revocations.append(outcome)

    def _visit(
        self, site: SiteClient, graph: GraphClient, url: str, depth: int
    ) -> None:
        page = site.fetch(url)
        node = {"url": url, "title": page.title, "depth": depth}
        if not allowed(graph, "/nodes", node):
            return
        for target in page.links:
            edge = {"source": url, "target": target, "depth": depth + 1}
            if allowed(graph, "/edges", edge) and target.startswith(f"{site.root}/"):
                self._frontier.offer(target, depth + 1)


def turns(budget: int) -> Mapping[int, str]:
    """Return at which page each temporary credential is checked: evenly spread."""
    parts = len(TEMPORARY_KEYS) + 1
    return {
        max(1, budget * part // parts): api_key
        for part, api_key in enumerate(TEMPORARY_KEYS, start=1)
    }


def allowed(graph: GraphClient, path: str, body: Mapping[str, object]) -> bool:
    """Store a node or an edge; False if the tenant's rules forbid it.

    A request that failed is lost, as it was for the crawler of the story: what the
    service could not decide is followed.
    """
    status, answer = graph.post(path, CRAWL_KEY, body)
    return status != HTTPStatus.OK or bool(answer["stored"])


def result(crawl: Crawl, seconds: float) -> dict[str, object]:
    """Return the crawl's result, as values that JSON can carry."""
    return {
        **crawl.record.summary(),
        **revocation_summary(crawl.revocations),
        "pages": crawl.pages,
        "seconds": seconds,
    }


def main() -> None:
    """Crawl, report progress, write the result."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--site", type=int, required=True, metavar="PORT")
    parser.add_argument("--graph", type=int, required=True, metavar="PORT")
    parser.add_argument("--pages", type=int, required=True)
    parser.add_argument("--workers", type=int, required=True)
    parser.add_argument("--result", type=Path, required=True)
    arguments = parser.parse_args()
    exit_with_parent()

    crawl = Crawl(arguments.site, arguments.graph, arguments.pages)
    began = time.perf_counter()
    with ThreadPoolExecutor(arguments.workers) as pool:
        workers = [pool.submit(crawl.work) for _ in range(arguments.workers)]
        while wait(workers, timeout=PROGRESS_SECONDS).not_done:
            print(progress(crawl, time.perf_counter() - began), flush=True)
    for worker in workers:
        worker.result()
    seconds = time.perf_counter() - began
    print(progress(crawl, seconds), flush=True)
    arguments.result.write_text(json.dumps(result(crawl, seconds)))


def progress(crawl: Crawl, seconds: float) -> str:
    """Return one line for a human being who waits."""
    so_far = crawl.record.summary()
    return (
        f"  {seconds:5.1f} s  {crawl.pages:4} pages  {so_far['requests']:5} requests"
        f"  {so_far['failed']:4} failed  p50 {so_far['p50_ms']:5.0f} ms"
    )


if __name__ == "__main__":
    main()
