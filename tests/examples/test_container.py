"""The container example, configured by its compose file, but without containers.

Two replicas of the service run as processes in an environment that has the wheel, on a
real Valkey that is started as the file has it, and moto's DynamoDB.
"""

import contextlib
import json
import os
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from botocache._settings.load import load_settings
from tests.support.dynamodb import DynamoDB
from tests.support.environment import Environment
from tests.support.processes import TIMEOUT
from tests.support.valkey_server import ValkeyServer, running_valkey, valkey_binary

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "container"
SERVICES: dict[str, Any] = yaml.safe_load((EXAMPLE / "compose.yaml").read_text())[
    "services"
]
VARIABLES: dict[str, str] = SERVICES["app"]["environment"]


def options_of(command: list[str]) -> dict[str, str]:
    """Return the options of a server's command line."""
    names = [name.removeprefix("--") for name in command[1::2]]
    return dict(zip(names, command[2::2], strict=True))


@pytest.fixture(scope="module")
def server() -> Iterator[ValkeyServer]:
    """A server that is started with the options of the compose file."""
    options = options_of(SERVICES["valkey"]["command"])
    with running_valkey(valkey_binary(), **options) as running:
        yield running


@pytest.fixture
def table(dynamodb: DynamoDB) -> str:
    client = dynamodb.client(region_name=VARIABLES["AWS_DEFAULT_REGION"])
    return dynamodb.create_table("id:S", client=client)


class Replica:
    """A process of the service."""

    def __init__(self, url: str) -> None:
        self._url = url

    def get(self, key: str) -> Any:
        """Return the body of an item."""
        with urllib.request.urlopen(f"{self._url}/{key}", timeout=TIMEOUT) as answer:
            return json.load(answer)["body"]

    def put(self, key: str, body: str) -> None:
        """Store an item."""
        request = urllib.request.Request(
            f"{self._url}/{key}", body.encode(), method="PUT"
        )
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            assert answer.status == 200


@contextlib.contextmanager
def running_replica(
    environment: Environment, variables: Mapping[str, str]
) -> Iterator[Replica]:
    """Run the service for as long as the context lasts. Nothing may be logged."""
    with subprocess.Popen(
        [environment.python, "-u", str(EXAMPLE / "app.py")],
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            yield Replica(process.stdout.readline().strip())
        finally:
            process.kill()
            _, log = process.communicate(timeout=TIMEOUT)
            print(log)  # pytest shows it when the test fails
    assert "botocache" not in log


@pytest.fixture
def variables(dynamodb: DynamoDB, server: ValkeyServer, table: str) -> dict[str, str]:
    """The variables of the compose file, with local addresses and a longer timeout."""
    assert VARIABLES["BOTOCACHE_URL"] == "valkey://valkey:6379/0"
    return {
        **VARIABLES,
        "TABLE": table,
        "ADDRESS": "127.0.0.1",
        "PORT": "0",
        "AWS_ACCESS_KEY_ID": "AKIACONTAINER",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_ENDPOINT_URL_DYNAMODB": dynamodb.url,
        "BOTOCACHE_URL": f"valkey://127.0.0.1:{server.port}/0",
        "BOTOCACHE_TIMEOUT": "10",
    }


@pytest.mark.long("two replicas as processes, from the wheel")
def test_replicas_share_the_cache_and_see_each_others_writes(
    environment: Environment, dynamodb: DynamoDB, variables: dict[str, str]
) -> None:
    with (
        running_replica(environment, variables) as one,
        running_replica(environment, variables) as other,
    ):
        one.put("7", "first")
        other.get("7")
        with dynamodb.counting() as counted:
            assert [one.get("7"), other.get("7"), one.get("7")] == ["first"] * 3
        assert counted["GetItem"] == 0
        for body in ("second", "third"):
            one.put("7", body)
            assert other.get("7") == body
            other.put("7", body + ", changed")
            assert one.get("7") == body + ", changed"


def test_without_the_botocache_lines_the_service_runs_uncached(
    environment: Environment, dynamodb: DynamoDB, variables: dict[str, str]
) -> None:
    plain = {k: v for k, v in variables.items() if not k.startswith("BOTOCACHE")}
    with running_replica(environment, plain) as replica:
        replica.put("7", "first")
        with dynamodb.counting() as counted:
            assert [replica.get("7"), replica.get("7")] == ["first"] * 2
        assert counted["GetItem"] == 2


def test_the_compose_file_configures_what_its_comments_say() -> None:
    settings = load_settings({}, VARIABLES, "disk:")
    assert settings.url == "valkey://valkey:6379/0"
    assert settings.namespace == VARIABLES["TABLE"] == "items"
    assert settings.policy("items").ttl == 300
    assert settings.policy("others").ttl == 60
    assert SERVICES["app"]["depends_on"] == ["valkey"]


def test_the_valkey_of_the_compose_file_is_bounded_and_keeps_nothing_on_disk(
    server: ValkeyServer,
) -> None:
    configured = {
        name: server.command("CONFIG", "GET", name).split(b"\r\n")[-2].decode()
        for name in ("maxmemory", "maxmemory-policy", "save", "appendonly")
    }
    assert configured == {
        "maxmemory": str(256 * 1024**2),
        "maxmemory-policy": "allkeys-lru",
        "save": "",
        "appendonly": "no",
    }


def test_the_image_installs_an_extra_that_exists() -> None:
    extra = '"botocache-dynamodb[redis]"'
    assert extra in (EXAMPLE / "Dockerfile").read_text()
    assert "\nredis = [" in (ROOT / "pyproject.toml").read_text()


def test_the_service_does_not_import_botocache() -> None:
    assert "botocache" not in (EXAMPLE / "app.py").read_text()
