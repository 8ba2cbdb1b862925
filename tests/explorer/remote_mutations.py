"""Stores on Redis with a fault in them, as in mutations.py: what each rule is for."""

from collections.abc import Sequence
from hashlib import sha1
from typing import Any

import pytest

from botocache._cache.call_store import CallStore
from botocache._cache.tickets import WriteTicket
from botocache._cache.writes import Writes
from botocache._coherence import Loaded
from botocache.stores.redis import commands
from botocache.stores.redis import store as redis_store
from botocache.stores.redis.connections import ServerConnections
from botocache.stores.redis.scripts import Script
from botocache.stores.redis.store import RedisStore
from tests.explorer.database import the_database
from tests.explorer.mutations import GET, UPDATE, Mutation, Patch
from tests.explorer.programs import Program, one_each


def _script(old: str, new: str, *names: str) -> Patch:
    """Change one line of scripts."""

    def patch(monkeypatch: pytest.MonkeyPatch) -> None:
        sources = dict(commands.SOURCES)
        for name in names:
            source = getattr(redis_store, name).source
            assert source.count(old.encode()) == 1, (name, old)
            source = source.replace(old.encode(), new.encode())
            sha = sha1(source, usedforsecurity=False).hexdigest().encode()
            monkeypatch.setattr(redis_store, name, Script(source, sha))
            sources[sha] = source
            the_database().load_scripts([Script(source, sha)])
        monkeypatch.setattr(commands, "SOURCES", sources)

    return patch


def _method(owner: Any, name: str, by: Any) -> Patch:
    return lambda patch: patch.setattr(owner, name, by)


def _hold_offs_first(store: RedisStore, key: bytes, tags: Sequence[bytes]) -> Loaded:
    """Look at the hold-offs, and then at the generations."""
    held = _load(store, key, tags).held
    return _load(store, key, tags)._replace(held=held)


_load = RedisStore.load


def _backwards(store: RedisStore, lookups: Sequence[Any]) -> list[Loaded]:
    """Take the entries for those of the keys from the last to the first."""
    found = _load_many(store, lookups)
    entries = [loaded.entry for loaded in reversed(found)]
    return [
        loaded._replace(entry=entry)
        for loaded, entry in zip(found, entries, strict=True)
    ]


_load_many = RedisStore.load_many


def _always_late(
    writes: Writes, ticket: WriteTicket, left: Any, answer: Any, store: CallStore
) -> bool:
    return _evict_late(writes, ticket._replace(began=store.now()), left, answer, store)


_evict_late = Writes._evict_late


def _ask_again(
    link: ServerConnections, packed: bytes, count: int, _again: Any = None, **how: Any
) -> Any:
    """Send the very same a second time."""
    return _link_ask(link, packed, count, **how)


_link_ask = ServerConnections.ask


def _send_again(
    link: ServerConnections, packed: bytes, count: int, settle: Any, _again: Any = None
) -> None:
    """Do the same for what nothing waits for."""
    _link_send(link, packed, count, settle)


_link_send = ServerConnections.send


def _all_again(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ServerConnections, "ask", _ask_again)
    patch.setattr(ServerConnections, "send", _send_again)


# --- schedules ---------------------------------------------------------------------

ARRIVES = "what client 1 has sent arrives"
COMMITTED = (
    f"{UPDATE}: evict",
    f"{UPDATE}: the server commits",
    f"{UPDATE}: evict",
    ARRIVES,  # the second eviction
)
"""An update from its beginning to its end."""

REFUSED = (f"{UPDATE}: evict", f"{UPDATE}: evict, evict")
"""One of its evictions, on a full server: the second one is let through."""

REFUSED_AT_THE_END = (REFUSED[0], ARRIVES)

READ_OLD = (f"{GET}: load", f"{GET}: the server reads version 1", f"{GET}: fill")
MISSED_OLD = (READ_OLD[0], f"{GET}: load, look", *READ_OLD[1:])

QUIET = one_each("get", "update", shards=1)
HARMED = one_each("get", "update", faults=1, shards=1)
SENT_AGAIN = f"{UPDATE}: evict is done, but cut off"
TAKEOVER = "a replica takes over that lacks 2 evictions"

MUTATIONS = [
    Mutation(
        "a second eviction that is not waited for though the write took long",
        _method(Writes, "_evict_late", _always_late),
        Program(("get", "update"), (0, 1), faults=0, shards=1),
    ),
    Mutation(
        "an eviction that holds nothing off",
        _script("math.max(others, now + hold_off)", "others", "EVICT"),
        QUIET,
    ),
    Mutation(
        "a missing generation that is not kept",
        _script("if not generation then", "if false then", "LOOK", "EVICT"),
        one_each("get", "put", warm=False, shards=1),
    ),
    Mutation(
        "entries of a batch in another order than their keys",
        _method(RedisStore, "load_many", _backwards),
        one_each("batch", "update", shards=1),
    ),
    Mutation(
        "hold-offs looked at before the generations",
        _method(RedisStore, "load", _hold_offs_first),
        QUIET,
    ),
    Mutation(
        "a write that fills though it was not alone",
        _script("may_put, life = is_alone,", "may_put, life = true,", "EVICT"),
        one_each("put", "put", features=("through",), shards=1),
    ),
    Mutation(
        "a restored tag put back though another writer came",
        _script("if is_alone and string.byte", "if is_second and string.byte", "EVICT"),
        one_each("move in old form", "put elsewhere", features=("images",), shards=1),
    ),
    Mutation(
        "a hold-off that is lost with its generation",
        _script("held = word(moment, settling)", "held = word(0, true)", "EVICT"),
        HARMED,
        schedule=(*COMMITTED, "the generation of the item is lost", *MISSED_OLD),
    ),
    Mutation(
        "a hold-off that is never looked up",
        _script("false, remembered(key, shard)", "false, 0, true", "LOOK", "EVICT"),
        HARMED,
        schedule=(*COMMITTED, "the generation of the item is lost", *MISSED_OLD),
    ),
    Mutation(
        "lost hold-offs that are not in doubt",
        _script("word(now + settle, true)", "'0'", "LOOK", "EVICT"),
        HARMED,
        schedule=(
            *COMMITTED,
            "the server is flushed",
            *MISSED_OLD[:-1],
            f"{GET}: load",  # of the table's key attributes, which are gone as well
            f"{GET}: fill",  # of these
            f"{GET}: fill, prolong",
            f"{GET}: fill",
        ),
    ),
    Mutation(
        "lost hold-offs of which a new one takes the doubt",
        _script(", word(now + settle, true), 'all'", "", "EVICT"),
        Program(
            ("move", "put elsewhere", "index 1"),
            (0, 0, 1),
            2,
            0,
            features=("images",),
            shards=1,
        ),
        schedule=(
            "client 0 move: evict",
            "client 0 move: the server commits",
            "client 0 move: evict",
            "the hold-offs 00 are lost",
            "client 0 put elsewhere: evict",
            "client 0 put elsewhere: the server commits",
            "client 0 put elsewhere: evict",
            "the generation of the group is lost",
            "client 1 index 1: load",
            "client 1 index 1: load, look",
            "client 1 index 1: the server reads version 1",
            "client 1 index 1: fill",
        ),
    ),
    Mutation(
        "a primary that was a replica, and that every client trusts",
        _method(RedisStore, "_handshake", lambda *_: None),
        HARMED,
        schedule=(*COMMITTED, TAKEOVER, f"{GET}: load"),
    ),
    Mutation(
        "a primary that was a replica, whose lost hold-offs are not in doubt",
        _script("moment or 0, now + settle)", "moment or 0, 0)", "ARRIVE"),
        HARMED,
        schedule=(
            *COMMITTED,
            TAKEOVER,
            f"{GET}: load",
            f"{GET}: load, arrive",
            f"{GET}: load, mget",
            *READ_OLD[1:],
        ),
    ),
    Mutation(
        "a full server that goes on to say what is held",
        _script(
            "remember(key, shard, held, is_settling)",
            "if not is_full then remember(key, shard, held, is_settling) end",
            "EVICT",
        ),
        HARMED,
        schedule=(
            "the server is full",
            *REFUSED,
            f"{UPDATE}: the server commits",
            *REFUSED_AT_THE_END,
            "the server has room again",
            *MISSED_OLD,
        ),
    ),
    Mutation(
        "an eviction that is sent again with the generation that it had",
        _all_again,
        Program(
            ("get", "update", "update"),
            (0, 1, 2),
            moves=0,
            features=("consistent",),
            shards=1,
        ),
        schedule=(
            f"{UPDATE}: evict",
            f"{UPDATE}: the server commits",
            SENT_AGAIN,
            f"{GET}: load",
            f"{GET}: the server reads version 2",
            f"{GET}: fill",
            "client 2 update: evict",
            "client 2 update: the server commits",
            "client 2 update: evict",
            "what client 2 has sent arrives",
            f"{UPDATE}: evict, arrive",
            f"{UPDATE}: evict, evict",
        ),
    ),
]
