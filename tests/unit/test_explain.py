"""`explain` says what would happen to a call, and why."""

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from botocache.__main__ import main
from botocache._dynamodb.operations import plan
from tests.unit.dynamodb.test_operations import ROWS

KEY = {"id": {"S": "7"}}
QUERY = {
    "TableName": "t",
    "KeyConditionExpression": "g = :g",
    "ExpressionAttributeValues": {":g": {"S": "x"}},
}
WHY = "why        "
SELECT = "SELECT * FROM t WHERE id = '1'"
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
            "tags       everything, table(t), item(t, id S)",
            "ttl        60 s; 5 s for 'no such item'",
            "why        It depends on one item.",
            'read as    a client\'s parameters, as on the wire: {"S": "7"}',
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
            "tags       everything, table(t), item(t, id S)",
            "tags       everything, table(u), item(u, id S)",
        ],
    ),
    "what DynamoDB refuses": (
        "BatchGetItem",
        {"RequestItems": {"t": {"Keys": [KEY, KEY]}}},
        [
            "treated as bypass: neither read from the cache nor evicting",
            "why        It has a key twice. DynamoDB is asked.",
        ],
    ),
    "a query": (
        "Query",
        QUERY,
        [
            "tags       everything, table(t), partition(t, g S)",
            "ttl        60 s",
            f"{WHY}A key attribute equals a value, so it depends on that partition.",
        ],
    ),
    "a query of one item": (
        "Query",
        {**QUERY, "KeyConditionExpression": "g = :g AND h = :g"},
        ["why        Both key attributes equal a value, so it depends on one item."],
    ),
    "a query by legacy parameters": (
        "Query",
        {
            "TableName": "t",
            "KeyConditions": {
                "g": {"ComparisonOperator": "EQ", "AttributeValueList": [{"S": "x"}]}
            },
        },
        [f"{WHY}A key attribute equals a value, so it depends on that partition."],
    ),
    "a query that is not understood": (
        "Query",
        {**QUERY, "KeyConditionExpression": "g = :g OR g = :g"},
        [
            "tags       everything, table(t), writes(t), precise writes(t)",
            "why        botocache does not understand the key condition. So it depends "
            "on any write to the table.",
        ],
    ),
    "a query by no value": (
        "Query",
        {**QUERY, "KeyConditionExpression": "g > :g"},
        [
            "why        No key attribute equals a value. So it depends on any write to "
            "the table."
        ],
    ),
    "a filter that is too long": (
        "Query",
        {**QUERY, "FilterExpression": "a" + " " * 4096 + "= :g"},
        [
            "why        The FilterExpression has 4,101 bytes; DynamoDB allows 4,096. "
            "DynamoDB is asked.",
        ],
    ),
    "a scan": (
        "Scan",
        {"TableName": "t"},
        [f"{WHY}It depends on every item, so it depends on any write to the table."],
    ),
    "a strongly consistent scan": (
        "Scan",
        {"TableName": "t", "ConsistentRead": True},
        ["served     never: it is strongly consistent; its answer is filled"],
    ),
    "a transaction that reads": (
        "TransactGetItems",
        {"TransactItems": [{"Get": {"TableName": "t", "Key": KEY}}]},
        ["why        It must return a serializable snapshot."],
    ),
    "a transaction that only checks": (
        "TransactWriteItems",
        {"TransactItems": [{"ConditionCheck": {"TableName": "t", "Key": KEY}}]},
        ["why        It writes no item. A ConditionCheck writes none."],
    ),
    **{
        f"{operation} of a SELECT": (
            operation,
            parameters,
            [
                "treated as bypass: neither read from the cache nor evicting",
                "why        A SELECT changes nothing, and botocache does not cache it.",
            ],
        )
        for operation, parameters in (
            ("ExecuteStatement", {"Statement": SELECT}),
            ("BatchExecuteStatement", {"Statements": [{"Statement": SELECT}]}),
            ("ExecuteTransaction", {"TransactStatements": [{"Statement": SELECT}]}),
        )
    },
    "a statement that writes": (
        "ExecuteStatement",
        {"Statement": "DELETE FROM t WHERE id = '1'"},
        [
            "           table(t)",
            f"{WHY}botocache parses the verb and the table of a PartiQL statement, "
            "nothing more. So it evicts each table that a statement changes.",
        ],
    ),
    "a statement that is not understood": (
        "ExecuteStatement",
        {"Statement": "MERGE INTO t"},
        [
            "           everything",
            f"{WHY}botocache finds no verb or no table in a statement, so it evicts "
            "everything.",
        ],
    ),
    "a write that lacks its table": (
        "UpdateItem",
        {"Key": KEY},
        [
            "           everything",
            "why        The request lacks 'TableName'. So it evicts everything.",
        ],
    ),
    "a resource's get": (
        "GetItem",
        {"TableName": "t", "Key": {"id": "7", "n": 7}},
        [
            'read as    a resource\'s parameters, with plain values: "7"',
            "treated as read",
            "tags       everything, table(t), item(t, id S, n N)",
        ],
    ),
    "a resource's batch": (
        "BatchGetItem",
        {"RequestItems": {"t": {"Keys": [{"id": "7"}]}}},
        ["tags       everything, table(t), item(t, id S)"],
    ),
    "a resource's query": (
        "Query",
        {**QUERY, "ExpressionAttributeValues": {":g": 1.50}},
        ["tags       everything, table(t), partition(t, g N)"],
    ),
    "a resource's batch of writes": (
        "BatchWriteItem",
        {"RequestItems": {"t": [{"DeleteRequest": {"Key": {"id": "7"}}}]}},
        ["           item(t, id S)"],
    ),
    "a resource's key that is none": (
        "GetItem",
        {"TableName": "t", "Key": {"id": [True, None, {"a": "b"}]}},
        [
            "why        It has what is not the value of a key attribute: a string, "
            "number or binary. DynamoDB is asked.",
        ],
    ),
    "both forms": (
        "GetItem",
        {"TableName": "t", "Key": {"id": "7", "n": {"N": "7"}}},
        [
            "read as    parameters of which some values have a type, as on the wire, "
            "and some not",
            "tags       everything, table(t), item(t, id S, n N)",
        ],
    ),
    "an index query": (
        "Query",
        ON_INDEX,
        [
            "tags       everything, table(t), writes(t), precise writes(t)",
            "why        It reads an index, by no key attribute of the table that "
            "botocache knows. So it depends on any write to the table.",
            "note       the key attributes of 't' are not given; pass --keys",
        ],
    ),
    "a put": (
        "PutItem",
        {"TableName": "t", "Item": KEY},
        [
            "treated as write",
            "           table(t)",
            "why        botocache does not know which key attributes the table has, or "
            "it has learned others than these. So it evicts the whole table.",
        ],
    ),
    "a delete": (
        "DeleteItem",
        {"TableName": "t", "Key": {"b": {"B": "AP8="}}},
        [
            "           item(t, b B)",
            "fills      the item's entry, if no other write of the item is in progress",
            "why        It names what it writes.",
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
        [
            "treated as bypass; botocache learns the key attributes in its answer",
            "why        Its answer names the table's key attributes.",
        ],
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
        [
            "treated as write",
            "           table(t)",
            f"{WHY}This version of botocache does not know the operation. So it may "
            "change every table that it names.",
        ],
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


def test_a_read_that_is_off_says_that_the_policy_does_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOTOCACHE_TABLES", "t=off")
    lines = explained(capsys, monkeypatch, "Query", **QUERY)
    assert lines[-1] == "why        The table's policy says so."


@pytest.mark.parametrize("setting", ["true", "false"])
def test_an_index_query_says_why_by_the_setting_precise_index_eviction(
    setting: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOTOCACHE_PRECISE_INDEX_EVICTION", setting)
    lines = explained(capsys, monkeypatch, "Query", "--keys", "id", **ON_INDEX)
    is_precise = setting == "true"
    tags = "writes(t), " + ("partition(t, g S)" if is_precise else "precise writes(t)")
    assert f"tags       everything, table(t), {tags}" in lines
    assert lines[-1] == (
        "why        It reads an index, and precise_index_eviction is on. So it depends "
        "on the items with the value that its key condition names."
        if is_precise
        else "why        It reads an index, by no key attribute of the table that "
        "botocache knows. So it depends on any write to the table."
    )


@pytest.mark.parametrize(
    ("setting", "returned", "is_precise"),
    [
        ("true", "NONE", True),
        ("true", "ALL_OLD", True),
        ("true", "ALL_NEW", False),
        ("false", "NONE", False),
    ],
)
def test_a_write_says_what_is_valid_again_by_the_setting_precise_index_eviction(
    setting: str,
    returned: str,
    is_precise: bool,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BOTOCACHE_PRECISE_INDEX_EVICTION", setting)
    parameters = {
        "TableName": "t",
        "Key": KEY,
        "UpdateExpression": "SET g = :g",
        "ExpressionAttributeValues": {":g": {"S": "x"}},
        "ReturnValues": returned,
    }
    lines = explained(capsys, monkeypatch, "UpdateItem", "--keys", "id", **parameters)
    assert [line for line in lines if line.startswith("precise")] == [
        "precise    with the old item in DynamoDB's answer, index queries by values "
        "that neither the old nor the new item has are valid again"
    ] * is_precise


def test_an_index_query_by_a_key_attribute_of_the_table_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = explained(capsys, monkeypatch, "Query", "--keys", "g", **ON_INDEX)
    assert "tags       everything, table(t), partition(t, g S)" in lines
    assert lines[-1] == (
        "why        It reads an index, by a key attribute of the table that equals a "
        "value. So it depends on the items of the table with that value."
    )


@pytest.mark.parametrize("operation", ROWS)
def test_the_reason_is_that_of_the_plan(
    operation: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    body = ROWS[operation].body
    lines = explained(capsys, monkeypatch, operation, **body)
    why = plan(operation, body, lambda _: None).why
    assert [line for line in lines if line.startswith("why")] == [f"why        {why}"]


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
    assert "           item(t, id S)" in lines
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
    "deep lists": (["GetItem"], "[" * 100_000, "the parameters are nested too deeply"),
    "deep maps": (
        ["GetItem"],
        '{"a":' * 3000 + "1" + "}" * 3000,
        "the parameters are nested too deeply",
    ),
    "no object": (["GetItem"], "[]", "expected the parameters as a JSON object, not"),
    "a method's name": (["get_item"], "{}", "unknown operation 'get_item'; did you"),
    "a method's name, misspelt": (
        ["get_itm"],
        "{}",
        "unknown operation 'get_itm'; did you mean 'GetItem'?",
    ),
    "a misspelt operation": (
        ["getitm"],
        "{}",
        "unknown operation 'getitm'; did you mean 'GetItem'?",
    ),
    "a misspelt operation in capitals": (
        ["Qeury"],
        "{}",
        "unknown operation 'Qeury'; did you mean 'Query'?",
    ),
    "no operation at all": (
        ["table.fetch"],
        "{}",
        "unknown operation 'table.fetch'; expected a name as the service model has it",
    ),
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


def test_an_operation_that_botocore_knows_is_not_misspelt(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = SimpleNamespace(operation_names=["GetItems"])
    session = SimpleNamespace(get_service_model=lambda _: model)
    monkeypatch.setattr("botocore.session.get_session", lambda: session)
    lines = explained(capsys, monkeypatch, "GetItems", TableName="t")
    assert "treated as write" in lines


def test_an_error_of_a_setting_is_one_sentence_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOTOCACHE_TTL", "soon")
    monkeypatch.setattr("sys.stdin", io.StringIO("{}"))
    assert main(["explain", "GetItem"]) == 2
    assert "BOTOCACHE_TTL" in capsys.readouterr().err
