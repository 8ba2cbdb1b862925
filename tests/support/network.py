"""What stands between a client and the network, where botocore does not see it.

A handler of `before-send` or `response-received` changes what the cache may do for a
client: it might tell callers apart, or change answers. So tests that count, delay or
answer requests do it here, below botocore's HTTP session, as a proxy would.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, NamedTuple

from botocore.awsrequest import AWSResponse

Interceptor = Callable[..., AWSResponse | None]
"""Takes `request` (url, headers, body) and `event_name`. It may raise, or answer in the
server's place. All are called, the latest first; the first answer counts."""

BEFORE, AFTER = "before-send", "response-received"
"""The moments: as botocore's events of these names, `before-send.dynamodb.GetItem`."""


class _Interception(NamedTuple):
    moment: str
    operation: str
    interceptor: Interceptor

    def is_for(self, moment: str, operation: str) -> bool:
        return self.moment == moment and self.operation in ("", "*", operation)


def intercept(client: Any, moment: str, interceptor: Interceptor) -> Callable[[], None]:
    """Call the interceptor at a moment of a client's requests; return what ends that.

    moment: `before-send` or `response-received`, perhaps with service and operation.
    """
    event, _, rest = moment.partition(".")
    assert event in (BEFORE, AFTER)
    interceptions = _interceptions_of(client).all
    added = _Interception(event, rest.partition(".")[2], interceptor)
    interceptions.insert(0, added)
    return lambda: interceptions.remove(added)


def _interceptions_of(client: Any) -> "_Interceptions":
    session = client._endpoint.http_session
    if not hasattr(session, "_manager"):  # it is aiobotocore's
        from tests.support import aio

        found: _Interceptions = aio.intercepted(client, _Interceptions)
        return found
    if not isinstance(session._manager, _Manager):
        session._manager = _Manager(session._manager)
    interceptions: _Interceptions = session._manager.interceptions
    return interceptions


@contextmanager
def intercepted(client: Any, moment: str, interceptor: Interceptor) -> Iterator[None]:
    """Intercept for as long as the context lasts."""
    end = intercept(client, moment, interceptor)
    try:
        yield
    finally:
        end()


class _Interceptions:
    """Those of one client, the latest first."""

    def __init__(self) -> None:
        self.all: list[_Interception] = []

    def __call__(self, moment: str, request: Any) -> AWSResponse | None:
        """Call those of a moment; return the first answer."""
        operation = bytes(request.headers["X-Amz-Target"]).decode().rpartition(".")[2]
        event_name = f"{moment}.dynamodb.{operation}"
        answers = [
            each.interceptor(request=request, event_name=event_name)
            for each in list(self.all)
            if each.is_for(moment, operation)
        ]
        return next((each for each in answers if each is not None), None)


class _Manager:
    """Stands for the connection pools of an HTTP session."""

    def __init__(self, pools: Any) -> None:
        self._pools = pools
        self.interceptions = _Interceptions()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pools, name)

    def connection_from_url(self, url: str) -> "_Pool":
        return _Pool(self._pools.connection_from_url(url), url, self.interceptions)


class _Pool:
    """Stands for the connections to one host."""

    def __init__(self, pool: Any, url: str, interceptions: _Interceptions) -> None:
        self._pool = pool
        self._url = url
        self._intercept = interceptions

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)

    def urlopen(self, *, body: Any, headers: Any, **more: Any) -> Any:
        request = SimpleNamespace(url=self._url, body=body, headers=headers)
        answer = self._intercept(BEFORE, request)
        if answer is not None:
            return SimpleNamespace(
                status=answer.status_code,
                headers=answer.headers,
                stream=answer.raw.stream,
            )
        response = self._pool.urlopen(body=body, headers=headers, **more)
        self._intercept(AFTER, request)
        return response
