"""A read that DynamoDB refuses, and the entry over its TTL that answers it."""

from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
import urllib3.exceptions
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

import botocache
from botocache._cache.brakes import BRAKED_FOR
from botocache._cache.cache import Cache
from botocache.stores.memory import MemoryStore
from tests.support.clock import FakeClock
from tests.support.dynamodb import REGION, new_botocore_session
from tests.support.network import intercepted
from tests.support.refusing_server import Refusal, RefusingServer, refusing_server

PK = {"pk": {"S": "a"}}
TTL, STALE = 60.0, 30.0

THROTTLED = Refusal("ProvisionedThroughputExceededException")
REFUSALS = {
    "throttled": THROTTLED,
    "on-demand throttled": Refusal("ThrottlingException"),
    "an account's limit": Refusal("RequestLimitExceeded"),
    "an internal error": Refusal("InternalServerError", 500),
    "unavailable": Refusal("ServiceUnavailable", 503),
}


@pytest.fixture(scope="module")
def running() -> Iterator[RefusingServer]:
    with refusing_server() as made:
        yield made


@pytest.fixture
def server(running: RefusingServer) -> RefusingServer:
    running.refuse()
    running.before_answer = lambda _what: None
    running.value = "0"
    running.asked.clear()
    return running


def must_not_sleep(seconds: float) -> None:
    raise AssertionError(f"botocore waits {seconds} s to repeat a request")


class App:
    """An application, and a DynamoDB that it shares.

    asked: requests that reached DynamoDB.
    """

    def __init__(self, server: RefusingServer, clock: FakeClock) -> None:
        self.server, self.clock = server, clock
        self.store = MemoryStore(clock=clock)
        self.cache: Cache

    def client(
        self, mode: str = "legacy", kind: str = "client", **settings: Any
    ) -> Any:
        """Return a client with the cache, or the client of a resource."""
        session = boto3.Session(
            "AKIATHROTTLED0000000",
            "secret",
            region_name=REGION,
            botocore_session=new_botocore_session(),
        )
        given = {"ttl": TTL, "settle": 0, "stale_if_throttled": STALE, **settings}
        self.cache = botocache.install(session, url=self.store, **given)
        config = Config(retries={"mode": mode, "total_max_attempts": 4})
        options = {"endpoint_url": self.server.url, "config": config}
        if kind == "client":
            return session.client("dynamodb", **options)
        return session.resource("dynamodb", **options).meta.client

    def refuse(self, refusal: Refusal | None = THROTTLED) -> None:
        """Refuse everything from now on, or nothing."""
        self.server.refuses = lambda _key, _what: refusal
        self.server.asked.clear()

    @property
    def asked(self) -> int:
        return sum(self.server.asked.values())

    def count(self, name: str) -> Any:
        return sum(getattr(each, name) for each in self.cache.stats().tables)


@pytest.fixture
def app(
    server: RefusingServer, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> App:
    monkeypatch.setattr("botocore.endpoint.time.sleep", must_not_sleep)
    return App(server, clock)


def get(client: Any, pk: Any = None, **more: Any) -> Any:
    key = PK if pk is None else pk
    return client.get_item(TableName="ttt", Key=key, **more)


def get_plain(client: Any) -> Any:
    return get(client, {"pk": "a"})


def query(client: Any, **more: Any) -> Any:
    return client.query(
        TableName="ttt",
        KeyConditionExpression="pk = :p",
        ExpressionAttributeValues={":p": {"S": "a"}},
        **more,
    )


def batch(client: Any, *pks: str) -> Any:
    keys = [{"pk": {"S": pk}} for pk in pks]
    return client.batch_get_item(RequestItems={"ttt": {"Keys": keys}})


def headers_of(answer: Any) -> tuple[str, str]:
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    return headers.get("x-botocache", ""), headers.get("age", "")


def body_of(answer: Any) -> Any:
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}


# --- every door, every mode ---------------------------------------------------------

MODES = ["legacy", "standard", "adaptive"]
DOORS: dict[str, Any] = {
    "a client": ("client", "on", get),
    "a client without the near cache": ("client", "off", get),
    "a resource": ("resource", "on", get_plain),
    "a resource without the near cache": ("resource", "off", get_plain),
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
@pytest.mark.parametrize("mode", MODES)
def test_the_first_refusal_is_answered_stale(
    app: App, mode: str, door: Any, refusal: Refusal
) -> None:
    kind, near, read = door
    client = app.client(mode, kind, near=near)
    first = read(client)
    app.clock.advance(TTL + STALE - 1)
    app.refuse(refusal)
    answer = read(client)
    assert (app.asked, headers_of(answer)) == (1, ("stale", "89"))
    assert body_of(answer) == body_of(first)
    metadata = answer["ResponseMetadata"]
    assert (metadata["HTTPStatusCode"], metadata["RetryAttempts"]) == (200, 0)
    assert metadata["RequestId"].startswith("botocache-")
    # The near cache has not remembered it, and nothing was filled.
    assert headers_of(read(client))[0] == "stale"
    assert (app.asked, app.count("answered_stale"), app.count("fills")) == (2, 2, 1)
    assert (app.count("hits"), app.count("units_saved")) == (0, 0.0)
    assert app.count("throttled") == (2 if refusal.status == 400 else 0)
    # DynamoDB answers again, and so does the cache after it.
    app.refuse(None)
    assert headers_of(read(client))[0] == ""
    assert headers_of(read(client))[0] == "hit"
