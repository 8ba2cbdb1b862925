"""A projection is answered as DynamoDB answers it, or not at all."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from botocache._dynamodb.projections import (
    Projection,
    project,
    read_projection,
)
from botocache._dynamodb.reserved_words import RESERVED_WORDS
from tests.support.documents import (
    OTHERS,
    SCALARS,
    Path,
    Writer,
    addresses,
    agree,
    begins,
    items,
    paths_into,
)


def _body(expression: Any, names: Any = None) -> dict[str, Any]:
    body = {"TableName": "t", "ProjectionExpression": expression}
    return body if names is None else {**body, "ExpressionAttributeNames": names}


def _legacy(*attributes: Any) -> dict[str, Any]:
    return {"TableName": "t", "AttributesToGet": list(attributes)}


def _read(body: Mapping[str, Any]) -> Projection:
    projection = read_projection(body)
    assert projection is not None
    return projection


def canonical_projection(body: Mapping[str, Any]) -> list[Any] | None:
    """Return the paths that the key of a request is made of, if they can be read."""
    projection = read_projection(body)
    return None if projection is None else list(projection.paths)


# --- reading -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "paths"),
    [
        (_body("a"), [("a",)]),
        (_body("  a\t\r\n"), [("a",)]),
        (_body("a,b"), [("a",), ("b",)]),
        (_body(" b ,\n a "), [("a",), ("b",)]),
        (_body("a, A, aa"), [("A",), ("a",), ("aa",)]),
        (_body("a.b"), [("a", "b")]),
        (_body("a[0]"), [("a", 0)]),
        (_body("a[10][2].c_1"), [("a", 10, 2, "c_1")]),
        (_body("a[999999999]"), [("a", 999_999_999)]),
        (_body("a[2], a[10], a[1].b"), [("a", 1, "b"), ("a", 2), ("a", 10)]),
        (_body("b, a.c[1], a.b"), [("a", "b"), ("a", "c", 1), ("b",)]),
        (_body("#n", {"#n": "name"}), [("name",)]),
        (_body("#n.#n[0].b", {"#n": "name"}), [("name", "name", 0, "b")]),
        (_body("#x.b, #y.c", {"#x": "a", "#y": "a"}), [("a", "b"), ("a", "c")]),
        (_body("#0.#a, #a", {"#0": "0", "#a": "a.b"}), [("0", "a.b"), ("a.b",)]),
        (_body("#x", {"#x": "größe" * 36}), [("größe" * 36,)]),
        (_body("a" * 255), [("a" * 255,)]),
        (_body(".".join("a" * 32)), [("a",) * 32]),
        (_legacy("a"), [("a",)]),
        (_legacy("b", "name", "0", "#n"), [("#n",), ("0",), ("b",), ("name",)]),
    ],
    ids=ascii,
)
def test_a_projection_is_read_as_its_paths(
    body: Mapping[str, Any], paths: list[Path]
) -> None:
    projection = _read(body)
    assert list(projection.paths) == paths
    assert projection.attributes == {path[0] for path in paths}


LONG = ",".join(f"attribute{number}" for number in range(400))


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"TableName": "t"},
        {"ExpressionAttributeNames": {"#n": "name"}},
        # What is not a list of plain paths.
        *map(
            _body,
            [
                *("", " ", ",", "a,", ",a", "a,,b", "a b", "a;b", "a\x00", "a\u00a0,b"),
                *("a..b", ".a", "a.", "a.0", "a.[0]", "a.b[", "a.b]", "a[0", "a]0["),
                *("a[]", "a[b]", "a[-1]", "a[+1]", "a[0]b", "a[0].", "a[#n]", "a[:n]"),
                *("[0]", "a[0,1]", "a[0:1]", "a[*]", "a.*", "*", "a[1.0]", "a[1e0]"),
                *("a[00]", "a[01]", "a[1234567890]", f"a[{'9' * 4000}]", "a[\u0661]"),
                *("a .b", "a. b", "a [0]", "a[ 0]", "a[0 ]", "a[0] [1]", "a\n.b"),
                *("0a", "_a", "a-b", "größe", '"a"', "'a'", ":a", "a=b", "size(a)"),
                *("(a)", "a.(b)", "a<>b", "#", "a.#", "##a", "a#b", "#a", "a.#b"),
            ],
        ),
        # A reserved word at any step, however it is written.
        *map(
            _body, ["name", "Name", "a, NAME", "a.name", "a[0].name", "name.a", "and"]
        ),
        # Two paths that overlap or conflict.
        *map(
            _body,
            [
                *("a, a", "a.b, a.b", "a[0], a[0]", "a, a.b", "a.b, a", "a, a[0]"),
                *("a.b.c, a.b", "a.b, a.b.c[0].d", "b, a[1].c, c, a[1].c.d"),
                *("a.b, a[0]", "a[0], a.b", "a.b.c, a[0].c", "a[0][1], a[0].b, c"),
            ],
        ),
        _body("#x, #y", {"#x": "a", "#y": "a"}),
        _body("a, #x", {"#x": "a"}),
        # Names that DynamoDB refuses.
        _body("a", {}),
        _body("a", {"#n": "name"}),
        _body("#n", {"#n": "name", "#m": "m"}),
        _body("#n", {"#m": "name"}),
        _body("#n", {"n": "name"}),
        _body("#n", {"#n": ""}),
        _body("#n", {"#n": "n" * 256}),
        _body("#n", {"#n": "ß" * 128}),
        _body("#n", {"#n": "\ud800"}),
        _body("#" + "n" * 255, {"#" + "n" * 255: "name"}),
        _body("a" * 256),
        # Types that are none, and what is too much.
        *map(_body, [None, 0, True, b"a", ["a"], {"a": 1}]),
        *(
            _body("#n", names)
            for names in [[], ["#n"], "#n", 1, {"#n": 1}, {"#n": None}]
        ),
        {**_body("a"), "ExpressionAttributeNames": None},
        _body("#n", {1: "name", "#n": "name"}),
        _body(".".join("a" * 33)),
        _body("a" + "[0]" * 32),
        _body(LONG),
        # The legacy parameter.
        _legacy(),
        _legacy("a", "a"),
        _legacy("a", ""),
        _legacy("a.b"),
        _legacy("a[0]"),
        _legacy("a" * 256),
        _legacy(1),
        _legacy(None),
        _legacy(["a"]),
        {"AttributesToGet": "a"},
        {"AttributesToGet": None},
        {"AttributesToGet": {"a": 1}},
        {**_legacy("a"), "ExpressionAttributeNames": {"#n": "name"}},
        {**_legacy("a"), "ExpressionAttributeNames": {}},
        {**_legacy("a"), **_body("a")},
        {**_legacy("a"), **_body("b")},
    ],
    ids=lambda body: ascii(body)[:60],
)
def test_a_projection_that_is_at_all_unusual_is_not_read(
    body: Mapping[str, Any],
) -> None:
    assert read_projection(body) is None
    assert canonical_projection(body) is None


@pytest.mark.parametrize("word", sorted(RESERVED_WORDS)[::40])
def test_a_reserved_word_needs_a_placeholder(word: str) -> None:
    assert read_projection(_body(word.title())) is None
    assert _read(_body("#w", {"#w": word})).attributes == {word}


def test_a_long_expression_is_read_up_to_the_limit() -> None:
    within = LONG[: LONG.rindex(",", 0, 4097)]
    assert len(_read(_body(within)).paths) == within.count(",") + 1
    assert read_projection(_body(within + " " * 4096)) is None


# --- answering ---------------------------------------------------------------------

ITEM: dict[str, Any] = {
    "pk": {"S": "p"},
    "n": {"N": "1"},
    "bytes": {"B": b"\x00"},
    "flag": {"BOOL": False},
    "nothing": {"NULL": True},
    "texts": {"SS": ["x", "y"]},
    "a.b": {"S": "dotted"},
    "hollow": {"M": {}},
    "few": {"L": []},
    "a": {
        "M": {
            "b": {"L": [{"N": "2"}, {"N": "4"}, {"M": {"x": {"S": "hi"}, "y": {}}}]},
            "c": {"N": "5"},
            "e": {"M": {}},
            "name": {"S": "n"},
        }
    },
    "l": {
        "L": [
            {"M": {"u": {"N": "0"}, "v": {"N": "1"}}},
            {"M": {"u": {"N": "2"}}},
            {"L": [{"S": "deep"}, {"NULL": True}]},
            {"S": "end"},
        ]
    },
}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("pk", {"pk": {"S": "p"}}),
        ("pk, flag, gone", {"pk": {"S": "p"}, "flag": {"BOOL": False}}),
        ("nothing, hollow, few", {k: ITEM[k] for k in ("nothing", "hollow", "few")}),
        ("a", {"a": ITEM["a"]}),
        ("#d", {"a.b": {"S": "dotted"}}),
        ("a.c", {"a": {"M": {"c": {"N": "5"}}}}),
        ("a.e", {"a": {"M": {"e": {"M": {}}}}}),
        ("a.#n", {"a": {"M": {"name": {"S": "n"}}}}),
        ("a.b[0]", {"a": {"M": {"b": {"L": [{"N": "2"}]}}}}),
        ("a.b[2].x", {"a": {"M": {"b": {"L": [{"M": {"x": {"S": "hi"}}}]}}}}),
        ("a.b[0], a.b[1]", {"a": {"M": {"b": {"L": [{"N": "2"}, {"N": "4"}]}}}}),
        ("a.b[1], a.b[0]", {"a": {"M": {"b": {"L": [{"N": "2"}, {"N": "4"}]}}}}),
        ("a.b[0], a.c", {"a": {"M": {"b": {"L": [{"N": "2"}]}, "c": {"N": "5"}}}}),
        ("a.c, pk", {"a": {"M": {"c": {"N": "5"}}}, "pk": {"S": "p"}}),
        ("l[3], l[1]", {"l": {"L": [{"M": {"u": {"N": "2"}}}, {"S": "end"}]}}),
        ("l[0].v, l[0].u", {"l": {"L": [{"M": {"v": {"N": "1"}, "u": {"N": "0"}}}]}}),
        (
            "l[2][0], l[0].u",
            {"l": {"L": [{"M": {"u": {"N": "0"}}}, {"L": [{"S": "deep"}]}]}},
        ),
        # What is absent, and what has another type, is left out at every level.
        ("a.gone, a.b[0], gone, a.b[3].x", {"a": {"M": {"b": {"L": [{"N": "2"}]}}}}),
        ("l[1].v, l[0].v", {"l": {"L": [{"M": {"v": {"N": "1"}}}]}}),
        ("l[1].v, l[2][7], pk", {"pk": {"S": "p"}}),
        ("pk, a.gone", {"pk": {"S": "p"}}),
        ("pk, a.gone.b", {"pk": {"S": "p"}}),
        ("pk, a.c.b", {"pk": {"S": "p"}}),
        ("pk, a.c[0]", {"pk": {"S": "p"}}),
        ("pk, a[0]", {"pk": {"S": "p"}}),
        ("pk, a.b.x", {"pk": {"S": "p"}}),
        ("pk, a.b[0].x", {"pk": {"S": "p"}}),
        ("pk, a.b[0][0]", {"pk": {"S": "p"}}),
        ("pk, a.e.b", {"pk": {"S": "p"}}),
        ("pk, l.u", {"pk": {"S": "p"}}),
        ("pk, l[4]", {"pk": {"S": "p"}}),
        ("pk, l[999999999]", {"pk": {"S": "p"}}),
        ("pk, few[0]", {"pk": {"S": "p"}}),
        ("pk, hollow.a", {"pk": {"S": "p"}}),
        ("pk, texts[0]", {"pk": {"S": "p"}}),
        ("pk, texts.x", {"pk": {"S": "p"}}),
        ("pk, flag.a", {"pk": {"S": "p"}}),
        ("pk, nothing[0]", {"pk": {"S": "p"}}),
    ],
)
def test_an_item_is_projected_as_dynamodb_does(
    expression: str, expected: dict[str, Any]
) -> None:
    names = {"#d": "a.b", "#n": "name"}
    used = {key: name for key, name in names.items() if key in expression}
    assert project(ITEM, _read(_body(expression, used or None))) == expected


def test_the_legacy_parameter_projects_whole_attributes() -> None:
    assert project(ITEM, _read(_legacy("pk", "gone", "hollow"))) == {
        "pk": {"S": "p"},
        "hollow": {"M": {}},
    }


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("gone", "nothing is left"),
        ("a.gone", "nothing is left"),
        ("a.b[3]", "nothing is left"),
        ("l[1].v, l[2][7]", "nothing is left"),
        ("pk.x", "a key attribute: refused"),
        ("pk, n[0]", "it may be a key of an index: refused"),
        ("pk, bytes.x", "it may be a key of an index: refused"),
        ("pk, gone.x", "it may be a key of an index: refused"),
        ("pk, a.b[2].y", "a value without a type"),
        ("pk, a.b[2].y.z", "a value without a type"),
    ],
)
def test_an_uncertain_projection_is_none(expression: str, reason: str) -> None:
    assert project(ITEM, _read(_body(expression))) is None, reason


@pytest.mark.parametrize(
    "value",
    [
        *(None, 1, "text", [], {}, {"M": None, "L": None}, {"M": {}, "L": []}),
        *({"M": []}, {"M": "x"}, {"M": {"x": 1}}, {"M": {"x": None}}, {"M": {"x": []}}),
        *({"L": {}}, {"L": "x"}),
    ],
    ids=ascii,
)
def test_an_invalid_item_is_not_projected(value: Any) -> None:
    item = {"pk": {"S": "p"}, "a": value}
    path = "a[0]" if isinstance(value, dict) and "M" not in value else "a.x"
    assert project(item, _read(_body(f"pk, {path}"))) is None


# --- one spelling ------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        _body("c[1].d,a,c[0]"),
        _body("a , c[0] , c[1].#d", {"#d": "d"}),
        _body("#c[1].d, #k[0], #a", {"#c": "c", "#k": "c", "#a": "a"}),
    ],
)
def test_the_same_paths_are_the_same_question(body: Mapping[str, Any]) -> None:
    assert canonical_projection(body) == [("a",), ("c", 0), ("c", 1, "d")]


def test_both_parameters_can_ask_the_same_question() -> None:
    legacy = canonical_projection(_legacy("b", "a"))
    assert legacy == canonical_projection(_body("a, b")) == [("a",), ("b",)]


@pytest.mark.parametrize(
    ("body", "other"),
    [
        (_body("a.b"), _body("#ab", {"#ab": "a.b"})),
        (_body("a[0]"), _body("a.#i", {"#i": "0"})),
        (_body("a.b, c"), _body("a.b, a.c")),
        (_body("a, b"), _body("a")),
        (_body("a"), _body("A")),
    ],
)
def test_other_paths_are_another_question(
    body: Mapping[str, Any], other: Mapping[str, Any]
) -> None:
    assert canonical_projection(body) != canonical_projection(other)


# --- whatever is asked, of whatever item -------------------------------------------

_items = items(SCALARS | OTHERS)


def _leaves(item: Mapping[str, Any]) -> list[tuple[Path, Any]]:
    """Return what has nothing inside, with its path, in order."""

    def opened(path: Path, value: Any) -> list[tuple[Path, Any]]:
        if value.get("M"):
            inside = [((*path, name), v) for name, v in value["M"].items()]
        elif value.get("L"):
            inside = [((*path, at), v) for at, v in enumerate(value["L"])]
        else:
            return [(path, value)]
        return [leaf for part in inside for leaf in opened(*part)]

    return [leaf for name, v in item.items() for leaf in opened((name,), v)]


def _built(leaves: list[tuple[Path, Any]]) -> dict[str, Any]:
    """Return the item of some leaves; elements of lists move up."""

    def value(inside: list[tuple[Path, Any]]) -> Any:
        if inside[0][0] == ():
            return inside[0][1]
        steps = dict.fromkeys(path[0] for path, _ in inside)
        parts = {
            step: value([(path[1:], v) for path, v in inside if path[0] == step])
            for step in steps
        }
        is_list = isinstance(inside[0][0][0], int)
        return {"L": [*parts.values()]} if is_list else {"M": parts}

    built: dict[str, Any] = value(leaves)["M"]
    return built


def _expected(item: Mapping[str, Any], paths: list[Path]) -> dict[str, Any] | None:
    """Return the projection by another method: its leaves, put together again."""
    for path in paths:
        value = item.get(str(path[0]))
        if len(path) > 1 and (value is None or value.keys() & {"S", "N", "B"}):
            return None
    kept = [
        (address, leaf)
        for address, leaf in _leaves(item)
        if any(begins(path, address) for path in paths)
    ]
    return _built(kept) if kept else None


@given(st.data(), _items)
def test_what_is_written_is_read_and_answered(
    data: st.DataObject, item: dict[str, Any]
) -> None:
    paths = data.draw(paths_into(item))
    projection = read_projection(Writer(data).body(paths))
    pairs = [(p, q) for at, p in enumerate(paths) for q in paths[at + 1 :]]
    assert (projection is not None) == all(agree(p, q) for p, q in pairs)
    if projection is not None:
        assert set(projection.paths) == set(paths)
        assert project(item, projection) == _expected(item, paths)


@given(st.data(), _items.filter(bool))
def test_all_attributes_are_the_item(data: st.DataObject, item: dict[str, Any]) -> None:
    paths = data.draw(st.permutations([(name,) for name in item]))
    projection = _read(Writer(data).body(paths))
    assert project(item, projection) == item
    assert projection.attributes == set(item)


@given(st.data(), _items)
def test_the_order_of_paths_makes_no_difference(
    data: st.DataObject, item: dict[str, Any]
) -> None:
    paths = data.draw(paths_into(item))
    bodies = [
        Writer(data).body(some) for some in (paths, data.draw(st.permutations(paths)))
    ]
    one, other = map(read_projection, bodies)
    assert canonical_projection(bodies[0]) == canonical_projection(bodies[1])
    if one is not None and other is not None:
        assert project(item, one) == project(item, other)


def _is_within(part: Any, whole: Any) -> bool:
    """Tell whether a value is the other, or that with parts left out."""
    if part == whole:
        return True
    if "M" in part and "M" in whole:
        members = whole["M"]
        return all(
            name in members and _is_within(value, members[name])
            for name, value in part["M"].items()
        )
    if "L" in part and "L" in whole:
        rest = iter(whole["L"])
        return all(any(_is_within(v, other) for other in rest) for v in part["L"])
    return False


@given(st.data(), _items)
def test_a_projection_is_within_the_item_and_leaves_it_as_it_is(
    data: st.DataObject, item: dict[str, Any]
) -> None:
    before = repr(item)
    projection = read_projection(Writer(data).body(data.draw(paths_into(item))))
    if projection is not None and (projected := project(item, projection)) is not None:
        assert _is_within({"M": projected}, {"M": item})
        assert projected.keys() <= projection.attributes
        assert {path[:1] for path in addresses(projected)} <= {(n,) for n in item}
    assert repr(item) == before


_fragments = st.sampled_from(
    [
        *("a", "b", "c", "name", "#n", "#a", ":v", ".", "[", "]", "[0]", "[1]", "0"),
        *(",", ", ", " ", "\n", "\u00a0", "-", "_", "#", "(", ")", "<>", "ß", "\ud800"),
    ]
)
_texts = st.text() | st.lists(_fragments, max_size=9).map("".join)
_anything = st.recursive(
    st.none() | st.booleans() | st.integers() | _texts | st.binary(max_size=2),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(_texts | st.sampled_from(["M", "L", "S"]), inner, max_size=3)
    ),
    max_leaves=6,
)
_bodies = st.fixed_dictionaries(
    {},
    optional={
        "ProjectionExpression": _texts | _anything,
        "AttributesToGet": st.lists(_texts | st.just("a"), max_size=3) | _anything,
        "ExpressionAttributeNames": _anything
        | st.dictionaries(st.sampled_from(["#n", "#a"]), _texts, max_size=2),
    },
)


@given(_bodies, st.dictionaries(st.sampled_from(["a", "b", "c", "name"]), _anything))
def test_any_body_is_read_or_not_read_and_any_item_projected_or_not(
    body: dict[str, Any], item: dict[str, Any]
) -> None:
    projection = read_projection(body)
    if projection is not None:
        assert projection.attributes == {path[0] for path in projection.paths}
        projected = project(item, projection)
        assert projected is None or projected.keys() <= item.keys()


@given(st.dictionaries(st.sampled_from("abc"), _anything))
def test_any_item_is_projected_or_not(item: dict[str, Any]) -> None:
    for body in (_body("a.b, b[0], c"), _body("a[1].c, b.a[0], c.a.b"), _legacy("a")):
        projected = project(item, _read(body))
        assert projected is None or projected.keys() <= item.keys()
