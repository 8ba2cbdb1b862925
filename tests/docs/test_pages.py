"""Code on the pages runs, and prints what the page says; links lead somewhere."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from botocache._settings.load import load_settings
from tests.docs.pages import (
    DOCS,
    PAGES,
    ROOT,
    blocks_in,
    blocks_of,
    files_of,
    id_of,
    name_of,
    text_of,
)
from tests.support.dynamodb import REGION, DynamoDB
from tests.support.environment import Environment
from tests.support.processes import Peer, running_peer
from tests.support.programs import prepare, run_program

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "AKIADOCUMENTED000000",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_DEFAULT_REGION": REGION,
}

PREPARED = """\
import os
import boto3
from moto import mock_aws

if "AWS_ENDPOINT_URL_DYNAMODB" not in os.environ:
    mock_aws().start()
users = boto3.resource("dynamodb").create_table(
    TableName="users",
    KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
    BillingMode="PAY_PER_REQUEST",
)
users.put_item(Item={"id": "7", "name": "Ada"})
boto3.DEFAULT_SESSION = None
del boto3, mock_aws, os, users
"""

BY_SERVER = "workers.md"
"""The page whose processes share a DynamoDB; a mock stays within its process."""

SEPARATOR = "--- the end of a block ---"

WITH_PYTHON = [
    page
    for page in PAGES
    if any(block.language == "python" and not block.title for block in blocks_of(page))
]


def variables_of_a_page() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), **CREDENTIALS}


def run(
    *arguments: str, variables: Mapping[str, str], directory: Path
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        arguments,
        env={**variables_of_a_page(), **variables},
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


# --- Python ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def prepared() -> Iterator[Peer]:
    """A process with the mocked DynamoDB that each page has."""
    with running_peer() as peer:
        peer.call(prepare, PREPARED, variables_of_a_page())
        yield peer


def test_there_are_pages_with_code() -> None:
    assert len(WITH_PYTHON) >= 10


@pytest.mark.parametrize("page", WITH_PYTHON, ids=name_of)
def test_the_python_of_a_page_runs_and_prints_what_the_page_says(
    page: Path, tmp_path: Path, prepared: Peer, request: pytest.FixtureRequest
) -> None:
    """A page's blocks run in order, in one process, against a mocked DynamoDB."""
    program: list[str] = []
    promised: list[str | None] = []
    blocks = [*blocks_of(page), None]
    for block, following in pairwise(blocks):
        if block is None or block.language != "python" or block.title:
            continue
        program += [block.text, f"print({SEPARATOR!r}, flush=True)\n"]
        is_promised = following is not None and following.language == "text"
        promised.append(following.text if following and is_promised else None)
    if page.name == BY_SERVER:
        server: DynamoDB = request.getfixturevalue("dynamodb")
        done = run(
            *(sys.executable, "-W", "error", "-c", "\n".join([PREPARED, *program])),
            variables={"AWS_ENDPOINT_URL_DYNAMODB": server.url},
            directory=tmp_path,
        )
    else:
        (tmp_path / "page.py").write_text("\n".join(program), encoding="utf-8")
        done = prepared.call(run_program, tmp_path / "page.py", variables_of_a_page())
    assert done.returncode == 0, done.stderr
    printed = done.stdout.split(f"{SEPARATOR}\n")
    for one, other in zip(printed, promised, strict=False):
        assert other is None or one == other


@pytest.mark.parametrize(
    ("page", "title"),
    [(page, title) for page in PAGES for title in files_of(page)],
    ids=id_of,
)
def test_each_file_on_a_page_is_a_program(page: Path, title: str) -> None:
    if title.endswith(".py"):
        compile(files_of(page)[title], title, "exec")


def test_the_tests_on_the_page_about_tests_pass(tmp_path: Path) -> None:
    for title, text in files_of(DOCS / "how-to" / "tests.md").items():
        (tmp_path / title).write_text(text, encoding="utf-8")
    done = run(
        *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
        variables={},
        directory=tmp_path,
    )
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout


# --- the three doors ---------------------------------------------------------------

START = DOCS / "start.md"


@pytest.fixture
def application(dynamodb: DynamoDB, tmp_path: Path) -> Path:
    """The page's application in a directory, with its table on the server."""
    for title, text in files_of(START).items():
        (tmp_path / title).write_text(text, encoding="utf-8")
    pages = dynamodb.client().get_paginator("list_tables").paginate()
    if not any("users" in page["TableNames"] for page in pages):
        done = run(
            *(sys.executable, "make_table.py"),
            variables={"AWS_ENDPOINT_URL_DYNAMODB": dynamodb.url},
            directory=tmp_path,
        )
        assert done.returncode == 0, done.stderr
    return tmp_path / "app.py"


def promised_by_each_door() -> str:
    return next(block.text for block in blocks_of(START) if block.language == "text")


def test_the_variable_is_a_door(
    application: Path, environment: Environment, dynamodb: DynamoDB
) -> None:
    variables = {
        **CREDENTIALS,
        "AWS_ENDPOINT_URL_DYNAMODB": dynamodb.url,
        "BOTOCACHE": "1",
    }
    assert "BOTOCACHE=1 python app.py" in text_of(START)
    assert (
        environment.output(str(application), env=variables) == promised_by_each_door()
    )


def test_the_command_is_a_door(application: Path, dynamodb: DynamoDB) -> None:
    assert "python -m botocache run -- python app.py" in text_of(START)
    done = run(
        *(sys.executable, "-m", "botocache", "run", "--", sys.executable, "app.py"),
        variables={"AWS_ENDPOINT_URL_DYNAMODB": dynamodb.url},
        directory=application.parent,
    )
    assert done.stdout == promised_by_each_door(), done.stderr


def test_no_door_no_hit(application: Path, dynamodb: DynamoDB) -> None:
    done = run(
        *(sys.executable, "app.py"),
        variables={"AWS_ENDPOINT_URL_DYNAMODB": dynamodb.url},
        directory=application.parent,
    )
    assert done.stdout == "Ada - from DynamoDB\n" * 2, done.stderr


# --- other languages ---------------------------------------------------------------


@pytest.mark.parametrize(("page", "block"), blocks_in("sh"), ids=id_of)
def test_each_shell_block_is_a_script(page: Path, block: Any) -> None:
    done = subprocess.run(
        ["bash", "-n"], input=block.text, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("page", "block"), blocks_in("toml"), ids=id_of)
def test_each_toml_block_configures_the_cache(
    page: Path, block: Any, tmp_path: Path
) -> None:
    path = tmp_path / "botocache.toml"
    path.write_text(block.text, encoding="utf-8")
    assert load_settings({}, {"BOTOCACHE_CONFIG": str(path)}, "disk:")


def test_the_page_about_problems_shows_what_explain_prints() -> None:
    blocks = blocks_of(DOCS / "how-to" / "troubleshooting.md")
    (at,) = (i for i, block in enumerate(blocks) if "explain" in block.text)
    script = blocks[at].text.replace("python -m", f"{sys.executable} -m")
    done = run("bash", "-c", script, variables={}, directory=ROOT)
    assert done.returncode == 0, done.stderr
    assert blocks[at + 1].language == "text"
    assert done.stdout == blocks[at + 1].text


# --- links and words ---------------------------------------------------------------

# What a code span or block holds is no link.
_LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)(?:#[^)\s]*)?\)")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_each_relative_link_leads_to_a_file(page: Path) -> None:
    prose = re.sub(r"```.*?```", "", text_of(page), flags=re.DOTALL)
    missing = [
        target for target in _LINK.findall(prose) if not (page.parent / target).exists()
    ]
    assert not missing


def test_each_page_of_the_site_is_in_its_navigation() -> None:
    config = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    pages = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")}
    assert set(re.findall(r": ([\w/-]+\.md)$", config, re.MULTILINE)) == pages


OLD_NAMES = (
    "follow=on",
    "near_size_limit",
    "old_images",
    "settle_reads",
    "unevicted_writes",
    "wait_replicas",
    "write_through",
    "write_window",
)

RIDDLES = (
    "nobody",
    "whoever",
    "somebody",
    "as ever",
    "see above",
    "is told",
    "has a say",
    "the ordinary way",
)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_page_names_a_setting_that_is_gone(page: Path) -> None:
    text = text_of(page)
    assert not [name for name in OLD_NAMES if re.search(rf"`{name}`|\b{name}=", text)]
    assert not [name for name in OLD_NAMES if f"BOTOCACHE_{name.upper()}" in text]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_page_speaks_in_riddles(page: Path) -> None:
    text = " ".join(text_of(page).lower().split())
    assert not [words for words in RIDDLES if re.search(rf"\b{words}\b", text)]
