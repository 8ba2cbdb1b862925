"""Answers that are parsed in C: the same as botocore's, or left to botocore."""

import copy
import json
import logging
import pickle
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import boto3
import botocore.session
import pytest
from botocore import parsers
from botocore.awsrequest import AWSResponse, HeadersDict
from botocore.config import Config
from botocore.endpoint import Endpoint
from botocore.exceptions import ClientError
from botocore.history import BaseHistoryHandler, get_global_history_recorder
from botocore.model import ServiceModel

import botocache
from botocache._botocore import parsing
from botocache._botocore.clients import know, traits_of_model
from botocache._cache import entries
from tests.support.model_answers import answer_of, body_of, changed, never, noise

URL = "http://127.0.0.1:1/"
ITEM = {
    "pk": {"S": "user#1234"},
    "n": {"N": "1.50"},
    "b": {"B": "AP8="},
    "m": {"M": {"l": {"L": [{"BOOL": True}, {"NULL": True}, {"SS": ["b", "a"]}]}}},
}
ONE = json.dumps({"ConsumedCapacity": {"CapacityUnits": 1.5}, "Item": ITEM}).encode()


_LOADER: Any = botocore.session.Session().get_component("data_loader")
"""Shared: the service models take botocore longest to load."""


def make_client(**settings: Any) -> Any:
    session = boto3.Session("AKIA0123456789012345", "secret", region_name="us-east-1")
    session._session.register_component("data_loader", _LOADER)
    if settings:
        botocache.install(session, url="memory:", namespace="parsing", **settings)
    client: Any = session.client("dynamodb", endpoint_url=URL, config=ONCE)
    return client


ONCE = Config(retries={"total_max_attempts": 1})


@pytest.fixture(scope="module")
def plain() -> Any:
    """Return a client without botocache. Do not change it."""
    return make_client()


@pytest.fixture(scope="module")
def kept() -> Any:
    return make_client(fast_parsing=True)


@pytest.fixture
def fast(kept: Any) -> Any:
    """Return a client whose answers are parsed in C. Do not change it."""
    forget_refusals(kept)
    return kept


@pytest.fixture
def own() -> Any:
    """Return such a client that a test may change."""
    return make_client(fast_parsing=True)


def forget_refusals(client: Any) -> None:
    traits = traits_of_model(client.meta.service_model)
    assert traits is not None
    traits.parsing = None


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the members that were made in C, in order."""
    made: list[str] = []
    parse = parsing.AnswerDecoder.parse

    def spy(self: Any, body: bytes) -> Any:
        parsed = parse(self, body)
        made.extend(parsed[0])
        return parsed

    monkeypatch.setattr(parsing.AnswerDecoder, "parse", spy)
    for name in (*OPERATIONS, "UpdateItem"):  # else samples would be noted
        parsing.decoder_of(MODEL.operation_model(name).output_shape)
    made.clear()
    return made


HEADERS = {"x-amzn-RequestId": "R", "Content-Type": "application/x-amz-json-1.0"}


def answer(
    client: Any, operation: str, body: bytes, status: int = 200, **headers: str
) -> Any:
    """Return what a client makes of a response: the parsed answer, or its error."""
    raw = type("Raw", (), {"stream": lambda *_, **__: (body,)})()
    response = AWSResponse(URL, status, headers_of({**HEADERS, **headers}), raw)

    def send(**_: Any) -> AWSResponse:
        return response

    model = client.meta.service_model.operation_model(operation)
    request = {
        "url_path": "/",
        "query_string": "",
        "method": "POST",
        "headers": {},
        "body": b"{}",
        "url": URL,
        "context": {"client_config": client.meta.config, "client_region": "us-east-1"},
    }
    client.meta.events.register("before-send.dynamodb", send)
    try:
        return client._endpoint.make_request(model, request)[1]
    except Exception as error:  # noqa: BLE001 - whatever botocore raises is its answer
        return error
    finally:
        client.meta.events.unregister("before-send.dynamodb", send)


def headers_of(headers: dict[str, str]) -> Any:
    """Return the headers of a response, as botocore has them."""
    return HeadersDict(headers)


def seen(answer: Any) -> str:
    """Return all that can be seen of an answer: values, types and order."""
    return f"{type(answer).__qualname__} {answer!r}"


MODEL = make_client().meta.service_model
OPERATIONS = [
    name
    for name in MODEL.operation_names
    if parsing.form_of(MODEL.operation_model(name).output_shape)
]


# --- the same ----------------------------------------------------------------------


def test_the_operations_that_answer_with_items_are_parsed() -> None:
    assert {
        "GetItem", "BatchGetItem", "Query", "Scan", "TransactGetItems", "PutItem",
        "UpdateItem", "DeleteItem", "ExecuteStatement", "ExecuteTransaction",
    } == set(OPERATIONS)  # fmt: skip
    for name in OPERATIONS:
        assert parsing.decoder_of(MODEL.operation_model(name).output_shape)


@pytest.mark.parametrize(
    "count",
    [15, pytest.param(2000, marks=pytest.mark.long("as many as minutes allow"))],
)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_each_answer_is_that_of_botocore(
    operation: str, count: int, fast: Any, taken: list[str]
) -> None:
    rng = Random(f"{operation} {count}")
    model = fast.meta.service_model.operation_model(operation)
    for _ in range(count):
        for is_noise in (never, noise(0.02), noise(0.2)):
            body = body_of(answer_of(model.output_shape, rng, is_noise), rng)
            for each in (body, *changed(body, rng)):
                assert parsed(model, each) == parsed(model, each, nothing), each
            forget_refusals(fast)
    assert taken


def parsed(
    model: Any, body: bytes, before_parse: Callable[..., None] = parsing.parse
) -> str:
    """Return what an Endpoint makes of a body, with a handler of `before-parse`."""
    response: Any = {"status_code": 200, "headers": {}, "context": {}, "body": body}
    customized: dict[str, Any] = {}
    before_parse(model, response, customized)
    try:
        made = parsers.create_parser("json").parse(response, model.output_shape)
        made.update(customized)
    except Exception as error:  # noqa: BLE001 - the other way must raise it as well
        return seen(error)
    return seen(made)


@pytest.mark.parametrize("operation", [*MODEL.operation_names])
def test_each_operation_answers_as_without_us(
    operation: str, plain: Any, fast: Any
) -> None:
    rng = Random(operation)
    shape = MODEL.operation_model(operation).output_shape
    body = b"{}" if shape is None else body_of(answer_of(shape, rng, never), rng)
    assert seen(answer(fast, operation, body)) == seen(answer(plain, operation, body))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_what_dynamodb_sends_is_parsed_in_c(
    operation: str, plain: Any, fast: Any, taken: list[str]
) -> None:
    shape: Any = MODEL.operation_model(operation).output_shape
    paths = dict(parsing.form_of(shape))
    rng = Random(operation)
    for _ in range(4):
        made = answer_of(shape, rng, never)
        body = body_of(made, rng)
        if len(body) < parsing._WORTHWHILE:
            continue
        taken.clear()
        assert seen(answer(fast, operation, body)) == seen(
            answer(plain, operation, body)
        )
        assert {*taken} == {name for name in made if paths[name]}


def at_depth(levels: int) -> bytes:
    return b'{"Item":{"a":%b{"S":"%b"}%b}}' % (
        b'{"L":[' * levels,
        b"x" * 128,
        b"]}" * levels,
    )


def with_value(value: str) -> bytes:
    return f'{{"Item":{{"a":{value},"b":{{"S":"{"x" * 128}"}}}}}}'.encode()


STRANGE = {
    "nothing": b"",
    "blanks": b" " * 140,
    "a byte order mark": b"\xef\xbb\xbf" + ONE,
    "white space": b"\r\n\t " + ONE + b" \n",
    "rubbish after it": ONE + b"x",
    "another answer after it": ONE + ONE,
    "a zero byte after it": ONE + b"\x00",
    "cut off": ONE[:-1],
    "no object": b'["' + b"x" * 140 + b'"]',
    "a string": b'"' + b"x" * 140 + b'"',
    "a null": b"null" + b" " * 140,
    "HTML": b"<html>" + b"x" * 140 + b"</html>",
    "a member twice": with_value('{"S":"1"}')[:-1] + b',"Item":{"c":{"S":"2"}}}',
    "a member twice, then null": with_value('{"S":"1"}')[:-1] + b',"Item":null}',
    "a member twice, then of another type": with_value('{"S":"1"}')[:-1]
    + b',"Item":3}',
    "an attribute twice": with_value('{"S":"1"},"b":{"N":"2"},"a":{"S":"3"}'),
    "a type twice": with_value('{"S":"1","S":"2"}'),
    "no type": with_value("{}"),
    "two types, in the order of the model": with_value('{"S":"1","N":"2"}'),
    "two types, in another order": with_value('{"N":"2","S":"1"}'),
    "two types, deep in it": with_value('{"L":[{"M":{"x":{"N":"2","S":"1"}}}]}'),
    "an unknown type": with_value('{"D":"2026-01-01"}'),
    "an unknown type beside one": with_value('{"S":"1","D":"2026-01-01"}'),
    "an unknown member": with_value('{"S":"1"}')[:-1] + b',"Later":{"S":"1"}}',
    "an unknown member with a huge number": with_value('{"S":"1"}')[:-1]
    + b',"Later":'
    + b"9" * 5000
    + b"}",
    "an unknown member with invalid UTF-8": with_value('{"S":"1"}')[:-1]
    + b',"Later":"\xff"}',
    "invalid UTF-8 in what is skipped": with_value('{"S":"1","D":"\x01"}').replace(
        b"\x01", b"\xff"
    ),
    "invalid UTF-8": with_value('{"S":"\x01"}').replace(b"\x01", b"\xc3\x28"),
    "a surrogate as three bytes": with_value('{"S":"\x01"}').replace(
        b"\x01", b"\xed\xa0\x80"
    ),
    "a lone surrogate": with_value(r'{"S":"\ud800"}'),
    "a surrogate pair": with_value(r'{"S":"\ud83d\ude00"}'),
    "a lone surrogate in a name": with_value(r'{"M":{"\udc00":{"S":"1"}}}'),
    "a name that is escaped": with_value(r'{"\u0053":"1"}'),
    "types that are escaped": with_value(r'{"\u004d":{"x":{"N":"2","S":"1"}}}'),
    "a control character": with_value('{"S":"\x01"}'),
    "a line break": with_value('{"S":"\n"}'),
    "a number as a number": with_value('{"N":1}'),
    "a null value": with_value("null"),
    "a null string": with_value('{"S":null}'),
    "a null in a list": with_value('{"L":[null]}'),
    "a null in a set": with_value('{"SS":["a",null]}'),
    "a null in a map": with_value('{"M":{"x":null}}'),
    "a bool as a string": with_value('{"BOOL":"true"}'),
    "a bool as a number": with_value('{"NULL":1}'),
    "base64 without its end": with_value('{"B":"QQ"}'),
    "base64 with a line break": with_value(r'{"B":"QU\nJD"}'),
    "base64 with other characters": with_value('{"B":"Q!U*JD"}'),
    "base64 for URLs": with_value('{"B":"-_8="}'),
    "base64 that ends early": with_value('{"B":"QQ==QUJD"}'),
    "base64 with bits to spare": with_value('{"B":"QR=="}'),
    "base64 of another script": with_value('{"B":"é"}'),
    "base64 as a number": with_value('{"B":5}'),
    "base64 in a set": with_value('{"BS":["QQ==","QUI"]}'),
    "forty levels": at_depth(39),
    "more levels than an entry may have": at_depth(41),
    "more levels than Python may have": at_depth(100_000),
    "NaN": with_value('{"S":"1"}')[:-1] + b',"ConsumedCapacity":NaN}',
    "infinity in the capacity": ONE.replace(b"1.5}", b"1e999}"),
    "a huge number in the capacity": ONE.replace(b"1.5}", b"9" * 5000 + b"}"),
    "a leading zero in the capacity": ONE.replace(b"1.5}", b"01.5}"),
    "a string as the capacity": ONE.replace(b'{"CapacityUnits": 1.5}', b'"much"'),
    "a null as the capacity": ONE.replace(b'{"CapacityUnits": 1.5}', b"null"),
    "an item that is a list": b'{"Item":["' + b"x" * 140 + b'"]}',
    "an item that is null": b'{"Item":null,"Later":"' + b"x" * 140 + b'"}',
    "an item without attributes": b'{"Item":{},"ConsumedCapacity":{"TableName":"'
    + b"x" * 140
    + b'"}}',
}


@pytest.mark.parametrize("case", STRANGE)
def test_a_strange_answer_is_that_of_botocore(case: str, plain: Any, fast: Any) -> None:
    body = STRANGE[case]
    assert seen(answer(fast, "GetItem", body)) == seen(answer(plain, "GetItem", body))


@pytest.mark.parametrize(
    "count", ["1", "1.0", "1e2", '"1"', "true", "null", "9" * 5000]
)
def test_a_count_is_what_botocore_makes_of_it(
    count: str, plain: Any, fast: Any
) -> None:
    body = b'{"Count":%b,"Items":[%b]}' % (count.encode(), json.dumps(ITEM).encode())
    assert seen(answer(fast, "Query", body)) == seen(answer(plain, "Query", body))


def test_a_new_member_beside_an_item_is_dropped(plain: Any, fast: Any) -> None:
    item = json.dumps(ITEM).encode()
    body = b'{"Responses":[{"Item":%b,"Later":%b}]}' % (item, item)
    assert seen(answer(fast, "TransactGetItems", body)) == seen(
        answer(plain, "TransactGetItems", body)
    )


@pytest.mark.parametrize("status", [201, 204, 299, 300, 301, 304, 400, 500, 503])
def test_another_status_is_left_to_botocore(
    status: int, plain: Any, fast: Any, taken: list[str]
) -> None:
    for body in (ONE, b'{"__type":"a#ThrottlingException","message":"slow"}', b""):
        assert seen(answer(fast, "GetItem", body, status)) == seen(
            answer(plain, "GetItem", body, status)
        )
    assert not taken


def test_an_error_is_raised_as_botocore_raises_it(own: Any) -> None:
    body = b'{"__type":"com.amazonaws#ConditionalCheckFailedException","Item":%b}'
    errors = []
    for client in (make_client(), own):
        fails = lambda **_: AWSResponse(  # noqa: E731 - of the event's arguments it needs none
            URL, 400, headers_of(HEADERS), Raw(body % json.dumps(ITEM).encode())
        )
        client.meta.events.register("before-send.dynamodb", fails)
        with pytest.raises(ClientError) as caught:
            client.put_item(TableName="t", Item={"pk": {"S": "a"}})
        response: Any = caught.value.response
        errors.append((type(caught.value).__name__, response))
    assert seen(errors[0]) == seen(errors[1])
    assert response["Item"]["b"] == {"B": b"\x00\xff"}


class Raw:
    """The body of a response."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self._body


def test_a_history_records_what_it_records_without_us(fast: Any, plain: Any) -> None:
    """As the AWS CLI keeps one."""
    recorder: Any = get_global_history_recorder()
    recorder.enable()
    try:
        histories = [recorded(client) for client in (plain, fast)]
    finally:
        recorder.disable()
        recorder._handlers.clear()
    assert histories[0] == histories[1]
    assert "user#1234" in histories[1]


def recorded(client: Any) -> str:
    history: list[str] = []

    class Handler(BaseHistoryHandler):
        def emit(self, event_type: str, payload: Any, _source: str) -> None:
            if event_type.endswith("_RESPONSE"):
                history.append(f"{event_type} {payload!r}")

    recorder: Any = get_global_history_recorder()
    recorder._handlers[:] = [Handler()]
    answer(client, "GetItem", ONE)
    return "\n".join(history)


# --- stepping aside ----------------------------------------------------------------


def with_blob_parser(client: Any) -> None:
    factory = client._endpoint._response_parser_factory
    factory.set_parser_defaults(blob_parser=lambda value: value)


def with_parsers_of_its_own(client: Any) -> None:
    class Factory(parsers.ResponseParserFactory):
        pass

    client._endpoint._response_parser_factory = Factory()


def with_create_parser(client: Any) -> None:
    factory = client._endpoint._response_parser_factory
    factory.create_parser = parsers.create_parser


def with_an_endpoint_of_its_own(client: Any) -> None:
    client._endpoint.__class__ = type("AnEndpoint", (Endpoint,), {})


def with_a_method_of_its_own(client: Any) -> None:
    client._endpoint._do_get_response = client._endpoint._do_get_response


def with_another_handler(client: Any) -> None:
    client.meta.events.register_last("before-parse.dynamodb.GetItem", nothing)


def nothing(*_: Any, **__: Any) -> None:
    """Do nothing."""


def with_a_shared_model(client: Any) -> object:
    other = make_client(fast_parsing=True)
    other.meta._service_model = client.meta.service_model
    del vars(other._request_signer)["_botocache_traits"]
    know(other)
    return other


def with_another_model(client: Any) -> None:
    client.meta._service_model = make_client().meta.service_model


def uninstalled(client: Any) -> None:
    from botocache._botocore.hooks import installed_on

    for hooks in installed_on(client.meta.events):
        hooks.cache = None


@pytest.mark.parametrize(
    "change",
    [
        with_blob_parser,
        with_parsers_of_its_own,
        with_create_parser,
        with_an_endpoint_of_its_own,
        with_a_method_of_its_own,
        with_another_handler,
        with_a_shared_model,
        with_another_model,
        uninstalled,
    ],
)
def test_it_steps_aside_for_a_client(
    change: Callable[[Any], object], own: Any, taken: list[str]
) -> None:
    assert answer(own, "GetItem", ONE)["Item"]
    assert taken == ["Item"]
    changed_by = change(own)  # what it has made lives on
    assert answer(own, "GetItem", ONE)["Item"]["pk"] == ITEM["pk"]
    assert taken == ["Item"]
    del changed_by


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (parsers.JSONParser, "parse"),
        (parsers.JSONParser, "_handle_structure"),
        (parsers.ResponseParser, "_handle_list"),
        (parsers.BaseJSONParser, "_parse_body_as_json"),
        (parsers.BaseJSONParser, "_handle_blob"),
        (parsers.ResponseParserFactory, "create_parser"),
        (Endpoint, "_do_get_response"),
    ],
)
def test_it_steps_aside_while_botocore_is_patched(
    owner: Any, name: str, fast: Any, taken: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def method(*arguments: Any) -> Any:
        return inner(*arguments)

    inner = getattr(owner, name)
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, method)
        assert answer(fast, "GetItem", ONE)["Item"]
        assert not taken
    assert answer(fast, "GetItem", ONE)["Item"]
    assert taken == ["Item"]


def test_it_steps_aside_for_another_parser_of_the_protocol(
    fast: Any, taken: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = type("AParser", (parsers.JSONParser,), {})
    monkeypatch.setitem(parsers.PROTOCOL_PARSERS, "json", kind)
    assert answer(fast, "GetItem", ONE)["Item"]
    assert not taken


def test_botocore_logs_the_whole_body(
    fast: Any, taken: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "botocore.parsers"):
        assert answer(fast, "GetItem", ONE)["Item"]
    assert "user#1234" in caplog.text
    assert not taken


def test_the_setting_switches_it_off(taken: list[str]) -> None:
    assert answer(make_client(fast_parsing=False), "GetItem", ONE)["Item"]
    assert not taken


def test_what_another_handler_has_put_is_left(
    fast: Any, taken: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    response: Any = {"status_code": 200, "headers": {}, "body": ONE}
    customized = {"Item": "another"}
    model = fast.meta.service_model.operation_model("GetItem")
    parsing.parse(model, response, customized)
    assert (response["body"], customized) == (ONE, {"Item": "another"})
    assert not taken


def test_a_failure_leaves_the_answer_to_botocore(
    plain: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise RuntimeError("broken")

    for owner, name in ((parsing.AnswerDecoder, "parse"), (parsing, "decoder_of")):
        client = make_client(fast_parsing=True)
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, fail)
            for _ in range(2):
                assert seen(answer(client, "GetItem", ONE)) == seen(
                    answer(plain, "GetItem", ONE)
                )


def test_a_server_with_a_dialect_is_left_to_botocore(
    fast: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []
    parse = parsing.AnswerDecoder.parse

    def spy(self: Any, body: bytes) -> Any:
        tries.append(body)
        return parse(self, body)

    monkeypatch.setattr(parsing.AnswerDecoder, "parse", spy)
    strange = STRANGE["an unknown member"]
    for _ in range(parsing._MOST_REFUSED - 1):
        answer(fast, "GetItem", strange)
    answer(fast, "GetItem", ONE)  # begins anew
    tries.clear()
    for _ in range(2 * parsing._MOST_REFUSED):
        answer(fast, "GetItem", strange)
    assert len(tries) == parsing._MOST_REFUSED


# --- models ------------------------------------------------------------------------


def model_with(change: Callable[[dict[str, Any]], None]) -> Any:
    raw = copy.deepcopy(_LOADER.load_service_model("dynamodb", "service-2"))
    change(raw["shapes"])
    return ServiceModel(raw, "dynamodb").operation_model("GetItem").output_shape


def a_new_kind(shapes: dict[str, Any]) -> None:
    shapes["AttributeValue"]["members"]["D"] = {"shape": "String"}


def a_union(shapes: dict[str, Any]) -> None:
    shapes["AttributeValue"]["union"] = True


def another_name_on_the_wire(shapes: dict[str, Any]) -> None:
    shapes["AttributeValue"]["members"]["S"]["locationName"] = "s"


def numbers(shapes: dict[str, Any]) -> None:
    shapes["AttributeValue"]["members"]["N"] = {"shape": "Integer"}


def a_timestamp_in_lists(shapes: dict[str, Any]) -> None:
    shapes["StringSetAttributeValue"]["member"] = {"shape": "Date"}


def a_header(shapes: dict[str, Any]) -> None:
    shapes["GetItemOutput"]["members"]["Item"]["location"] = "header"


@pytest.mark.parametrize(
    "change",
    [a_new_kind, a_union, another_name_on_the_wire, numbers, a_timestamp_in_lists,
     a_header],
)  # fmt: skip
def test_a_model_that_says_more_is_left_to_botocore(
    change: Callable[[dict[str, Any]], None],
) -> None:
    assert parsing.decoder_of(model_with(nothing_new)) is not None
    assert parsing.decoder_of(model_with(change)) is None


def nothing_new(_shapes: dict[str, Any]) -> None:
    """Leave the model as it is."""


def test_a_new_member_of_an_answer_is_derived() -> None:
    def add(shapes: dict[str, Any]) -> None:
        members = shapes["GetItemOutput"]["members"]
        members["Before"], members["Later"] = {"shape": "ItemList"}, {"shape": "Date"}

    shape = model_with(add)
    decoder = parsing.decoder_of(shape)
    assert decoder is not None
    body = b'{"Later":5,"Before":[{"a":{"S":"1"}}]}'
    made, left = decoder.parse(body)
    parser = parsers.create_parser("json")
    answer = {"status_code": 200, "headers": {}, "context": {}}
    ours = parser.parse({**answer, "body": left}, shape) | made
    assert ours == parser.parse({**answer, "body": body}, shape)


def test_a_decoder_that_disagrees_on_the_sample_is_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(parsing, "_decoders", {})
    base: Any = parsers.BaseJSONParser
    handle = base._handle_blob
    monkeypatch.setattr(
        base,
        "_handle_blob",
        lambda *arguments: bytearray(handle(*arguments)),
    )
    assert parsing.decoder_of(MODEL.operation_model("GetItem").output_shape) is None


# --- entries -----------------------------------------------------------------------


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Return the answers that were decoded again to check their entries."""
    answers: list[object] = []
    decode = entries._decode_answer

    def spy(packed: bytes) -> Any:
        answers.append(packed)
        return decode(packed)

    monkeypatch.setattr(entries, "_decode_answer", spy)
    return answers


def sending(client: Any, body: bytes) -> Any:
    def send(**_: Any) -> AWSResponse:
        return AWSResponse(URL, 200, headers_of(HEADERS), Raw(body))

    client.meta.events.register("before-send.dynamodb", send)
    return client


LARGE = json.dumps({"Item": {**ITEM, "text": {"S": "x" * 1024}}}).encode()
PAGE = json.dumps({"Items": [ITEM] * 9, "Count": 9, "ScannedCount": 9}).encode()


@pytest.mark.parametrize("near", ["on", "off"])
def test_an_entry_of_what_was_made_is_not_checked(
    near: str, checked: list[object]
) -> None:
    client = sending(make_client(near=near, scope="s", settle=0), LARGE)
    first = client.get_item(TableName="checked", Key={"pk": {"S": near}})
    assert not checked
    second = client.get_item(TableName="checked", Key={"pk": {"S": near}})
    assert first["Item"] == second["Item"]


def test_an_entry_of_a_page_is_not_checked(checked: list[object]) -> None:
    client = sending(make_client(scope="s", settle=0), PAGE)
    first = client.scan(TableName="pages")
    assert not checked
    second = client.scan(TableName="pages")
    assert [first[name] for name in ("Items", "Count")] == [second["Items"], 9]


def test_an_entry_of_what_botocore_parsed_is_checked(checked: list[object]) -> None:
    client = sending(make_client(scope="s", settle=0, fast_parsing=False), LARGE)
    client.get_item(TableName="checked", Key={"pk": {"S": "slow"}})
    assert len(checked) == 1


def test_what_was_changed_on_its_way_is_checked(own: Any) -> None:
    model = own.meta.service_model.operation_model("GetItem")

    def made() -> tuple[Any, dict[str, Any]]:
        http: Any = AWSResponse(URL, 200, headers_of(HEADERS), Raw(LARGE))
        response: Any = {"status_code": 200, "headers": http.headers, "body": LARGE}
        customized: dict[str, Any] = {}
        parsing.parse(model, response, customized)
        return http, customized

    http, parsed = made()
    assert parsing.is_as_made(http, parsed, None)
    http, parsed = made()
    assert not parsing.is_as_made(http, {"Item": copy.deepcopy(parsed["Item"])}, None)
    http, parsed = made()
    assert not parsing.is_as_made(http, {**parsed, "Items": []}, None)
    http, parsed = made()
    own.meta.events.register("needs-retry.dynamodb", nothing)
    assert not parsing.is_as_made(http, parsed, None)
    http, parsed = made()  # that handler may change answers
    assert not parsing.is_as_made(http, parsed, None)
    other: Any = AWSResponse(URL, 200, headers_of({}), Raw(LARGE))
    assert not parsing.is_as_made(other, parsed, None)


def test_headers_can_be_copied_on_their_way(fast: Any) -> None:
    headers = headers_of(HEADERS)
    response: Any = {"status_code": 200, "headers": headers, "body": LARGE}
    model = fast.meta.service_model.operation_model("GetItem")
    parsing.parse(model, response, {})
    assert vars(headers)[parsing._MADE]
    for each in (copy.deepcopy(headers), pickle.loads(pickle.dumps(headers))):
        assert dict(each) == HEADERS
        assert not vars(each)[parsing._MADE]


def test_a_count_that_is_no_number_makes_no_entry() -> None:
    for count in ("2", True, 2**70, None, 2.0):
        with pytest.raises(botocache._errors.CodecError):
            entries.encode_answer({"Items": [], "Count": count}, is_plain=True)
    with pytest.raises(botocache._errors.CodecError):
        entries.encode_answer({"Item": {}, "Later": {}}, is_plain=True)
