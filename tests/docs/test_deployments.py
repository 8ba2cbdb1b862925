"""The pages about deployments: what they tell to set can be set."""

import re
from typing import Any

import pytest

from botocache._settings.load import load_settings
from botocache.stores.redis.cluster.urls import endpoints_of_url, pool_at
from botocache.stores.redis.urls import connections_of_url
from botocache.stores.urls import local_place
from tests.docs.pages import DOCS, PAGES, blocks_in, text_of

ENVIRONMENTS = [
    dict(line.split("=", 1) for line in block.text.splitlines() if "=" in line)
    for _, block in blocks_in("sh")
    if re.search(r"^BOTOCACHE_\w+=", block.text, re.MULTILINE)
]
ASSIGNMENTS = sorted(
    {
        words
        for page in PAGES
        for words in re.findall(r"`(BOTOCACHE_\w+=[^`\s]+)`", text_of(page))
        if "..." not in words
    }
)
URLS = sorted(
    {
        url
        for page in PAGES
        for url in re.findall(
            r"`((?:redis|valkey|unix)[a-z+]*://[^`]+)`", text_of(page)
        )
        if "..." not in url and not url.endswith("//")
    }
)


def test_there_is_something_to_look_at() -> None:
    assert len(ENVIRONMENTS) >= 6
    assert len(ASSIGNMENTS) >= 8
    assert len(URLS) >= 12


@pytest.mark.parametrize("variables", ENVIRONMENTS, ids=str)
def test_each_environment_is_one_that_can_be_set(variables: dict[str, str]) -> None:
    assert variables.get("BOTOCACHE", "1") == "1"
    variables = {k: v for k, v in variables.items() if k.startswith("BOTOCACHE_")}
    settings = load_settings({}, variables, "disk:")
    assert isinstance(settings.url, str)
    if local_place(settings.url) is None:
        connections_of_url(settings.url, settings.timeout)


@pytest.mark.parametrize("words", ASSIGNMENTS)
def test_each_variable_with_its_value_is_good(words: str) -> None:
    name, _, value = words.partition("=")
    load_settings({}, {name: value}, "disk:")


@pytest.mark.parametrize("url", URLS)
def test_each_url_of_a_server_can_be_read(url: str) -> None:
    if "+cluster:" in url:
        name, endpoints = endpoints_of_url(url, 0.02)
        assert pool_at(endpoints, *endpoints.seeds[0]).make_connection()
    else:
        name, make = connections_of_url(url, 0.02)
        assert make()
    assert "password" not in name
    assert "token" not in name


def test_the_credential_provider_signs_a_request_to_connect(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIADEPLOY")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    code = next(
        block.text
        for page, block in blocks_in("python")
        if page == DOCS / "how-to" / "redis.md"
    )
    names: dict[str, Any] = {}
    exec(code, names)
    user, token = names["Iam"]("app", "shop", "us-east-1").get_credentials()
    assert user == "app"
    assert token.startswith("shop/?Action=connect&User=app&X-Amz-Algorithm=")
    assert "X-Amz-Expires=900" in token
    assert "X-Amz-Credential=AKIADEPLOY" in token
