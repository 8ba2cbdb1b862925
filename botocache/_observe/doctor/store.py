"""The store that the settings name: can it be opened, is it well, does it work.

All that is written is in a namespace of its own, below that of the settings, and is
removed afterwards. An ACL user who may use `botocache:shop:*` alone may use that, too.
"""

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeAlias

from botocache._errors import (
    BotocacheError,
    ConfigError,
    StoreUnavailableError,
    pass_on,
)
from botocache._log import text_of
from botocache._observe.doctor import disk
from botocache._observe.doctor.findings import Finding, State, bad, good, warning, worst
from botocache._observe.doctor.round_trip import (
    check_round_trip,
    fresh_digests,
    obtain_encryption,
)
from botocache._observe.doctor.server import judge_connecting, judge_server
from botocache._settings.load import Settings
from botocache.stores.opening import open_store
from botocache.stores.options import DefaultUrl, StoreOptions
from botocache.stores.protocol import Deferring, Store
from botocache.stores.urls import local_place, without_secrets

_SUBJECT = "store"

_PATIENCE = 2.0
"""Seconds for each verb of the round trip. The settings' own time is judged apart."""

_OLD = 3600.0
"""Seconds. No doctor runs for so long."""


def check_store(settings: Settings, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Yield what is found about the store that the settings name.

    settings: with a URL.
    environ: of the process.
    """
    # With a colon, which no setting's namespace may have: so it meets no other's keys,
    # and is below the setting's own for an ACL.
    word = f"doctor-{os.urandom(4).hex()}"
    options = settings.store_options(environ)
    tried = replace(
        options,
        namespace=f"{settings.namespace}:{word}",
        timeout=max(settings.timeout, _PATIENCE),
        client_tracking=False,
    )
    # Opens nothing yet: this finds wrong URLs, and packages that are missing.
    try:
        store = open_store(tried)
    except (ConfigError, StoreUnavailableError) as error:
        yield bad(_SUBJECT, text_of(error), _advice_of_opening(str(error)))
        return
    shown = without_secrets(settings.url)
    with contextlib.closing(store):
        place = local_place(tried.url)
        if place is None:
            yield from _check_server(store, settings, options, word)
        elif place.scheme == "memory":
            yield _judge_memory(settings, shown)
            yield from _try(store, settings, tried, _no_traces, "Report it.")
        else:
            yield from _check_disk(store, settings, tried, place.size_limit)


def _advice_of_opening(text: str) -> str:
    if "pip install" in text:
        return "Install it: " + text[text.index("pip install") :] + "."
    if "boot_id" in text:
        return (
            "Mount /proc in the sandbox, or name a server: BOTOCACHE_URL=redis://host, "
            "or memory: for a single process."
        )
    if "finds no directory" in text:
        return (
            "Mount a directory that the application's user owns, such as a tmpfs on "
            "/tmp, or name one: BOTOCACHE_URL=disk:///path."
        )
    if "module" in text:
        return "Use a Python that has SQLite, or a server."
    return "Correct BOTOCACHE_URL; docs/reference/stores.md lists every form."


def _judge_memory(settings: Settings, shown: str) -> Finding:
    alone = (
        "nothing is shared: each process caches alone, and sees the writes of others "
        "after the TTL"
    )
    if not isinstance(settings.url, DefaultUrl):
        return good(_SUBJECT, f"{shown}; {alone}")
    return warning(
        _SUBJECT,
        f"this machine has no boot id, so the store is in memory; {alone}",
        "Name a server by BOTOCACHE_URL to share one cache, or set "
        "BOTOCACHE_URL=memory: to accept it.",
    )


# --- trying it ---------------------------------------------------------------------


_Remove: TypeAlias = Callable[[Sequence[bytes], Sequence[bytes]], None]
"""Removes entries and tags, by their names on the store."""


def _no_traces(_entries: Sequence[bytes], _tags: Sequence[bytes]) -> None:
    """Remove nothing: a store in memory ends with the process."""


def _try(
    store: Store,
    settings: Settings,
    options: StoreOptions,
    remove: _Remove,
    advice: str,
) -> Iterator[Finding]:
    """Yield how encryption and a round trip went, then remove what they left.

    advice: what to do if the round trip fails.
    """
    key, tag = digests = fresh_digests()
    for found in obtain_encryption(settings.encryption_keys, options.namespace):
        if isinstance(found, Finding):
            yield found
            continue
        # Removed under all keys: an eviction has been written under each of them.
        try:
            yield from check_round_trip(
                found.wrap(store), found.codec, digests, advice, partial(_flush, store)
            )
        finally:
            with contextlib.suppress(BotocacheError, OSError):
                remove(found.names_of(key), found.names_of(tag))


def _flush(store: Store) -> None:
    if isinstance(store, Deferring):
        store.flush(_PATIENCE)


# --- on disk -----------------------------------------------------------------------


def _check_disk(
    store: Store, settings: Settings, options: StoreOptions, limit: int | None
) -> Iterator[Finding]:
    from botocache.stores.disk.store import DEFAULT_SIZE_LIMIT, DiskStore

    assert isinstance(store, DiskStore)  # noqa: S101 - for the type checker
    # The store knows where the default directory is; its namespace is the doctor's.
    of_test = store.directory
    root = of_test.parents[1]
    directory = of_test.with_name(settings.namespace)
    yield good(_SUBJECT, f"{without_secrets(settings.url)} is {directory}")
    _remove_old(of_test.parent)
    was_there = [path for path in (root, of_test.parent) if not os.path.lexists(path)]
    findings = []
    for finding in disk.check_directory(root, directory, limit or DEFAULT_SIZE_LIMIT):
        findings.append(finding)
        yield finding
    # A store would be 16 MiB more on a full disk, or lie in another user's directory.
    if worst(findings) is State.BAD:
        return

    def remove(_entries: Sequence[bytes], _tags: Sequence[bytes]) -> None:
        store.close()
        shutil.rmtree(of_test, ignore_errors=True)
        for path in reversed(was_there):
            with contextlib.suppress(OSError):  # a process has begun to use it
                path.rmdir()

    for finding in _try(store, settings, options, remove, ""):
        is_failed = finding.state is State.BAD and not finding.advice
        advice = disk.advice_of(finding.found) if is_failed else finding.advice
        yield finding._replace(advice=advice)


def _remove_old(namespaces: Path) -> None:
    """Remove what a doctor has left that was killed: 16 MiB each."""
    for path in namespaces.glob("*:doctor-*"):  # no namespace of a setting has a colon
        with contextlib.suppress(OSError):
            if time.time() - path.lstat().st_mtime > _OLD:
                shutil.rmtree(path)


_TRACKING_IN_CLUSTER = warning(
    "client tracking",
    "client_tracking is on, and a cluster does not announce changes: each hit asks it",
    "Set BOTOCACHE_CLIENT_TRACKING=off.",
)


# --- on a server -------------------------------------------------------------------


def _check_server(
    store: Store, settings: Settings, options: StoreOptions, word: str
) -> Iterator[Finding]:
    from botocache.stores.redis.inspection import inspect_servers, remove_traces
    from botocache.stores.redis.store import RedisStore

    assert isinstance(store, RedisStore)  # noqa: S101 - for the type checker
    shown = without_secrets(settings.url)
    findings = [good(_SUBJECT, shown)]
    yield findings[0]
    is_reached = False
    try:
        for facts in inspect_servers(
            options, word.encode(), has_board=settings.stats_interval > 0
        ):
            if facts.is_clustered and settings.client_tracking and not is_reached:
                yield _TRACKING_IN_CLUSTER
            is_reached = True
            for finding in judge_server(
                facts, timeout=settings.timeout, is_encrypted=options.is_encrypted
            ):
                findings.append(finding)
                yield finding
    except BotocacheError as error:
        pass_on(error)
        yield judge_connecting(shown, text_of(error))
    # Without a server the round trip would only say the same again, after a while.
    if not is_reached:
        return

    def remove(entries: Sequence[bytes], tags: Sequence[bytes]) -> None:
        remove_traces(store, entries, tags)

    named = {f.subject for f in findings if f.state is State.BAD}
    advice = (
        f"Correct first what is found about {', '.join(sorted(named))}."
        if named
        else "See the server's log, and docs/how-to/redis.md."
    )
    yield from _try(store, settings, options, remove, advice)
