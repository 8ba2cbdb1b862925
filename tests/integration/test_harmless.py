"""If the cache fails in any way, the application's calls go on as without it."""

import logging
import shutil
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.stub import Stubber

import botocache
from botocache import Cache
from botocache._cache import cache as cache_cache
from botocache._dynamodb import operations
from botocache._errors import StoreError, StoreLostError
from botocache.stores.disk.store import DiskStore
from botocache.stores.memory import MemoryStore
from botocache.stores.protocol import Store
from tests.integration.app import (
    WINDOW,
    World,
    delete,
    every_store,
    get,
    put,
    query,
    set_n,
    wire,
)
from tests.support.clock import FakeClock
from tests.support.dynamodb import REGION, DynamoDB
from tests.support.flaky_store import FlakyStore
from tests.support.forwarding_store import VERBS
from tests.support.network import intercept
from tests.support.processes import eventually, forked
from tests.support.threads import workers

TIMEOUT = 60

ERRORS = {
    "StoreError": StoreError("on purpose"),
    "what no store may raise": RuntimeError("on purpose"),
}

errors = pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS.keys())


@pytest.fixture
def flaky(world: World) -> FlakyStore:
    """The store, which a test can make fail."""
    world.store = FlakyStore(world.store)
    return world.store


Write = Callable[[Any, str, int], Any]

STORY: list[tuple[int | None, Write]] = [
    (1, lambda c, t, n: put(c, t, pk="a", n=n)),
    (2, lambda c, t, n: set_n(c, t, n, pk="a")),
    (None, lambda c, t, _: delete(c, t, pk="a")),
    (
        4,
        lambda c, t, n: c.batch_write_item(
            RequestItems={t: [{"PutRequest": {"Item": wire({"pk": "a", "n": n})}}]}
        ),
    ),
    (
        5,
        lambda c, t, n: c.transact_write_items(
            TransactItems=[{"Put": {"TableName": t, "Item": wire({"pk": "a", "n": n})}}]
        ),
    ),
    (
        6,
        lambda c, t, n: c.execute_statement(
            Statement=f"UPDATE {t} SET n = ? WHERE pk = 'a'",
            Parameters=[{"N": str(n)}],
        ),
    ),
]


SHORT_STORY = [STORY[2], STORY[1]]
"""For before and after a failure: an item that goes, and one that comes."""


def tell_story(
    world: World,
    client: Any,
    table: str,
    story: Iterable[tuple[int | None, Write]] = STORY,
) -> None:
    """Write and read, at various moments; every answer must be right."""
    for n, write in story:
        write(client, table, n or 0)
        item = None if n is None else {"pk": "a", "n": n}
        for pause in (0.0, 1.1, 0.0):
            world.clock.advance(pause)
            assert get(client, table, pk="a") == item
            assert query(client, table, pk="a") == ([] if item is None else [item])


def assert_is_cached(world: World, client: Any, table: str) -> None:
    """Require that reads are hits again once the failure is over."""
    for _ in range(2):  # the first read delivers pending evictions
        world.clock.advance(WINDOW)
        get(client, table, pk="a")
        query(client, table, pk="a")
    with world.counting() as reached:
        get(client, table, pk="a")
        query(client, table, pk="a")
    assert reached == {}


# --- a store that fails ------------------------------------------------------------


@errors
@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_that_fails_never_disturbs_the_application(
    error: Exception, verb: str, world: World, flaky: FlakyStore, client: Any
) -> None:
    table = world.table("pk:S")
    with flaky.failing(error, verb):
        tell_story(world, client, table)
    tell_story(world, client, table, SHORT_STORY)
    assert_is_cached(world, client, table)


@every_store
@errors
def test_a_store_that_fails_altogether_never_disturbs_the_application(
    error: Exception, world: World, flaky: FlakyStore, client: Any, cache: Cache
) -> None:
    table = world.table("pk:S")
    tell_story(world, client, table, SHORT_STORY)
    with flaky.failing(error, *VERBS):
        tell_story(world, client, table)
        cache.invalidate(table)
        repr(cache)
    assert cache.stats().failures
    tell_story(world, client, table, SHORT_STORY)
    assert_is_cached(world, client, table)
    assert cache.stats().undelivered == 0


@errors
@pytest.mark.parametrize("call", [1, 2, 3])
@pytest.mark.parametrize("verb", ["now", "load", "fill", "evict"])
def test_a_single_failure_at_any_moment_leaves_nothing_old(
    error: Exception, call: int, verb: str, world: World, client: Any
) -> None:
    """Breaks one call of the verb. `client` must be made before the store fails."""
    table = world.table("pk:S")
    flaky = FlakyStore(world.store)
    session = world.session()
    botocache.install(session, url=flaky, ttl=61)
    mine, other = world.client(session), client
    for number in range(3):
        flaky.fail_once(error, verb, call)
        set_n(mine, table, number, pk="a")
        for _ in range(2):
            for each in (mine, other) if verb != "evict" else (mine,):
                assert get(each, table, pk="a") == {"pk": "a", "n": number}
                assert query(each, table, pk="a") == [{"pk": "a", "n": number}]
            world.clock.advance(1.1)


@errors
def test_a_failed_load_is_a_miss_that_is_not_filled(
    error: Exception, world: World, flaky: FlakyStore, client: Any, table: str
) -> None:
    get(client, table, pk="a")
    put(world.outside, table, pk="a", n=1)
    with flaky.failing(error, "load"):
        assert get(client, table, pk="a") == {"pk": "a", "n": 1}
    assert get(client, table, pk="a") is None  # still what was cached before


@errors
def test_a_failed_fill_is_dropped(
    error: Exception, world: World, flaky: FlakyStore, client: Any, table: str
) -> None:
    with flaky.failing(error, "fill"), world.counting() as reached:
        get(client, table, pk="a")
        get(client, table, pk="a")
    assert reached == {"GetItem": 2}
    with world.counting() as reached:
        get(client, table, pk="a")
        get(client, table, pk="a")
    assert reached == {"GetItem": 1}


FIRST, SECOND = 1, 2

evictions = pytest.mark.parametrize("eviction", [FIRST, SECOND])


@every_store
@errors
@evictions
def test_a_write_whose_eviction_fails_is_sent_and_nothing_old_is_served(
    error: Exception, eviction: int, world: World, flaky: FlakyStore, client: Any
) -> None:
    table = world.table("pk:S")
    put(world.outside, table, pk="a", n=1)
    assert get(client, table, pk="a") == {"pk": "a", "n": 1}
    assert query(client, table, pk="a") == [{"pk": "a", "n": 1}]
    flaky.fail_once(error, "evict", eviction)
    with world.counting() as reached:
        set_n(client, table, 2, pk="a")
    assert reached == {"UpdateItem": 1}
    for _ in range(2):
        assert get(client, table, pk="a") == {"pk": "a", "n": 2}
        assert query(client, table, pk="a") == [{"pk": "a", "n": 2}]
    assert_is_cached(world, client, table)


@errors
def test_until_an_eviction_is_delivered_nothing_that_depends_on_it_is_served(
    error: Exception, world: World, flaky: FlakyStore, client: Any, cache: Cache
) -> None:
    table = world.table("pk:S")
    put(world.outside, table, pk="a", n=1)
    get(client, table, pk="a")
    query(client, table, pk="a")
    with flaky.failing(error, "evict"):
        set_n(client, table, 2, pk="a")
        assert cache.stats().undelivered > 0
        for n in range(3, 6):
            put(world.outside, table, pk="a", n=n)
            world.clock.advance(1.0)
            assert get(client, table, pk="a") == {"pk": "a", "n": n}
            assert query(client, table, pk="a") == [{"pk": "a", "n": n}]
    assert_is_cached(world, client, table)
    assert cache.stats().undelivered == 0


def test_an_entry_that_does_not_depend_on_a_failed_eviction_is_served(
    world: World, flaky: FlakyStore, client: Any, table: str
) -> None:
    for pk in "ab":
        get(client, table, pk=pk)
    with flaky.failing(StoreError("on purpose"), "evict"):
        set_n(client, table, 1, pk="a")
        get(client, table, pk="b")  # may try to deliver, fail, and skip the store
        with world.counting() as reached:
            get(client, table, pk="b")
        assert reached == {}


def test_others_see_a_failed_eviction_once_it_is_delivered(
    world: World, flaky: FlakyStore, client: Any, table: str
) -> None:
    other = world.cached_client(ttl=30)
    put(world.outside, table, pk="a", n=1)
    assert get(other, table, pk="a") == {"pk": "a", "n": 1}
    with flaky.failing(StoreError("on purpose"), "evict"):
        set_n(client, table, 2, pk="a")
    world.clock.advance(1.1)
    get(client, table, pk="b")  # any read of this process delivers
    assert get(other, table, pk="a") == {"pk": "a", "n": 2}


@every_store
def test_a_process_that_makes_no_calls_delivers_once_the_store_is_back(
    world: World, flaky: FlakyStore, client: Any, cache: Cache, table: str
) -> None:
    other = world.cached_client(ttl=30)
    put(world.outside, table, pk="a", n=1)
    assert get(other, table, pk="a") == {"pk": "a", "n": 1}
    with flaky.failing(StoreError("on purpose"), "evict"):
        set_n(client, table, 2, pk="a")
        assert cache.stats().undelivered > 0
    eventually(lambda: cache.stats().undelivered == 0)
    assert get(other, table, pk="a") == {"pk": "a", "n": 2}


def test_pending_evictions_are_delivered_after_the_cache_is_uninstalled(
    world: World, flaky: FlakyStore, client: Any, cache: Cache, session: Any
) -> None:
    table, other = world.table("pk:S"), world.cached_client(ttl=30)
    put(world.outside, table, pk="a", n=1)
    assert get(other, table, pk="a") == {"pk": "a", "n": 1}
    with flaky.failing(StoreError("on purpose"), "evict"):
        set_n(client, table, 2, pk="a")
        botocache.uninstall(session)
    eventually(lambda: cache.stats().undelivered == 0)
    assert get(other, table, pk="a") == {"pk": "a", "n": 2}


def test_a_cache_that_is_closed_has_no_thread_and_delivers_with_the_next_calls(
    world: World, flaky: FlakyStore, client: Any, cache: Cache, table: str
) -> None:
    get(client, table, pk="b")
    with flaky.failing(StoreError("on purpose"), "evict"):
        set_n(client, table, 2, pk="a")
        assert len(workers()) == 1
        cache.close()
        assert workers() == []
        waiting = cache.stats().undelivered
    assert waiting > 0
    world.clock.advance(1.1)
    get(client, table, pk="b")
    assert cache.stats().undelivered == 0


def test_a_child_delivers_the_pending_evictions_of_its_parent(
    world: World, flaky: FlakyStore, client: Any, cache: Cache, table: str
) -> None:
    other = world.cached_client(ttl=30)
    put(world.outside, table, pk="a", n=1)
    assert get(other, table, pk="a") == {"pk": "a", "n": 1}

    def child(pipe: Any) -> None:
        flaky._broken.clear()
        eventually(lambda: cache.stats().undelivered == 0)
        pipe.send("delivered")

    with flaky.failing(StoreError("on purpose"), "evict"):
        set_n(client, table, 2, pk="a")
        with forked(child) as pipe:
            assert pipe.poll(TIMEOUT)
            assert pipe.recv() == "delivered"
        assert get(other, table, pk="a") == {"pk": "a", "n": 2}


def write_for_a_long_time(world: World, writer: Any, reader: Any, table: str) -> None:
    """Write n=2 while a client reads, and hold-offs pass; it is done at the end."""

    def read_meanwhile(**_: Any) -> None:
        for pause in (WINDOW, WINDOW, WINDOW):
            assert get(reader, table, pk="a") == {"pk": "a", "n": 1}
            world.clock.advance(pause)

    intercept(writer, "before-send", read_meanwhile)
    set_n(writer, table, 2, pk="a")


@errors
def test_a_long_write_whose_first_eviction_failed_evicts_at_its_end(
    error: Exception, world: World, flaky: FlakyStore, client: Any, session: Any
) -> None:
    table = world.table("pk:S")
    put(world.outside, table, pk="a", n=1)
    get(client, table, pk="a")
    flaky.fail_once(error, "evict", FIRST)
    write_for_a_long_time(world, world.client(session), client, table)
    assert get(client, table, pk="a") == {"pk": "a", "n": 2}


def test_a_long_write_that_could_not_be_planned_evicts_at_its_end(
    world: World, client: Any, session: Any, table: str
) -> None:
    put(world.outside, table, pk="a", n=1)
    get(client, table, pk="a")
    plan = operations.plan

    def buggy_plan(operation: str, *rest: Any) -> Any:
        if operation == "UpdateItem":
            raise ZeroDivisionError("a bug")
        return plan(operation, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache_cache, "plan", buggy_plan)
        write_for_a_long_time(world, world.client(session), client, table)
    assert get(client, table, pk="a") == {"pk": "a", "n": 2}


# --- counts and log lines ----------------------------------------------------------


@pytest.mark.parametrize(
    ("verb", "kind"),
    [("load", "begin_failed"), ("fill", "fill_failed"), ("evict", "evict_failed")],
)
def test_a_failure_is_counted_and_logged_once_a_minute(
    verb: str,
    kind: str,
    world: World,
    cache: Cache,
    caplog: pytest.LogCaptureFixture,
) -> None:
    table = world.table("pk:S")
    flaky = FlakyStore(world.store)
    session = world.session()
    cache = botocache.install(session, url=flaky, ttl=61)
    client = world.client(session)

    def call() -> None:
        if verb == "evict":
            set_n(client, table, 1, pk="a")
        else:
            client.get_item(TableName=table, Key=wire({"pk": str(time.monotonic())}))

    def lines() -> list[str]:
        return [
            record.getMessage()
            for record in caplog.records
            if record.getMessage().startswith(f"botocache: {kind}: ")
        ]

    with flaky.failing(StoreError("on purpose"), verb):
        for _ in range(4):  # the first learns the table's key attributes
            call()
        counted = cache.stats().failures[kind]
        assert counted >= 3
        assert len(lines()) == 1
        world.clock.advance(59.0)
        call()
        assert len(lines()) == 1
        world.clock.advance(1.1)
        call()
        assert len(lines()) == 2
    assert cache.stats().failures[kind] > counted
    assert "on purpose" in lines()[0]
    assert all(record.levelno == logging.WARNING for record in caplog.records)


def test_log_lines_hold_no_items_and_no_keys(
    world: World,
    flaky: FlakyStore,
    client: Any,
    table: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, logger="botocache")
    with flaky.failing(RuntimeError("on purpose"), "load", "fill", "evict"):
        put(client, table, pk="s3cret-key", text="s3cret-text")
        get(client, table, pk="s3cret-key")
        query(client, table, pk="s3cret-key")
    assert caplog.records
    assert "s3cret" not in caplog.text


@every_store
def test_a_cache_that_works_logs_nothing(
    world: World, client: Any, table: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="botocache")
    tell_story(world, client, table)
    assert [r for r in caplog.records if r.name.startswith("botocache")] == []


@every_store
def test_an_eviction_that_fails_again_after_a_loss_is_pending(
    world: World, flaky: FlakyStore, client: Any, cache: Cache, table: str
) -> None:
    set_n(client, table, 1, pk="a")
    world.settle()
    assert [get(client, table, pk="a") for _ in range(2)] == [{"pk": "a", "n": 1}] * 2
    with flaky.failing(StoreLostError("on purpose"), "evict"):
        set_n(client, table, 2, pk="a")
        assert get(client, table, pk="a") == {"pk": "a", "n": 2}
    assert cache.stats().undelivered
    world.clock.advance(WINDOW)
    assert [get(client, table, pk="a") for _ in range(2)] == [{"pk": "a", "n": 2}] * 2
    assert not cache.stats().undelivered


@every_store
def test_key_attributes_that_cannot_be_shared_are_learned_and_evict_nothing_more(
    world: World, flaky: FlakyStore, client: Any, cache: Cache, table: str
) -> None:
    with flaky.failing(StoreError("entries are not open"), "fill"):
        set_n(client, table, 1, pk="a")
    assert cache.stats().failures == {"learn_failed": 1}
    assert cache.stats().undelivered == 0
    evicted = cache.stats().evicted
    put(client, table, pk="a", n=2)
    assert cache.stats().evicted - evicted == 3  # the item's, and not the table


# --- damage ------------------------------------------------------------------------

DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "nothing left": lambda _: b"",
    "zeros": lambda entry: bytes(len(entry)),
    "ones": lambda entry: b"\xff" * len(entry),
    "cut in the header": lambda entry: entry[:10],
    "cut in the snapshot": lambda entry: entry[:30],
    "cut before the body": lambda entry: entry[:42],
    "cut in the body": lambda entry: entry[:-3],
    "another version": lambda entry: b"\x63" + entry[1:],
    "a body that is a number": lambda entry: entry[:42] + b"\x05",
    "a body that is a list": lambda entry: entry[:42] + b"\x90",
    "a body that is nothing": lambda entry: entry[:42] + b"\xc0",
    "a body that is no MessagePack": lambda entry: entry[:42] + b"\xc1",
    "a key of a map that is no string": lambda entry: entry[:42] + b"\x81\x90\x90",
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_entry_is_a_miss(
    damage: Callable[[bytes], bytes],
    world: World,
    flaky: FlakyStore,
    client: Any,
) -> None:
    table = world.table("pk:S")
    put(world.outside, table, pk="a", n=1)
    asked = {"Key": wire({"pk": "a"}), "ReturnConsumedCapacity": "TOTAL"}

    def read() -> Any:
        return client.get_item(TableName=table, **asked)["Item"]

    read()
    flaky.damage = damage
    with world.counting() as reached:
        assert [read() for _ in range(2)] == [wire({"pk": "a", "n": 1})] * 2
    assert reached == {"GetItem": 2}
    set_n(client, table, 2, pk="a")
    assert read() == wire({"pk": "a", "n": 2})
    flaky.damage = None
    assert read() == wire({"pk": "a", "n": 2})
    assert_is_cached(world, client, table)


@pytest.mark.parametrize("store", ["disk"], indirect=True)
def test_a_removed_directory_is_made_again(
    world: World, client: Any, table: str
) -> None:
    assert isinstance(world.store, DiskStore)
    for _ in range(2):
        tell_story(world, client, table, SHORT_STORY)
        shutil.rmtree(world.store.directory)
    tell_story(world, client, table)
    assert_is_cached(world, client, table)


def test_a_directory_that_cannot_be_made_never_disturbs_the_application(
    world: World, tmp_path: Path, table: str
) -> None:
    (tmp_path / "file").touch()
    session = world.session()
    cache = botocache.install(session, url=f"disk://{tmp_path}/file/deeper")
    tell_story(world, world.client(session), table)
    assert cache.stats().failures
    assert cache.stats().fills == 0


# --- bugs of our own ---------------------------------------------------------------

PLACES = (
    "botocache._cache.cache.plan",
    "botocache._dynamodb.item_shapes.new_tag",
    "botocache._botocore.hooks.decode_body",
    "botocache._cache.prepare.tag_digest",
    "botocache._cache.writes.tag_digest",
    "botocache._cache.prepare.entry_keys",
    "botocache._cache.reads.may_serve",
    "botocache._cache.fills.may_fill",
    "botocache._dynamodb.items.answer_after",
    "botocache._cache.fills.encode_answer",
    "botocache._cache.reads.decode_header",
    "botocache._cache.entries.ClearEntries.encode",
    "botocache._cache.entries.ClearEntries.open",
    "botocache._botocore.hooks.call_of",
    "botocache._botocore.requests.current_mode",
    "botocache._botocore.hooks._response",
)


NEAR_PLACES = (
    "botocache._near.client.current_mode",
    "botocache._near.client.derive_body",
    "botocache._near.answers.cost_of",
    "botocache._near.client.deliver_from_store",
    "botocache._near.delivery.copier_of_hit",
    "botocache._near.delivery.response_metadata",
    "botocache._near.answers.request_prefix",
)


@pytest.mark.parametrize(
    ("near", "place"),
    [
        *(("off", place) for place in PLACES),
        *(("on", place) for place in (*PLACES[:-1], *NEAR_PLACES)),
    ],
)
def test_a_bug_in_a_handler_never_disturbs_the_application(
    near: Any, place: str, world: World
) -> None:
    table = world.table("pk:S")
    session = world.session()
    cache = botocache.install(session, url=world.store, near=near)
    client = world.client(session)
    tell_story(world, client, table, SHORT_STORY)

    def bug(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("a bug")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(place, bug)
        tell_story(world, client, table)
        cache.clear()
        tell_story(world, client, table, SHORT_STORY)
    assert cache.stats().failures
    tell_story(world, client, table, SHORT_STORY)
    assert_is_cached(world, client, table)


def test_a_write_that_could_not_be_planned_evicts_everything_before_the_next_read(
    world: World, client: Any, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(world.outside, table, pk="a", n=1)
    get(client, table, pk="a")

    def bug(*_: Any) -> Any:
        raise ZeroDivisionError("a bug")

    with monkeypatch.context() as patch:
        patch.setattr("botocache._cache.cache.plan", bug)
        set_n(client, table, 2, pk="a")
    assert get(client, table, pk="a") == {"pk": "a", "n": 2}


# --- other people's plugins --------------------------------------------------------

BEFORE_CALL = (
    "before-call",
    "before-call.*.*",
    "before-call.dynamodb",
    "before-call.dynamodb.*",
)

before_call = pytest.mark.parametrize("event", BEFORE_CALL)


class Trouble(Exception):  # noqa: N818 - what another plugin raises
    """An error by another plugin."""


def raise_trouble(**_: Any) -> None:
    raise Trouble


@before_call
def test_a_plugin_that_raises_before_a_call_is_the_only_one_to_fail(
    event: str, world: World, client: Any
) -> None:
    table = world.table("pk:S")
    put(world.outside, table, pk="a", n=1)
    calls: tuple[Callable[[], Any], ...] = (
        lambda: get(client, table, pk="b"),
        lambda: set_n(client, table, 2, pk="a"),
    )
    for call in calls:
        client.meta.events.register(event, raise_trouble)
        with pytest.raises(Trouble):
            call()
        client.meta.events.unregister(event, raise_trouble)
        assert get(client, table, pk="a") == {"pk": "a", "n": 1}
    tell_story(world, client, table, SHORT_STORY)
    assert_is_cached(world, client, table)


@pytest.mark.parametrize(
    "event",
    ["before-send", "response-received", "after-call", "after-call.*.*"],
)
def test_a_plugin_that_raises_later_leaves_nothing_old(
    event: str, world: World, client: Any
) -> None:
    table = world.table("pk:S")
    put(world.outside, table, pk="a", n=1)
    get(client, table, pk="a")
    lands = event != "before-send"
    client.meta.events.register(event, raise_trouble)
    with pytest.raises(Trouble):
        set_n(client, table, 2, pk="a")
    with pytest.raises(Trouble):
        get(client, table, pk="b")
    client.meta.events.unregister(event, raise_trouble)
    for pause in (0.0, 1.1, WINDOW, 0.0):
        world.clock.advance(pause)
        assert get(client, table, pk="a") == {"pk": "a", "n": 2 if lands else 1}
    tell_story(world, client, table, SHORT_STORY)


class Invented:
    """A plugin that answers GetItem itself."""

    def __call__(self, *, model: Any, **_: Any) -> Any:
        if model.name != "GetItem":
            return None
        answer = {
            "Item": wire({"pk": "a", "n": 99}),
            "ResponseMetadata": {"HTTPStatusCode": 200},
        }
        return AWSResponse("http://invented", 200, {}, None), answer  # type: ignore[arg-type]  # it is not read


@before_call
def test_an_answer_by_another_plugin_is_not_cached(
    event: str, world: World, client: Any
) -> None:
    table = world.table("pk:S")
    put(world.outside, table, pk="a", n=1)
    invented = Invented()
    client.meta.events.register(event, invented)
    for _ in range(2):
        assert get(client, table, pk="a") == {"pk": "a", "n": 99}
    client.meta.events.unregister(event, invented)
    assert get(client, table, pk="a") == {"pk": "a", "n": 1}


# --- the application's own tests ---------------------------------------------------


@every_store
def test_stubbed_answers_come_in_their_order_and_none_is_cached(
    world: World, client: Any, table: str
) -> None:
    put(world.outside, table, pk="a", n=1)
    parameters = {"TableName": table, "Key": wire({"pk": "a"})}
    with Stubber(client) as stubber:
        for n in (10, 11):
            answer = {"Item": wire({"pk": "a", "n": n})}
            stubber.add_response("get_item", answer, parameters)
        stubber.add_client_error("get_item", "ProvisionedThroughputExceededException")
        stubber.add_response("put_item", {})
        stubber.add_response("query", {"Items": [], "Count": 0})
        assert get(client, table, pk="a") == {"pk": "a", "n": 10}
        assert get(client, table, pk="a") == {"pk": "a", "n": 11}
        with pytest.raises(ClientError, match="ProvisionedThroughput"):
            get(client, table, pk="a")
        put(client, table, pk="a", n=12)
        assert query(client, table, pk="a") == []
        stubber.assert_no_pending_responses()
    with world.counting() as reached:
        for _ in range(2):
            assert get(client, table, pk="a") == {"pk": "a", "n": 1}
            assert query(client, table, pk="a") == [{"pk": "a", "n": 1}]
    assert reached == {"GetItem": 1, "Query": 1}


def test_a_stubbed_answer_comes_before_a_cached_one(
    world: World, client: Any, table: str
) -> None:
    put(world.outside, table, pk="a", n=1)
    get(client, table, pk="a")
    with Stubber(client) as stubber:
        stubber.add_response("get_item", {})
        assert get(client, table, pk="a") is None
    assert get(client, table, pk="a") == {"pk": "a", "n": 1}


def mocked_client() -> Any:
    """Return a client as an application's test makes it."""
    return boto3.Session(region_name=REGION).client("dynamodb")


def a_test_of_the_application(clock: FakeClock, n: int) -> None:
    """Do what a test of an application does, on a table of its own."""
    client = mocked_client()
    DynamoDB("").create_table("pk:S", name="users", client=client)
    clock.advance(WINDOW)
    assert get(client, "users", pk="a") is None
    put(client, "users", pk="a", n=n)
    for pause in (0.0, WINDOW, 0.0):
        clock.advance(pause)
        assert get(client, "users", pk="a") == {"pk": "a", "n": n}
        assert query(client, "users", pk="a") == [{"pk": "a", "n": n}]
    with pytest.raises(client.exceptions.ConditionalCheckFailedException):
        client.put_item(
            TableName="users",
            Item=wire({"pk": "a"}),
            ConditionExpression="attribute_not_exists(pk)",
        )
    set_n(client, "users", 5, pk="b")
    assert get(client, "users", pk="b") == {"pk": "b", "n": 5}
    clock.advance(WINDOW)
    get(client, "users", pk="a")


def mocked_aws() -> Any:
    """Return moto's `mock_aws`, which not all environments of these tests have."""
    from moto import mock_aws

    return mock_aws()


@every_store
def test_tests_that_mock_aws_work_one_after_the_other(
    store: Store, clock: FakeClock
) -> None:
    cache = botocache.install(url=store)
    for n in range(3):
        with mocked_aws():
            a_test_of_the_application(clock, n)
    assert cache.stats().hits > 0
    assert cache.stats().failures == {}


@every_store
def test_a_mocked_test_function_works(store: Store, clock: FakeClock) -> None:
    botocache.install(url=store)

    @mocked_aws()  # type: ignore[untyped-decorator]  # it has no types there
    def test_function() -> None:
        a_test_of_the_application(clock, 7)

    test_function()
    test_function()


@every_store
def test_mocked_clients_made_before_the_mock_work(
    store: Store, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    botocache.install(url=store)
    client = mocked_client()
    for n in range(2):
        with mocked_aws():
            DynamoDB("").create_table("pk:S", name="users", client=client)
            put(client, "users", pk="a", n=n)
            for _ in range(3):
                clock.advance(1.1)
                assert get(client, "users", pk="a") == {"pk": "a", "n": n}


# --- forks and threads -------------------------------------------------------------


@every_store
def test_parent_and_child_see_each_others_writes_after_a_fork(
    world: World, client: Any, session: Any, table: str
) -> None:
    set_n(client, table, 1, pk="a")
    world.settle()
    assert [get(client, table, pk="a") for _ in range(2)] == [{"pk": "a", "n": 1}] * 2

    def child(pipe: Any) -> None:
        for mine in (client, world.client(session)):
            assert get(mine, table, pk="a") == {"pk": "a", "n": 1}
        pipe.send("read")
        assert pipe.recv() == "written"
        assert get(client, table, pk="a") == {"pk": "a", "n": 2}
        world.clock.advance(WINDOW)  # in memory no writer counts as alone any more
        get(client, table, pk="a")
        query(client, table, pk="a")
        with world.counting() as reached:
            assert get(client, table, pk="a") == {"pk": "a", "n": 2}
            assert query(client, table, pk="a") == [{"pk": "a", "n": 2}]
        assert reached == {}
        set_n(client, table, 3, pk="a")
        pipe.send("written")

    with forked(child) as pipe:
        assert pipe.poll(TIMEOUT)
        assert pipe.recv() == "read"
        set_n(client, table, 2, pk="a")
        assert get(client, table, pk="a") == {"pk": "a", "n": 2}
        pipe.send("written")
        assert pipe.poll(TIMEOUT)
        assert pipe.recv() == "written"
        assert get(client, table, pk="a") == {"pk": "a", "n": 3}
        assert query(client, table, pk="a") == [{"pk": "a", "n": 3}]


class Crowd:
    """Sixteen threads on one client and four items: each item has a writer and readers.

    Two items share a partition. The number in an item only grows.
    """

    def __init__(self, client: Any, table: str) -> None:
        self.problems: list[BaseException] = []
        self._client = client
        self._table = table
        self._written = dict.fromkeys(range(4), 0)  # the last write that has ended
        self._writers = len(self._written)

    def run(self) -> None:
        """Run them all to their end."""
        works = (self._write, *[self._read_while_another_writes] * 3)
        threads = [
            threading.Thread(target=self._guarded, args=(work, item), daemon=True)
            for work in works
            for item in self._written
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(TIMEOUT)
            assert not thread.is_alive()

    def _guarded(self, work: Callable[[int], None], item: int) -> None:
        try:
            work(item)
        except BaseException as error:  # noqa: BLE001 - raised again in the test
            self.problems.append(error)
            self._writers = 0

    def _write(self, item: int) -> None:
        for n in range(1, 11):
            put(self._client, self._table, **self._key(item), n=n)
            self._written[item] = n
            assert self._read_item(item) == self._read_partition(item) == n
        self._writers -= 1

    def _read_while_another_writes(self, item: int) -> None:
        while self._writers > 0:
            for read in (self._read_item, self._read_item, self._read_partition):
                before = self._written[item]
                assert read(item) >= before

    def _key(self, item: int) -> dict[str, str]:
        return {"pk": str(item % 2), "sk": str(item)}

    def _read_item(self, item: int) -> int:
        found = get(self._client, self._table, **self._key(item)) or {"n": 0}
        return int(found["n"])

    def _read_partition(self, item: int) -> int:
        items = query(self._client, self._table, pk=self._key(item)["pk"])
        return max([int(i["n"]) for i in items if i["sk"] == str(item)], default=0)


@pytest.mark.parametrize("kind", ["memory", "disk"])
def test_no_thread_reads_what_is_older_than_a_write_that_has_ended(
    kind: str, dynamodb: DynamoDB, tmp_path: Path
) -> None:
    table = dynamodb.create_table("pk:S", "sk:S")
    store = MemoryStore() if kind == "memory" else DiskStore(tmp_path / "disk")
    session = dynamodb.session()
    cache = botocache.install(session, url=store, settle=0, write_hold_off=0.05)
    client = dynamodb.client(session, config=Config(max_pool_connections=16))
    crowd = Crowd(client, table)
    crowd.run()
    assert crowd.problems == []
    assert cache.stats().hits > 0
    store.close()
