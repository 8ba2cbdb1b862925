"""What botocore is shown of a refusal that a stale answer replaces."""

from types import SimpleNamespace
from typing import Any

import pytest
from botocore import exceptions

from botocache._botocore.stale import StaleResponse, is_unanswered
from botocache._cache.tickets import Hit, StaleAnswer
from botocache._near.delivery import deliver_stale

URL = "https://dynamodb"
ITEM = {"pk": {"S": "a"}}


def refusal() -> tuple[Any, Any]:
    http = SimpleNamespace(status_code=400, headers={"x-amzn-requestid": "R"})
    error = {"Code": "ThrottlingException", "Message": "slow"}
    metadata = {"RequestId": "R", "HTTPStatusCode": 400, "RetryAttempts": 2}
    return http, {"Error": error, "message": "slow", "ResponseMetadata": metadata}


def hit() -> Hit:
    return Hit({"Item": ITEM}, 7.5, b"key")


def test_the_error_is_hidden_and_shown_again() -> None:
    http, parsed = refusal()
    before = dict(parsed)
    stale = StaleResponse(hit(), http, parsed)
    stale.hide_error()
    assert (http.status_code, "Error" in parsed) == (200, False)
    for _ in range(2):
        stale.show_error()
        assert (http.status_code, parsed) == (400, before)


def test_the_answer_takes_the_place_of_the_error() -> None:
    http, parsed = refusal()
    context: Any = {"retry_quota_capacity": 5}
    assert StaleResponse(hit(), http, parsed).deliver(parsed, context)
    metadata = parsed.pop("ResponseMetadata")
    assert parsed == {"Item": ITEM}
    assert metadata.pop("RequestId").startswith(f"botocache-{b'key'.hex()}-")
    headers = {"x-botocache": "stale", "age": "7"}
    assert metadata == {
        "HTTPStatusCode": 200,
        "HTTPHeaders": headers,
        "RetryAttempts": 2,
    }
    assert (http.status_code, dict(http.headers), http._content) == (200, headers, b"")
    assert context == {"retry_quota_capacity": 0}


def test_an_answer_to_a_request_that_was_repeated_all_the_same_is_left_alone() -> None:
    http, parsed = refusal()
    stale = StaleResponse(hit(), http, parsed)
    answer: Any = {"Item": {"pk": {"S": "a"}, "n": {"N": "1"}}}
    context: Any = {}
    assert not stale.deliver(answer, context)
    assert answer == {"Item": {"pk": {"S": "a"}, "n": {"N": "1"}}}
    assert (context, http.status_code) == ({}, 400)


def test_an_error_that_another_handler_raises_is_not_answered() -> None:
    timeout = exceptions.ReadTimeoutError(endpoint_url=URL)
    call: Any = SimpleNamespace(stale=StaleAnswer(hit(), 0, timeout))
    assert deliver_stale(call, ValueError("of a handler")) is None
    assert deliver_stale(SimpleNamespace(stale=None), timeout) is None  # type: ignore[arg-type]  # all it reads
    assert deliver_stale(None, timeout) is None


ERRORS: list[tuple[Exception, bool]] = [
    (exceptions.ReadTimeoutError(endpoint_url=URL), True),
    (exceptions.ConnectTimeoutError(endpoint_url=URL), True),
    (exceptions.EndpointConnectionError(endpoint_url=URL, error="no"), True),
    (exceptions.ConnectionClosedError(endpoint_url=URL), True),
    (exceptions.SSLError(endpoint_url=URL, error=ValueError("wrong")), False),
    (exceptions.NoCredentialsError(), False),
    (exceptions.HTTPClientError(error="a bug"), False),
    (ValueError("of a handler"), False),
]


@pytest.mark.parametrize(("error", "expected"), ERRORS, ids=repr)
def test_only_a_request_without_an_answer_is_unanswered(
    error: Exception, expected: bool
) -> None:
    assert is_unanswered(error) is expected
