"""A BatchGetItem is split by key, and its hits are merged into the answer."""

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from botocache._cache.batches import (
    answers_by_key,
    hit_of,
    merge_hits,
    without_hits,
    zero_capacity,
)
from botocache._cache.call_store import CallStore
from botocache._cache.prepare import TableCaching, prepare
from botocache._cache.tickets import Hit, Lookup, ReadTicket
from botocache._coherence import Held, Loaded
from botocache._dynamodb.operations import plan
from botocache._dynamodb.plans import BatchRead, CachingMode, Read
from botocache._settings.load import Settings
from botocache.stores.memory import MemoryStore
from tests.support.calls import call_of

Answer = dict[str, Any]


def key(number: int) -> dict[str, Any]:
    return {"pk": {"S": "p"}, "sk": {"N": str(number)}}


def item(number: int, **more: Any) -> dict[str, Any]:
    return {**key(number), "v": {"S": f"item {number}"}, **more}


def hit(number: int, age: float = 1.0) -> Hit:
    return Hit({"Item": item(number)}, age, bytes([number]) * 16)


ABSENT = Hit({}, 2.0, b"absent" + bytes(10))
BYPASS = None
MISS = "miss"


def batch_of(body: Mapping[str, Any]) -> BatchRead:
    planned = plan("BatchGetItem", body, lambda _: None)
    assert isinstance(planned, BatchRead)
    return planned


class Batch:
    """A request for some keys of some tables, and the look-up of each key.

    outcomes: by table, for each key: a hit, MISS or BYPASS.
    """

    def __init__(
        self, outcomes: Mapping[str, list[Any]], options: Any = None, **parameters: Any
    ) -> None:
        self.body = {
            "RequestItems": {
                table: {"Keys": [key(n) for n in range(len(each))], **(options or {})}
                for table, each in outcomes.items()
            },
            **parameters,
        }
        batch = batch_of(self.body)
        self.lookups: dict[str, tuple[Lookup, ...]] = {
            table: tuple(
                _ticket(self.body, read) if s is MISS else s
                for s, read in zip(each, batch.reads[table], strict=True)
            )
            for table, each in outcomes.items()
        }
        self.batch = batch

    def remaining(self) -> Any:
        """Return the keys that are requested, by table; None if there are no hits."""
        body = without_hits(self.body, self.lookups)
        if body is None:
            return None
        return {table: part["Keys"] for table, part in body["RequestItems"].items()}

    def merged(self, answer: Answer) -> Answer:
        """Return DynamoDB's answer with the hits merged into it."""
        merge_hits(self.batch, self.lookups, answer, self.answers(answer))
        return answer

    def answers(self, answer: Answer) -> Any:
        """Return the answer to each requested key."""
        return answers_by_key(self.batch, self.lookups, answer)


def _ticket(body: Mapping[str, Any], read: Read) -> ReadTicket:
    call = call_of("BatchGetItem")
    prepared = prepare(call, body, read, CACHING)
    assert prepared is not None
    return ReadTicket(prepared, LOADED, 0.0, CallStore(STORE), is_consistent=False)


STORE = MemoryStore()
CACHING = TableCaching(Settings().policy("t"), CachingMode.COHERENT, is_precise=False)
LOADED = Loaded(None, (1, 2, 3), Held.FREE)

# --- the remaining request ---------------------------------------------------------


def test_a_batch_without_hits_is_sent_as_it_is() -> None:
    assert Batch({"t": [MISS, BYPASS], "u": [MISS]}).remaining() is None


@pytest.mark.parametrize(
    ("outcomes", "remaining"),
    [
        ({"t": [hit(0), MISS]}, {"t": [key(1)]}),
        ({"t": [MISS, hit(1), BYPASS]}, {"t": [key(0), key(2)]}),
        ({"t": [hit(0)], "u": [MISS]}, {"u": [key(0)]}),
        ({"t": [ABSENT, MISS], "u": [MISS]}, {"t": [key(1)], "u": [key(0)]}),
        ({"t": [hit(0)], "u": [hit(0)]}, {}),
    ],
)
def test_hits_leave_the_request_and_the_other_keys_stay_in_order(
    outcomes: dict[str, Any], remaining: dict[str, Any]
) -> None:
    assert Batch(outcomes).remaining() == remaining


def test_all_other_parameters_stay() -> None:
    options = {"ProjectionExpression": "#v", "ExpressionAttributeNames": {"#v": "v"}}
    batch = Batch({"t": [hit(0), MISS]}, options, ReturnConsumedCapacity="TOTAL")
    assert without_hits(batch.body, batch.lookups) == {
        "RequestItems": {"t": {"Keys": [key(1)], **options}},
        "ReturnConsumedCapacity": "TOTAL",
    }


def test_the_request_itself_is_not_changed() -> None:
    batch = Batch({"t": [hit(0), MISS], "u": [hit(0)]})
    before = msgspec.json.encode(batch.body)
    batch.remaining()
    assert msgspec.json.encode(batch.body) == before


# --- the answer to each key --------------------------------------------------------


def answers(
    batch: Batch, items: list[Any], unprocessed: list[Any] | None = None
) -> Any:
    """Return the answers by index of the table `t`."""
    answer: Answer = {"Responses": {"t": items}, "UnprocessedKeys": {}}
    if unprocessed is not None:
        answer["UnprocessedKeys"] = {"t": {"Keys": unprocessed}}
    return batch.answers(answer)["t"]


SPELLED = {"pk": {"S": "p"}, "sk": {"N": "1.0"}, "v": {"S": "item 1"}}


@pytest.mark.parametrize(
    ("outcomes", "items", "unprocessed", "expected"),
    [
        # In any order.
        (
            [MISS] * 2,
            [item(1), item(0)],
            None,
            {0: {"Item": item(0)}, 1: {"Item": item(1)}},
        ),
        (
            [MISS] * 2,
            [SPELLED, item(0)],
            [],
            {0: {"Item": item(0)}, 1: {"Item": SPELLED}},
        ),
        # An item that is not in the answer is absent.
        ([MISS] * 3, [item(1)], None, {0: {}, 1: {"Item": item(1)}, 2: {}}),
        ([MISS] * 2, [], None, {0: {}, 1: {}}),
        # Hits were not requested; keys that bypass the cache were.
        ([hit(0), MISS, BYPASS], [item(2)], None, {1: {}, 2: {"Item": item(2)}}),
        ([hit(0), ABSENT], [], None, {}),
        # An unprocessed key has no answer.
        ([MISS] * 3, [item(0)], [key(1)], {0: {"Item": item(0)}, 2: {}}),
        ([MISS] * 2, [], [key(1), key(0)], {}),
        ([MISS] * 2, [], [{"sk": {"N": "1.0"}, "pk": {"S": "p"}}], {0: {}}),
        # The item of a single key needs no key attributes.
        ([MISS], [item(0)], None, {0: {"Item": item(0)}}),
        ([MISS], [{"v": {"S": "x"}}], None, {0: {"Item": {"v": {"S": "x"}}}}),
        ([MISS], [{}], None, {0: {"Item": {}}}),
        ([MISS], [], None, {0: {}}),
        ([MISS], [], [key(0)], {}),
        ([hit(0), MISS], [{}], None, {1: {"Item": {}}}),
        # Those of several keys do.
        ([MISS] * 2, [{"v": {"S": "x"}}], None, None),
        ([MISS] * 2, [item(0), {}], None, None),
        ([MISS] * 2, [{"pk": {"S": "p"}}], None, None),
        # An item of a key that was not requested, or two of one key.
        ([MISS] * 2, [item(7)], None, None),
        ([MISS] * 2, [item(0), item(0)], None, None),
        ([MISS] * 2, [item(1), SPELLED], None, None),
        ([MISS], [item(0), item(0)], None, None),
        ([MISS] * 2, [item(0)], [key(0)], None),
        ([MISS], [item(0)], [key(0)], None),
        ([MISS] * 2, [], [key(7)], None),
        ([hit(0), MISS], [], [key(0)], None),
        ([hit(0), ABSENT], [item(0)], None, None),
        # Not a key.
        ([MISS] * 2, [{"pk": {"BOOL": True}, "sk": {"N": "1"}}], None, None),
        ([MISS] * 2, [], [{"pk": {"L": []}, "sk": {"N": "1"}}], None),
    ],
)
def test_an_answer_is_split_only_if_each_item_shows_its_key(
    outcomes: list[Any], items: list[Any], unprocessed: list[Any] | None, expected: Any
) -> None:
    assert answers(Batch({"t": outcomes}), items, unprocessed) == expected


def test_a_table_that_is_missing_in_an_answer_has_no_items() -> None:
    batch = Batch({"t": [MISS] * 2})
    assert batch.answers({}) == {"t": {0: {}, 1: {}}}


def test_each_table_of_an_answer_is_split_by_itself() -> None:
    batch = Batch({"t": [MISS] * 2, "u": [MISS] * 2, "v": [MISS]})
    answer = {
        "Responses": {"t": [{"v": {"S": "x"}}], "u": [item(1)], "w": [item(0)]},
        "UnprocessedKeys": {"v": {"Keys": [key(0)]}},
    }
    assert batch.answers(answer) == {
        "t": None,
        "u": {0: {}, 1: {"Item": item(1)}},
        "v": {},
    }


def test_binary_keys_are_distinguished_after_botocore_has_parsed_them() -> None:
    wire = [{"pk": {"B": text}} for text in ("AAE=", "AAI=")]
    batch = batch_of({"RequestItems": {"t": {"Keys": wire}}})
    lookups = {"t": (None, None)}
    found = {"pk": {"B": b"\x00\x02"}}
    answer = {"Responses": {"t": [found]}}
    assert answers_by_key(batch, lookups, answer) == {"t": {0: {}, 1: {"Item": found}}}


@given(st.data())
def test_every_item_is_matched_with_its_key(data: st.DataObject) -> None:
    count = data.draw(st.integers(2, 8))
    fates = data.draw(st.lists(st.sampled_from("hfau"), min_size=count, max_size=count))
    batch = Batch(
        {"t": [hit(n) if fate == "h" else MISS for n, fate in enumerate(fates)]}
    )
    found = [item(n) for n, fate in enumerate(fates) if fate == "f"]
    unprocessed = [key(n) for n, fate in enumerate(fates) if fate == "u"]
    found = data.draw(st.permutations(found))
    expected = {n: {"Item": item(n)} for n, fate in enumerate(fates) if fate == "f"}
    expected |= {n: {} for n, fate in enumerate(fates) if fate == "a"}
    assert answers(batch, found, unprocessed) == expected
    merged = batch.merged({"Responses": {"t": list(found)}})
    if "h" in fates and "u" not in fates:
        there = [n for n, fate in enumerate(fates) if fate in "hf"]
        assert merged["Responses"]["t"] == [item(n) for n in there]


# --- merging the hits --------------------------------------------------------------


def test_hits_are_merged_in_the_order_of_the_request() -> None:
    batch = Batch({"t": [hit(0), MISS, hit(2), MISS, ABSENT]})
    answer = {"Responses": {"t": [item(3), item(1)]}, "UnprocessedKeys": {}}
    assert batch.merged(answer) == {
        "Responses": {"t": [item(0), item(1), item(2), item(3)]},
        "UnprocessedKeys": {},
    }


def test_hits_come_last_if_the_order_is_not_known() -> None:
    batch = Batch({"t": [hit(0), MISS, MISS]})
    answer = {"Responses": {"t": [{"v": {"S": "x"}}]}}
    assert batch.merged(answer)["Responses"]["t"] == [{"v": {"S": "x"}}, item(0)]


def test_a_table_without_hits_is_left_as_it_was_answered() -> None:
    batch = Batch({"t": [hit(0)], "u": [MISS] * 2, "v": [BYPASS]})
    answer = {"Responses": {"u": [item(1), item(0)], "v": []}}
    assert batch.merged(answer)["Responses"] == {
        "t": [item(0)],
        "u": [item(1), item(0)],
        "v": [],
    }


def test_a_hit_of_an_absent_item_adds_nothing_to_its_table() -> None:
    batch = Batch({"t": [ABSENT], "u": [MISS]})
    assert batch.merged({"Responses": {"u": []}})["Responses"] == {"t": [], "u": []}


def test_an_answer_without_responses_gets_some() -> None:
    assert Batch({"t": [hit(0), MISS]}).merged({}) == {"Responses": {"t": [item(0)]}}


def test_unprocessed_keys_are_passed_on() -> None:
    batch = Batch({"t": [hit(0), MISS]})
    left = {"t": {"Keys": [key(1)]}}
    answer = {"Responses": {}, "UnprocessedKeys": left}
    assert batch.merged(answer) == {
        "Responses": {"t": [item(0)]},
        "UnprocessedKeys": left,
    }


def test_a_batch_of_hits_is_one_hit_as_old_as_its_oldest() -> None:
    batch = Batch({"t": [hit(0), hit(1, age=7.0)], "u": [ABSENT]})
    assert hit_of(batch.batch, batch.lookups) == Hit(
        {"Responses": {"t": [item(0), item(1)], "u": []}, "UnprocessedKeys": {}},
        7.0,
        ABSENT.key,
        lookups=batch.lookups,
    )


@pytest.mark.parametrize("outcome", [MISS, BYPASS])
def test_a_batch_with_a_key_that_is_no_hit_is_no_hit(outcome: Any) -> None:
    batch = Batch({"t": [hit(0), outcome], "u": [hit(0)]})
    assert hit_of(batch.batch, batch.lookups) is None


# --- capacity ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "consumed"),
    [
        ("TOTAL", {"TableName": "t", "CapacityUnits": 0.0}),
        (
            "INDEXES",
            {
                "TableName": "t",
                "CapacityUnits": 0.0,
                "Table": {"CapacityUnits": 0.0},
            },
        ),
    ],
)
def test_a_table_whose_keys_are_all_hits_consumes_nothing(
    asked: str, consumed: dict[str, Any]
) -> None:
    assert zero_capacity("t", asked) == consumed
    theirs = {"TableName": "u", "CapacityUnits": 0.5}
    outcomes: dict[str, list[Any]] = {"t": [hit(0)], "u": [hit(0), MISS]}
    batch = Batch(outcomes, ReturnConsumedCapacity=asked)
    merged = batch.merged({"Responses": {}, "ConsumedCapacity": [theirs]})
    assert merged["ConsumedCapacity"] == [theirs, consumed]
    whole = Batch({"t": [hit(0)]}, ReturnConsumedCapacity=asked)
    all_hits = hit_of(whole.batch, whole.lookups)
    assert all_hits is not None
    assert all_hits.answer["ConsumedCapacity"] == [consumed]


@pytest.mark.parametrize("parameters", [{}, {"ReturnConsumedCapacity": "NONE"}])
def test_capacity_is_left_out_unless_it_was_requested(parameters: Any) -> None:
    batch = Batch({"t": [hit(0)], "u": [MISS]}, **parameters)
    assert "ConsumedCapacity" not in batch.merged({"Responses": {"u": []}})
    whole = Batch({"t": [hit(0)]}, **parameters)
    all_hits = hit_of(whole.batch, whole.lookups)
    assert all_hits is not None
    assert "ConsumedCapacity" not in all_hits.answer


def test_capacity_is_dynamodbs_if_every_table_was_requested() -> None:
    batch = Batch({"t": [hit(0), MISS]}, ReturnConsumedCapacity="TOTAL")
    theirs = [{"TableName": "t", "CapacityUnits": 0.5}]
    assert batch.merged({"ConsumedCapacity": theirs})["ConsumedCapacity"] == theirs
    assert "ConsumedCapacity" not in batch.merged({})
