"""install and uninstall: on a process, a session, a client. The only global state.

Sessions hand their handlers to each client that they make, as a copy. So an
installation on a session reaches the clients made afterwards; one on the process
reaches every session made afterwards by botocore's own list of built-in handlers, and
what exists already by asking the garbage collector for it, because botocore keeps no
list of sessions or clients.
"""

import gc
import os
import threading
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from botocache._cache.cache import Cache
from botocache._errors import ConfigError
from botocache._settings.load import Settings, load_settings
from botocache.stores.opening import is_remote, open_store
from botocache.stores.options import default_url
from botocache.stores.protocol import Store

_lock = threading.Lock()
_caches: dict[Settings, Cache] = {}
_stores: dict[tuple[Any, ...], tuple[Store, int | None]] = {}
_process: Any = None
_installed: "weakref.WeakKeyDictionary[Any, Any]" = weakref.WeakKeyDictionary()


def install(target: Any = None, **settings: Any) -> Cache:
    """Answer DynamoDB reads from a cache, and evict what writes change.

    target: None for every session of the process, those made already included; or a
    boto3 or botocore Session, for the clients made from it afterwards; or a client,
    a resource or a Table.
    settings: url or store, ttl, negative_ttl, tables, namespace, scope, settle,
    write_hold_off, size_limit, write_through, reads_after_write, scan_size_limit,
    precise_index_eviction, client_tracking,
    timeout, on_eviction_failure, near, near_size_limit; see the documentation of
    configuration. What is not given comes from `BOTOCACHE_*` variables, the TOML file
    that `BOTOCACHE_CONFIG` names, or defaults.

    Installing twice is one installation. Never issues a network call, and opens the
    store on first use only. Raises ConfigError when a setting or the target is wrong,
    or when the target has the cache already with other settings.
    """
    wanted = load_settings(settings, os.environ, default_url())
    with _lock:
        if target is None:
            return _install_on_process(wanted, existing=True)
        return _install_on_target(target, wanted)


def install_before_first_session() -> None:
    """Install on a process that has no session yet, from the environment.

    Raises ConfigError.
    """
    wanted = load_settings({}, os.environ, default_url())
    with _lock:
        _install_on_process(wanted, existing=False)


def uninstall(target: Any = None) -> None:
    """Undo `install(target)`, for everything that it reached. Once undone, nothing.

    Raises ConfigError when the target has the cache from a wider installation, which
    is the one to undo.
    """
    with _lock:
        if target is None:
            _uninstall_from_process()
        else:
            _uninstall_from_target(target)


# --- a process ---------------------------------------------------------------------


def _install_on_process(wanted: Settings, *, existing: bool) -> Cache:
    global _process  # noqa: PLW0603 - one installation per process is what this is
    from botocore.handlers import BUILTIN_HANDLERS

    from botocache._botocore.hooks import Hooks
    from botocache._near.client import NearClient, with_near

    if _process is not None and _process.cache is not None:
        return _same(_process.cache, wanted)
    found = list(_existing_emitters()) if existing else []
    for events, _ in found:
        _active_on(events, wanted)
    cache = _cache_for(wanted)
    if _process is None:
        _process = Hooks(NearClient)
    _process.cache = cache
    _process.register_builtin(BUILTIN_HANDLERS)
    for events, client in found:
        if _active_on(events, wanted) is None:
            _process.register(events)
        if client is not None and cache.near is not None:
            with_near(client)
    return cache


def _uninstall_from_process() -> None:
    if _process is None or _process.cache is None:
        return
    from botocore.handlers import BUILTIN_HANDLERS

    from botocache._near.client import without_near

    _process.unregister_builtin(BUILTIN_HANDLERS)
    _process.cache.forget()
    _process.cache = None
    for events, client in _existing_emitters():
        _process.unregister(events)
        if client is not None and not _has_cache(events):
            without_near(client)


def _existing_emitters() -> Iterator[tuple[Any, Any]]:
    """Yield the emitter of every session and DynamoDB client that can be found.

    With the client whose it is, or None.

    Not found are objects that the garbage collector does not list: those frozen by
    gc.freeze(). By type and not by isinstance, which would run code of proxies.
    """
    from botocore.client import BaseClient
    from botocore.session import Session

    gc.collect()  # what nobody holds any more is no session
    for candidate in gc.get_objects():
        kind = type(candidate)
        try:
            if issubclass(kind, Session):
                yield candidate.get_component("event_emitter"), None
            elif issubclass(kind, BaseClient) and _is_dynamodb(candidate):
                yield candidate.meta.events, candidate
        except (AttributeError, ValueError):
            continue  # another thread is making it just now


# --- a target ----------------------------------------------------------------------


def _install_on_target(target: Any, wanted: Settings) -> Cache:
    from botocache._botocore.hooks import Hooks
    from botocache._near.client import NearClient, with_near

    events, client = _emitter_of(target)
    active = _active_on(events, wanted)
    if active is None:
        hooks = Hooks(NearClient)
        active = hooks.cache = _cache_for(wanted)
        hooks.register(events)
        _installed[events] = hooks
    if client is not None and active.near is not None:
        with_near(client)
    return active


def _uninstall_from_target(target: Any) -> None:
    from botocache._near.client import without_near

    events, client = _emitter_of(target)
    hooks = _installed.pop(events, None)
    if hooks is not None:
        hooks.cache.forget()
        hooks.cache = None
        hooks.unregister(events)
        if client is not None:
            without_near(client)
    elif _has_cache(events):
        wider = "install()" if _is_process_wide(events) else "install() on its session"
        raise ConfigError(
            f"{type(target).__name__} has the cache from {wider}; undo that one"
        )


def _has_cache(events: Any) -> bool:
    from botocache._botocore.hooks import installed_on

    return any(hooks.cache is not None for hooks in installed_on(events))


def _is_process_wide(events: Any) -> bool:
    from botocache._botocore.hooks import installed_on

    return any(hooks is _process for hooks in installed_on(events))


def _active_on(events: Any, wanted: Settings) -> Cache | None:
    """Return the cache that an emitter has; take off the hooks of ended installations.

    Raises ConfigError when that cache has other settings.
    """
    from botocache._botocore.hooks import installed_on

    active: Cache | None = None
    for hooks in installed_on(events):
        if hooks.cache is not None:
            active = _same(hooks.cache, wanted)
        else:
            hooks.unregister(events)
    return active


def _emitter_of(target: Any) -> tuple[Any, Any]:
    """Return the emitter of a target, and its client, or None. Raises ConfigError."""
    from botocore.client import BaseClient
    from botocore.session import Session

    session = getattr(target, "_session", target)  # a boto3 Session has one of botocore
    if isinstance(session, Session):
        return session.get_component("event_emitter"), None
    meta = getattr(target, "meta", None)
    client = getattr(meta, "client", target)  # a resource has a client
    if isinstance(client, BaseClient):
        if not _is_dynamodb(client):
            service = client.meta.service_model.service_name
            raise ConfigError(f"expected a client of dynamodb, not of {service}")
        return client.meta.events, client
    raise ConfigError(
        "expected a boto3 or botocore Session, a DynamoDB client, resource or Table, "
        f"not {type(target).__name__}"
    )


def _is_dynamodb(client: Any) -> bool:
    # By its dict: in one that is only half made, a client's __getattr__ never ends.
    meta = vars(client).get("meta")
    return meta is not None and meta.service_model.service_name == "dynamodb"


# --- caches and stores -------------------------------------------------------------


def _same(cache: Cache, wanted: Settings) -> Cache:
    """Return the cache if it has the wanted settings. Raises ConfigError."""
    if cache.settings == wanted:
        return cache
    differences = ", ".join(
        f"{name}={there!r} there and {here!r} here"
        for name, there, here in _differences(cache.settings, wanted)
    )
    raise ConfigError(
        f"already installed with other settings ({differences}); uninstall first"
    )


def _differences(a: Settings, b: Settings) -> Iterator[tuple[str, Any, Any]]:
    if (a.url, a.store) != (b.url, b.store):
        yield "url", "one store", "another"  # it may hold a password
    for field in fields(Settings):
        there, here = getattr(a, field.name), getattr(b, field.name)
        if there != here and field.name not in ("url", "store"):
            yield field.name, there, here


def _cache_for(wanted: Settings) -> Cache:
    """Return the cache of these settings; one store per place where it is."""
    cache = _caches.get(wanted)
    if cache is None:
        cache = _caches[wanted] = Cache(_store_for(wanted, os.environ), wanted)
    return cache


def _store_for(wanted: Settings, environ: Mapping[str, str]) -> Store:
    if isinstance(wanted.store, Store):
        return wanted.store
    place = _place(wanted)
    if place not in _stores:
        store = open_store(
            wanted.url,
            namespace=wanted.namespace,
            size_limit=wanted.size_limit,
            environ=environ,
            timeout=wanted.timeout,
            settle=wanted.settle,
            longest_ttl=wanted.longest_ttl(),
            client=wanted.store,
            client_tracking=wanted.client_tracking,
        )
        _stores[place] = (store, wanted.size_limit)
    store, size_limit = _stores[place]
    if size_limit != wanted.size_limit:
        raise ConfigError(
            f"size_limit: this store is in use with {size_limit!r}, "
            f"not {wanted.size_limit!r}"
        )
    return store


def _place(wanted: Settings) -> tuple[Any, ...]:
    """Return what tells whether two installations use one store object.

    In memory they have to, or they share nothing. Of a server each may have one of its
    own, if they differ in what matters to it.
    """
    place = (wanted.url, wanted.store, wanted.namespace)
    if wanted.store is None and not is_remote(wanted.url):
        return place
    size_limit, settle, follow = (
        wanted.size_limit,
        wanted.settle,
        wanted.client_tracking,
    )
    return (*place, size_limit, settle, wanted.timeout, wanted.longest_ttl(), follow)
