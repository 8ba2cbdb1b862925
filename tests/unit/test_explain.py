"""`explain` says what would happen to a call, and why."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from botocache.__main__ import main

KEY = {"id": {"S": "7"}}
QUERY = {
    "TableName": "t",
    "KeyConditionExpression": "g = :g",
    "ExpressionAttributeValues": {":g": {"S": "x"}},
}
ON_INDEX = {**QUERY, "IndexName": "i"}


def explained(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    *arguments: str,
    **parameters: Any,
) -> list[str]:
    """Return the lines that it prints for a call."""
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(parameters)))
    assert main(["explain", *arguments]) == 0
    return capsys.readouterr().out.splitlines()


CASES: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "a get": (
        "GetItem",
        {"TableName": "t", "Key": KEY},
        [
            "treated as read",
            "tags       everything, table(t), item(t, id S '7')",
            "ttl        60 s; 5 s for 'no such item'",
            "why        It depends on one item.",
        ],
    ),
    "a projected get": (
        "GetItem",
        {"TableName": "t", "Key": KEY, "ProjectionExpression": "n"},
        ["served     from its own entry, or from the entry of the whole item"],
    ),
    "a strongly consistent get": (
        "GetItem",
        {"TableName": "t", "Key": KEY, "ConsistentRead": True},
        ["served     never: it is strongly consistent; its answer is filled"],
    ),
    "a batch": (
        "BatchGetItem",
        {"RequestItems": {"t": {"Keys": [KEY]}, "u": {"Keys": [KEY]}}},
        [
            "treated as read, key by key",
            "tags       everything, table(t), item(t, id S '7')",
            "tags       everything, table(u), item(u, id S '7')",
        ],
    ),
    "what DynamoDB refuses": (
        "BatchGetItem",
        {"RequestItems": {"t": {"Keys": [KEY, KEY]}}},
        [
            "treated as bypass: neither read from the cache nor evicting",
            "why        DynamoDB will refuse it, or botocache cannot parse it.",
        ],
    ),
    "a query": (
        "Query",
        QUERY,
        ["tags       everything, table(t), partition(t, g S 'x')", "ttl        60 s"],
    ),
    "an index query": (
        "Query",
        ON_INDEX,
        [
            "tags       everything, table(t), writes(t), precise writes(t)",
            "note       the key attributes of 't' are not given; pass --keys",
        ],
    ),
    "a put": (
        "PutItem",
        {"TableName": "t", "Item": KEY},
        ["treated as write", "           table(t)"],
    ),
    "a delete": (
        "DeleteItem",
        {"TableName": "t", "Key": {"b": {"B": "AP8="}}},
        [
            "           item(t, b B b'\\x00\\xff')",
            "fills      the item's entry, if no other write of the item is in progress",
        ],
    ),
    "an update": (
        "UpdateItem",
        {"TableName": "t", "Key": KEY},
        ["fills      the item's entry, if its ReturnValues is ALL_NEW"],
    ),
    "a description": (
        "DescribeTable",
        {"TableName": "t"},
        ["treated as bypass; botocache learns the key attributes in its answer"],
    ),
    "a harmless one": (
        "ListTables",
        {},
        [
            "treated as bypass: neither read from the cache nor evicting",
            "why        It changes no item.",
        ],
    ),
    "one of tomorrow": (
        "PolishItems",
        {"TableName": "t"},
        ["treated as write", "           table(t)"],
    ),
}


@pytest.mark.parametrize(
    ("operation", "parameters", "expected"), CASES.values(), ids=CASES.keys()
)
def test_it_says_how_a_call_is_treated(
    operation: str,
    parameters: dict[str, Any],
    expected: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = explained(capsys, monkeypatch, operation, **parameters)
    assert lines[0] == f"operation  {operation}"
    assert [line for line in expected if line not in lines] == []


POLICIES: dict[str, tuple[str, tuple[str, dict[str, Any]], str]] = {
    "off": ('t = "off"', ("Query", QUERY), "policy     Query of 't' (query) is off"),
    "scans off": (
        't = { scans = "off" }',
        ("Scan", {"TableName": "t"}),
        "policy     Scan of 't' (scan) is off",
    ),
    "batches off": (
        't = { operations = ["GetItem"] }',
        ("BatchGetItem", {"RequestItems": {"t": {"Keys": [KEY]}}}),
        "policy     BatchGetItem of 't' is off",
    ),
    "until the TTL": (
        't = { ttl = 7, index_queries = "ttl_only" }',
        ("Query", ON_INDEX),
        "ttl        7 s; writes do not evict it",
    ),
}


@pytest.mark.parametrize("policy", POLICIES)
def test_it_knows_the_policies_of_the_environment(
    policy: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tables, (operation, parameters), expected = POLICIES[policy]
    file = tmp_path / "botocache.toml"
    file.write_text(f"[tables]\n{tables}")
    monkeypatch.setenv("BOTOCACHE_CONFIG", str(file))
    assert expected in explained(capsys, monkeypatch, operation, **parameters)


def test_a_write_fills_nothing_of_a_table_that_is_off(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOTOCACHE_TABLES", "t=off")
    for operation, more in (("UpdateItem", {"Key": KEY}), ("PutItem", {"Item": KEY})):
        lines = explained(capsys, monkeypatch, operation, TableName="t", **more)
        assert not any(line.startswith("fills") for line in lines)


def test_it_plans_with_the_key_attributes_of_the_option_keys(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = explained(
        capsys, monkeypatch, "PutItem", "--keys", "id", TableName="t", Item=KEY
    )
    assert "           item(t, id S '7')" in lines
    assert not any(line.startswith("note") for line in lines)


def test_the_parameters_may_be_in_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "call.json"
    file.write_text(json.dumps({"TableName": "t", "Key": KEY}))
    assert main(["explain", "GetItem", str(file)]) == 0
    assert "treated as read" in capsys.readouterr().out


BAD: dict[str, tuple[list[str], str, str]] = {
    "no JSON": (["GetItem"], "{", "the parameters are not JSON: "),
    "no object": (["GetItem"], "[]", "expected the parameters as a JSON object, not"),
    "a method's name": (["get_item"], "{}", "unknown operation 'get_item'; did you"),
    "no such file": (["GetItem", "/no/such/file"], "", "No such file or directory"),
}


@pytest.mark.parametrize(
    ("arguments", "text", "expected"), BAD.values(), ids=BAD.keys()
)
def test_an_error_is_one_sentence(
    arguments: list[str],
    text: str,
    expected: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    assert main(["explain", *arguments]) == 2
    captured = capsys.readouterr()
    assert expected in captured.err
    assert captured.err.startswith("botocache: explain: ")
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_an_error_of_a_setting_is_one_sentence_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOTOCACHE_TTL", "soon")
    monkeypatch.setattr("sys.stdin", io.StringIO("{}"))
    assert main(["explain", "GetItem"]) == 2
    assert "BOTOCACHE_TTL" in capsys.readouterr().err
