"""install and uninstall: on a process, a session or a client. The only global state.

A session copies its handlers into each client that it makes. So an installation on a
session reaches the clients that the session makes afterwards. An installation on the
process reaches later sessions through botocore's list of built-in handlers. It finds
existing sessions and clients through the garbage collector, because botocore keeps no
list of them.
"""

import gc
import os
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from typing import TYPE_CHECKING, Literal

from botocache._cache.cache import Cache
from botocache._errors import ConfigError
from botocache._near.answers import NearAnswers
from botocache._settings.load import Settings, StoreLocation, load_settings
from botocache._settings.tables import TablesArgument
from botocache.stores.opening import open_store
from botocache.stores.options import StoreIdentity, default_url, identity_of
from botocache.stores.protocol import Store
from botocache.stores.urls import without_secrets

if TYPE_CHECKING:
    from botocore.client import BaseClient
    from botocore.hooks import BaseEventHooks

    from botocache._botocore.hooks import Hooks

_lock = threading.Lock()
_caches: dict[Settings, Cache] = {}
_stores: dict[StoreIdentity, Store] = {}
_process: "Hooks | None" = None
_installed: "weakref.WeakKeyDictionary[BaseEventHooks, Hooks]" = (
    weakref.WeakKeyDictionary()
)


def install(  # noqa: PLR0913 - each setting is a keyword that an editor completes
    target: object = None,
    *,
    url: StoreLocation | None = None,
    ttl: float | None = None,
    negative_ttl: float | None = None,
    tables: TablesArgument | None = None,
    scope: str | None = None,
    timeout: float | None = None,
    namespace: str | None = None,
    settle: float | None = None,
    write_hold_off: float | None = None,
    reads_after_write: Literal["consistent", "uncached"] | None = None,
    on_eviction_failure: Literal["send", "refuse"] | None = None,
    client_tracking: bool | None = None,
    precise_index_eviction: bool | None = None,
    near: Literal["on", "off", "untraced"] | bool | None = None,
) -> Cache:
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
    namespace: keeps applications that share a store apart.
    settle: seconds after the end of a write in which eventually consistent answers are
        not cached.
    write_hold_off: seconds after the beginning of a write in which the same holds.
    reads_after_write: send a read within `settle` seconds of a write strongly
        consistent ("consistent"), or do not cache it ("uncached").
    on_eviction_failure: "send" or "refuse" a write whose eviction failed.
    client_tracking: a Redis server announces the writes of other processes.
    precise_index_eviction: ask DynamoDB for old items, to evict fewer index queries.
    near: serve hits before botocore's pipeline: "on", "off", or "untraced".

    Installing twice with the same settings is one installation. Makes no network call,
    and opens the store on first use. Raises ConfigError if a setting or the target is
    wrong, or if the target has the cache already with other settings.
    """
    arguments = {
        "url": url,
        "ttl": ttl,
        "negative_ttl": negative_ttl,
        "tables": tables,
        "scope": scope,
        "timeout": timeout,
        "namespace": namespace,
        "settle": settle,
        "write_hold_off": write_hold_off,
        "reads_after_write": reads_after_write,
        "on_eviction_failure": on_eviction_failure,
        "client_tracking": client_tracking,
        "precise_index_eviction": precise_index_eviction,
        "near": near,
    }
    wanted = load_settings(arguments, os.environ, default_url())
    with _lock:
        if target is None:
            return _install_on_process(wanted, _all_objects)
        return _install_on_target(target, wanted)


def install_before_first_session() -> None:
    """Install on a process that has no session yet, from the environment.

    Raises ConfigError.
    """
    wanted = load_settings({}, os.environ, default_url())
    with _lock:
        _install_on_process(wanted, tuple)


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
    wanted: Settings, objects: Callable[[], Iterable[object]]
) -> Cache:
    """Install on later sessions, and on those among the objects that exist."""
    global _process  # noqa: PLW0603 - a process has one process-wide installation
    from botocore.handlers import BUILTIN_HANDLERS

    from botocache._botocore.clients import know
    from botocache._botocore.hooks import Hooks
    from botocache._near.client import NearClient, with_near

    if _process is not None and _process.cache is not None:
        return _same(_process.cache, wanted)
    found = list(_existing_emitters(objects()))
    for events, _ in found:  # all, before anything is changed: this may raise
        _active_on(events, wanted)
    cache = _cache_for(wanted)
    if _process is None:
        _process = Hooks(NearClient)
    _process.cache = cache
    _process.register_builtin(BUILTIN_HANDLERS)
    for events, client in found:
        if _active_on(events, wanted) is None:
            _process.register(events)
        if client is not None:
            know(client)
            if cache.near is not None:
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
    for events, client in _existing_emitters(_all_objects()):
        _process.unregister(events)
        if client is not None and not _has_cache(events):
            without_near(client)


def _all_objects() -> Iterable[object]:
    """Return the objects of the process.

    The garbage collector does not list objects that were frozen by gc.freeze(), so
    sessions and clients from before a freeze are not found.
    """
    gc.collect()  # else an installation would reach sessions that are garbage
    return gc.get_objects()


def _existing_emitters(candidates: Iterable[object]) -> Iterator[_Emitter]:
    """Yield the emitters of the sessions and DynamoDB clients among some objects."""
    from botocore.client import BaseClient
    from botocore.session import Session

    for candidate in candidates:
        # By type: isinstance() would ask an object's `__class__`, and proxies of other
        # libraries run code there.
        kind = type(candidate)
        try:
            if issubclass(kind, Session):
                yield candidate.get_component("event_emitter"), None  # type: ignore[attr-defined]  # see kind
            elif issubclass(kind, BaseClient) and _is_dynamodb(candidate):
                yield candidate.meta.events, candidate  # type: ignore[attr-defined, misc]  # see kind
        except (AttributeError, ValueError):
            continue  # another thread is making it at this moment


# --- a target ----------------------------------------------------------------------


def _install_on_target(target: object, wanted: Settings) -> Cache:
    from botocache._botocore.clients import know
    from botocache._botocore.hooks import Hooks
    from botocache._near.client import NearClient, with_near

    events, client = _emitter_of(target)
    active = _active_on(events, wanted)
    if active is None:
        hooks = Hooks(NearClient)
        active = hooks.cache = _cache_for(wanted)
        hooks.register(events)
        _installed[events] = hooks
    if client is not None:
        know(client)
        if active.near is not None:
            with_near(client)
    return active


def _uninstall_from_target(target: object) -> None:
    from botocache._near.client import without_near

    events, client = _emitter_of(target)
    hooks = _installed.pop(events, None)
    if hooks is not None and hooks.cache is not None:
        hooks.cache.forget()
        hooks.cache = None
        hooks.unregister(events)
        if client is not None:
            without_near(client)
    elif _has_cache(events):
        wider = "install()" if _is_process_wide(events) else "install() on its session"
        raise ConfigError(
            f"{type(target).__name__} has the cache from {wider}; nothing was undone: "
            "call uninstall() with the target of that installation"
        )


def _has_cache(events: "BaseEventHooks") -> bool:
    from botocache._botocore.hooks import installed_on

    return any(hooks.cache is not None for hooks in installed_on(events))


def _is_process_wide(events: "BaseEventHooks") -> bool:
    from botocache._botocore.hooks import installed_on

    return any(hooks is _process for hooks in installed_on(events))


def _active_on(events: "BaseEventHooks", wanted: Settings) -> Cache | None:
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

    session = getattr(target, "_session", target)  # boto3's Session wraps botocore's
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


def _is_dynamodb(client: object) -> bool:
    # From its dict: the __getattr__ of a client that is half made never returns.
    meta = vars(client).get("meta")
    return meta is not None and meta.service_model.service_name == "dynamodb"


# --- caches and stores -------------------------------------------------------------


def _same(cache: Cache, wanted: Settings) -> Cache:
    """Return the cache if it has the wanted settings. Raises ConfigError."""
    if cache.settings == wanted:
        return cache
    differences = ", ".join(_differences(cache.settings, wanted))
    raise ConfigError(
        f"already installed with other settings ({differences}), which stay in force; "
        "call uninstall() first to change them"
    )


def _differences(a: Settings, b: Settings) -> Iterator[str]:
    for field in fields(Settings):
        there, here = getattr(a, field.name), getattr(b, field.name)
        if there == here:
            continue
        if field.name == "url":
            there, here = without_secrets(there), without_secrets(here)
            if there == here:  # two logins, or two objects of one class
                here = f"another {here}"
        yield f"{field.name}={there!r} there and {here!r} here"


def _cache_for(wanted: Settings) -> Cache:
    """Return the cache of some settings: one per process."""
    cache = _caches.get(wanted)
    if cache is None:
        near = None if wanted.near == "off" else NearAnswers
        cache = _caches[wanted] = Cache(_store_for(wanted), wanted, near)
    return cache


def _store_for(wanted: Settings) -> Store:
    """Return the store of some settings. Raises ConfigError."""
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
