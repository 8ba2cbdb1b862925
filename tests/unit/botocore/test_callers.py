"""What is remembered of a client's last call: it ends with each change that counts.

Each test makes a call, so that it is remembered, then changes one thing.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any, cast

import boto3
import pytest
from botocore.awsrequest import AWSHTTPConnectionPool
from botocore.client import BaseClient
from botocore.credentials import Credentials, ReadOnlyCredentials
from botocore.endpoint import Endpoint
from botocore.httpsession import URLLib3Session
from botocore.signers import RequestSigner

from botocache import refresh
from botocache._botocore.clients import know, traits_of
from botocache._botocore.credentials import AUTO, CallerMemory, caller_of
from botocache._botocore.principals import principals, role_principal, session_of
from botocache._botocore.requests import call_of
from botocache._cache.prepare import Call
from botocache._cache.read_mode import Mode

FAR = time.time() + 1000


@pytest.fixture(autouse=True)
def _principals() -> Iterator[None]:
    yield
    principals.clear()


# --- the caller --------------------------------------------------------------------


def note(session: bytes, expiry: float = FAR) -> None:
    principals.note(session, role_principal("a role"), expiry)


def _own_choice(_: Any) -> ReadOnlyCredentials:
    return ReadOnlyCredentials("AKIA2", "secret", None)


class _Own(Credentials):
    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        return _own_choice(self)


def _set(name: str, value: object) -> Callable[[Any, Any], None]:
    return lambda credentials, _: setattr(credentials, name, value)


CHANGES: dict[str, Callable[[Credentials, pytest.MonkeyPatch], object]] = {
    "the id of the key": _set("access_key", "AKIA2"),
    "the secret": _set("secret_key", "another"),
    "the token": _set("token", "a token"),
    "a method of its own": lambda each, _: vars(each).update(
        get_frozen_credentials=lambda: _own_choice(each)
    ),
    "its class": _set("__class__", _Own),
    "the method of all": lambda _, patch: patch.setattr(
        Credentials, "get_frozen_credentials", _own_choice
    ),
    "its principal is known": lambda *_: note(session_of("AKIA1", "secret", "")),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_caller_is_found_anew_after_each_change(
    change: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    memory, credentials = CallerMemory(), Credentials("AKIA1", "secret")
    before = memory.caller_of(credentials, AUTO)
    assert memory.caller_of(credentials, AUTO) is before == caller_of(credentials, AUTO)
    change(credentials, monkeypatch)
    after = memory.caller_of(credentials, AUTO)
    assert after == caller_of(credentials, AUTO) != before


def test_a_caller_is_of_these_very_credentials_and_of_this_setting() -> None:
    memory, credentials = CallerMemory(), Credentials("AKIA1", "secret")
    before = memory.caller_of(credentials, AUTO)
    assert memory.caller_of(credentials, "a name") == caller_of(credentials, "a name")
    memory.caller_of(credentials, AUTO)
    other = Credentials("AKIA2", "secret")
    assert memory.caller_of(other, AUTO) == caller_of(other, AUTO) != before


def test_a_caller_is_its_principal_until_its_keys_expire(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    memory, credentials = CallerMemory(), Credentials("AKIA1", "secret")
    note(session_of("AKIA1", "secret", ""))
    before = memory.caller_of(credentials, AUTO)
    assert memory.caller_of(credentials, AUTO) is before
    monkeypatch.setattr(principals, "clock", lambda: FAR + 1)
    assert memory.caller_of(credentials, AUTO).scope != before.scope


def test_a_principal_that_is_forgotten_is_remembered_no_longer() -> None:
    memory, credentials = CallerMemory(), Credentials("AKIA1", "secret")
    note(session_of("AKIA1", "secret", ""))
    before = memory.caller_of(credentials, AUTO)
    principals.clear()
    assert memory.caller_of(credentials, AUTO).scope != before.scope


def test_a_caller_by_the_environment_is_found_anew_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    memory = CallerMemory()
    credentials = Credentials("AKIA1", "secret", method="env")
    before = memory.caller_of(credentials, AUTO)
    monkeypatch.setattr(
        "botocache._botocore.credentials.function_of_keys", lambda _: b"function"
    )
    assert memory.caller_of(credentials, AUTO).scope == b"function" != before.scope


# --- the call ----------------------------------------------------------------------


def make_client() -> Any:
    session = boto3.Session("AKIA1", "secret", region_name="eu-west-1")
    client = session.client("dynamodb", endpoint_url="http://127.0.0.1:1")
    know(client)
    return client


def request(client: Any, setting: str = AUTO, **changes: Any) -> Call:
    context = {"client_region": "eu-west-1", **changes.pop("context", {})}
    sent = {"url": "http://127.0.0.1:1/", "headers": {"User-Agent": "x"}, **changes}
    signer = client._request_signer
    return call_of("GetItem", cast("Any", sent), signer, cast("Any", context), setting)[
        0
    ]


CALLS: dict[str, Callable[[Any], Call]] = {
    "another endpoint": lambda c: request(c, url="http://127.0.0.1:2/"),
    "another region": lambda c: request(c, context={"client_region": "us-east-1"}),
    "another header": lambda c: request(c, headers={"X-Tenant": "a"}),
    "credentials of its own": lambda c: request(
        c, context={"signing": {"request_credentials": object()}}
    ),
    "no signature": lambda c: request(c, context={"auth_type": "bearer"}),
    "a name for its scope": lambda c: request(c, "a name"),
}


@pytest.mark.parametrize("make", CALLS.values(), ids=CALLS)
def test_a_call_that_shows_something_else_is_another_call(
    make: Callable[[Any], Call],
) -> None:
    client = make_client()
    before = request(client)
    assert request(client) is before  # so it is remembered
    assert make(client) != before
    assert request(client) == before


def test_a_call_has_the_mode_of_its_moment() -> None:
    client = make_client()
    before = request(client)
    with refresh():
        assert request(client).mode is Mode.REFRESH
    assert request(client) is before


def _foreign(*_: Any, **__: Any) -> Any:
    raise AssertionError("nothing is sent")


CLASSES: dict[str, tuple[type, str]] = {
    "the client": (BaseClient, "_make_request"),
    **{
        f"the endpoint: {name}": (Endpoint, name)
        for name in ("make_request", "_send_request", "create_request", "_send")
    },
    "the session": (URLLib3Session, "send"),
    "the connections": (AWSHTTPConnectionPool, "ConnectionCls"),
    "the signer": (RequestSigner, "sign"),
}


@pytest.mark.parametrize(("kind", "name"), CLASSES.values(), ids=CLASSES)
def test_a_call_has_no_scope_once_a_method_of_all_is_replaced(
    kind: type, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make_client()
    before = request(client)
    assert before.scope is not None
    with monkeypatch.context() as patch:
        patch.setattr(kind, name, _foreign)
        assert request(client).scope is None
    assert request(client) is before


OBJECTS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "the client": (lambda c: c, "_make_request"),
    "the endpoint": (lambda c: c._endpoint, "_send"),
    "the session": (lambda c: c._endpoint.http_session, "send"),
    "another session": (lambda c: c._endpoint, "http_session"),
    "the signer": (lambda c: c._request_signer, "sign"),
}


@pytest.mark.parametrize(("owner", "name"), OBJECTS.values(), ids=OBJECTS)
def test_a_call_has_no_scope_once_a_method_of_its_client_is_replaced(
    owner: Callable[[Any], Any], name: str
) -> None:
    client = make_client()
    assert request(client).scope is not None
    setattr(owner(client), name, _foreign)
    assert request(client).scope is None


def test_a_call_has_no_scope_once_a_handler_may_change_its_answer() -> None:
    client = make_client()
    assert request(client).scope is not None
    client.meta.events.register("before-parse.dynamodb", _foreign)
    assert request(client).scope is None


def test_a_client_has_a_scope_of_its_own_once_it_has_other_parsers() -> None:
    client = make_client()
    before = request(client)
    factory = client._endpoint._response_parser_factory
    factory.set_parser_defaults(timestamp_parser=str)
    assert request(client).scope not in (None, before.scope)
    factory._defaults.clear()
    assert request(client) == before
    factory.create_parser = _foreign
    assert request(client).scope not in (None, before.scope)


def test_the_quick_look_agrees_with_the_slow_ones() -> None:
    client = make_client()
    signer = client._request_signer
    traits = traits_of(signer)
    request(client)
    assert traits.is_usual(signer, "v4")
    assert traits.is_sent_by_botocore()
    assert traits.is_signed_by_keys("v4")
    assert traits.own_scope() == b""
