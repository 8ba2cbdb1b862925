"""Clients of aiobotocore that look like boto3's, so that tests of boto3 run on them.

With `CLIENTS=aiobotocore` in the environment, tests/support/dynamodb.py makes its
sessions, clients and resources of these. The real client is aiobotocore's own and runs
on an event loop in a thread. A call of its stand-in runs there, in the context of the
caller, who waits for it. tests/support/unsuitable.py lists what cannot be tested so.
"""

import asyncio
import atexit
import contextlib
import functools
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import aiobotocore.session
import aiohttp
import boto3
import urllib3
from aiobotocore.client import AioBaseClient
from aiobotocore.credentials import (
    AioCredentials,
    AioDeferredRefreshableCredentials,
    AioRefreshableCredentials,
)
from aiobotocore.session import AioSession, ClientCreatorContext
from boto3.resources.base import ResourceMeta, ServiceResource
from boto3.resources.collection import CollectionManager, ResourceCollection
from botocore.awsrequest import HeadersDict
from botocore.client import ClientMeta
from botocore.credentials import (
    Credentials,
    DeferredRefreshableCredentials,
    RefreshableCredentials,
)
from botocore.hooks import BaseEventHooks
from botocore.paginate import PageIterator, Paginator
from botocore.waiter import Waiter

import botocache

try:
    import aioboto3
except ImportError:
    aioboto3 = None

_TIMEOUT = 60
"""Seconds after which a call is given up, as one that hangs."""

_END = object()


# --- the loop ----------------------------------------------------------------------


class _Loop:
    """An event loop in a thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self.thread = threading.Thread(
            target=self._loop.run_forever, name="tests: event loop", daemon=True
        )
        self.thread.start()
        self.pid = os.getpid()
        self.clients: weakref.WeakSet[Any] = weakref.WeakSet()

    def run(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a function on the loop, and return its result, awaited if need be.

        It runs in the caller's context. If the caller is interrupted, it is cancelled.
        """
        if os.getpid() != self.pid:
            raise RuntimeError("this client was made before a fork")
        if threading.current_thread() is self.thread:
            return _result_at_once(function(*args, **kwargs))
        future = asyncio.run_coroutine_threadsafe(
            _outcome(function, *args, **kwargs), self._loop
        )
        try:
            result, error = future.result(_TIMEOUT)
        except BaseException:
            future.cancel()
            raise
        if error is not None:
            try:
                raise error
            finally:
                del error, future  # else the frame and its traceback are a cycle
        return result

    def start(self, function: Callable[..., Any]) -> None:
        """Call a coroutine's function on the loop, and don't wait for it."""
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(
                lambda: self._started.add(self._loop.create_task(function()))
            )

    _started: set[Any] = set()  # noqa: RUF012 - keeps tasks that nobody awaits

    def end(self) -> None:
        """Close all clients, and end the thread."""
        if os.getpid() != self.pid:
            return
        for client in list(self.clients):
            with contextlib.suppress(Exception):
                self.run(client.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self.thread.join()
        self._loop.close()


async def _outcome(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Return a function's result and what it raised.

    An exception that leaves a task may end the loop.
    """
    try:
        result = function(*args, **kwargs)
        if hasattr(result, "__await__"):
            result = await result
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # noqa: BLE001 - the caller gets it
        return None, error
    return result, None


def _result_at_once(result: Any) -> Any:
    """Return a result, which must not have to be awaited."""
    if hasattr(result, "__await__"):
        result.close()
        raise RuntimeError("a handler of this client's events makes a call")
    return result


_current: _Loop | None = None
_lock = threading.Lock()


def loop() -> _Loop:
    """Return the loop of this process."""
    global _current  # noqa: PLW0603 - one for all
    with _lock:
        if _current is None or _current.pid != os.getpid():
            _current = _Loop()
            atexit.register(_current.end)
        return _current


def _forget_loop() -> None:
    global _lock  # noqa: PLW0603 - another thread may have held it
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_forget_loop)


# --- stand-ins ---------------------------------------------------------------------

_ASYNC_KINDS = (
    AioBaseClient,
    BaseEventHooks,
    ClientMeta,
    CollectionManager,
    PageIterator,
    Paginator,
    ResourceCollection,
    ResourceMeta,
    ServiceResource,
    Waiter,
)


class StandIn:
    """Stands for an object of aiobotocore or aioboto3, and awaits what that returns.

    It has the attributes and the class of the object, but not its type.
    owner: what it comes from; a client is closed when nothing of it is left.
    """

    __slots__ = ("__weakref__", "_aio_loop", "_aio_owner", "_aio_real")

    def __init__(self, thing: Any, its_loop: _Loop, owner: Any = None) -> None:
        object.__setattr__(self, "_aio_real", thing)
        object.__setattr__(self, "_aio_loop", its_loop)
        object.__setattr__(self, "_aio_owner", owner)

    @property  # type: ignore[misc]  # mypy does not know that it may be one
    def __class__(self) -> type:
        kind: type = self._aio_real.__class__
        return kind

    @property
    def __dict__(self) -> Any:  # type: ignore[override]  # as the one above
        return vars(self._aio_real)

    def __getattr__(self, name: str) -> Any:
        if name in self.__slots__:
            raise AttributeError(name)  # it is half made
        value = getattr(self._aio_real, name)
        return value if name.startswith("_") else _stand_in(value, self)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._aio_real, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._aio_real, name)

    def __iter__(self) -> Iterator[Any]:
        iterator = self._aio_real.__aiter__()
        while (member := self._aio_loop.run(anext, iterator, _END)) is not _END:
            yield _stand_in(member, self)

    def __enter__(self) -> Any:
        return _stand_in(self._aio_loop.run(self._aio_real.__aenter__), self)

    def __exit__(self, *error: object) -> Any:
        return self._aio_loop.run(self._aio_real.__aexit__, *error)

    def __repr__(self) -> str:
        return repr(self._aio_real)


def _stand_in(value: Any, owner: StandIn) -> Any:
    """Return a value itself, or what stands for it."""
    if hasattr(value, "__await__"):
        return _stand_in(owner._aio_loop.run(lambda: value), owner)
    if isinstance(value, _ASYNC_KINDS) or hasattr(value, "__aenter__"):
        return StandIn(value, owner._aio_loop, owner)
    if callable(value) and not isinstance(value, type) and hasattr(value, "__self__"):
        is_event = isinstance(owner._aio_real, BaseEventHooks)
        return _emitting(value) if is_event else _method(value, owner)
    return value


def _method(method: Any, owner: StandIn) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        return _stand_in(owner._aio_loop.run(method, *args, **kwargs), owner)

    return call


def _emitting(method: Any) -> Callable[..., Any]:
    """Return a method of an emitter. Handlers run where an event is emitted."""

    @functools.wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        result = method(*args, **kwargs)
        if not hasattr(result, "send"):
            return result
        try:
            result.send(None)
        except StopIteration as end:
            return end.value
        result.close()
        raise RuntimeError("a handler waits, and no loop runs where its event is")

    return call


def real(thing: Any) -> Any:
    """Return what a stand-in stands for, if it is one; or the thing itself.

    Of a resource of boto3 it is the client.
    """
    if type(thing) is StandIn:
        return thing._aio_real
    client = getattr(getattr(thing, "meta", None), "client", None)
    if type(client) is StandIn:
        return client._aio_real
    return thing


def credentials_of(sync: Any) -> Any:
    """Return aiobotocore's own kind of credentials, for one of botocore's own kinds."""
    if type(sync) is Credentials:
        return AioCredentials(
            sync.access_key,
            sync.secret_key,
            sync.token,
            sync.method,
            getattr(sync, "account_id", None),
        )
    if type(sync) not in (RefreshableCredentials, DeferredRefreshableCredentials):
        return sync

    async def refresh() -> Any:
        return sync._refresh_using()

    common = {"method": sync.method, "time_fetcher": sync._time_fetcher}
    if type(sync) is DeferredRefreshableCredentials:
        return AioDeferredRefreshableCredentials(refresh, **common)
    keys = sync._access_key, sync._secret_key, sync._token, sync._expiry_time
    made = AioRefreshableCredentials(*keys, refresh, **common)
    made.account_id = getattr(sync, "_account_id", None)
    return made


# --- sessions ----------------------------------------------------------------------


def new_session() -> AioSession:
    """Return a session of aiobotocore that knows neither region nor credentials."""
    return aiobotocore.session.get_session()


def _entered(context: Any) -> StandIn:
    """Return what stands for the client or resource of a context manager."""
    its_loop = loop()
    entered = its_loop.run(context.__aenter__)
    client = entered if isinstance(entered, AioBaseClient) else entered.meta.client
    its_loop.clients.add(client)
    stand_in = StandIn(entered, its_loop)
    # aiohttp warns of what was not closed.
    weakref.finalize(stand_in, its_loop.start, client.close).atexit = False
    return stand_in


_boto3_client, _boto3_resource = boto3.Session.client, boto3.Session.resource


def _client(self: boto3.Session, *args: Any, **kwargs: Any) -> Any:
    made: Any = _boto3_client(self, *args, **kwargs)
    return _entered(made) if isinstance(made, ClientCreatorContext) else made


@functools.cache
def _resource_factory() -> Any:
    """Return one of boto3: that of an AioSession does not await its events."""
    return boto3.Session().resource_factory


def _resource(self: boto3.Session, *args: Any, **kwargs: Any) -> Any:
    if isinstance(self._session, AioSession):
        self.resource_factory = _resource_factory()
    return _boto3_resource(self, *args, **kwargs)


def _sees_through(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function whose first argument may be a stand-in."""

    @functools.wraps(function)
    def call(target: Any = None, **settings: Any) -> Any:
        return function(real(target), **settings)

    return call


def use_aiobotocore() -> None:
    """Let boto3's sessions make stand-ins of an AioSession; botocache takes them."""
    boto3.Session.client = _client  # type: ignore[method-assign]
    boto3.Session.resource = _resource  # type: ignore[method-assign]
    for name in ("install", "installed", "uninstall"):
        setattr(botocache, name, _sees_through(getattr(botocache, name)))


def session_class() -> Any:
    """Return a class of sessions whose clients and resources are stand-ins."""
    if aioboto3 is None:

        class OfBoto3(boto3.Session):
            client, resource = _client, _resource

        return OfBoto3

    class Session(aioboto3.Session):  # type: ignore[misc]  # not installed in .venv
        _is_resource = False

        def client(self, *args: Any, **kwargs: Any) -> Any:
            made: Any = _boto3_client(self, *args, **kwargs)
            return made if self._is_resource else _entered(made)

        def resource(self, *args: Any, **kwargs: Any) -> Any:
            self._is_resource = True  # which enters the client itself
            try:
                made = aioboto3.Session.resource(self, *args, **kwargs)
            finally:
                self._is_resource = False
            return _entered(made)

    return Session


# --- the network -------------------------------------------------------------------

_threads = ThreadPoolExecutor(64, thread_name_prefix="tests: interceptors")


class InterceptedSession:
    """Stands for aiohttp's session, where aiobotocore does not see it.

    intercept: takes a moment (`before-send` or `response-received`) and the request.
        It is called in a thread, because it may wait.
    """

    def __init__(self, session: Any, intercept: Callable[[str, Any], Any]) -> None:
        self._session = session
        self.each = intercept

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    async def request(
        self, method: str, *, url: Any, headers: Any, data: Any, **more: Any
    ) -> Any:
        named = HeadersDict({name: value.encode() for name, value in headers.items()})
        request = SimpleNamespace(url=str(url), headers=named, body=data)
        answer = await self._in_thread("before-send", request)
        if answer is not None:
            return _Answer(str(url), answer)
        response = await self._session.request(
            method, url=url, headers=headers, data=data, **more
        )
        await self._in_thread("response-received", request)
        return response

    async def _in_thread(self, moment: str, request: Any) -> Any:
        running = asyncio.get_running_loop()
        try:
            return await running.run_in_executor(_threads, self.each, moment, request)
        except urllib3.exceptions.HTTPError as error:
            raise _ERRORS[type(error)](str(error)) from error


_ERRORS: dict[type[Exception], Callable[[str], Exception]] = {
    urllib3.exceptions.ReadTimeoutError: aiohttp.ServerTimeoutError,
    urllib3.exceptions.ProtocolError: aiohttp.ClientPayloadError,
}
"""How aiohttp calls what an interceptor raises as urllib3 does."""


class _Answer:
    """Stands for aiohttp's response."""

    def __init__(self, url: str, answer: Any) -> None:
        self.url = url
        self.status = answer.status_code
        self.raw_headers = [
            (name.encode(), str(value).encode())
            for name, value in answer.headers.items()
        ]
        self._raw = answer.raw

    async def read(self) -> bytes:
        return b"".join(self._raw.stream())


def intercepted(client: Any, make: Callable[[], Any]) -> Any:
    """Return what intercepts a client's requests. make: makes it, at the first time."""
    its_loop = client._aio_loop
    http = real(client)._endpoint.http_session
    session = its_loop.run(http._get_session, None)
    if not isinstance(session, InterceptedSession):
        session = InterceptedSession(session, make())
        http._sessions[None] = session
    return session.each
