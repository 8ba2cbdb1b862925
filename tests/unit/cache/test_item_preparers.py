"""Reads of items in one step: what a plan and `prepare` make of them, and no more."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from botocache._cache import preparers
from botocache._cache.cache import Cache
from botocache._cache.modes import bypass
from botocache._cache.prepare import Call, PreparedRead
from botocache._cache.preparers import Preparers
from botocache._dynamodb.operations import plan
from botocache._dynamodb.plans import Read
from botocache._settings.load import load_settings
from botocache.stores.memory import MemoryStore
from tests.support.calls import call_of
from tests.support.values import short_texts

ARN = "arn:aws:dynamodb:eu-west-1:123456789012:table/t"
BODY = {"TableName": "t", "Key": {"pk": {"S": "a"}}}
LONG = "x" * 2049


def _preparers(**table: object) -> Preparers:
    settings = load_settings({"tables": {"t": table}} if table else {}, {}, "memory:")
    return Cache(MemoryStore(), settings)._preparers


def _in_two_steps(
    made: Preparers, call: Call, body: Mapping[str, Any]
) -> PreparedRead | None:
    planned = plan("GetItem", body, lambda _table: None)
    return made.prepare(call, body, planned) if isinstance(planned, Read) else None


# Few of each, so that reads meet what an earlier one has left.
_values = st.sampled_from(
    [{"S": "a"}, {"S": "b"}, {"N": "1"}, {"N": "1.0"}, {"B": "YQ=="}, {"BOOL": True}]
) | short_texts.map(lambda text: {"S": text})
_keys = st.dictionaries(st.sampled_from(["pk", "sk", "x"]), _values, max_size=3)
_bodies = st.fixed_dictionaries(
    {"TableName": st.sampled_from(["t", "u", ARN]), "Key": _keys}
)
_calls = st.builds(
    call_of,
    st.just("GetItem"),
    origin=st.sampled_from(["here", "there"]),
    scope=st.sampled_from([b"me", b"you"]),
)
_KEPT = _preparers()


@given(_calls, _bodies)
def test_a_read_is_prepared_in_one_step_as_in_two(call: Call, body: Any) -> None:
    expected = _in_two_steps(_KEPT, call, body)
    assert _KEPT.prepare_item(call, body) == expected
    assert _KEPT.prepare_item(call, body) == expected  # by what the first one has left


@pytest.mark.parametrize(
    "body",
    [
        {"TableName": "t", "Key": ["pk"]},
        {"TableName": "t", "Key": "pk"},
        {"TableName": "t", "Key": {"pk": "a"}},
        {"TableName": "t", "Key": {"pk": {"S": "\ud800"}}},
        {"TableName": ["t"], "Key": BODY["Key"]},
        {"TableName": 1, "Key": BODY["Key"]},
        {"TableName": "t", "ConsistentRead": True},
        {"Key": BODY["Key"], "ConsistentRead": True},
    ],
    ids=str,
)
def test_a_request_that_is_not_understood_is_left_to_the_plan(body: Any) -> None:
    made, call = _preparers(), call_of("GetItem")
    made.prepare_item(call, BODY)
    assert made.prepare_item(call, body) is None
    assert _in_two_steps(made, call, body) is None


def test_a_read_that_bypasses_the_cache_is_not_prepared() -> None:
    made, call = _preparers(), call_of("GetItem")
    assert made.prepare_item(call, BODY) is not None
    assert made.prepare_item(call._replace(scope=None), BODY) is None
    with bypass():
        assert made.prepare_item(call_of("GetItem"), BODY) is None
    assert _preparers(operations=["Query"]).prepare_item(call, BODY) is None


def test_of_what_is_too_long_or_too_much_nothing_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, call = _preparers(), call_of("GetItem")
    value = {"S": "a"}
    for body in (
        {**BODY, "TableName": LONG},
        {**BODY, "Key": {LONG: value}},
        {**BODY, "Key": dict.fromkeys("abc", value)},
    ):
        assert made.prepare_item(call, body) == _in_two_steps(made, call, body)
    assert not made._of_items
    monkeypatch.setattr(preparers, "_MOST_PREPARERS", 3)
    for number in range(7):
        made.prepare_item(call, {**BODY, "TableName": f"t{number}"})
    assert len(made._of_items) == 1
