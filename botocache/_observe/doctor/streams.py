"""Followed tables: whether they are followed, and readers know it.

It reads what followers have left on the store, and asks nothing of AWS. Where nothing
is followed and nothing is set that rests on it, there is no finding.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from botocache._coherence import TRUST
from botocache._dynamodb.values import table_name
from botocache._errors import BotocacheError, pass_on
from botocache._log import text_of
from botocache._observe.doctor.findings import (
    Finding,
    bad,
    good,
    time_text,
    warning,
)
from botocache._observe.overview import open_board
from botocache._settings.load import Settings
from botocache._streams.followed import FollowedTable, read_followed
from botocache.stores.boards import board_of
from botocache.stores.urls import local_place

SUBJECT = "followed tables"

_PATIENCE = 2.0
"""Seconds for each verb, as for the round trip."""

BOTH_IMAGES = "NEW_AND_OLD_IMAGES"

_FOLLOW = (
    "Start `botocache follow-streams`, or the service that has BOTOCACHE_STREAMS; see "
    "its log for stream_failed and streams_failed."
)


def check_streams(settings: Settings, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Yield what is found about the tables that are, or should be, followed.

    settings: with a URL.
    environ: of the process.
    """
    # Without either, a failure here would only say again what the store's check found.
    is_wanted = bool(settings.streams) or _has_ttl_unfollowed(settings)
    place = local_place(settings.url) if isinstance(settings.url, str) else None
    if place is not None and place.scheme == "memory":
        if is_wanted:
            yield warning(
                SUBJECT,
                "the store is the memory of one process: others cannot see which "
                "tables it follows, and it would follow for itself alone",
                "Name a store that processes share by BOTOCACHE_URL.",
            )
        return
    patient = replace(settings, timeout=max(settings.timeout, _PATIENCE))
    try:
        followed = _read(patient, environ, is_server=place is None)
    except (BotocacheError, OSError) as error:
        pass_on(error)
        # Why the store fails is found by itself. This is only what follows from it.
        if is_wanted:
            yield warning(
                SUBJECT,
                f"which tables are followed cannot be read: {text_of(error)}",
                "Correct first what is found about the store.",
            )
        return
    yield from judge_followed(followed, settings)


def _read(
    settings: Settings, environ: Mapping[str, str], *, is_server: bool
) -> Sequence[FollowedTable]:
    """Return the followed tables on the store; leave nothing there.

    Raises BotocacheError or OSError.
    """
    if is_server:
        from botocache.stores.redis.inspection import has_records

        if not has_records(settings.store_options(environ)):
            return ()
    with open_board(settings, environ) as board:
        directory = getattr(board.store, "directory", None)
        records = board_of(board.store)
        # A disk store that is not there yet must not be made by looking.
        if records is None or (directory and not os.path.lexists(directory)):
            return ()
        return read_followed(
            records.posted(), board.codec, board.store.now(), board.trusted_until
        )


def judge_followed(
    followed: Iterable[FollowedTable], settings: Settings
) -> Iterator[Finding]:
    """Judge the followed tables, and those that the setting names."""
    by_name = {each.table: each for each in followed}
    wanted = dict.fromkeys(map(table_name, settings.streams))
    # Those that another service follows, too: this one's readers rest on them.
    for table in {**wanted, **by_name}:
        found = by_name.get(table)
        if found is None:
            yield _judge_unfollowed(table, settings)
            continue
        yield _judge_table(found, settings, is_wanted=table in wanted)
        if settings.precise_index_eviction and found.ledger.view != BOTH_IMAGES:
            yield _judge_view(found)
    if not by_name and not wanted and _has_ttl_unfollowed(settings):
        yield warning(
            SUBJECT,
            "ttl_unfollowed is set, and no table is followed: each entry lives for "
            "ttl_unfollowed alone",
            f"{_FOLLOW} Or leave ttl_unfollowed out.",
        )


def _judge_table(
    found: FollowedTable, settings: Settings, *, is_wanted: bool
) -> Finding:
    table, lag = found.table, time_text(round(found.lag, 1))
    gaps = found.ledger.gaps
    if found.is_fresh and found.leaders:
        leaders = ", ".join(f"{each.host}:{each.pid}" for each in found.leaders[:3])
        shards = len(found.ledger.shards)
        return good(
            SUBJECT,
            f"{table!r} is followed, {lag} behind, by {leaders} "
            f"({shards} shard{'s' * (shards != 1)})"
            + (f"; it was evicted {gaps} times, for gaps" if gaps else ""),
        )
    effect = _effect(table, settings)
    if found.lag < TRUST and found.leaders:
        return warning(
            SUBJECT,
            f"{table!r} is followed, {lag} behind, but the store has no heartbeat that "
            f"says so: {effect}",
            "See whether the store drops entries before they expire: a server's "
            "maxmemory, or the size_limit.",
        )
    if found.leaders:
        return bad(
            SUBJECT,
            f"{table!r} is followed, but {lag} behind: {effect}",
            "See the follower's log for stream_failed. If DynamoDB throttles it, too "
            "many programs read the stream; if it has many shards, start another "
            "`botocache follow-streams`.",
        )
    # Without the setting here, to end the follower may have been on purpose. Just now
    # another one may be about to take over.
    judge = bad if is_wanted and found.lag >= TRUST else warning
    return judge(
        SUBJECT, f"{table!r} is not followed any more, for {lag}: {effect}", _FOLLOW
    )


def _judge_unfollowed(table: str, settings: Settings) -> Finding:
    return warning(
        SUBJECT,
        f"streams names {table!r}, and no follower of it has used this store: "
        f"{_effect(table, settings)}",
        f"{_FOLLOW} A service begins to follow with its first call.",
    )


def _effect(table: str, settings: Settings) -> str:
    policy = settings.policy(table)
    if policy.ttl_unfollowed is None:
        return (
            f"entries that other programs outdate are served for {policy.ttl:g} s (ttl)"
        )
    return f"entries live for {policy.ttl_unfollowed:g} s (ttl_unfollowed)"


def _judge_view(found: FollowedTable) -> Finding:
    return warning(
        SUBJECT,
        f"precise_index_eviction is on, and the stream of {found.table!r} shows "
        f"{found.ledger.view or 'no images'}: each change by another program evicts "
        "all index queries of the table",
        f"Switch on a stream with StreamViewType={BOTH_IMAGES}. The follower goes over "
        "to it, and evicts the table once.",
    )


def _has_ttl_unfollowed(settings: Settings) -> bool:
    return settings.ttl_unfollowed is not None or any(
        options.ttl_unfollowed is not None for _, options in settings.tables
    )
