"""IAM may deny ReturnValues: the application's write succeeds nevertheless.

A policy can do so by the condition key `dynamodb:ReturnValues`. moto knows no IAM, so
an interceptor of requests stands for it.
"""

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.exceptions import ClientError

import botocache
from tests.integration.app import (
    World,
    delete,
    get,
    put,
    query_index,
    set_n,
    wire,
)
from tests.support.clients import AIOBOTOCORE
from tests.support.network import intercept

MODES = ["legacy", "standard", "adaptive"]
MESSAGE = "User is not authorized to perform this with an explicit deny"


def refusal(status: int, kind: str, message: str) -> AWSResponse:
    """Return an error as DynamoDB answers it."""
    body = {"__type": f"com.amazon.coral.service#{kind}", "Message": message}

    class Raw:
        def stream(self, **_: Any) -> list[bytes]:
            return [json.dumps(body).encode()]

    return AWSResponse("http://nowhere", status, {}, Raw())  # type: ignore[arg-type]  # all that botocore uses


class Policy:
    """An IAM policy: which requests it denies.

    sent: the bodies of all writes that it judged, in order.
    """

    def __init__(self, denies: Callable[[dict[str, Any]], bool]) -> None:
        self.sent: list[dict[str, Any]] = []
        self._denies = denies

    def __call__(self, *, request: Any, **_: Any) -> AWSResponse | None:
        operation = request.headers["X-Amz-Target"].decode().rpartition(".")[2]
        if operation not in ("PutItem", "UpdateItem", "DeleteItem"):
            return None
        body = json.loads(request.body)
        self.sent.append(body)
        if self._denies(body):
            return refusal(400, "AccessDeniedException", MESSAGE)
        return None

    @property
    def requested(self) -> list[str]:
        """The ReturnValues of each request."""
        return [body.get("ReturnValues", "NONE") for body in self.sent]


def old_values_are_denied(body: dict[str, Any]) -> bool:
    return body.get("ReturnValues") == "ALL_OLD"


def everything_is_denied(_: dict[str, Any]) -> bool:
    return True


def client_under(
    world: World, policy: Policy, mode: str = "legacy", **more: Any
) -> Any:
    """Return a client with precise index eviction, under a policy of IAM."""
    session = world.session()
    botocache.install(session, url=world.store, precise_index_eviction=True)
    retries: Any = {"mode": mode, **more}
    client = world.client(session, config=Config(retries=retries))
    intercept(client, "before-send.dynamodb", policy)
    return client


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses of botocore between two attempts, in seconds; no test sleeps them."""
    waited: list[float] = []

    async def note(seconds: float) -> None:
        waited.append(seconds)

    if AIOBOTOCORE:
        clock = SimpleNamespace(sleep=note)
        monkeypatch.setattr("aiobotocore.endpoint.asyncio", clock)
    else:
        clock = SimpleNamespace(sleep=waited.append)
        monkeypatch.setattr("botocore.endpoint.time", clock)
    return waited


@pytest.fixture
def indexed(world: World) -> str:
    """A table with an index on `g`, and one item."""
    table = world.table(
        "pk:S",
        AttributeDefinitions=[{"AttributeName": "g", "AttributeType": "S"}],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by-g",
                "KeySchema": [{"AttributeName": "g", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
    )
    put(world.outside, table, pk="a", g="one", n=1)
    return table


WRITES: dict[str, tuple[Callable[[Any, str], Any], Any]] = {
    "a put": (lambda c, t: put(c, t, pk="a", g="two", n=2), {"g": "two", "n": 2}),
    "an update": (lambda c, t: set_n(c, t, 2, pk="a"), {"g": "one", "n": 2}),
    "a delete": (lambda c, t: delete(c, t, pk="a"), None),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("write", "left"), WRITES.values(), ids=list(WRITES))
def test_a_write_whose_old_image_is_denied_is_sent_again_unchanged_and_succeeds(
    write: Callable[[Any, str], Any], left: Any, mode: str, world: World, indexed: str
) -> None:
    policy = Policy(old_values_are_denied)
    client = client_under(world, policy, mode=mode)
    get(client, indexed, pk="a")  # a put needs to know the key
    with world.counting() as reached:
        write(client, indexed)
    assert policy.requested == ["ALL_OLD", "NONE"]
    assert sum(reached.values()) == 1
    expected = None if left is None else {"pk": "a", **left}
    assert get(client, indexed, pk="a") == expected
    assert get(world.outside, indexed, pk="a") == expected


def test_the_answer_is_that_of_the_unchanged_request(
    world: World, indexed: str
) -> None:
    client = client_under(world, Policy(old_values_are_denied))
    parameters = {"TableName": indexed, "ReturnConsumedCapacity": "TOTAL"}
    answer = client.delete_item(**parameters, Key=wire({"pk": "a"}))
    expected = world.outside.delete_item(**parameters, Key=wire({"pk": "b"}))
    assert answer.keys() == expected.keys()
    assert answer["ConsumedCapacity"] == expected["ConsumedCapacity"]
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200


@pytest.mark.parametrize("mode", MODES)
def test_the_unchanged_request_is_sent_again_without_a_pause(
    world: World, indexed: str, waits: list[float], mode: str
) -> None:
    client = client_under(world, Policy(old_values_are_denied), mode=mode)
    set_n(client, indexed, 2, pk="a")
    assert waits == [0]


@pytest.mark.parametrize("mode", MODES)
def test_old_images_of_a_table_that_denies_them_are_not_requested_again(
    world: World, indexed: str, mode: str
) -> None:
    policy = Policy(old_values_are_denied)
    client = client_under(world, policy, mode=mode)
    for n in range(3):
        set_n(client, indexed, n, pk="a")
        delete(client, indexed, pk="b")
    assert policy.requested == ["ALL_OLD", *["NONE"] * 6]


def test_old_images_of_another_table_are_still_requested(
    world: World, indexed: str, table: str
) -> None:
    policy = Policy(lambda body: old_values_are_denied(body) and body["Key"] != B)
    client = client_under(world, policy)
    set_n(client, indexed, 1, pk="a")
    set_n(client, table, 1, pk="b")
    set_n(client, table, 2, pk="b")
    assert policy.requested == ["ALL_OLD", "NONE", "ALL_OLD", "ALL_OLD"]


B = wire({"pk": "b"})


def test_clients_of_one_installation_share_which_tables_deny_old_images(
    world: World, indexed: str
) -> None:
    policy = Policy(old_values_are_denied)
    session = world.session()
    botocache.install(session, url=world.store, precise_index_eviction=True)
    for n, client in enumerate((world.client(session), world.client(session))):
        intercept(client, "before-send.dynamodb", policy)
        set_n(client, indexed, n, pk="a")
    assert policy.requested == ["ALL_OLD", "NONE", "NONE"]


@pytest.mark.parametrize("mode", MODES)
def test_an_access_denied_error_of_the_write_itself_reaches_the_caller(
    world: World, indexed: str, mode: str
) -> None:
    policy = Policy(everything_is_denied)
    client = client_under(world, policy, mode=mode)
    for _ in range(2):
        with pytest.raises(ClientError, match="explicit deny") as raised:
            set_n(client, indexed, 2, pk="a")
        assert raised.value.response["Error"]["Code"] == "AccessDeniedException"
    assert policy.requested == ["ALL_OLD", "NONE", "NONE"]
    assert get(client, indexed, pk="a") == {"pk": "a", "g": "one", "n": 1}


@pytest.mark.parametrize("mode", MODES)
def test_an_access_denied_error_reaches_a_caller_that_requested_the_old_image(
    world: World, indexed: str, mode: str
) -> None:
    policy = Policy(old_values_are_denied)
    client = client_under(world, policy, mode=mode)
    with pytest.raises(ClientError, match="explicit deny"):
        client.delete_item(TableName=indexed, Key=B, ReturnValues="ALL_OLD")
    assert policy.requested == ["ALL_OLD"]


@pytest.mark.parametrize("mode", MODES)
def test_a_client_without_retries_succeeds_as_well(
    world: World, indexed: str, mode: str
) -> None:
    policy = Policy(old_values_are_denied)
    client = client_under(world, policy, mode=mode, total_max_attempts=1)
    set_n(client, indexed, 2, pk="a")
    assert policy.requested == ["ALL_OLD", "NONE"]
    assert get(client, indexed, pk="a") == {"pk": "a", "g": "one", "n": 2}


@pytest.mark.parametrize("mode", MODES)
def test_a_server_error_is_retried_with_the_old_image_still_requested(
    world: World, indexed: str, mode: str
) -> None:
    policy = Policy(old_values_are_denied)
    client = client_under(world, policy, mode=mode)
    errors = [refusal(500, "InternalServerError", "try again")]

    def fail_once(**_: Any) -> AWSResponse | None:
        return errors.pop() if errors else None

    intercept(client, "before-send.dynamodb", fail_once)
    set_n(client, indexed, 2, pk="a")
    assert policy.requested == ["ALL_OLD", "ALL_OLD", "NONE"]


def test_a_failed_condition_is_not_sent_again(world: World, indexed: str) -> None:
    policy = Policy(lambda _: False)
    client = client_under(world, policy)
    with pytest.raises(ClientError, match="ConditionalCheckFailed"):
        client.delete_item(
            TableName=indexed,
            Key=wire({"pk": "a"}),
            ConditionExpression="attribute_not_exists(pk)",
        )
    set_n(client, indexed, 2, pk="a")
    assert policy.requested == ["ALL_OLD", "ALL_OLD"]


def test_a_write_of_a_resource_is_sent_again_as_well(
    world: World, indexed: str
) -> None:
    policy = Policy(old_values_are_denied)
    session = world.session()
    botocache.install(session, url=world.store, precise_index_eviction=True)
    table = world.resource(session).Table(indexed)
    intercept(table.meta.client, "before-send.dynamodb", policy)
    table.put_item(
        Item={"pk": "b", "n": 1}
    )  # before the table's key attributes are known
    table.delete_item(Key={"pk": "b"})
    assert "Item" not in table.get_item(Key={"pk": "b"})
    assert policy.requested == ["NONE", "ALL_OLD", "NONE"]


@pytest.mark.parametrize("is_first", [True, False], ids=["the first", "a later one"])
@pytest.mark.parametrize(("write", "left"), WRITES.values(), ids=list(WRITES))
def test_a_write_whose_old_image_is_denied_evicts_all_index_queries(
    write: Callable[[Any, str], Any],
    left: Any,
    is_first: bool,
    world: World,
    indexed: str,
) -> None:
    client = client_under(world, Policy(old_values_are_denied))
    get(client, indexed, pk="a")
    if not is_first:
        set_n(client, indexed, 0, pk="other")
        world.clock.advance(6)
    for group in ("one", "two"):
        query_index(client, indexed, "by-g", g=group)
    write(client, indexed)
    for group in ("one", "two"):
        expected = query_index(world.outside, indexed, "by-g", g=group)
        assert query_index(client, indexed, "by-g", g=group) == expected


def test_denied_reads_are_not_sent_again(world: World, indexed: str) -> None:
    client = client_under(world, Policy(old_values_are_denied))
    sent = []

    def deny(**_: Any) -> AWSResponse:
        sent.append(1)
        return refusal(400, "AccessDeniedException", MESSAGE)

    intercept(client, "before-send.dynamodb.GetItem", deny)
    with pytest.raises(ClientError, match="explicit deny"):
        get(client, indexed, pk="a")
    assert len(sent) == 1
