"""`clear`: what it evicts, what it says, and what it refuses."""

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from botocache.__main__ import main
from botocache._cache.cache import Cache
from botocache._cache.tickets import Hit
from botocache._cli.environment import read_settings
from botocache._errors import StoreError
from botocache.stores.memory import MemoryStore
from botocache.stores.opening import open_store
from tests.support.calls import ask, begin
from tests.support.failing_store import FailingStore

Request = dict[str, Any]

GET: Request = {"TableName": "users", "Key": {"id": {"S": "7"}}}
OTHER: Request = {"TableName": "users", "Key": {"id": {"S": "8"}}}
ORDER: Request = {"TableName": "orders", "Key": {"id": {"S": "7"}}}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cache]:
    """A cache of another process, so to speak, that has three entries."""
    monkeypatch.setenv("BOTOCACHE_URL", f"disk://{tmp_path}")
    monkeypatch.setenv("BOTOCACHE_SETTLE", "0")
    settings = read_settings()
    made = Cache(open_store(settings.store_options({})), settings)
    for body in (GET, OTHER, ORDER):
        fill(made, body)
    assert [is_hit(made, body) for body in (GET, OTHER, ORDER)] == [True] * 3
    yield made
    made.close()


def fill(cache: Cache, body: Request) -> None:
    ask(cache, "GetItem", dict(body), {"Item": {**body["Key"], "n": {"N": "1"}}})


def is_hit(cache: Cache, body: Request) -> bool:
    outcome = begin(cache, "GetItem", dict(body))
    if outcome is not None and not isinstance(outcome, Hit):
        cache.fail(outcome)
    return isinstance(outcome, Hit)


def hits(cache: Cache) -> list[bool]:
    """Return whether each of the three entries is still served."""
    return [is_hit(cache, body) for body in (GET, OTHER, ORDER)]


@pytest.mark.parametrize(
    ("arguments", "left", "said"),
    [
        (
            ["--yes"],
            [False, False, False],
            "ok       everything was evicted from disk:",
        ),
        (
            ["--table", "users"],
            [False, False, True],
            "ok       the table 'users' was evicted from disk:",
        ),
        (
            ["--table", "arn:aws:dynamodb:eu-west-1:123456789012:table/users"],
            [False, False, True],
            "ok       the table 'users' was evicted from disk:",
        ),
        (
            ["--table", "users", "--key", '{"id": {"S": "7"}}'],
            [False, True, True],
            "ok       one item (id) of the table 'users' was evicted from disk:",
        ),
        (
            ["--table", "users", "--key", '{"id": "8"}'],
            [True, False, True],
            "ok       one item (id) of the table 'users' was evicted from disk:",
        ),
        (
            ["--table", "users", "--key", '{"id": "9"}'],
            [True, True, True],
            "ok       one item (id) of the table 'users' was evicted from disk:",
        ),
    ],
)
def test_another_process_serves_no_more_of_what_was_evicted(
    cache: Cache,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    left: list[bool],
    said: str,
) -> None:
    assert main(["clear", *arguments]) == 0
    assert hits(cache) == left
    captured = capsys.readouterr()
    assert captured.out.startswith(said)
    assert ", namespace 'default'\n" in captured.out
    assert captured.err == ""


def test_a_table_that_no_process_has_named_is_a_warning(
    cache: Cache, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["clear", "--table", "user"]) == 0
    assert (
        "warning  no process that shares the store has named the table 'user' since"
    ) in capsys.readouterr().out
    assert hits(cache) == [True] * 3


def test_json_says_what_was_evicted_without_values(
    cache: Cache, capsys: pytest.CaptureFixture[str]
) -> None:
    key = '{"id": "s3cret", "at": 7, "raw": {"B": "eHg="}}'
    assert main(["clear", "--table", "items", "--key", key, "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {
        "table": "items",
        "key": {"id": "S", "at": "N", "raw": "B"},
        "delivered": True,
        "known": False,
    }
    assert "s3cret" not in captured.out + captured.err
    assert main(["clear", "--yes", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "table": None,
        "key": None,
        "delivered": True,
        "deleted": True,
    }


REFUSED: dict[str, tuple[list[str], str]] = {
    "everything": ([], "this evicts everything, in all processes that share the store"),
    "everything, for a program": (["--json"], "this evicts everything, in all"),
    "a key alone": (["--key", '{"id": "s3cret"}'], "--key needs --table"),
    "no JSON": (["--table", "t", "--key", "s3cret"], "--key: expected JSON, as '{\"id"),
    "deep": (["--table", "t", "--key", "[" * 99_999], "--key: expected JSON, as '{"),
    "no object": (["--table", "t", "--key", "[7]"], "--key: expected a JSON object"),
    "an empty key": (["--table", "t", "--key", "{}"], "a key has at least one attr"),
    "a type": (["--table", "t", "--key", '{"i": true}'], "bool is no type of a key"),
    "a list": (["--table", "t", "--key", '{"i": [1]}'], "list is no type of a key"),
    "base64": (
        ["--table", "t", "--key", '{"i": {"B": "s3cr!et=="}}'],
        "--key: expected",
    ),
    "empty": (["--table", "t", "--key", '{"i": ""}'], "key: the value of the key attr"),
    "a table": (["--table", "a b"], "table: expected a name or an ARN, not 'a b'"),
}


@pytest.mark.parametrize(("arguments", "said"), REFUSED.values(), ids=REFUSED)
def test_what_can_evict_nothing_is_one_sentence_and_evicts_nothing(
    cache: Cache,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    said: str,
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))  # no terminal
    assert main(["clear", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"botocache: clear: {said}")
    assert captured.err.count("\n") == 1
    assert "s3cret" not in captured.err
    assert hits(cache) == [True] * 3


def test_the_key_of_a_known_table_is_checked(
    cache: Cache, capsys: pytest.CaptureFixture[str]
) -> None:
    ask(
        cache,
        "DescribeTable",
        {"TableName": "users"},
        {
            "Table": {
                "TableName": "users",
                "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
                "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
            }
        },
    )
    assert cache.services.store.flush(10.0)  # type: ignore[attr-defined]  # the disk's
    assert main(["clear", "--table", "users", "--key", '{"id": 7}']) == 2
    said = "the key of 'users' is {'id': S}, not {'id': N}"
    assert said in capsys.readouterr().err
    assert hits(cache) == [True] * 3
    assert main(["clear", "--table", "users", "--key", '{"id": "7"}']) == 0
    assert "warning" not in capsys.readouterr().out
    assert hits(cache) == [False, True, True]


class Keyboard(io.StringIO):
    """A terminal at which a user types."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("typed", "status"),
    [
        ("y\n", 0),
        ("YES\n", 0),
        ("\n", 1),
        ("n\n", 1),
        ("", 1),
    ],
)
def test_a_user_at_a_terminal_is_asked_before_everything_is_evicted(
    cache: Cache,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    typed: str,
    status: int,
) -> None:
    left = status == 1
    monkeypatch.setattr(sys, "stdin", Keyboard(typed))
    assert main(["clear"]) == status
    assert hits(cache) == [left] * 3
    captured = capsys.readouterr()
    assert captured.err.startswith("This evicts everything from disk:")
    assert ("Nothing was evicted." in captured.err) == left


@pytest.mark.parametrize("arguments", [["--yes"], ["--table", "users"]])
def test_a_store_that_fails_is_status_1(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    arguments: list[str],
) -> None:
    monkeypatch.setenv("BOTOCACHE_URL", "redis://user:s3cret@host/0")
    store = FailingStore(MemoryStore())
    store.failing = {"evict"}
    monkeypatch.setattr("botocache.stores.opening.open_store", lambda _: store)
    assert main(["clear", *arguments]) == 1
    assert main(["clear", *arguments, "--json"]) == 1
    captured = capsys.readouterr()
    text, _, document = captured.out.partition("\n")
    assert text.startswith("bad      the store failed; try again: redis:")
    assert json.loads(document)["delivered"] is False
    assert "s3cret" not in captured.out + captured.err + caplog.text
    assert "evict_failed" in caplog.text  # with the reason


def test_entries_that_cannot_be_deleted_are_a_warning_and_status_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Undeletable(MemoryStore):
        def clear(self) -> None:
            raise StoreError("it is read-only")

    monkeypatch.setenv("BOTOCACHE_URL", "redis://host/0")
    monkeypatch.setattr("botocache.stores.opening.open_store", lambda _: Undeletable())
    assert main(["clear", "--yes"]) == 1
    out = capsys.readouterr().out
    assert out.startswith("warning  everything was evicted from redis:")
    assert "but not all entries were deleted" in out


def test_a_store_of_one_process_cannot_be_cleared_from_another(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOTOCACHE_URL", "memory:")
    assert main(["clear", "--yes"]) == 2
    assert "url 'memory:' is the memory of one process" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [["clear", "--yes"], ["clear", "--table", "t"], ["stats"], ["stats", "--json"]],
)
def test_a_command_makes_no_store_that_is_not_there(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # `sudo botocache stats` would leave a directory that the application cannot use.
    monkeypatch.setenv("BOTOCACHE_URL", f"disk://{tmp_path}/absent/cache")
    assert main(arguments) == 0
    assert list(tmp_path.iterdir()) == []
