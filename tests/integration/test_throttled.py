"""A read that DynamoDB refuses, and the entry over its TTL that answers it."""

import json
from collections.abc import Callable
from typing import Any

import boto3
import pytest
import urllib3.exceptions
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError, SSLError
from botocore.retries.adaptive import ClientRateLimiter
from botocore.retries.standard import RetryQuotaChecker

import botocache
from botocache._cache.audits import Audits
from botocache._cache.brakes import BRAKED_FOR
from botocache._cache.cache import Cache
from botocache._cache.evictions import Evictions
from botocache._coherence import TRUST
from botocache.stores.memory import MemoryStore
from tests.support.clock import FakeClock
from tests.support.dynamodb import REGION, new_botocore_session
from tests.support.network import intercepted
from tests.support.refusing_server import Refusal, RefusingServer

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


@pytest.fixture
def server(refusing: RefusingServer) -> RefusingServer:
    return refusing


class SleepError(Exception):
    """botocore waits before it repeats a request, so it has got the refusal."""


def must_not_sleep(_seconds: float) -> None:
    raise SleepError


def _acquire(_bucket: Any, *_: Any, **__: Any) -> bool:
    return True


class App:
    """An application, and a DynamoDB that it shares.

    asked: requests that reached DynamoDB.
    """

    def __init__(self, server: RefusingServer, clock: FakeClock) -> None:
        self.server, self.clock = server, clock
        self.store = MemoryStore(clock=clock)
        self.cache: Cache

    def client(
        self,
        mode: str = "legacy",
        kind: str = "client",
        attempts: int = 4,
        **settings: Any,
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
        retries: Any = {"mode": mode, "total_max_attempts": attempts}
        config = Config(retries=retries)
        options: dict[str, Any] = {"endpoint_url": self.server.url, "config": config}
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
    # Adaptive mode lets a client that was throttled wait before its next request.
    monkeypatch.setattr("botocore.retries.bucket.TokenBucket.acquire", _acquire)
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


@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
@pytest.mark.parametrize("mode", MODES)
def test_the_first_refusal_is_answered_stale(app: App, mode: str, door: Any) -> None:
    kind, near, read = door
    client = app.client(mode, kind, near=near)
    first = read(client)
    app.clock.advance(TTL + STALE - 1)
    for refusal in REFUSALS.values():
        before = app.count("throttled")
        app.refuse(refusal)
        answer = read(client)
        assert (app.asked, headers_of(answer)) == (1, ("stale", "89")), refusal
        assert body_of(answer) == body_of(first)
        metadata = answer["ResponseMetadata"]
        assert (metadata["HTTPStatusCode"], metadata["RetryAttempts"]) == (200, 0)
        assert metadata["RequestId"].startswith("botocache-")
        # The near cache has not remembered it.
        assert headers_of(read(client))[0] == "stale"
        assert app.asked == 2
        assert app.count("throttled") - before == (2 if refusal.status == 400 else 0)
    assert (app.count("answered_stale"), app.count("fills")) == (2 * len(REFUSALS), 1)
    assert (app.count("hits"), app.count("units_saved")) == (0, 0.0)
    # DynamoDB answers again, and so does the cache after it.
    app.refuse(None)
    assert headers_of(read(client))[0] == ""
    assert headers_of(read(client))[0] == "hit"


def handler_of(client: Any, event: str, kind: type) -> Any:
    """Return the object of botocore's that handles an event of a client."""
    handlers = client.meta.events._emitter._handlers.prefix_search(event)
    objects = [getattr(handler, "__self__", None) for handler in handlers]
    (found,) = (each for each in objects if isinstance(each, kind))
    return found


@pytest.mark.parametrize("mode", ["standard", "adaptive"])
@pytest.mark.parametrize("kind", ["client", "resource"])
def test_a_stale_answer_neither_takes_nor_gives_back_retries(
    app: App, mode: str, kind: str
) -> None:
    client = app.client(mode, kind)
    read = get if kind == "client" else get_plain
    read(client)
    quota = handler_of(client, "after-call.dynamodb.GetItem", RetryQuotaChecker)._quota
    quota.acquire(100)
    before = quota.available_capacity
    app.clock.advance(TTL)
    app.refuse()
    assert headers_of(read(client))[0] == "stale"
    with intercepted(client, "before-send", fail(LOST)):
        assert headers_of(read(client))[0] == "stale"
    assert quota.available_capacity == before
    with pytest.raises(SleepError):
        client.list_tables()
    assert quota.available_capacity < before  # what it looks at is the client's own


def test_the_limiter_of_adaptive_mode_sees_the_throttling(app: App) -> None:
    client = app.client("adaptive")
    get(client)
    limiter = handler_of(client, "needs-retry.dynamodb.GetItem", ClientRateLimiter)
    app.clock.advance(TTL)
    app.refuse(REFUSALS["unavailable"])
    get(client)
    assert not limiter._enabled  # a server's error is no throttling
    app.refuse()
    get(client)
    assert limiter._enabled


def test_a_client_that_repeats_nothing_is_answered_as_well(app: App) -> None:
    client = app.client(attempts=1)
    get(client)
    app.clock.advance(TTL)
    app.refuse()
    assert headers_of(get(client))[0] == "stale"


# --- which reads --------------------------------------------------------------------

READS: dict[str, Callable[[Any], Any]] = {
    "an item": get,
    "an item with its capacity": lambda c: get(c, ReturnConsumedCapacity="TOTAL"),
    "a projection": lambda c: get(c, ProjectionExpression="secret"),
    "a query": query,
    "a query of an index": lambda c: query(c, IndexName="by-pk"),
    "a page of a scan": lambda c: c.scan(TableName="ttt", Limit=3),
    "a batch": lambda c: batch(c, "a", "b"),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
@pytest.mark.parametrize("near", ["on", "off"])
def test_each_read_that_is_cached_is_answered(
    app: App, read: Callable[[Any], Any], near: str
) -> None:
    client = app.client(near=near)
    first = body_of(read(client))
    app.clock.advance(TTL)
    app.refuse()
    for number in (1, 2):  # by the hooks, then by the near cache's own look-up
        answer = read(client)
        assert (app.asked, headers_of(answer)) == (number, ("stale", "60"))
        consumed = answer.pop("ConsumedCapacity", None)
        first.pop("ConsumedCapacity", None)
        assert body_of(answer) == first
        assert consumed is None or consumed["CapacityUnits"] == 0.0


def test_an_item_that_was_absent_is_answered_as_absent(app: App) -> None:
    client = app.client(negative_ttl=5.0)
    app.server.is_empty = True
    assert "Item" not in get(client)
    app.clock.advance(5 + STALE - 1)
    app.refuse()
    assert "Item" not in get(client)
    app.clock.advance(1)
    with pytest.raises(SleepError):
        get(client)


def test_a_batch_is_answered_only_for_all_of_its_keys(app: App) -> None:
    client = app.client()
    batch(client, "a")
    app.clock.advance(TTL)
    batch(client, "b")  # a hit below
    app.refuse()
    both = batch(client, "a", "b")
    assert headers_of(both) == ("stale", "60")
    assert [item["pk"]["S"] for item in both["Responses"]["ttt"]] == ["a", "b"]
    assert app.count("answered_stale") == 1
    with pytest.raises(SleepError):  # botocore would repeat it
        batch(client, "a", "b", "c")


def consistently(client: Any) -> Any:
    return get(client, ConsistentRead=True)


def bypassing(client: Any) -> Any:
    with botocache.bypass():
        return get(client)


def refreshing(client: Any) -> Any:
    with botocache.refresh():
        return get(client)


def transaction(client: Any) -> Any:
    return client.transact_get_items(
        TransactItems=[{"Get": {"TableName": "ttt", "Key": PK}}]
    )


def statement(client: Any) -> Any:
    return client.execute_statement(Statement="SELECT * FROM \"ttt\" WHERE pk = 'a'")


def write(client: Any) -> Any:
    # Of a put or a deletion botocache knows what it leaves, and fills that.
    return client.update_item(
        TableName="ttt",
        Key=PK,
        UpdateExpression="SET n = :n",
        ExpressionAttributeValues={":n": {"N": "1"}},
    )


NEVER = [consistently, bypassing, refreshing, transaction, statement, write]


@pytest.mark.parametrize("call", NEVER)
@pytest.mark.parametrize("near", ["on", "off"])
def test_no_other_call_is_answered_stale(
    app: App, call: Callable[[Any], Any], near: str
) -> None:
    client = app.client(near=near)
    get(client)
    app.clock.advance(TTL)
    app.refuse()
    with pytest.raises(SleepError):
        call(client)
    assert app.count("answered_stale") == 0


OTHER_ERRORS = {
    "AccessDeniedException": True,
    "UnrecognizedClientException": True,
    "ResourceNotFoundException": False,
    "ValidationException": False,
}
"""By the code: whether the error ends what its reader is served."""


@pytest.mark.parametrize(("code", "ends_all"), OTHER_ERRORS.items())
def test_what_the_client_did_wrong_is_not_answered(
    app: App, code: str, ends_all: bool
) -> None:
    client = app.client()
    get(client)
    app.clock.advance(TTL)
    app.refuse(Refusal(code))
    with pytest.raises(ClientError, match=code):
        get(client)
    # A reader that was refused has no stale answers either, until it may read again.
    app.refuse()
    if ends_all:
        with pytest.raises(SleepError):
            get(client)
    else:
        assert headers_of(get(client))[0] == "stale"


def test_another_principals_read_is_not_answered(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = app.client(near="off")
    get(client)
    app.clock.advance(TTL)
    app.refuse()
    load = app.store.load

    def load_and_rotate(*arguments: Any) -> Any:
        # Between the look-up and the signature, as credentials may be refreshed.
        client._request_signer._credentials = Credentials("AKIAOTHER00000000000", "x")
        return load(*arguments)

    monkeypatch.setattr(app.store, "load", load_and_rotate)
    with pytest.raises(SleepError):
        get(client)


def test_an_audited_read_and_shadow_mode_have_no_stale_answers(app: App) -> None:
    for settings in ({"shadow": True}, {"audit": 1.0, "near": "off"}):
        client = app.client(**settings)
        get(client)
        app.clock.advance(TTL - 1 if "audit" in settings else TTL)
        app.refuse()
        with pytest.raises(SleepError):
            get(client)
        app.refuse(None)


def test_a_suspect_read_is_not_answered_stale(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = app.client(audit=1e-9)
    get(client)
    app.clock.advance(TTL)
    app.refuse()
    assert headers_of(get(client))[0] == "stale"
    monkeypatch.setattr(Audits, "is_suspect", lambda *_: True)
    with pytest.raises(SleepError):
        get(client)


def test_a_refused_reader_has_no_stale_answers_though_its_eviction_failed(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = app.client()
    get(client)
    app.clock.advance(TTL)
    monkeypatch.setattr(Evictions, "evict_tags", lambda *_: False)
    app.refuse(Refusal("AccessDeniedException"))
    with pytest.raises(ClientError):
        get(client)
    app.refuse()
    with pytest.raises(SleepError):
        get(client)


# --- the law ------------------------------------------------------------------------


def test_a_write_since_the_entry_was_filled_ends_it(app: App) -> None:
    client = app.client()
    get(client)
    app.clock.advance(TTL)
    app.server.value = "1"
    write(client)
    app.refuse()
    with pytest.raises(SleepError):
        get(client)
    assert app.count("answered_stale") == 0


def test_a_write_of_another_process_ends_it_as_well(app: App) -> None:
    client = app.client()
    get(client)
    app.clock.advance(TTL)
    write(app.client())
    app.refuse()
    with pytest.raises(SleepError):
        get(client)


def test_an_entry_over_its_time_by_more_than_allowed_is_not_served(app: App) -> None:
    client = app.client()
    get(client)
    app.clock.advance(TTL + STALE)
    app.refuse()
    with pytest.raises(SleepError):
        get(client)


def test_the_end_is_the_earlier_one_of_the_entry_and_the_policy(app: App) -> None:
    app.client(ttl=3600.0)
    get(app.client(ttl=3600.0))
    client = app.client(ttl=10.0)
    app.clock.advance(10 + STALE - 1)
    app.refuse()
    assert headers_of(get(client))[0] == "stale"
    app.clock.advance(1)
    with pytest.raises(SleepError):
        get(client)


def test_the_end_counts_from_when_the_table_is_followed_no_more(app: App) -> None:
    client = app.client(ttl=3600.0, ttl_unfollowed=30.0)
    get(client)
    app.clock.advance(30 + STALE - 1)
    app.refuse()
    assert headers_of(get(client))[0] == "stale"
    app.clock.advance(1)
    with pytest.raises(SleepError):
        get(client)
    # As long as a follower posts heartbeats the entry is a hit, and so on after that.
    app.cache.services.heartbeats.post(REGION, "ttt", app.clock())
    app.clock.advance(TRUST - 1)
    assert headers_of(get(client))[0] == "hit"
    app.clock.advance(STALE)
    assert headers_of(get(client))[0] == "stale"
    app.clock.advance(1)
    with pytest.raises(SleepError):
        get(client)


def test_it_is_off_by_default_and_per_table(app: App) -> None:
    tables = {"ttt": {"stale_if_throttled": 0}, "u*": {"stale_if_throttled": 5}}
    for settings in ({"stale_if_throttled": None}, {"tables": tables}):
        client = app.client(**settings)
        get(client)
        app.clock.advance(TTL)
        app.refuse()
        with pytest.raises(SleepError):
            get(client)
        app.refuse(None)
    client.get_item(TableName="uuu", Key=PK)
    app.clock.advance(TTL + 4)
    app.refuse()
    assert headers_of(client.get_item(TableName="uuu", Key=PK)) == ("stale", "64")


# --- timeouts and lost connections --------------------------------------------------

LOST = urllib3.exceptions.ProtocolError("lost", ConnectionResetError())
_POOL: Any = None
FAULTS = {
    "the connection is lost": LOST,
    "no connection": urllib3.exceptions.NewConnectionError(_POOL, "refused"),
    "no connection in time": urllib3.exceptions.ConnectTimeoutError("slow"),
    "no answer in time": urllib3.exceptions.ReadTimeoutError(_POOL, "", "slow"),
}


def fail(error: Exception, sent: list[str] | None = None) -> Callable[..., Any]:
    def interceptor(event_name: str, **_: Any) -> Any:
        if sent is not None:
            sent.append(event_name)
        raise error

    return interceptor


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", ["client", "resource"])
def test_a_request_without_an_answer_is_answered_stale(
    app: App, mode: str, kind: str
) -> None:
    client = app.client(mode, kind)
    read = get if kind == "client" else get_plain
    first = read(client)
    app.clock.advance(TTL)
    for name, fault in FAULTS.items():
        sent: list[str] = []
        with intercepted(client, "before-send", fail(fault, sent)):
            for number in (1, 2):
                answer = read(client)
                said = (len(sent), headers_of(answer))
                assert said == (number, ("stale", "60")), name
                assert body_of(answer) == body_of(first)
    assert app.count("answered_stale") == 2 * len(FAULTS)
    assert app.count("throttled") == 0
    assert headers_of(read(client))[0] == ""


def test_a_batch_without_an_answer_is_answered_stale(app: App) -> None:
    client = app.client()
    first = body_of(batch(client, "a", "b"))
    app.clock.advance(TTL)
    with intercepted(client, "before-send", fail(LOST)):
        for _ in range(2):
            answer = batch(client, "a", "b")
            assert (body_of(answer), headers_of(answer)[0]) == (first, "stale")


def test_without_the_near_cache_the_error_goes_the_usual_way(app: App) -> None:
    client = app.client(near="off")
    get(client)
    app.clock.advance(TTL)
    with intercepted(client, "before-send", fail(LOST)), pytest.raises(SleepError):
        get(client)


def test_a_wrong_certificate_is_not_answered(app: App) -> None:
    client = app.client()
    get(client)
    app.clock.advance(TTL)
    wrong = urllib3.exceptions.SSLError("wrong")
    with (
        intercepted(client, "before-send", fail(wrong)),
        pytest.raises((SSLError, SleepError)),
    ):
        get(client)
    assert app.count("answered_stale") == 0


# --- what is said of it -------------------------------------------------------------


def test_handlers_of_after_call_see_the_stale_answer(app: App) -> None:
    client = app.client()
    get(client)
    app.clock.advance(TTL)
    app.refuse()
    seen: list[Any] = []

    def look(http_response: Any, parsed: Any, **_: Any) -> None:
        headers = dict(http_response.headers)
        seen.append((http_response.status_code, headers, http_response.content))
        parsed["Item"]["looked"] = {"BOOL": True}

    client.meta.events.register("after-call.dynamodb.GetItem", look)
    assert get(client)["Item"]["looked"] == {"BOOL": True}
    with intercepted(client, "before-send", fail(LOST)):
        assert get(client)["Item"]["looked"] == {"BOOL": True}
    assert seen == [(200, {"x-botocache": "stale", "age": "60"}, b"")] * 2


def test_the_log_says_once_that_stale_answers_are_served(
    app: App, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botocache._log._logged", set())
    client = app.client()
    get(client)
    app.clock.advance(TTL)
    app.refuse()
    for _ in range(2):
        get(client)
    (line,) = (each for each in caplog.messages if "answered_stale" in each)
    assert "ttt" not in line


# --- the brake ----------------------------------------------------------------------


def test_a_throttled_table_is_read_as_the_application_asks(app: App) -> None:
    # Without stale answers, which is another matter.
    client = app.client(settle=5.0, stale_if_throttled=0)
    bodies: list[Any] = []

    def note(request: Any, **_: Any) -> None:
        bodies.append(json.loads(request.body))

    with intercepted(client, "before-send", note):
        write(client)
        get(client)
        assert bodies[-1].get("ConsistentRead") is True
        app.refuse()
        with pytest.raises(SleepError):
            get(client, {"pk": {"S": "b"}})
        app.refuse(None)
        write(client)
        get(client)
        assert "ConsistentRead" not in bodies[-1]
        app.clock.advance(BRAKED_FOR)
        write(client)
        get(client)
        assert bodies[-1].get("ConsistentRead") is True


def test_a_read_that_botocache_made_consistent_may_be_answered_stale(app: App) -> None:
    """Only DynamoDB's replicas lag meanwhile; the entry is from after the write."""
    client = app.client(settle=5.0, ttl=1.0)
    write(client)
    first = get(client)
    app.clock.advance(1.0)
    app.refuse()
    answer = get(client)
    assert (headers_of(answer), app.asked) == (("stale", "1"), 1)
    assert body_of(answer) == body_of(first)
