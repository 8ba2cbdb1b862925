"""Shapes of item reads: they make the tags, and digests, that writes evict."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from botocache._dynamodb import item_shapes
from botocache._dynamodb.item_shapes import item_shape
from botocache._dynamodb.tags import EVERYTHING, item_tag, table_tag, tag_digest
from tests.support.values import short_texts

ARN = "arn:aws:dynamodb:eu-west-1:123456789012:table/users"

_values = (
    short_texts.map(lambda text: {"S": text})
    | st.sampled_from(["0", "1", "1.0", "-1e2", "100"]).map(lambda n: {"N": n})
    | st.sampled_from(["", "YQ==", "YWI="]).map(lambda b: {"B": b})
    | st.just({"S": "x" * 5000})
)
_keys = st.dictionaries(short_texts, _values, min_size=1, max_size=2)
_tables = short_texts | st.just(ARN)


@given(_tables, _keys)
def test_an_item_has_the_tags_that_its_writes_evict(table: str, key: Any) -> None:
    shape = item_shape(table, key)
    read = shape.read(key)
    tags, digests = read.tags, read.digests
    assert tags == (EVERYTHING, table_tag(shape.table), item_tag(shape.table, key))
    assert digests == tuple(map(tag_digest, tags))
    assert shape.names == set(key)


@given(_tables, _keys, _tables, _keys)
def test_two_items_share_a_question_exactly_when_they_are_the_same(
    table: str, key: Any, other_table: str, other_key: Any
) -> None:
    read = item_shape(table, key).read(key)
    other = item_shape(other_table, other_key).read(other_key)
    is_same = (table, read.tags) == (other_table, other.tags)
    assert (read.question == other.question) == is_same


@pytest.mark.parametrize(
    "key",
    [
        {"pk": {"S": "\ud800"}},
        {"pk": {"N": "1_0"}},
        {"pk": {"B": "YR=="}},
        {"pk": {"S": "a", "N": "1"}},
        {"pk": {"BOOL": True}},
        {"\ud800": {"S": "a"}},
    ],
    ids=str,
)
def test_a_key_that_dynamodb_may_refuse_has_no_question(key: Any) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of several kinds
        item_shape("t", key).read(key)


def test_shapes_take_little_memory_whatever_an_application_asks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shapes: dict[Any, Any] = {}
    monkeypatch.setattr(item_shapes, "_shapes", shapes)
    for number in range(3000):
        item_shape(f"t{number}", {"pk": {"S": "a"}})
    assert 0 < len(shapes) <= 1000
    shapes.clear()
    item_shape("t" * 5000, {"pk": {"S": "a"}})
    item_shape("t", {"p" * 5000: {"S": "a"}})
    item_shape("t", {str(number): {"S": "a"} for number in range(3)})
    assert not shapes
