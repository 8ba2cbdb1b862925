"""The code on the page about aiobotocore runs, and prints what the page says."""

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, ROOT, blocks_of
from tests.support.dynamodb import REGION, DynamoDB
from tests.support.processes import TIMEOUT

pytest.importorskip("aioboto3", reason="this environment has no aioboto3")

PAGE = DOCS / "how-to" / "async.md"


def test_the_program_prints_what_the_page_says(
    dynamodb: DynamoDB, tmp_path: Path
) -> None:
    client = dynamodb.client()
    dynamodb.create_table("id:S", name="users", client=client)
    client.put_item(TableName="users", Item={"id": {"S": "7"}})
    (block, printed) = next(
        pair for pair in pairwise(blocks_of(PAGE)) if pair[0].title == "users.py"
    )
    program = tmp_path / block.title
    program.write_text(block.text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", str(program)],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "AWS_ACCESS_KEY_ID": "AKIADOCUMENTED000000",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL_DYNAMODB": dynamodb.url,
        },
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert (done.stdout, done.stderr) == (printed.text, "")
