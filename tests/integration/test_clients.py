"""What sets a client apart although its credentials are another one's, too.

How it reads answers, who its handlers let ask, and who answers in DynamoDB's place.
"""

import functools
import gc
import json
import logging
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from types import FunctionType, MethodType
from typing import Any, cast

import boto3
import pytest
from botocore.awsrequest import (
    AWSHTTPConnection,
    AWSHTTPConnectionPool,
    AWSResponse,
)
from botocore.client import BaseClient
from botocore.compat import HTTPHeaders
from botocore.credentials import RefreshableCredentials
from botocore.endpoint import Endpoint
from botocore.handlers import disable_signing
from botocore.httpsession import URLLib3Session
from botocore.parsers import ResponseParserFactory
from botocore.signers import RequestSigner
from botocore.stub import Stubber

import botocache
from botocache import _log
from botocache._botocore import clients, known_code
from tests.integration.app import (
    KEY_ID,
    World,
    every_store,
    get,
    put,
    wire,
)
from tests.support.dynamodb import REGION
from tests.support.network import intercept
from tests.support.processes import forked

near_or_not = pytest.mark.parametrize("near", ["on", "off"])

KEY = wire({"pk": "a"})
BINARY = {"pk": {"S": "a"}, "b": {"B": b"\x00\x01"}}
TEXT = {"pk": {"S": "a"}, "b": {"B": "AAE="}}
"""The item as a client reads it that leaves base64 as it is."""

tenant: ContextVar[str] = ContextVar("tenant", default="nobody")


@pytest.fixture(autouse=True)
def _log_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_log, "_logged", set())


@pytest.fixture
def table(world: World) -> str:
    """A table with an item that holds bytes."""
    made = world.table("pk:S")
    world.outside.put_item(TableName=made, Item=BINARY)
    return made


def item(client: Any, table: str) -> Any:
    """Get the item as the client returns it."""
    return client.get_item(TableName=table, Key=KEY)["Item"]


def items(client: Any, table: str) -> Any:
    """Get it in a batch."""
    answer = client.batch_get_item(RequestItems={table: {"Keys": [KEY]}})
    return answer["Responses"][table]


def is_hit(client: Any, table: str) -> bool:
    """Get the item, and return whether the cache answered."""
    answer = client.get_item(TableName=table, Key=KEY)
    return "x-botocache" in answer["ResponseMetadata"]["HTTPHeaders"]


# --- reading -----------------------------------------------------------------------


def unparsed(value: str) -> str:
    """Return binary as the wire has it, as the AWS CLI does."""
    return value


def reads_text(client: Any) -> None:
    """Make a client read so; its session's other clients have another factory."""
    client._endpoint._response_parser_factory = factory = ResponseParserFactory()
    factory.set_parser_defaults(blob_parser=unparsed)


class OwnFactory(ResponseParserFactory):
    """A factory that makes such parsers itself."""

    def create_parser(self, protocol_name: str) -> Any:
        self._defaults = {"blob_parser": unparsed}
        return super().create_parser(protocol_name)


def reads_text_by_factory(client: Any) -> None:
    """Give a client such a factory."""
    client._endpoint._response_parser_factory = OwnFactory()


def reads_text_by_patch(client: Any) -> None:
    """Replace the method of the client's own factory."""
    factory = client._endpoint._response_parser_factory = ResponseParserFactory()
    parser = OwnFactory().create_parser
    factory.create_parser = parser  # type: ignore[method-assign]


WAYS = [reads_text, reads_text_by_factory, reads_text_by_patch]


@every_store
@near_or_not
@pytest.mark.parametrize("scope", ["auto", "team"])
@pytest.mark.parametrize("customize", WAYS)
def test_clients_that_read_in_different_ways_never_share(
    world: World,
    table: str,
    customize: Callable[[Any], None],
    scope: str,
    near: str,
) -> None:
    custom = world.cached_client(near=near, scope=scope)
    plain = world.cached_client(near=near, scope=scope)
    customize(custom)
    for _ in range(3):
        assert item(custom, table) == TEXT
        assert item(plain, table) == BINARY
        assert items(custom, table) == [TEXT]
        assert items(plain, table) == [BINARY]
    assert is_hit(custom, table)
    assert is_hit(plain, table)
    # Also what writes leave, each way round.
    update = {"UpdateExpression": "SET n = :n", "ReturnValues": "ALL_NEW"}
    for n, writer in enumerate((custom, plain)):
        values = {":n": {"N": str(n)}}
        writer.update_item(
            TableName=table, Key=KEY, ExpressionAttributeValues=values, **update
        )
        for _ in range(2):
            assert item(custom, table) == {**TEXT, "n": {"N": str(n)}}
            assert item(plain, table) == {**BINARY, "n": {"N": str(n)}}


@near_or_not
def test_parsers_that_a_client_gets_later_count_from_then_on(
    world: World, table: str, near: str
) -> None:
    client = world.cached_client(near=near)
    factory = client._endpoint._response_parser_factory
    for _ in range(3):
        assert item(client, table) == BINARY
    factory.set_parser_defaults(blob_parser=unparsed)
    for _ in range(3):
        assert item(client, table) == TEXT
    factory.set_parser_defaults(blob_parser=str.lower)
    for _ in range(3):
        assert item(client, table)["b"] == {"B": "aae="}
    factory._defaults.clear()
    for _ in range(3):
        assert item(client, table) == BINARY
    assert is_hit(client, table)


@near_or_not
def test_a_client_that_botocache_has_not_seen_shares_with_no_other(
    world: World, table: str, near: str
) -> None:
    known = world.cached_client(near=near)
    session = world.session()
    unknown = world.client(session)
    botocache.install(unknown, url=world.store, near="off")
    vars(unknown._request_signer).pop(clients.TRAITS)
    with world.counting() as reached:
        for _ in range(2):
            assert item(known, table) == BINARY
            assert item(unknown, table) == BINARY
    assert reached["GetItem"] == 2
    assert is_hit(unknown, table)


@near_or_not
@pytest.mark.parametrize("scope", ["auto", "team"])
@pytest.mark.parametrize("event", ["before-parse", "response-received", "needs-retry"])
def test_where_a_handler_may_change_answers_nothing_is_cached(
    world: World, event: str, scope: str, near: str, caplog: pytest.LogCaptureFixture
) -> None:
    table = world.table("pk:S")
    world.outside.put_item(TableName=table, Item=BINARY)
    client = world.cached_client(near=near, scope=scope)
    other = world.cached_client(near=near, scope=scope)
    assert item(client, table) == BINARY

    def decrypt(**_: Any) -> None:
        """Change the answer, by the caller of this moment."""

    client.meta.events.register_first(event, decrypt)
    with caplog.at_level(logging.WARNING, "botocache"), world.counting() as reached:
        for _ in range(3):
            assert item(client, table) == BINARY
            assert items(client, table) == [BINARY]
    assert reached == {"GetItem": 3, "BatchGetItem": 3}
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 1
    assert lines[0].startswith("botocache: answers_not_cached: ")
    assert "decrypt" in lines[0]
    assert event in lines[0]
    put(client, table, pk="a", n=1)  # fills nothing, and evicts
    with world.counting() as reached:
        assert get(other, table, pk="a") == {"pk": "a", "n": 1}
    assert reached == {"GetItem": 1}


@near_or_not
def test_a_handler_of_after_call_before_ours_may_change_answers_too(
    world: World, table: str, near: Any
) -> None:
    def decrypt(parsed: dict[str, Any], **_: Any) -> None:
        parsed["Item"]["of"] = {"S": tenant.get()}

    session = world.session()
    session.events.register_first("after-call.*.*", decrypt)
    botocache.install(session, url=world.store, near=near)
    client = world.client(session)
    for name in ("A", "B", "A"):
        tenant.set(name)
        assert item(client, table)["of"] == {"S": name}
    tenant.set("nobody")


# --- asking ------------------------------------------------------------------------


def gateway(request: Any, **_: Any) -> AWSResponse:
    """Answer as a gateway does that tells tenants apart by a header."""
    who = request.headers.get("x-tenant", b"nobody")
    who = who.decode() if isinstance(who, bytes) else who
    body = json.dumps({"Item": {"pk": {"S": "a"}, "of": {"S": who}}}).encode()
    raw = type("Raw", (), {"stream": lambda *_, **__: (body,)})()
    return AWSResponse(request.url, 200, HTTPHeaders(), raw)


def behind_gateway(world: World, **settings: Any) -> Any:
    """Return a client whose requests go through the gateway."""
    client = world.cached_client(**settings)
    intercept(client, "before-send", gateway)
    return client


def owner(client: Any, table: str = "t") -> str:
    """Return whose item a client gets."""
    return str(item(client, table)["of"]["S"])


def add_header(
    params: Any = None, request: Any = None, headers: Any = None, **_: Any
) -> None:
    """Add the tenant of this moment, as a handler of any event can."""
    given = params["headers"] if params else request.headers
    given["x-tenant"] = tenant.get()


LATER = ["request-created", "before-sign", "before-send"]


@every_store
@near_or_not
def test_headers_that_can_be_seen_are_part_of_the_scope(
    world: World, near: str
) -> None:
    first = behind_gateway(world, near=near)
    second = behind_gateway(world, near=near)
    for client in (first, second):
        client.meta.events.register("before-call.dynamodb", add_header)
    for name in ("A", "B", "A"):
        tenant.set(name)
        assert owner(first) == name
        assert owner(second) == name
        assert is_hit(second, "t")  # who asks is the same
    tenant.set("nobody")


@every_store
@near_or_not
@pytest.mark.parametrize("event", LATER)
def test_callers_that_a_later_handler_may_tell_apart_are_not_served_each_others(
    world: World, near: str, event: str, caplog: pytest.LogCaptureFixture
) -> None:
    client = behind_gateway(world, near=near)
    assert owner(client) == "nobody"
    assert is_hit(client, "t")
    client.meta.events.register(f"{event}.dynamodb", add_header)
    with caplog.at_level(logging.WARNING, "botocache"):
        for name in ("A", "B", "A", "B"):
            tenant.set(name)
            assert owner(client) == name
    tenant.set("nobody")
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("botocache: callers_not_known: ")
    assert f"{__name__}:add_header" in line
    assert event in line
    assert "name a `scope`" in line
    client.meta.events.unregister(f"{event}.dynamodb", add_header)
    assert owner(client) == "nobody"
    assert is_hit(client, "t")


@near_or_not
def test_a_handler_of_before_call_after_ours_counts_as_later(
    world: World, near: str
) -> None:
    client = behind_gateway(world, near=near)
    client.meta.events.register_last("before-call", add_header)
    for name in ("A", "B", "A"):
        tenant.set(name)
        assert owner(client) == name
    tenant.set("nobody")


@near_or_not
def test_what_such_a_client_writes_is_evicted_and_not_kept(
    world: World, table: str, near: str
) -> None:
    hidden, plain = (world.cached_client(near=near) for _ in range(2))
    hidden.meta.events.register("before-send", lambda **_: None)
    for n in range(3):
        put(hidden, table, pk="a", n=n)
        with world.counting() as reached:
            assert get(plain, table, pk="a") == {"pk": "a", "n": n}
        assert reached["GetItem"] == 1


@pytest.fixture
def lines(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> pytest.LogCaptureFixture:
    """The log of a test, also of what is logged once and another test has caused."""
    monkeypatch.setattr(_log, "_logged", set())
    return caplog


@near_or_not
@pytest.mark.parametrize("event", [*LATER, "before-call"])
def test_with_a_named_scope_the_user_has_said_that_callers_share(
    world: World,
    table: str,
    near: str,
    event: str,
    lines: pytest.LogCaptureFixture,
) -> None:
    clients = [world.cached_client(near=near, scope="team") for _ in range(2)]
    clients[0].meta.events.register_last(event, lambda **_: None)
    with lines.at_level(logging.WARNING, "botocache"), world.counting() as reached:
        for client in clients * 2:
            assert item(client, table) == BINARY
        put(clients[0], table, pk="a", n=1)
    assert reached["GetItem"] == 1
    assert not lines.records  # it would say that these reads are not cached


def of_module(name: str) -> Any:
    """Return a handler that a module defines."""

    def template(**_: Any) -> None:
        """Do nothing, as a tracer would."""

    return FunctionType(template.__code__, {"__name__": name})


class Tracer:
    """Has a handler that is a method of its."""

    handle = of_module("ddtrace.contrib.botocore")


Tracer.__module__ = "ddtrace.contrib.botocore"

TRACERS: dict[str, Any] = {
    "a function": of_module("sentry_sdk.integrations.boto3"),
    "a partial": functools.partial(of_module("sentry_sdk.integrations.boto3"), a=1),
    "a method": MethodType(Tracer.__dict__["handle"], Tracer()),
}


@near_or_not
@pytest.mark.parametrize("event", [*LATER, "response-received", "needs-retry"])
@pytest.mark.parametrize("tracer", ["a function", "a partial"])
def test_a_known_tracer_changes_nothing(
    world: World, table: str, near: str, event: str, tracer: str
) -> None:
    clients = [world.cached_client(near=near) for _ in range(2)]
    clients[0].meta.events.register(event, TRACERS[tracer])
    with world.counting() as reached:
        for client in clients * 2:
            assert item(client, table) == BINARY
    assert reached == {"GetItem": 1}


def wraps_botocores(function: Any) -> Any:
    """Wrap a function so that it looks like botocore's."""

    @functools.wraps(function)
    def wrapper(**arguments: Any) -> Any:
        return function(**arguments)

    return wrapper


class OwnSigner(RequestSigner):
    """A user's class, with a method that botocore defines."""


OURS = object.__new__(OwnSigner)

HANDLERS: dict[str, tuple[Any, bool]] = {
    "botocore's function": (boto3.Session.__init__, True),
    "a tracer's": (of_module("opentelemetry.instrumentation.botocore"), True),
    "a tracer's partial": (functools.partial(of_module("sentry_sdk.x")), True),
    "a tracer's method": (TRACERS["a method"], True),
    "the application's": (add_header, False),
    "a lambda": (lambda **_: None, False),
    "a name that begins alike": (of_module("botocore_headers"), False),
    "a wrapper that takes its name from botocore": (
        wraps_botocores(of_module("botocore.handlers")),
        False,
    ),
    "a tracer's wrapper of the application's": (
        functools.update_wrapper(of_module("ddtrace.x"), add_header),
        False,
    ),
    "a partial of the application's": (functools.partial(add_header), False),
    "botocore's method of an application's object": (OURS.handler, False),
    "an object": (object(), False),
    "a built-in": (print, False),
}


@pytest.mark.parametrize(("handler", "is_known"), HANDLERS.values(), ids=HANDLERS)
def test_a_handler_is_known_by_who_defines_it(handler: Any, *, is_known: bool) -> None:
    assert known_code.is_known(handler) is is_known


def connection(world: World, extra_headers: Any, near: Any) -> Any:
    """Return the client of a connection of PynamoDB, through the gateway."""
    from pynamodb.connection import Connection

    made = Connection(
        region=REGION,
        host=world.dynamodb.url,
        aws_access_key_id=KEY_ID,
        aws_secret_access_key="secret",
        extra_headers=extra_headers,
    )
    botocache.install(made.client, url=world.store, near=near)
    intercept(made.client, "before-send", gateway)
    return made.client


@near_or_not
def test_extra_headers_of_pynamodb_are_part_of_the_scope(
    world: World, near: str
) -> None:
    headers = [{"x-tenant": "A"}, {"x-tenant": "B"}, None, {"x-tenant": "A"}]
    made = [connection(world, each, near) for each in headers]
    for _ in range(3):
        assert [owner(client) for client in made] == ["A", "B", "nobody", "A"]
    assert all(is_hit(client, "t") for client in made)
    fresh = connection(world, {"x-tenant": "B"}, near)
    assert is_hit(fresh, "t")


def test_a_request_that_is_signed_by_no_one_is_not_shared(
    world: World, table: str
) -> None:
    client = world.cached_client()
    assert item(client, table) == BINARY
    client.meta.events.register("choose-signer.dynamodb", disable_signing)
    with world.counting() as reached:
        for _ in range(2):
            client.get_item(TableName=table, Key=KEY)
    assert reached == {"GetItem": 2}


def test_a_call_with_credentials_of_its_own_is_not_shared(
    world: World, table: str
) -> None:
    def give(context: dict[str, Any], **_: Any) -> None:
        context["signing"] = {"request_credentials": None}

    client = world.cached_client()
    client.meta.events.register("before-call.dynamodb", give)
    with world.counting() as reached:
        for _ in range(2):
            assert item(client, table) == BINARY
    assert reached == {"GetItem": 2}


# --- answering ---------------------------------------------------------------------


@pytest.fixture
def mock() -> Any:
    """Moto's handler, which lets DynamoDB answer also when it is enabled."""
    from moto.core.botocore_stubber import BotocoreStubber

    stubber = BotocoreStubber()
    vars(stubber)["process_request"] = lambda _: None
    return stubber


@every_store
@near_or_not
@pytest.mark.parametrize("scope", ["auto", "team"])
def test_what_moto_answers_stays_within_the_process(
    world: World, table: str, near: str, scope: str, mock: Any
) -> None:
    one, other = (
        world.cached_client(near=near, scope=scope, settle=0) for _ in range(2)
    )
    for client in (one, other):
        client.meta.events.register("before-send", mock)

    def reads() -> dict[str, int]:
        with world.counting() as reached:
            for client in (one, other, one):
                assert item(client, table) == BINARY
        return dict(reached)

    assert reads() == {"GetItem": 1}
    mock.enabled = True
    assert reads() == {"GetItem": 1}  # no hit of what DynamoDB answered
    assert reads() == {}
    token = clients._process.token
    clients._process.renew()  # as another process has it
    assert clients._process.token != token
    assert reads() == {"GetItem": 1}
    mock.enabled = False
    assert reads() == {}


def test_a_forked_child_is_another_process() -> None:
    with forked(lambda pipe: pipe.send(clients.in_process("here"))) as pipe:
        assert pipe.recv() != clients.in_process("here")
    assert clients.in_process("here") == clients.in_process("here")


@near_or_not
def test_a_stubber_is_asked_before_and_after_hits(
    world: World, table: str, near: str
) -> None:
    client = world.cached_client(near=near)
    invented = {"Item": {"pk": {"S": "a"}, "invented": {"BOOL": True}}}
    for _ in range(3):
        assert item(client, table) == BINARY
    with Stubber(client) as stubber:
        stubber.add_response("get_item", invented)
        stubber.add_response("get_item", invented)
        assert item(client, table) == item(client, table) == invented["Item"]
    with world.counting() as reached:
        assert item(client, table) == BINARY
    assert reached == {}


class OwnSession(URLLib3Session):
    """A session of the application's, which may do anything to a request."""


def replace_session(client: Any) -> None:
    """Give a client another HTTP session."""
    client._endpoint.http_session = OwnSession()


def replace_send(client: Any) -> None:
    """Replace the method of its session."""
    session = client._endpoint.http_session
    send = session.send
    session.send = functools.partial(send)


@near_or_not
@pytest.mark.parametrize("replace", [replace_session, replace_send])
def test_a_client_that_others_send_for_shares_only_by_name_and_in_its_process(
    world: World,
    table: str,
    near: str,
    replace: Callable[[Any], None],
    lines: pytest.LogCaptureFixture,
) -> None:
    plain, client = (world.cached_client(near=near) for _ in range(2))
    replace(client)
    assert item(plain, table) == BINARY
    with lines.at_level(logging.WARNING, "botocache"), world.counting() as reached:
        for _ in range(2):
            assert item(client, table) == BINARY
    assert reached == {"GetItem": 2}
    assert "callers_not_known" in lines.text
    _log._logged.clear()
    lines.clear()
    named = world.cached_client(near=near, scope="team")
    replace(named)
    with lines.at_level(logging.WARNING, "botocache"), world.counting() as reached:
        for _ in range(3):
            assert item(named, table) == BINARY
        clients._process.renew()
        assert item(named, table) == BINARY
    assert "callers_not_known" not in lines.text  # they are cached
    assert reached == {"GetItem": 2}


class OwnConnection(AWSHTTPConnection):
    """A connection that may answer itself, as VCR.py's does."""


def pass_through(method: Any) -> Any:
    """Return what tests put in a method's place: it could answer by itself."""

    def replacement(*arguments: Any, **options: Any) -> Any:
        return method(*arguments, **options)

    return replacement


@pytest.mark.parametrize(
    ("settings", "asked"),
    [
        ({"near": near, "scope": scope}, asked)
        for near in ("on", "off")
        for scope, asked in (("auto", 3), ("team", 1))
    ],
)
@pytest.mark.parametrize(
    "sender",
    [
        (BaseClient, "_make_request"),
        (Endpoint, "make_request"),
        (Endpoint, "_send_request"),
        (Endpoint, "_send"),
        (URLLib3Session, "send"),
        (AWSHTTPConnectionPool, "ConnectionCls"),
    ],
)
def test_what_a_patched_class_answers_stays_within_the_process(
    world: World,
    table: str,
    settings: dict[str, Any],
    asked: int,
    sender: tuple[type, str],
) -> None:
    client = world.cached_client(**settings)
    client.scan(TableName=table)  # the near cache has looked at the client
    own = getattr(*sender)
    with pytest.MonkeyPatch.context() as patched, world.counting() as reached:
        replacement = OwnConnection if isinstance(own, type) else pass_through(own)
        patched.setattr(*sender, replacement)
        for _ in range(3):
            assert item(client, table) == BINARY
    assert reached == {"GetItem": asked}
    with world.counting() as reached:
        for _ in range(3):
            assert item(client, table) == BINARY
    assert reached == {"GetItem": 1}


@near_or_not
def test_a_method_of_one_client_that_sends_is_noticed(
    world: World, table: str, near: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = world.cached_client(near=near)
    client.scan(TableName=table)  # the near cache has looked at the client
    with monkeypatch.context() as patched, world.counting() as reached:
        method = pass_through(client._make_request)
        patched.setattr(client, "_make_request", method, raising=False)
        for _ in range(2):
            assert item(client, table) == BINARY
    assert reached == {"GetItem": 2}


def replace_method_of_endpoint(client: Any) -> None:
    """Replace a method of what sends a client's requests."""
    endpoint = client._endpoint
    endpoint._send = functools.partial(endpoint._send)


@pytest.mark.parametrize(
    "replace", [replace_session, replace_send, replace_method_of_endpoint]
)
def test_others_that_send_later_count_from_then_on(
    world: World, table: str, replace: Callable[[Any], None]
) -> None:
    client = world.cached_client(near="off")
    for _ in range(3):
        assert item(client, table) == BINARY
    assert is_hit(client, table)
    replace(client)
    with world.counting() as reached:
        for _ in range(2):
            assert item(client, table) == BINARY
    assert reached == {"GetItem": 2}


def test_a_method_that_makes_parsers_later_counts_from_then_on(
    world: World, table: str
) -> None:
    client = world.cached_client(near="off")
    for _ in range(3):
        assert item(client, table) == BINARY
    factory = client._endpoint._response_parser_factory
    factory.create_parser = OwnFactory().create_parser
    for _ in range(3):
        assert item(client, table) == TEXT


# --- asynchronous clients ----------------------------------------------------------


class AsyncSigner(RequestSigner):
    """Signs as aiobotocore's does."""

    async def sign(self, *_: Any, **__: Any) -> None:  # type: ignore[override]
        """Sign."""


class AsyncCredentials(RefreshableCredentials):
    """Credentials of a role, as aiobotocore has them: they are awaited."""

    def __init__(self) -> None:
        self.method = "assume-role"

    async def get_frozen_credentials(self) -> Any:  # type: ignore[override]
        """Return the keys."""

    @property
    def access_key(self) -> str:
        raise AssertionError("only a coroutine may ask for it")

    @access_key.setter
    def access_key(self, _: str) -> None:
        """Ignore it."""


def events_of_a_call(
    client: Any, operation: str, body: Mapping[str, Any], *, is_known: bool = False
) -> None:
    """Emit the events of a call of an asynchronous client, which DynamoDB answers.

    is_known: botocache has seen how the client was made.
    """
    emitter = client.meta.events
    service: Any = "dynamodb"
    signer = AsyncSigner(service, "", "", "v4", AsyncCredentials(), emitter)
    if is_known:
        vars(signer)[clients.TRAITS] = clients.ClientTraits(client, cast("Any", signer))
    context: dict[str, Any] = {
        "client_region": client.meta.region_name,
        "client_config": client.meta.config,
    }
    params = {
        "url": client.meta.endpoint_url + "/",
        "headers": {},
        "body": json.dumps(body).encode(),
        "context": context,
    }
    model = client.meta.service_model.operation_model(operation)
    _, answered = emitter.emit_until_response(
        f"before-call.dynamodb.{operation}",
        model=model,
        params=params,
        request_signer=signer,
        context=context,
    )
    assert answered is None
    context["retries"] = {"attempt": 1}
    emitter.emit(
        f"after-call.dynamodb.{operation}",
        http_response=AWSResponse("", 200, {}, None),  # type: ignore[arg-type]
        parsed={"Attributes": {"pk": {"S": "a"}}, "Item": {"pk": {"S": "a"}}},
        model=model,
        context=context,
    )


@pytest.mark.filterwarnings("error")
def test_an_asynchronous_write_evicts_what_it_writes_and_no_more(
    world: World, table: str
) -> None:
    put(world.outside, table, pk="b", n=1)
    session = world.session()
    cache = botocache.install(session, url=world.store)
    client = world.client(session)
    get(client, table, pk="b")
    assert item(client, table) == BINARY
    body = {"TableName": table, "Key": KEY, "ReturnValues": "ALL_NEW"}
    events_of_a_call(client, "UpdateItem", body)
    gc.collect()  # a coroutine that no one awaited warns here
    assert cache.stats().failures == {}
    with world.counting() as reached:
        assert get(client, table, pk="b") == {"pk": "b", "n": 1}
        assert reached == {}
        assert item(client, table) == BINARY
    assert reached == {"GetItem": 1}


def test_an_asynchronous_put_evicts_its_item_alone(world: World, table: str) -> None:
    put(world.outside, table, pk="b", n=1)
    session = world.session()
    botocache.install(session, url=world.store)
    client, other = world.client(session), world.client(session)
    replace_session(other)  # aiobotocore's clients send by classes of their own
    get(client, table, pk="b")
    assert item(client, table) == BINARY
    body = {"TableName": table, "Item": {"pk": {"S": "a"}}}
    events_of_a_call(other, "PutItem", body, is_known=True)
    with world.counting() as reached:
        assert get(client, table, pk="b") == {"pk": "b", "n": 1}
        assert reached == {}
        assert item(client, table) == BINARY
    assert reached == {"GetItem": 1}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("scope", ["auto", "team"])
def test_an_asynchronous_read_passes_through(
    world: World, table: str, scope: str, caplog: pytest.LogCaptureFixture
) -> None:
    session = world.session()
    cache = botocache.install(session, url=world.store, scope=scope)
    client = world.client(session)
    with caplog.at_level(logging.WARNING, "botocache"):
        for _ in range(2):
            events_of_a_call(client, "GetItem", {"TableName": table, "Key": KEY})
    assert cache.stats().bypassed == 2
    assert cache.stats().fills == 0
    assert caplog.text == ""
