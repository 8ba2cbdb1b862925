"""Tags: equal for equal items, partitions and tables, and for nothing else."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from botocache._dynamodb.tags import (
    EVERYTHING,
    Tag,
    item_tag,
    partition_tag,
    precise_writes_tag,
    table_tag,
    tag_digest,
    writes_tag,
)
from botocache._dynamodb.values import canonical_value
from tests.support.values import short_texts, spelled_numbers

TAGS = [
    EVERYTHING,
    table_tag("t"),
    table_tag("u"),
    writes_tag("t"),
    writes_tag("u"),
    precise_writes_tag("t"),
    precise_writes_tag("u"),
    partition_tag("t", "a", {"S": "1"}),
    partition_tag("u", "a", {"S": "1"}),
    partition_tag("t", "b", {"S": "1"}),
    partition_tag("t", "a", {"S": "2"}),
    partition_tag("t", "a", {"N": "1"}),
    partition_tag("t", "a", {"B": "MQ=="}),
    item_tag("t", {"a": {"S": "1"}}),
    item_tag("u", {"a": {"S": "1"}}),
    item_tag("t", {"b": {"S": "1"}}),
    item_tag("t", {"a": {"N": "1"}}),
    item_tag("t", {"a": {"B": "MQ=="}}),
    item_tag("t", {"a": {"S": "1"}, "b": {"S": "1"}}),
    item_tag("t", {"a": {"S": "1"}, "b": {"S": "2"}}),
    item_tag("t", {"a": {"S": "2"}, "b": {"S": "1"}}),
    item_tag("t", {"a": {"S": "1S"}, "b": {"S": ""}}),
]


def test_tags_of_different_things_have_different_digests() -> None:
    assert len(set(map(tag_digest, TAGS))) == len(TAGS)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ({"N": "1"}, {"N": "1.0"}),
        ({"N": "100"}, {"N": "1e2"}),
        ({"B": "YQ=="}, {"B": "YR=="}),  # the last bits have no meaning
    ],
)
def test_equal_values_in_other_spellings_have_the_same_tags(
    a: Mapping[str, Any], b: Mapping[str, Any]
) -> None:
    assert partition_tag("t", "k", a) == partition_tag("t", "k", b)
    assert item_tag("t", {"k": a}) == item_tag("t", {"k": b})


_key_values = (
    st.fixed_dictionaries({"S": short_texts | st.text(max_size=3)})
    | st.fixed_dictionaries({"N": spelled_numbers(most=3, far=1)})
    | st.fixed_dictionaries({"B": st.sampled_from(["", "YQ==", "YWI=", "MQ=="])})
)
_keys = st.dictionaries(short_texts, _key_values, min_size=1, max_size=2)


def _meant(key: Mapping[str, Any]) -> dict[str, Any]:
    return {attribute: canonical_value(value) for attribute, value in key.items()}


@given(_keys)
def test_an_item_has_one_tag_in_whatever_order_its_key_is_written(
    key: dict[str, Any],
) -> None:
    turned = dict(reversed(key.items()))
    assert item_tag("t", key) == item_tag("t", turned)


@given(_keys, _keys)
def test_two_items_share_a_tag_exactly_when_their_keys_are_equal(
    a: dict[str, Any], b: dict[str, Any]
) -> None:
    same = tag_digest(item_tag("t", a)) == tag_digest(item_tag("t", b))
    assert same == (_meant(a) == _meant(b))


_tags = st.builds(
    Tag,
    st.sampled_from(["table", "item"]),
    short_texts,
    st.lists(short_texts | short_texts.map(str.encode), max_size=3).map(tuple),
)


@given(_tags, _tags)
def test_two_tags_share_a_digest_exactly_when_they_are_equal(a: Tag, b: Tag) -> None:
    assert (tag_digest(a) == tag_digest(b)) == (a == b)
