"""The doctor finds tables that should be followed and are not."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from botocache._cache.services import services_of
from botocache._observe.doctor.findings import State
from botocache._observe.doctor.streams import SUBJECT, check_streams, judge_followed
from botocache._settings.load import Settings, load_settings
from botocache._settings.tables import parse_tables
from botocache._streams.followed import FollowedTable
from botocache._streams.ledger import ledger_name, seal_ledger
from botocache.stores.opening import open_store
from tests.support.followed import followed

NAMED = Settings(streams=("users",))
SHORT = replace(NAMED, ttl_unfollowed=2.0)
PRECISE = Settings(precise_index_eviction=True)


@pytest.mark.parametrize(
    ("tables", "settings", "state", "text"),
    [
        (
            (followed(),),
            NAMED,
            State.GOOD,
            "1.5 seconds behind, by web-1:42 (2 shards)",
        ),
        ((followed(),), Settings(), State.GOOD, "'users' is followed"),
        ((followed(gaps=2),), NAMED, State.GOOD, "it was evicted 2 times, for gaps"),
        ((followed(lag=40),), NAMED, State.BAD, "but 40 seconds behind: entries that"),
        (
            (followed(lag=40),),
            SHORT,
            State.BAD,
            "entries live for 2 s (ttl_unfollowed)",
        ),
        (
            (followed(has_heartbeat=False),),
            SHORT,
            State.WARNING,
            "the store has no heartbeat that says so: entries live for 2 s",
        ),
        (
            (followed(lag=40, has_leader=False),),
            NAMED,
            State.BAD,
            "not followed any more, for 40 seconds",
        ),
        (
            (followed(has_leader=False),),
            NAMED,
            State.WARNING,
            "not followed any more, for 1.5 seconds",
        ),
        (
            (followed(lag=40, has_leader=False),),
            Settings(),
            State.WARNING,
            "not followed any more",
        ),
        ((), NAMED, State.WARNING, "streams names 'users', and no follower of it"),
        (
            (),
            Settings(streams=("arn:aws:dynamodb:eu-west-1:123456789012:table/users",)),
            State.WARNING,
            "streams names 'users', and no follower of it",
        ),
        (
            (),
            Settings(ttl_unfollowed=2.0),
            State.WARNING,
            "each entry lives for ttl_unfollowed alone",
        ),
        (
            (),
            Settings(tables=parse_tables({"users": {"ttl_unfollowed": 2}})),
            State.WARNING,
            "each entry lives for ttl_unfollowed alone",
        ),
    ],
)
def test_a_table_is_judged_by_what_its_readers_may_trust(
    tables: tuple[FollowedTable, ...], settings: Settings, state: State, text: str
) -> None:
    (found,) = judge_followed(tables, settings)
    assert (found.subject, found.state) == (SUBJECT, state)
    assert text in found.found
    assert bool(found.advice) == (state is not State.GOOD)


def test_where_nothing_is_followed_or_set_there_is_no_finding() -> None:
    assert [*judge_followed((), Settings())] == []


@pytest.mark.parametrize(
    ("view", "settings", "number"),
    [
        ("KEYS_ONLY", PRECISE, 2),
        ("NEW_AND_OLD_IMAGES", PRECISE, 1),
        ("KEYS_ONLY", Settings(), 1),
    ],
)
def test_precise_index_eviction_needs_both_images(
    view: str, settings: Settings, number: int
) -> None:
    findings = [*judge_followed((followed(view=view),), settings)]
    assert len(findings) == number
    assert all("all index queries" in each.found for each in findings[1:])


# --- on a store ----------------------------------------------------------------------


def settings_of(url: str, **more: str) -> Settings:
    variables = {f"BOTOCACHE_{name.upper()}": value for name, value in more.items()}
    return load_settings({}, {"BOTOCACHE_URL": url, **variables}, url)


def test_what_followers_left_on_the_store_is_read(tmp_path: Path) -> None:
    url = f"disk://{tmp_path}/x?size_limit=16MiB"
    settings = settings_of(url)
    store = open_store(settings.store_options(os.environ))
    services = services_of(store, settings)
    now = store.now()
    ledger = followed(at=now).ledger
    name = ledger_name("eu-west-1", "users")
    getattr(store, "post")(name, seal_ledger(services.records, ledger, now), 60.0)  # noqa: B009 - not each store has it
    (found,) = check_streams(settings, os.environ)
    assert "no heartbeat" in found.found
    services.heartbeats.post("eu-west-1", "users", now - 1)
    getattr(store, "flush", lambda _: None)(5.0)
    (found,) = check_streams(settings, os.environ)
    assert found.state is State.GOOD
    store.close()


def test_a_disk_store_is_not_made_by_looking(tmp_path: Path) -> None:
    settings = settings_of(f"disk://{tmp_path}/new", streams="users")
    (found,) = check_streams(settings, os.environ)
    assert "no follower of it has used this store" in found.found
    assert not (tmp_path / "new").exists()


def test_a_store_in_memory_has_no_other_followers() -> None:
    assert [*check_streams(settings_of("memory:"), {})] == []
    (found,) = check_streams(settings_of("memory:", streams="users"), {})
    assert found.state is State.WARNING


def test_a_store_that_fails_is_mentioned_only_where_it_matters() -> None:
    url = "redis://127.0.0.1:1/0"
    assert [*check_streams(settings_of(url), {})] == []
    (found,) = check_streams(settings_of(url, ttl_unfollowed="2"), {})
    assert "cannot be read" in found.found
