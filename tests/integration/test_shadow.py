"""Shadow mode and audits, as an application with a client or a resource has them."""

import os
import subprocess
import sys
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from botocore.credentials import Credentials

import botocache
from botocache import Cache
from botocache._cache import audits as audits_module
from botocache._near.answers import NearAnswers
from botocache._near.audited_answers import AuditedAnswers
from tests.integration.app import (
    World,
    delete,
    get,
    put,
    query,
    query_index,
    set_n,
    wire,
)
from tests.support.clients import credentials_for_clients
from tests.support.network import intercepted
from tests.support.places import ROOT

INDEX = {
    "AttributeDefinitions": [{"AttributeName": "g", "AttributeType": "S"}],
    "GlobalSecondaryIndexes": [
        {
            "IndexName": "by-g",
            "KeySchema": [{"AttributeName": "g", "KeyType": "HASH"}],
            "Projection": {"ProjectionType": "ALL"},
        }
    ],
}
OF_ONE_REQUEST = {
    "Authorization",
    "X-Amz-Date",
    "amz-sdk-invocation-id",
    "User-Agent",
    "Content-Length",
}
"""Headers that differ between two requests for the same."""


def all_calls(client: Any, table: str) -> None:
    """Make calls that botocache would answer, or change on their way."""
    keys = [wire({"pk": pk}) for pk in "abc"]
    for number in range(2):
        put(client, table, pk="a", n=number, g="x")
        put(client, table, pk="b", n=number, g="x")
        for _ in range(2):
            get(client, table, pk="a")
            get(client, table, pk="c")
            query(client, table, pk="a")
            query_index(client, table, "by-g", g="x")
            client.scan(TableName=table)
            client.get_item(
                TableName=table, Key=keys[0], ReturnConsumedCapacity="TOTAL"
            )
            client.get_item(TableName=table, Key=keys[0], ConsistentRead=True)
            client.batch_get_item(RequestItems={table: {"Keys": keys}})
        set_n(client, table, 5, pk="a")
        delete(client, table, pk="b")


def requests_of(client: Any, table: str) -> list[tuple[str, dict[str, str], str]]:
    """Return what each request of `all_calls` had on the wire."""
    sent: list[tuple[str, dict[str, str], str]] = []

    def note(request: Any, **_: Any) -> None:
        headers = {
            name: value.decode() if isinstance(value, bytes) else str(value)
            for name, value in request.headers.items()
            if name not in OF_ONE_REQUEST
        }
        body = request.body.decode().replace(table, "TABLE")
        sent.append((request.url, headers, body))

    with intercepted(client, "before-send", note):
        all_calls(client, table)
    return sent


def test_in_shadow_mode_every_request_is_that_of_an_uncached_client(
    world: World,
) -> None:
    settings: dict[str, Any] = {
        "precise_index_eviction": True,
        "reads_after_write": "consistent",
    }
    uncached = requests_of(world.client(world.session()), world.table(**INDEX))
    client = world.cached_client(shadow=True, **settings)
    assert requests_of(client, world.table(**INDEX)) == uncached
    serving = world.cached_client("AKIASERVING000000000", **settings)
    assert len(requests_of(serving, world.table(**INDEX))) < len(uncached)


def cache_of(client: Any) -> Cache:
    """Return the cache of a client."""
    cache = botocache.installed(client)
    assert cache is not None
    return cache


def compared(cache: Cache) -> tuple[int, dict[str, int]]:
    """Return how many hits were compared, and the differences by what they were."""
    differing: dict[str, int] = {}
    for table in cache.stats().tables:
        for name, number in table.differing.items():
            differing[name] = differing.get(name, 0) + number
    return sum(table.compared for table in cache.stats().tables), differing


def test_in_shadow_mode_the_answers_are_dynamodbs_and_nothing_differs(
    world: World,
) -> None:
    table = world.table(**INDEX)
    client = world.cached_client(shadow=True)
    all_calls(client, table)
    # The near cache would have the item by now, and knows the table's key attributes.
    for _ in range(3):
        world.settle()
        answer = client.get_item(TableName=table, Key=wire({"pk": "a"}))
        assert "x-botocache" not in answer["ResponseMetadata"]["HTTPHeaders"]
        assert not answer["ResponseMetadata"]["RequestId"].startswith("botocache")
    number, differing = compared(cache_of(client))
    assert number > 10
    assert differing == {}
    assert cache_of(client).near is None


def test_a_resource_in_shadow_mode_compares_answers_as_they_are_on_the_wire(
    world: World,
) -> None:
    name = world.table("pk:S")
    session = world.session()
    cache = botocache.install(session, url=world.store, shadow=True)
    table = world.resource(session).Table(name)
    table.put_item(Item={"pk": "a", "s": {"x", "y"}, "b": b"\x00", "l": [1, {2, 3}]})
    world.settle()
    items = [table.get_item(Key={"pk": "a"})["Item"] for _ in range(3)]
    assert items == [items[0]] * 3
    assert items[0]["s"] == {"x", "y"}
    assert compared(cache) == (2, {})  # the first one was a miss


def planted(world: World, client: Any, table: str, times: int = 2) -> None:
    """Have a writer go around the cache, and the item read before and after."""
    put(world.outside, table, pk="a", n=1)
    for _ in range(4):
        get(client, table, pk="a")
    put(world.outside, table, pk="a", n=2)
    for _ in range(times):
        get(client, table, pk="a")
        world.settle()


@pytest.mark.parametrize(
    ("settings", "near"),
    [({"shadow": True}, "on"), ({"audit": 1.0}, "on"), ({"audit": 1.0}, "off")],
)
def test_the_log_and_the_counters_name_the_table_that_is_written_around(
    world: World,
    settings: dict[str, Any],
    near: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    client = world.cached_client(near=near, **settings)
    others, table = world.table("pk:S"), world.table("pk:S")
    put(client, others, pk="a", n=1)
    for _ in range(4):
        get(client, others, pk="a")
    planted(world, client, table)
    lines = [line for line in caplog.messages if "written_around" in line]
    assert len(lines) == 1
    assert f"table '{table}'" in lines[0]
    tables = cache_of(client).stats().tables
    assert {each.table for each in tables if each.differing} == {table}


# --- the near cache in an audit ----------------------------------------------------


def draws_of(
    client: Any, monkeypatch: pytest.MonkeyPatch, draw: Callable[[], float]
) -> list[float]:
    """Have a client's hits drawn by a function; return a list that grows by them."""
    drawn: list[float] = []

    def note() -> float:
        drawn.append(draw())
        return drawn[-1]

    monkeypatch.setattr(cache_of(client)._services.audits, "_draw", note)
    return drawn


def is_hit(answer: dict[str, Any]) -> bool:
    headers: dict[str, str] = answer["ResponseMetadata"]["HTTPHeaders"]
    return headers.get("x-botocache") == "hit"


@pytest.mark.parametrize(
    ("near", "is_resource"), [(True, False), (False, False), (True, True)]
)
def test_each_hit_is_drawn_once_and_the_drawn_share_goes_to_dynamodb(
    world: World, near: bool, is_resource: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, session = world.table("pk:S"), world.session()
    cache = botocache.install(session, url=world.store, audit=0.25, near=near)
    client: Any = world.client(session)
    put(world.outside, table, pk="a", n=1)
    draws_of(client, monkeypatch, lambda: 0.9)
    if is_resource:
        resource = world.resource(session).Table(table)
        client = resource.meta.client

    def read() -> bool:
        if is_resource:
            return is_hit(resource.get_item(Key={"pk": "a"}))
        return is_hit(client.get_item(TableName=table, Key=wire({"pk": "a"})))

    for _ in range(3):
        read()
    drawn = draws_of(client, monkeypatch, Random(1).random)
    before = cache.stats().hits
    with world.counting() as reached:
        hits = [read() for _ in range(80)]
    assert len(drawn) == 80
    assert [draw >= 0.25 for draw in drawn] == hits
    assert reached == {"GetItem": hits.count(False)}
    assert compared(cache) == (hits.count(False), {})
    assert cache.stats().hits - before == 80


@pytest.mark.parametrize("near", ["on", "off"])
def test_under_audit_a_suspect_read_is_served_no_more_until_it_is_evicted(
    world: World, near: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = world.table("pk:S")
    client = world.cached_client(audit=0.01, near=near)
    draws_of(client, monkeypatch, lambda: 0.9)
    put(world.outside, table, pk="a", n=1)
    for _ in range(4):
        get(client, table, pk="a")
    put(world.outside, table, pk="a", n=2)
    assert get(client, table, pk="a") == {"pk": "a", "n": 1}
    draws_of(client, monkeypatch, lambda: 0.0)
    assert get(client, table, pk="a") == {"pk": "a", "n": 2}
    draws_of(client, monkeypatch, lambda: 0.9)
    with world.counting() as reached:
        for _ in range(3):
            assert get(client, table, pk="a") == {"pk": "a", "n": 2}
        world.settle()
        assert get(client, table, pk="a") == {"pk": "a", "n": 2}
    assert reached == {"GetItem": 4}
    assert compared(cache_of(client)) == (5, {"unconfirmed": 4, "lasting": 1})
    world.settle()
    get(client, table, pk="a")
    with world.counting() as reached:
        assert get(client, table, pk="a") == {"pk": "a", "n": 2}
    assert reached == {}


def test_a_draw_that_finds_no_near_hit_is_drawn_anew_behind_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = world.table("pk:S")
    client = world.cached_client(audit=0.5)
    draws_of(client, monkeypatch, lambda: 0.9)
    put(world.outside, table, pk="a", n=1)
    for _ in range(4):
        get(client, table, pk="a")
    world.clock.advance(61.0)
    drawn = draws_of(client, monkeypatch, lambda: 0.0)
    get(client, table, pk="a")  # neither near nor in the store
    assert len(drawn) == 1
    audits = cache_of(client)._services.audits
    assert audits is not None
    assert not audits_module._drawn.get()


@pytest.mark.parametrize(
    ("settings", "kind"),
    [({}, NearAnswers), ({"audit": 0.1}, AuditedAnswers), ({"shadow": True}, None)],
)
def test_only_an_audit_pays_for_a_draw_in_the_near_cache(
    world: World, settings: dict[str, Any], kind: type | None
) -> None:
    session = world.session()
    near = botocache.install(session, url=world.store, **settings).near
    assert (None if near is None else type(near)) is kind


@pytest.mark.parametrize("name", ["get", "batch"])
def test_what_is_begun_before_an_uninstallation_is_not_compared_after_it(
    world: World, name: str
) -> None:
    table, session = world.table("pk:S"), world.session()
    cache = botocache.install(session, url=world.store, shadow=True)
    client = world.client(session)
    keys = [wire({"pk": pk}) for pk in "ab"]

    def call() -> None:
        if name == "get":
            get(client, table, pk="a")
        else:
            client.batch_get_item(RequestItems={table: {"Keys": keys}})

    def write_uncached(**_: Any) -> None:
        botocache.uninstall(session)
        put(world.outside, table, pk="a", n=2)

    for pk in "ab":
        put(world.outside, table, pk=pk, n=1)
        get(client, table, pk=pk)
    call()
    before = compared(cache)
    assert before[0] > 0
    with intercepted(client, "before-send", write_uncached):
        call()
    assert compared(cache) == before


@pytest.mark.parametrize("name", ["get", "batch"])
def test_an_answer_that_other_keys_have_signed_for_is_not_compared(
    world: World, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = world.table("pk:S")
    client = world.cached_client(shadow=True)
    keys = [wire({"pk": pk}) for pk in "ab"]

    def call() -> None:
        if name == "get":
            get(client, table, pk="a")
        else:
            client.batch_get_item(RequestItems={table: {"Keys": keys}})

    put(world.outside, table, pk="a", n=1)
    call()
    put(world.outside, table, pk="a", n=2)
    verb = "load" if name == "get" else "load_many"
    load = getattr(world.store, verb)

    def load_and_swap(*arguments: Any) -> Any:
        loaded = load(*arguments)
        other = credentials_for_clients(Credentials("AKIAOTHER", "secret"))
        client._request_signer._credentials = other
        return loaded

    monkeypatch.setattr(world.store, verb, load_and_swap)
    call()
    assert compared(cache_of(client)) == (0, {})


# --- the toggle --------------------------------------------------------------------

_PROGRAM = """
import boto3, botocache
client = boto3.client("dynamodb")
for _ in range(3):
    answer = client.get_item(TableName={table!r}, Key={{"pk": {{"S": "a"}}}})
    print(answer["ResponseMetadata"]["HTTPHeaders"].get("x-botocache"))
cache = botocache.installed()
print(cache.settings.shadow, sum(each.compared for each in cache.stats().tables))
"""


def test_the_toggle_switches_shadow_mode_on_without_code(
    world: World, tmp_path: Any
) -> None:
    table = world.table("pk:S")
    put(world.outside, table, pk="a", n=1)
    environment = {
        **os.environ,
        "BOTOCACHE": "shadow",
        "PYTHONPATH": str(ROOT),
        "BOTOCACHE_URL": f"disk:{tmp_path / 'cache'}",
        "AWS_ENDPOINT_URL": world.dynamodb.url,
        "AWS_ACCESS_KEY_ID": "AKIA0123456789012345",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    program = [sys.executable, "-c", _PROGRAM.format(table=table)]
    done = subprocess.run(
        [sys.executable, "-m", "botocache", "run", "--", *program],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == ["None", "None", "None", "True 2"]
    assert done.stderr == ""
