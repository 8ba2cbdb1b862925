"""What a process with `metrics=cloudwatch` writes to its standard output."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.support.dynamodb import DynamoDB
from tests.support.embedded_metrics import check_line

ROOT = Path(__file__).parents[3]

PROGRAM = """
import os, threading
import boto3, botocache
from botocache._cache.worker import NAME

botocache.install(url="memory:", metrics="cloudwatch", stats_interval=3600)
client = boto3.Session("AKIATEST", "secret", region_name="us-east-1").client("dynamodb")

def read(times):
    for _ in range(times):
        client.get_item(TableName=os.environ["TABLE"], Key={"pk": {"S": "a"}})
"""

LAMBDA = """
from botocache._observe.exports import exports_for

ticker, now = exports_for((), 0).ticker, 1_700_000_000.0
ticker._clock = lambda: now
read(5)        # the first one is written
now += 3600.0  # the process was frozen
read(3)        # near hits: the first of them writes
now += 1.0
read(3)        # nothing is due
assert not [each for each in threading.enumerate() if each.name == NAME]
os._exit(0)    # Lambda ends it
"""


@pytest.fixture
def table(dynamodb: DynamoDB) -> str:
    name = dynamodb.create_table("pk:S")
    dynamodb.client().put_item(TableName=name, Item={"pk": {"S": "a"}})
    return name


def lines_of(program: str, table: str, dynamodb: DynamoDB, **more: str) -> list[str]:
    """Return what a program prints; it must not print anything else anywhere."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM + program],
        cwd=ROOT,
        env={
            **os.environ,
            "AWS_ENDPOINT_URL_DYNAMODB": dynamodb.url,
            "TABLE": table,
            **more,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def sums(lines: list[str], table: str) -> Counter[str]:
    """Return the sums of a table's metrics in lines that CloudWatch takes."""
    counts: Counter[str] = Counter()
    for line in lines:
        document = check_line(line)
        if document.get("table") == table:
            assert document["operation"] == "GetItem"
            for name, value in document.items():
                if isinstance(value, (int, float)):
                    counts[name] += value  # type: ignore[assignment]  # read units are halves
    return counts


def test_a_process_that_ends_has_written_all_its_counts(
    table: str, dynamodb: DynamoDB
) -> None:
    counts = sums(lines_of("read(50)", table, dynamodb), table)
    assert counts["requests.miss"] == 1
    assert counts["requests.hit.near"] + counts["requests.hit.store"] == 49
    assert counts["fills"] == 1
    assert counts["read_units.consumed"] == 0.5
    assert counts["read_units.saved"] == 49 / 2


def test_on_lambda_calls_write_and_no_thread_does(
    table: str, dynamodb: DynamoDB
) -> None:
    name = "AWS_LAMBDA_FUNCTION_NAME"
    lines = lines_of(LAMBDA, table, dynamodb, **{name: "function"})
    counts = sums(lines, table)
    assert counts["requests.miss"] == 1
    # Four after the first read, and the one that found that the interval was over.
    assert counts["requests.hit.near"] + counts["requests.hit.store"] == 5


def test_an_application_that_makes_no_call_prints_nothing(
    table: str, dynamodb: DynamoDB
) -> None:
    assert lines_of("pass", table, dynamodb) == []
