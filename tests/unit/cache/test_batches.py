"""A BatchGetItem taken apart by key, and put together again."""

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
    remaining_body,
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
NO_SAY = None
ASKED = "asked"


def batch_of(body: Mapping[str, Any]) -> BatchRead:
    planned = plan("BatchGetItem", body, lambda _: None)
    assert isinstance(planned, BatchRead)
    return planned


class Batch:
    """A request for some keys of some tables, and what the cache said to each.

    said: per table, per key: a hit, ASKED, or NO_SAY.
    """

    def __init__(
        self, said: Mapping[str, list[Any]], options: Any = None, **parameters: Any
    ) -> None:
        self.body = {
            "RequestItems": {
                table: {"Keys": [key(n) for n in range(len(each))], **(options or {})}
                for table, each in said.items()
            },
            **parameters,
        }
        batch = batch_of(self.body)
        self.lookups: dict[str, tuple[Lookup, ...]] = {
            table: tuple(
                _ticket(self.body, read) if s is ASKED else s
                for s, read in zip(each, batch.reads[table], strict=True)
            )
            for table, each in said.items()
        }
        self.batch = batch

    def remaining(self) -> Any:
        """Return the keys that are asked for, by table; None when nothing changes."""
        body = remaining_body(self.body, self.lookups)
        if body is None:
            return None
        parts = msgspec.json.decode(body)["RequestItems"]
        return {table: part["Keys"] for table, part in parts.items()}

    def merged(self, answer: Answer) -> Answer:
        """Return what becomes of DynamoDB's answer."""
        merge_hits(self.batch, self.lookups, answer, self.answers(answer))
        return answer

    def answers(self, answer: Answer) -> Any:
        """Return what was answered to each key."""
        return answers_by_key(self.batch, self.lookups, answer)


def _ticket(body: Mapping[str, Any], read: Read) -> ReadTicket:
    call = call_of("BatchGetItem")
    prepared = prepare(call, body, read, CACHING)
    assert prepared is not None
    return ReadTicket(prepared, LOADED, 0.0, CallStore(STORE), is_consistent=False)


STORE = MemoryStore()
CACHING = TableCaching(Settings().policy("t"), CachingMode.COHERENT, is_precise=False)
LOADED = Loaded(None, (1, 2, 3), Held.FREE)

# --- what is left to ask for -------------------------------------------------------


def test_a_batch_without_hits_is_sent_as_it_is() -> None:
    assert Batch({"t": [ASKED, NO_SAY], "u": [ASKED]}).remaining() is None


@pytest.mark.parametrize(
    ("said", "remaining"),
    [
        ({"t": [hit(0), ASKED]}, {"t": [key(1)]}),
        ({"t": [ASKED, hit(1), NO_SAY]}, {"t": [key(0), key(2)]}),
        ({"t": [hit(0)], "u": [ASKED]}, {"u": [key(0)]}),
        ({"t": [ABSENT, ASKED], "u": [ASKED]}, {"t": [key(1)], "u": [key(0)]}),
        ({"t": [hit(0)], "u": [hit(0)]}, {}),
    ],
)
def test_hits_leave_the_request_and_the_rest_stays_in_order(
    said: dict[str, Any], remaining: dict[str, Any]
) -> None:
    assert Batch(said).remaining() == remaining


def test_all_other_parameters_stay() -> None:
    options = {"ProjectionExpression": "#v", "ExpressionAttributeNames": {"#v": "v"}}
    batch = Batch({"t": [hit(0), ASKED]}, options, ReturnConsumedCapacity="TOTAL")
    body = remaining_body(batch.body, batch.lookups)
    assert body is not None
    assert msgspec.json.decode(body) == {
        "RequestItems": {"t": {"Keys": [key(1)], **options}},
        "ReturnConsumedCapacity": "TOTAL",
    }


def test_the_request_itself_is_not_changed() -> None:
    batch = Batch({"t": [hit(0), ASKED], "u": [hit(0)]})
    before = msgspec.json.encode(batch.body)
    batch.remaining()
    assert msgspec.json.encode(batch.body) == before


# --- whose answer it is ------------------------------------------------------------


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
    ("said", "items", "unprocessed", "expected"),
    [
        # In whatever order.
        (
            [ASKED] * 2,
            [item(1), item(0)],
            None,
            {0: {"Item": item(0)}, 1: {"Item": item(1)}},
        ),
        (
            [ASKED] * 2,
            [SPELLED, item(0)],
            [],
            {0: {"Item": item(0)}, 1: {"Item": SPELLED}},
        ),
        # What is not in the answer is not there.
        ([ASKED] * 3, [item(1)], None, {0: {}, 1: {"Item": item(1)}, 2: {}}),
        ([ASKED] * 2, [], None, {0: {}, 1: {}}),
        # Hits were not asked for; what the cache has no say in was.
        ([hit(0), ASKED, NO_SAY], [item(2)], None, {1: {}, 2: {"Item": item(2)}}),
        ([hit(0), ABSENT], [], None, {}),
        # Nothing is known of what was not processed.
        ([ASKED] * 3, [item(0)], [key(1)], {0: {"Item": item(0)}, 2: {}}),
        ([ASKED] * 2, [], [key(1), key(0)], {}),
        ([ASKED] * 2, [], [{"sk": {"N": "1.0"}, "pk": {"S": "p"}}], {0: {}}),
        # One key needs nobody to tell whose answer it is.
        ([ASKED], [item(0)], None, {0: {"Item": item(0)}}),
        ([ASKED], [{"v": {"S": "x"}}], None, {0: {"Item": {"v": {"S": "x"}}}}),
        ([ASKED], [{}], None, {0: {"Item": {}}}),
        ([ASKED], [], None, {0: {}}),
        ([ASKED], [], [key(0)], {}),
        ([hit(0), ASKED], [{}], None, {1: {"Item": {}}}),
        # Several do.
        ([ASKED] * 2, [{"v": {"S": "x"}}], None, None),
        ([ASKED] * 2, [item(0), {}], None, None),
        ([ASKED] * 2, [{"pk": {"S": "p"}}], None, None),
        # What nobody asked for, or asked for once.
        ([ASKED] * 2, [item(7)], None, None),
        ([ASKED] * 2, [item(0), item(0)], None, None),
        ([ASKED] * 2, [item(1), SPELLED], None, None),
        ([ASKED], [item(0), item(0)], None, None),
        ([ASKED] * 2, [item(0)], [key(0)], None),
        ([ASKED], [item(0)], [key(0)], None),
        ([ASKED] * 2, [], [key(7)], None),
        ([hit(0), ASKED], [], [key(0)], None),
        ([hit(0), ABSENT], [item(0)], None, None),
        # A key that is none.
        ([ASKED] * 2, [{"pk": {"BOOL": True}, "sk": {"N": "1"}}], None, None),
        ([ASKED] * 2, [], [{"pk": {"L": []}, "sk": {"N": "1"}}], None),
    ],
)
def test_an_answer_is_taken_apart_only_where_each_item_is_told_to_be_of_one_key(
    said: list[Any], items: list[Any], unprocessed: list[Any] | None, expected: Any
) -> None:
    assert answers(Batch({"t": said}), items, unprocessed) == expected


def test_an_answer_that_says_nothing_of_a_table_says_that_nothing_is_there() -> None:
    batch = Batch({"t": [ASKED] * 2})
    assert batch.answers({}) == {"t": {0: {}, 1: {}}}


def test_each_table_is_taken_apart_by_itself() -> None:
    batch = Batch({"t": [ASKED] * 2, "u": [ASKED] * 2, "v": [ASKED]})
    answer = {
        "Responses": {"t": [{"v": {"S": "x"}}], "u": [item(1)], "w": [item(0)]},
        "UnprocessedKeys": {"v": {"Keys": [key(0)]}},
    }
    assert batch.answers(answer) == {
        "t": None,
        "u": {0: {}, 1: {"Item": item(1)}},
        "v": {},
    }


def test_binary_keys_are_told_apart_though_botocore_has_parsed_them() -> None:
    wire = [{"pk": {"B": text}} for text in ("AAE=", "AAI=")]
    batch = batch_of({"RequestItems": {"t": {"Keys": wire}}})
    lookups = {"t": (None, None)}
    found = {"pk": {"B": b"\x00\x02"}}
    answer = {"Responses": {"t": [found]}}
    assert answers_by_key(batch, lookups, answer) == {"t": {0: {}, 1: {"Item": found}}}


@given(st.data())
def test_whatever_is_found_is_told_by_its_key(data: st.DataObject) -> None:
    count = data.draw(st.integers(2, 8))
    fates = data.draw(st.lists(st.sampled_from("hfau"), min_size=count, max_size=count))
    batch = Batch(
        {"t": [hit(n) if fate == "h" else ASKED for n, fate in enumerate(fates)]}
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


# --- putting it together -----------------------------------------------------------


def test_hits_come_back_in_the_order_of_the_request() -> None:
    batch = Batch({"t": [hit(0), ASKED, hit(2), ASKED, ABSENT]})
    answer = {"Responses": {"t": [item(3), item(1)]}, "UnprocessedKeys": {}}
    assert batch.merged(answer) == {
        "Responses": {"t": [item(0), item(1), item(2), item(3)]},
        "UnprocessedKeys": {},
    }


def test_hits_come_last_where_the_order_is_not_known() -> None:
    batch = Batch({"t": [hit(0), ASKED, ASKED]})
    answer = {"Responses": {"t": [{"v": {"S": "x"}}]}}
    assert batch.merged(answer)["Responses"]["t"] == [{"v": {"S": "x"}}, item(0)]


def test_a_table_without_hits_is_left_as_it_was_answered() -> None:
    batch = Batch({"t": [hit(0)], "u": [ASKED] * 2, "v": [NO_SAY]})
    answer = {"Responses": {"u": [item(1), item(0)], "v": []}}
    assert batch.merged(answer)["Responses"] == {
        "t": [item(0)],
        "u": [item(1), item(0)],
        "v": [],
    }


def test_a_hit_that_is_not_there_makes_an_empty_answer_of_its_table() -> None:
    batch = Batch({"t": [ABSENT], "u": [ASKED]})
    assert batch.merged({"Responses": {"u": []}})["Responses"] == {"t": [], "u": []}


def test_an_answer_without_responses_gets_some() -> None:
    assert Batch({"t": [hit(0), ASKED]}).merged({}) == {"Responses": {"t": [item(0)]}}


def test_what_was_not_processed_is_passed_on() -> None:
    batch = Batch({"t": [hit(0), ASKED]})
    left = {"t": {"Keys": [key(1)]}}
    answer = {"Responses": {}, "UnprocessedKeys": left}
    assert batch.merged(answer) == {
        "Responses": {"t": [item(0)]},
        "UnprocessedKeys": left,
    }


def test_everything_from_the_cache_is_one_hit_as_old_as_its_oldest() -> None:
    batch = Batch({"t": [hit(0), hit(1, age=7.0)], "u": [ABSENT]})
    assert hit_of(batch.batch, batch.lookups) == Hit(
        {"Responses": {"t": [item(0), item(1)], "u": []}, "UnprocessedKeys": {}},
        7.0,
        ABSENT.key,
    )


@pytest.mark.parametrize("said", [ASKED, NO_SAY])
def test_a_batch_of_which_one_key_is_asked_for_is_no_hit(said: Any) -> None:
    batch = Batch({"t": [hit(0), said], "u": [hit(0)]})
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
def test_a_table_that_was_not_asked_consumed_nothing(
    asked: str, consumed: dict[str, Any]
) -> None:
    assert zero_capacity("t", asked) == consumed
    theirs = {"TableName": "u", "CapacityUnits": 0.5}
    said: dict[str, list[Any]] = {"t": [hit(0)], "u": [hit(0), ASKED]}
    batch = Batch(said, ReturnConsumedCapacity=asked)
    merged = batch.merged({"Responses": {}, "ConsumedCapacity": [theirs]})
    assert merged["ConsumedCapacity"] == [theirs, consumed]
    whole = Batch({"t": [hit(0)]}, ReturnConsumedCapacity=asked)
    all_hits = hit_of(whole.batch, whole.lookups)
    assert all_hits is not None
    assert all_hits.answer["ConsumedCapacity"] == [consumed]


@pytest.mark.parametrize("parameters", [{}, {"ReturnConsumedCapacity": "NONE"}])
def test_capacity_is_told_to_nobody_who_did_not_ask(parameters: Any) -> None:
    batch = Batch({"t": [hit(0)], "u": [ASKED]}, **parameters)
    assert "ConsumedCapacity" not in batch.merged({"Responses": {"u": []}})
    whole = Batch({"t": [hit(0)]}, **parameters)
    all_hits = hit_of(whole.batch, whole.lookups)
    assert all_hits is not None
    assert "ConsumedCapacity" not in all_hits.answer


def test_capacity_is_as_dynamodb_tells_it_where_every_table_was_asked() -> None:
    batch = Batch({"t": [hit(0), ASKED]}, ReturnConsumedCapacity="TOTAL")
    theirs = [{"TableName": "t", "CapacityUnits": 0.5}]
    assert batch.merged({"ConsumedCapacity": theirs})["ConsumedCapacity"] == theirs
    assert "ConsumedCapacity" not in batch.merged({})
