"""Digests: equal for equal parts of equal types, and for nothing else."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from botocache._digests import DIGEST_SIZE, DigestBeginning, digest
from botocache._dynamodb.tags import EVERYTHING, tag_digest
from tests.support.values import short_texts

_atoms = (
    st.none()
    | st.booleans()
    | st.integers(-2, 2)
    | st.integers(-(2**63), 2**64 - 1)
    | short_texts
    | short_texts.map(str.encode)
    | st.text(max_size=3)
    | st.binary(max_size=3)
)
_plain = st.recursive(
    _atoms,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(short_texts, inner),
    max_leaves=6,
)


def _typed(value: Any) -> Any:
    """Return what is equal only for values that are equal and of the same types."""
    if isinstance(value, (list, tuple)):
        return "list", [_typed(part) for part in value]
    if isinstance(value, dict):
        return "dict", sorted((key, _typed(part)) for key, part in value.items())
    return type(value).__name__, value


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (("ab", "c"), ("a", "bc")),
        (("a", "b"), (["a", "b"],)),
        (("a",), (b"a",)),
        (("1",), (1,)),
        ((1,), (True,)),
        ((0,), (False,)),
        ((None,), ()),
        (("",), ()),
        (([],), ({},)),
        (([["a"], "b"],), (["a", ["b"]],)),
        (({"a": "b"},), (["a", "b"],)),
    ],
)
def test_what_is_shaped_otherwise_has_another_digest(
    a: tuple[Any, ...], b: tuple[Any, ...]
) -> None:
    assert digest(*a) != digest(*b)


@given(st.lists(_plain, max_size=3), st.lists(_plain, max_size=3))
def test_only_equal_parts_have_equal_digests(a: list[Any], b: list[Any]) -> None:
    assert (digest(*a) == digest(*b)) == (_typed(a) == _typed(b))


@given(st.dictionaries(st.text(max_size=3), _plain, max_size=4))
def test_the_order_of_a_dict_does_not_change_its_digest(parts: dict[str, Any]) -> None:
    turned = dict(reversed(parts.items()))
    assert digest(parts) == digest(turned)


def test_a_digest_is_of_the_size_that_stores_expect() -> None:
    assert len(digest("a")) == len(tag_digest(EVERYTHING)) == DIGEST_SIZE == 16


@given(st.lists(_plain, min_size=1, max_size=14), _plain)
def test_a_digest_that_was_begun_is_that_of_all_parts(
    first: list[object], last: object
) -> None:
    try:
        begun = DigestBeginning(len(first) + 1, *first)
        begun.end(last)
    except UnicodeEncodeError:  # of a lone surrogate; it is not for those
        return
    for _ in range(2):  # it is used many times
        assert begun.end(last) == digest(*first, last)
