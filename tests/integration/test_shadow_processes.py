"""Shadow mode in processes that share a store on disk: true alarms, and no others."""

from collections import Counter
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import pytest

from botocache import Cache
from botocache._settings.load import Settings
from botocache.stores.disk.store import DiskStore
from tests.support import calls
from tests.support.file_dynamodb import ITEMS, FileDynamoDB
from tests.support.processes import Peer, running_peers

SETTINGS = Settings(shadow=True, settle=0.0)
"""Nothing lags, so no answer is excused by a hold-off."""


def run(directory: Path, seed: int, number: int, around: float) -> Any:
    """Make calls; return how many hits were compared, and the differences.

    number: how many calls.
    around: the share of them that are writes around the cache.
    """
    choose = Random(seed)
    cache = Cache(DiskStore(directory / "cache"), SETTINGS)
    with closing(cache), closing(FileDynamoDB(directory / "database")) as database:
        for _ in range(number):
            pk, n = str(choose.randrange(ITEMS)), choose.randrange(1, 1_000_000)
            at = choose.random()
            if at < around:
                database.write(pk, n)
                continue
            asked: tuple[str, dict[str, Any]] = (
                "GetItem",
                {"TableName": "t", "Key": {"pk": {"S": pk}}},
            )
            if at > 0.97:
                item = {"pk": {"S": pk}, "n": {"N": str(n)}}
                asked = "PutItem", {"TableName": "t", "Item": item}
            elif at > 0.7:
                asked = (
                    "Query",
                    {
                        "TableName": "t",
                        "KeyConditionExpression": "pk = :pk",
                        "ExpressionAttributeValues": {":pk": {"S": pk}},
                    },
                )
            ticket: Any = calls.begin(cache, *asked)
            answer = database.answer(*asked)
            cache.finish(ticket, answer, succeeded=True, certain=True)
        tables = cache.stats().tables
    differing: Counter[str] = Counter()
    for table in tables:
        differing.update(table.differing)
    return sum(table.compared for table in tables), dict(differing)


def run_all(
    peers: list[Peer], directory: Path, number: int, around: float = 0.0
) -> tuple[int, dict[str, int]]:
    """Do what `run` does in several processes at once; return the sums."""
    compared, differing = 0, Counter[str]()
    for seed, peer in enumerate(peers):
        peer.start(run, directory, seed, number, around if seed == 0 else 0.0)
    for peer in peers:
        more, found = peer.result()
        compared, differing = compared + more, differing + Counter(found)
    return compared, dict(differing)


def test_writes_of_other_processes_are_no_difference_and_those_around_are(
    tmp_path: Path,
) -> None:
    with running_peers(2) as peers:
        compared, differing = run_all(peers, tmp_path, 700)
        assert compared > 700
        assert differing == {}
        _, differing = run_all(peers, tmp_path, 300, 0.05)
        assert differing["lasting"] > 0


@pytest.mark.long("tens of thousands of comparisons in four processes")
def test_many_writes_of_other_processes_are_no_difference(tmp_path: Path) -> None:
    with running_peers(4) as peers:
        for _ in range(5):
            compared, differing = run_all(peers, tmp_path, 3000)
            assert compared > 6000
            assert differing == {}
