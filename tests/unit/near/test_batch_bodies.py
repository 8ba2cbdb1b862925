"""A batch whose body is derived is one that botocore would not refuse."""

import copy
from typing import Any

from botocore.validate import ParamValidator
from hypothesis import given, settings
from hypothesis import strategies as st

from botocache._dynamodb.operations import plan
from botocache._dynamodb.plans import BatchRead
from botocache._near.call_keys import quick_key
from botocache._near.request_bodies import derive_body, resource_body, wire_body
from tests.support.bodies import CLIENT

MODEL = CLIENT.meta.service_model.operation_model("BatchGetItem").input_shape

WRONG: st.SearchStrategy[Any] = st.sampled_from(
    [None, 7, True, "", [], {}, (), {"S": 7}, b"x", 1.5, {"x"}]
)
VALUES = st.one_of(
    st.fixed_dictionaries({"S": st.text(max_size=3)}),
    st.fixed_dictionaries({"N": st.sampled_from(["1", "1.0", "x"])}),
    st.fixed_dictionaries({}, optional={"S": WRONG, "N": WRONG, "X": WRONG}),
    WRONG,
)
KEYS = st.dictionaries(st.sampled_from(["pk", "sk", ""]), VALUES, max_size=2)
PARTS = st.fixed_dictionaries(
    {"Keys": st.lists(KEYS, max_size=3) | st.lists(KEYS, min_size=1) | WRONG},
    optional={
        "ConsistentRead": st.booleans() | WRONG,
        "ProjectionExpression": st.text(max_size=3) | WRONG,
        "ExpressionAttributeNames": st.dictionaries(st.text(max_size=2), WRONG) | WRONG,
        "AttributesToGet": st.lists(st.text(max_size=2)) | WRONG,
        "Unknown": WRONG,
    },
)
ARGUMENTS = st.fixed_dictionaries(
    {"RequestItems": st.dictionaries(st.text(max_size=2), PARTS, max_size=2) | WRONG},
    optional={"ReturnConsumedCapacity": st.sampled_from(["TOTAL", "x"]) | WRONG},
)


def derived(arguments: Any, body_of: Any) -> Any:
    key = quick_key(7, arguments)
    return key and derive_body("BatchGetItem", 7, key, arguments, body_of)


@settings(max_examples=400, deadline=None)
@given(arguments=ARGUMENTS)
def test_botocore_refuses_none_of_it(arguments: Any) -> None:
    body = derived(arguments, wire_body)
    if body is None or not isinstance(
        plan("BatchGetItem", body, lambda _: None), BatchRead
    ):
        return
    report = ParamValidator().validate(copy.deepcopy(arguments), MODEL)
    assert not report.has_errors(), report.generate_report()


def test_usual_batches_have_a_body() -> None:
    part = {"Keys": [{"pk": {"S": "a"}, "sk": {"N": "1"}}], "ProjectionExpression": "x"}
    arguments = {"RequestItems": {"t": part}, "ReturnConsumedCapacity": "TOTAL"}
    assert derived(arguments, wire_body) == arguments
    of_resource = {"RequestItems": {"t": {"Keys": [{"pk": "a", "sk": 1}]}}}
    assert derived(of_resource, resource_body) == {
        "RequestItems": {"t": {"Keys": [{"pk": {"S": "a"}, "sk": {"N": "1"}}]}}
    }


def test_keys_that_boto3_may_write_otherwise_have_none() -> None:
    for value in (10**15, True, 1.5, {"S": "a"}, b"x"):
        arguments = {"RequestItems": {"t": {"Keys": [{"pk": value}]}}}
        assert derived(arguments, resource_body) is None
