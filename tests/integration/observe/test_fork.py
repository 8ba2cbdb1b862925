"""A fork of a process that exports: nothing waits, and Python warns of nothing."""

import os
import subprocess
import sys
from pathlib import Path

from tests.support.dynamodb import DynamoDB

ROOT = Path(__file__).parents[3]

PROGRAM = """
import os, sys, threading, time
import boto3, botocache


botocache.install(url="memory:", metrics="prometheus", stats_interval=3600)
client = boto3.Session("AKIATEST", "secret", region_name="us-east-1").client("dynamodb")

def read():
    client.get_item(TableName=os.environ["TABLE"], Key={"pk": {"S": "a"}})

read()
from botocache._observe import exports, prometheus
[of] = exports._exports
assert threading.active_count() > 1, "the exporter's thread is at work"

# A fork that comes while the thread feeds: the feeding holds the library's locks.
feeding = threading.Event()
growth_of = prometheus.Growth.of
def slow(self, totals):
    with LOCK:  # stands for that of the library
        feeding.set()
        time.sleep(0.2)  # the fork comes meanwhile; there is no event for that
    return growth_of(self, totals)
LOCK = threading.Lock()
prometheus.Growth.of = slow
read()
of.ticker.touch()
assert feeding.wait(10)
child = os.fork()
if not child:
    taken = LOCK.acquire(timeout=5)
    LOCK.release()
    read()
    of.ticker.rest()
    os._exit(0 if taken else 1)
_, status = os.waitpid(child, 0)
assert os.waitstatus_to_exitcode(status) == 0
"""


def test_a_fork_waits_for_an_export_and_finds_no_thread(
    dynamodb: DynamoDB, tmp_path: Path
) -> None:
    table = dynamodb.create_table("pk:S")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM],
        cwd=ROOT,
        env={
            **os.environ,
            "AWS_ENDPOINT_URL_DYNAMODB": dynamodb.url,
            "PROMETHEUS_MULTIPROC_DIR": str(tmp_path),
            "TABLE": table,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
