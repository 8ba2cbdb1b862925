"""install and uninstall: on a process, a session or a client. The only global state.

A session copies its handlers into each client that it makes. So an installation on a
session reaches the clients that the session makes afterwards. An installation on the
process reaches later sessions through botocore's list of built-in handlers. It finds
existing sessions and clients through the garbage collector, because botocore keeps no
list of them.
"""

import gc
import os
import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from functools import partial
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Literal

from botocache._errors import ConfigError, StoreUnavailableError, pass_on
from botocache._log import describe, log, log_once, package_version, printable
from botocache.stores.opening import open_store
from botocache.stores.options import DefaultUrl, StoreIdentity, default_url, identity_of
from botocache.stores.protocol import Store
from botocache.stores.urls import without_secrets

# Only `install` imports the cache itself: the other functions of this file must work in
# an application that runs uncached because a dependency cannot be imported.
if TYPE_CHECKING:
    from botocore.client import BaseClient
    from botocore.hooks import BaseEventHooks

    from botocache._aiobotocore.adapter import AioAdapter
    from botocache._botocore.hooks import Hooks
    from botocache._cache.cache import Cache
    from botocache._settings.encryption_keys import KeysArgument
    from botocache._settings.load import Settings, StoreLocation
    from botocache._settings.tables import TablesArgument

_lock = threading.Lock()
_caches: "weakref.WeakValueDictionary[Settings, Cache]" = weakref.WeakValueDictionary()
_kept: "dict[Settings, Cache]" = {}
"""The caches made last, so that a session with the settings of an earlier one finds
what that has left. The others live as long as their sessions."""

_MOST_KEPT = 100
"""An application may install one cache for each of its tenants, with a scope of its
own."""

_stores: dict[StoreIdentity, Store] = {}
_process: "Hooks | None" = None
_installed: "weakref.WeakKeyDictionary[BaseEventHooks, Hooks]" = (
    weakref.WeakKeyDictionary()
)


def install(  # noqa: PLR0913 - each setting is a keyword that an editor completes
    target: object = None,
    *,
    url: "StoreLocation | None" = None,
    ttl: float | None = None,
    negative_ttl: float | None = None,
    tables: "TablesArgument | None" = None,
    scope: str | None = None,
    timeout: float | None = None,
    stale_if_throttled: float | None = None,
    namespace: str | None = None,
    settle: float | None = None,
    write_hold_off: float | None = None,
    reads_after_write: Literal["consistent", "uncached"] | None = None,
    on_eviction_failure: Literal["send", "refuse"] | None = None,
    client_tracking: bool | None = None,
    precise_index_eviction: bool | None = None,
    streams: "str | Sequence[str] | None" = None,
    ttl_unfollowed: float | None = None,
    miss_leases: bool | None = None,
    near: Literal["on", "off", "untraced"] | bool | None = None,
    fast_parsing: bool | None = None,
    coalesce: bool | None = None,
    encryption_keys: "KeysArgument | None" = None,
    shadow: bool | None = None,
    audit: float | None = None,
    metrics: "str | Sequence[str] | None" = None,
    stats_interval: float | None = None,
    prices: "str | Mapping[str, float | str] | None" = None,
) -> "Cache":
    """Answer DynamoDB reads from a cache, and evict what writes change.

    A setting that is not given, or None, comes from its `BOTOCACHE_*` variable, from
    the TOML file that `BOTOCACHE_CONFIG` names, or from its default.

    target: None, for all sessions and clients of the process; a boto3 or botocore
        Session, for the clients that it makes from now on; or a DynamoDB client,
        resource or Table.
    url: the store: a URL, a store object, or a redis-py client.
    ttl: seconds that an entry lives.
    negative_ttl: seconds that "no such item" lives; 0 does not cache it.
    tables: seconds, "off" or options per table or pattern.
    scope: "auto", or a name: then all callers with that name share entries.
    timeout: seconds that a store across the network may delay a call.
    stale_if_throttled: seconds after its TTL in which an entry may still answer a read
        that DynamoDB refuses for lack of capacity, or does not answer; 0 for never.
    namespace: keeps applications that share a store apart.
    settle: seconds after the end of a write in which eventually consistent answers are
        not cached.
    write_hold_off: seconds after the beginning of a write in which the same holds.
    reads_after_write: send a read within `settle` seconds of a write strongly
        consistent ("consistent"), or do not cache it ("uncached").
    on_eviction_failure: "send" or "refuse" a write whose eviction failed.
    client_tracking: a Redis server announces the writes of other processes.
    precise_index_eviction: ask DynamoDB for old items, to evict fewer index queries.
    streams: tables whose DynamoDB Streams this process follows, to evict what other
        programs change; names or ARNs.
    ttl_unfollowed: seconds that an entry lives unless its table's stream is followed.
        Without it, `ttl`.
    miss_leases: of all processes that miss an entry, one asks DynamoDB.
    near: serve hits before botocore's pipeline: "on", "off", or "untraced".
    fast_parsing: parse DynamoDB's answers in C, in place of botocore's parser.
    coalesce: send one of the reads that miss the same entry at the same time; the
        others wait for its answer, for a quarter of a second at most.
    encryption_keys: secrets of 32 bytes, in base64 or as bytes; or a function that
        returns them, called when the store is first used. The first one encrypts.
    shadow: serve nothing; fill and evict, and compare each hit with DynamoDB's answer.
    audit: share of hits that are compared with DynamoDB's answer instead of served.
    metrics: some of "otel", "prometheus" and "cloudwatch".
    stats_interval: seconds between two posts of this process's counters on the store,
        for `botocache stats` and `botocache report`; 0 for never.
    prices: of read units, with their region and date, for `botocache report`.

    Installing twice with the same settings is one installation. Makes no network call,
    and opens the store on first use. If the environment lacks what the store needs, one
    line on the log says so, nothing is installed, and the returned cache is not used.
    Raises ConfigError if a setting or the target is wrong, or if the target has the
    cache already with other settings.
    """
    arguments = {
        "url": url,
        "ttl": ttl,
        "negative_ttl": negative_ttl,
        "tables": tables,
        "scope": scope,
        "timeout": timeout,
        "stale_if_throttled": stale_if_throttled,
        "namespace": namespace,
        "settle": settle,
        "write_hold_off": write_hold_off,
        "reads_after_write": reads_after_write,
        "on_eviction_failure": on_eviction_failure,
        "client_tracking": client_tracking,
        "precise_index_eviction": precise_index_eviction,
        "streams": streams,
        "ttl_unfollowed": ttl_unfollowed,
        "miss_leases": miss_leases,
        "near": near,
        "fast_parsing": fast_parsing,
        "coalesce": coalesce,
        "encryption_keys": encryption_keys,
        "shadow": shadow,
        "audit": audit,
        "metrics": metrics,
        "stats_interval": stats_interval,
        "prices": prices,
    }
    return _install(target, arguments, _all_objects)


def install_before_first_session(*, is_forked: bool) -> None:
    """Install on a process that has no session yet, from the environment.

    is_forked: another process, which runs no botocore, forked this one, and may fork
        more.

    Raises ConfigError.
    """
    _install(None, {}, tuple, is_forked=is_forked)


def _install(
    target: object,
    arguments: Mapping[str, object],
    objects: Callable[[], Iterable[object]],
    *,
    is_forked: bool = False,
) -> "Cache":
    from botocache._settings.load import load_settings

    wanted = load_settings(arguments, os.environ, default_url())
    adapt_to_aiobotocore()
    with _lock:
        try:
            if target is None:
                cache = _install_on_process(wanted, objects)
            else:
                cache = _install_on_target(target, wanted)
        except StoreUnavailableError as error:
            return _unused_cache(wanted, error)
        _warn_of_memory(wanted, is_forked=is_forked)
        return cache


def installed(target: object = None) -> "Cache | None":
    """Return the cache that `install(target)` has installed, or None. Changes nothing.

    target: as for `install`. A session, client, resource or Table also has the cache of
        a wider installation.

    Raises ConfigError if the target is wrong.
    """
    if target is None:
        return None if _process is None else _process.cache
    events, _ = _emitter_of(target)
    caches = [hooks.cache for hooks in _hooks_on(events) if hooks.cache is not None]
    return caches[0] if caches else None


def uninstall(target: object = None) -> None:
    """Undo `install(target)` for all that it reached. Does nothing if it was undone.

    target: as for `install`.

    Raises ConfigError if the target has the cache from a wider installation; undo that
    one.
    """
    with _lock:
        if target is None:
            _uninstall_from_process()
        else:
            _uninstall_from_target(target)


# --- a process ---------------------------------------------------------------------

_Emitter = tuple["BaseEventHooks", "BaseClient | None"]
"""The emitter of a session or client, and the client."""


def _install_on_process(
    wanted: "Settings", objects: Callable[[], Iterable[object]]
) -> "Cache":
    """Install on later sessions, and on those among the objects that exist."""
    global _process  # noqa: PLW0603 - a process has one process-wide installation
    from botocore.handlers import BUILTIN_HANDLERS

    from botocache._botocore.hooks import Hooks
    from botocache._near.client import NearClient

    if _process is not None and _process.cache is not None:
        return _same(_process.cache, wanted)
    found = list(_existing_emitters(objects()))
    for events, _ in found:  # all, before anything is changed: this may raise
        _active_on(events, wanted)
    cache = _cache_for(wanted)
    if _process is None:
        _process = Hooks(NearClient, _async_adapter)
    _follow_streams(cache, None)
    _process.cache = cache
    _process.register_builtin(BUILTIN_HANDLERS)
    for events, client in found:
        if _active_on(events, wanted) is None:
            _process.register(events)
        if client is not None:
            _give_base(client, cache)
    _unannounced[:] = [cache]
    if log.shows_info():
        _announce_first_client()
    else:
        BUILTIN_HANDLERS.append(_ANNOUNCER)
    return cache


def _uninstall_from_process() -> None:
    if _process is None or _process.cache is None:
        return
    from botocore.handlers import BUILTIN_HANDLERS

    _process.unregister_builtin(BUILTIN_HANDLERS)
    _unannounced.clear()
    if _ANNOUNCER in BUILTIN_HANDLERS:
        BUILTIN_HANDLERS.remove(_ANNOUNCER)
    _process.cache.forget()
    _process.cache.rest()
    _process.cache = None
    for events, client in _existing_emitters(_all_objects()):
        _process.unregister(events)
        if client is not None and not _has_cache(events):
            _take_base(client)


def _all_objects() -> Iterable[object]:
    """Return the objects of the process.

    The garbage collector does not list objects that were frozen by gc.freeze(), so
    sessions and clients from before a freeze are not found.
    """
    gc.collect()  # else an installation would reach sessions that are garbage
    return gc.get_objects()


def _existing_emitters(candidates: Iterable[object]) -> Iterator[_Emitter]:
    """Yield the emitters of the sessions and DynamoDB clients among some objects.

    And those of clients that hand out keys, which the hooks observe.
    """
    from botocore.client import BaseClient
    from botocore.session import Session

    from botocache._botocore.handouts import SERVICES

    for candidate in candidates:
        # By type: isinstance() would ask an object's `__class__`, and proxies of other
        # libraries run code there.
        kind = type(candidate)
        client: BaseClient | None = None
        try:
            if issubclass(kind, Session):
                events = candidate.get_component("event_emitter")  # type: ignore[attr-defined]  # see kind
            elif issubclass(kind, BaseClient):
                service = _service_of(candidate)
                if service == _DYNAMODB:
                    client = candidate  # type: ignore[assignment]  # see kind
                elif service not in SERVICES:
                    continue
                events = candidate.meta.events  # type: ignore[attr-defined]  # see kind
            else:
                continue
            is_passed_over = _is_unknown_async(candidate, events)
        except Exception as error:  # noqa: BLE001 - it is half made, or a library's own class
            pass_on(error)
            continue
        if not is_passed_over:
            yield events, client


# --- a target ----------------------------------------------------------------------


def _install_on_target(target: object, wanted: "Settings") -> "Cache":
    from botocache._botocore.hooks import Hooks
    from botocache._near.client import NearClient

    events, client = _emitter_of(target)
    active = _active_on(events, wanted)
    if active is None:
        hooks = Hooks(NearClient, _async_adapter)
        active = hooks.cache = _cache_for(wanted)
        _follow_streams(active, target)
        hooks.register(events)
        _installed[events] = hooks
        if active not in _announced:
            _announced.add(active)
            _announce(active, f"a {type(target).__name__}")
    if client is not None:
        _give_base(client, active)
    return active


def _give_base(client: "BaseClient", cache: "Cache") -> None:
    """Let an existing client be known, and give it the base class of new ones."""
    from botocache._botocore.clients import know
    from botocache._near.client import with_near

    is_async = _is_async(client, client.meta.events)
    adapter = _async_adapter() if is_async else None
    know(client)
    if adapter is not None:
        adapter.give_base(client, has_near=cache.near is not None)
    elif cache.near is not None:
        with_near(client)


def _take_base(client: "BaseClient") -> None:
    """Undo `_give_base`."""
    from botocache._near.client import without_near

    without_near(client)
    if _is_async(client, client.meta.events):
        adapter = _async_adapter()
        if adapter is not None:
            adapter.take_base(client)


def _uninstall_from_target(target: object) -> None:
    events, client = _emitter_of(target)
    hooks = _installed.pop(events, None)
    if hooks is not None and hooks.cache is not None:
        hooks.cache.forget()
        hooks.cache.rest()
        hooks.cache = None
        hooks.unregister(events)
        if client is not None:
            _take_base(client)
    elif _has_cache(events):
        wider = "install()" if _is_process_wide(events) else "install() on its session"
        raise ConfigError(
            f"{type(target).__name__} has the cache from {wider}; nothing was undone: "
            "call uninstall() with the target of that installation"
        )


def _has_cache(events: "BaseEventHooks") -> bool:
    return any(hooks.cache is not None for hooks in _hooks_on(events))


def _is_process_wide(events: "BaseEventHooks") -> bool:
    return any(hooks is _process for hooks in _hooks_on(events))


def _hooks_on(events: "BaseEventHooks") -> "Iterable[Hooks]":
    """Return the hooks that an emitter has. Needs no dependency if there are none."""
    if _process is None and not _installed:
        return ()
    from botocache._botocore.hooks import installed_on

    return installed_on(events)


def _active_on(events: "BaseEventHooks", wanted: "Settings") -> "Cache | None":
    """Return the cache that an emitter has; take off the hooks of ended installations.

    Raises ConfigError if that cache has other settings.
    """
    from botocache._botocore.hooks import installed_on

    active: Cache | None = None
    for hooks in installed_on(events):
        if hooks.cache is not None:
            active = _same(hooks.cache, wanted)
        else:
            hooks.unregister(events)
    return active


def _emitter_of(target: object) -> _Emitter:
    """Return the emitter of a target. Raises ConfigError."""
    from botocore.client import BaseClient
    from botocore.session import Session

    client: object = target
    if not isinstance(target, BaseClient):  # its missing attributes are an event, too
        session = getattr(target, "_session", target)  # boto3's wraps botocore's
        if isinstance(session, Session):
            events: BaseEventHooks = session.get_component("event_emitter")
            if _is_unknown_async(session, events):
                raise _async_target(target)
            return events, None
        meta = getattr(target, "meta", None)
        client = getattr(meta, "client", target)  # a resource has a client
    if _is_unknown_async(
        client, getattr(getattr(client, "meta", None), "events", None)
    ):
        raise _async_target(target)
    if isinstance(client, BaseClient):
        if _service_of(client) != _DYNAMODB:
            service = client.meta.service_model.service_name
            raise ConfigError(f"expected a client of dynamodb, not of {service}")
        return client.meta.events, client
    raise ConfigError(
        "expected a Session of boto3, botocore, aioboto3 or aiobotocore, a DynamoDB "
        f"client, resource or Table, not {type(target).__name__}"
    )


_ASYNC_PACKAGES = frozenset({"aiobotocore", "aioboto3"})


def _is_async(candidate: object, events: object) -> bool:
    """Return whether a session's or client's events are awaited, as aiobotocore's are.

    events: its emitter. An `emit` that is awaited must not be called: what it returns
        would never be awaited.
    """
    emitter = getattr(events, "_emitter", events)  # botocore's EventAliaser wraps it
    return any(
        iscoroutinefunction(getattr(each, name, None))
        for each in (events, emitter)
        for name in ("emit", "_emit")
    ) or any(
        kind.__module__.partition(".")[0] in _ASYNC_PACKAGES
        for kind in type(candidate).__mro__
    )


def _is_unknown_async(candidate: object, events: object) -> bool:
    """Return whether a session or client is awaited, and of no supported library."""
    if not _is_async(candidate, events):
        return False
    adapter = _async_adapter()
    return adapter is None or not adapter.owns(candidate)


def adapt_to_aiobotocore() -> None:
    """Adapt to aiobotocore now, if the application has imported it.

    Else that happens when its first client is made; a role that an endpoint of the
    machine has named before that is known only once its keys are refreshed.
    """
    _async_adapter()


def _async_adapter() -> "AioAdapter | None":
    """Return what adapts the hooks to aiobotocore.

    None if the application has not imported it, or has a version that is not supported.
    """
    package = sys.modules.get("aiobotocore")
    # By its last function: the toggle installs while this module is being imported.
    session = sys.modules.get("aiobotocore.session")
    if package is None or not hasattr(session, "get_session"):
        return None
    if package not in _adapters:
        adapter = None
        try:
            from botocache._aiobotocore.adapter import AioAdapter

            adapter = AioAdapter()
        except Exception as error:  # noqa: BLE001 - it may lack anything
            version = getattr(package, "__version__", "of no version")
            why = describe(pass_on(error))
            log_once(log.warning, "async_not_supported", _NO_ASYNC % (version, why))
        _adapters[package] = adapter
    return _adapters[package]


_NO_ASYNC = (
    "aiobotocore %s is not supported (%s); its clients' reads are not cached, and "
    "their writes evict"
)

_adapters: "dict[object, AioAdapter | None]" = {}
"""By the package that it adapts to."""


def _async_target(target: object) -> ConfigError:
    name = type(target).__name__
    if hasattr(type(target), "__aenter__") and not hasattr(target, "meta"):
        return ConfigError(
            f"{name} only makes a client: enter it (`async with`), and install on what "
            "that returns, or install on its session"
        )
    return ConfigError(
        f"{name} is asynchronous, and not of a supported version of aiobotocore or "
        "aioboto3; expected a session, client, resource or Table of these, or of boto3 "
        "or botocore"
    )


_DYNAMODB = "dynamodb"


def _service_of(client: object) -> str | None:
    """Return the service of a client; None of one that is half made."""
    # From its dict: the __getattr__ of a client that is half made never returns.
    meta = vars(client).get("meta")
    return None if meta is None else meta.service_model.service_name


# --- the log -----------------------------------------------------------------------

_announced: "weakref.WeakSet[Cache]" = weakref.WeakSet()
_unannounced: "list[Cache]" = []
"""The process's cache, until the log says that it is on."""

_said: set[str] = set()
"""What the log says once in a process, and has said."""

_ALONE = (
    "this machine has no boot id, so entries are in memory, and each process caches "
    "alone; %s. Name a server by BOTOCACHE_URL to share one cache"
)


def _announce(cache: "Cache", target: str) -> None:
    """Log that the cache is on: version, store, TTL, tables, scope, other settings.

    The other ones only where they are not defaults.
    """
    settings = cache.settings
    store = without_secrets(settings.url)
    if isinstance(settings.url, str):  # an object is the user's; do not look into it
        directory = getattr(_store_for(settings), "directory", None)
        store = store if directory is None else printable(f"disk:{directory}")
    # Of the tables only the number: there may be hundreds.
    count = len(settings.tables)
    tables = f"{count} table{'' if count == 1 else 's'} set" if count else "all tables"
    others = [
        f"{field.name}={value!r}"
        for field in fields(settings)
        if field.name not in {"url", "ttl", "tables", "scope"}
        and (value := getattr(settings, field.name)) != field.default
    ]
    always = (
        f"store {store}",
        f"ttl={settings.ttl:g}",
        tables,
        f"scope={settings.scope!r}",
    )
    what = ", ".join([*always, *others])
    log.info("version %s is on for %s, %s", package_version(), target, what)


def _announce_first_client(**_: object) -> None:
    try:
        _announce(_unannounced.pop(), "all sessions")
    except Exception as error:  # noqa: BLE001 - another thread was faster; or no line
        pass_on(error)  # nothing else may disturb the client that is made


_ANNOUNCER = ("creating-client-class.dynamodb", _announce_first_client)
"""A handler of later sessions. With the toggle the installation comes before the
application has configured logging, and the line would be lost."""


def _warn_of_memory(wanted: "Settings", *, is_forked: bool) -> None:
    """Log that each process caches alone, if there are several of them.

    Only of the memory store that no setting names: a user who names it knows.
    """
    is_chosen = isinstance(wanted.url, DefaultUrl) and wanted.url == "memory:"
    if not is_chosen or _ALONE in _said:
        return
    _said.add(_ALONE)
    if is_forked or _is_worker():
        log.warning(_ALONE, "a write of another process is seen after the TTL only")
    elif hasattr(os, "register_at_fork"):
        os.register_at_fork(before=_warn_at_first_fork)


def _warn_at_first_fork() -> None:
    everything = [_process, *_installed.values()]
    is_on = any(hooks is not None and hooks.cache is not None for hooks in everything)
    if is_on and "fork" not in _said:
        _said.add("fork")
        log.warning(_ALONE, "processes forked from now on see each other's writes")


def _is_worker() -> bool:
    """Return whether a known server or pool runs this process as one of several."""
    multiprocessing = sys.modules.get("multiprocessing.process")
    uwsgi = sys.modules.get("uwsgi")  # there in its processes alone
    return (
        "gunicorn.arbiter" in sys.modules
        or getattr(uwsgi, "numproc", 1) > 1
        or (
            multiprocessing is not None and multiprocessing.parent_process() is not None
        )
    )


def _unused_cache(wanted: "Settings", error: StoreUnavailableError) -> "Cache":
    """Return a cache that no client has, for a process that cannot have a store."""
    from botocache._cache.cache import Cache
    from botocache.stores.memory import MemoryStore

    what = str(error)
    if what not in _said:
        _said.add(what)
        log.error("%s; running uncached", what)
    return Cache(MemoryStore(), wanted)


# --- caches and stores -------------------------------------------------------------


def _same(cache: "Cache", wanted: "Settings") -> "Cache":
    """Return the cache if it has the wanted settings. Raises ConfigError."""
    if cache.settings == wanted:
        return cache
    differences = ", ".join(_differences(cache.settings, wanted))
    raise ConfigError(
        f"already installed with other settings ({differences}), which stay in force; "
        "call uninstall() first to change them"
    )


def _differences(a: "Settings", b: "Settings") -> Iterator[str]:
    for field in fields(a):
        there, here = getattr(a, field.name), getattr(b, field.name)
        if there == here:
            continue
        if field.name == "url":
            there, here = without_secrets(there), without_secrets(here)
        if repr(there) == repr(here):  # two logins, keys, or objects of one class
            here = f"another {here}"
        yield f"{field.name}={there!r} there and {here!r} here"


def _cache_for(wanted: "Settings") -> "Cache":
    """Return the cache of some settings: one per process."""
    from botocache._cache.cache import Cache
    from botocache._near.audited_answers import near_answers
    from botocache._observe.posting import post_counts_of

    cache = _caches.get(wanted)
    if cache is None:
        near = None if wanted.near == "off" else near_answers
        store = _store_for(wanted)
        if wanted.metrics:
            cache = _exported_cache(store, wanted)
        else:
            cache = Cache(store, wanted, near)
        _caches[wanted] = cache
        post_counts_of(cache, store)
        _keep(cache)
    return cache


def _follow_streams(cache: "Cache", target: object) -> None:
    """Let this process follow the streams that the settings name, once it makes calls.

    target: whose region and credentials the requests have; None for the default ones.

    Raises ConfigError.
    """
    settings = cache.settings
    if not settings.streams or cache.follower is not None:
        return
    from botocache._botocore.following import new_follower, session_of
    from botocache._streams.embedded import MOST_EMBEDDED, EmbeddedFollower
    from botocache.stores.boards import board_of

    store = _store_for(settings)
    if board_of(store) is None:
        raise ConfigError(
            "streams: this store keeps no records for several processes; leave "
            "`streams` out, or name disk:, redis:// or valkey:// as the `url`"
        )
    make = partial(
        new_follower,
        settings.streams,
        cache.services,
        store,
        session=None if target is None else session_of(target),
        most=MOST_EMBEDDED,
    )
    cache.follower = EmbeddedFollower(make, store.now)


def _exported_cache(store: Store, wanted: "Settings") -> "Cache":
    """Return a new cache whose counters are exported."""
    from botocache._cache.cache import Cache
    from botocache._near.observed import observed_answers
    from botocache._observe.exports import exports_for

    exports = exports_for(wanted.metrics, wanted.stats_interval)
    near = None if wanted.near == "off" else partial(observed_answers, exports)
    cache = Cache(store, wanted, near)
    cache.observe(exports)
    exports.readings.add(cache, store)
    return cache


def _keep(cache: "Cache") -> None:
    """Keep a new cache, and those made last. What owes an eviction is kept, too."""
    _kept[cache.settings] = cache
    excess = len(_kept) - _MOST_KEPT
    for settings in [*_kept][: max(0, excess)]:
        if not _kept[settings].stats().undelivered:
            del _kept[settings]


def _store_for(wanted: "Settings") -> Store:
    """Return the store of some settings.

    Raises ConfigError or StoreUnavailableError.
    """
    if isinstance(wanted.url, Store):
        return wanted.url
    options = wanted.store_options(os.environ)
    identity = identity_of(options)
    if identity not in _stores:
        if any(map(identity.differs_in_size_limit, _stores)):
            raise ConfigError(
                f"url {without_secrets(wanted.url)!r}: this process uses the same "
                "place already with another size_limit; give both the same one"
            )
        _stores[identity] = open_store(options)
    return _stores[identity]
