"""The HTTP response of a hit is as good as one that botocore has made."""

import copy
import pickle
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse, HeadersDict

from botocache._botocore.responses import HitResponse

URL = "http://localhost:8000/"
HEADERS = {"x-botocache": "hit", "age": "7"}

ATTRIBUTES = sorted(vars(AWSResponse(URL, 200, {}, None)))  # type: ignore[arg-type]  # it is not read
"""Those of this version of botocore."""


def made() -> Any:
    return HitResponse(URL, HEADERS)


@pytest.mark.parametrize("first", [*ATTRIBUTES, "content", "text"])
def test_each_attribute_can_be_the_first_that_a_handler_reads(first: str) -> None:
    response = made()
    getattr(response, first)
    assert isinstance(response, AWSResponse)
    assert (response.status_code, response.url) == (200, URL)
    assert (response.content, response.text) == (b"", "")
    assert type(response.headers) is HeadersDict
    assert dict(response.headers.items()) == HEADERS
    assert response.headers["X-Botocache"] == "hit"  # in any case
    assert set(ATTRIBUTES) <= vars(response).keys()


def test_headers_stay_as_a_handler_has_changed_them() -> None:
    response = made()
    response.headers["trace"] = "1"
    assert response.headers["trace"] == "1"
    assert HEADERS == {"x-botocache": "hit", "age": "7"}


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_what_a_handler_has_set_stays(name: str) -> None:
    response = made()
    setattr(response, name, "mine")
    for other in ATTRIBUTES:  # the first of these makes all the others
        getattr(response, other)
    assert getattr(response, name) == "mine"


def test_there_are_no_other_attributes() -> None:
    response = made()
    with pytest.raises(AttributeError, match="has no attribute 'body'"):
        _ = response.body
    assert not hasattr(response, "trailers")


@pytest.mark.parametrize(
    "copied",
    [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))],
)
def test_a_handler_may_copy_and_pickle_it(copied: Any) -> None:
    before = copied(made())
    response = made()
    assert response.headers["age"] == "7"
    for each in (before, copied(response)):
        assert (each.status_code, each.url, each.text) == (200, URL, "")
        assert dict(each.headers.items()) == HEADERS
