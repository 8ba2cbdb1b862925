"""An application with its cache behind a faulty network notices nothing.

Every answer equals that of a client without a cache, before the fault, while there is
one, and afterwards.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

import botocache
from botocache import Cache
from tests.integration.app import (
    answer_of,
    delete,
    put,
    query_parameters,
    set_n,
    wire,
)
from tests.support.dynamodb import DynamoDB
from tests.support.processes import eventually
from tests.support.tcp_proxy import TcpProxy, running_proxy
from tests.support.valkey_server import ValkeyServer

TIMEOUT = 0.03
"""Seconds that a call waits for a server that does not answer."""

Fault = Callable[[TcpProxy], object]
Write = Callable[[Any, str, int], object]

FAULTS: dict[str, tuple[Fault, ...]] = {
    "swallowed": (TcpProxy.swallow,),
    "replies held back": (TcpProxy.hold_replies,),
    "slower than a call waits": (lambda p: p.delay(to_server=2 * TIMEOUT),),
    "reset once": (TcpProxy.cut,),
    "half closed once": (TcpProxy.half_close,),
    "reset and refused": (TcpProxy.refuse, TcpProxy.cut),
    "ended and not accepted": (
        TcpProxy.stop_accepting,
        lambda p: p.cut(reset=False),
    ),
    "half a reply": (lambda p: p.answer(b"*3\r\n$9\r\nhalf", times=99),),
    "half a reply, then cut": (
        lambda p: p.answer(b"*3\r\n$9\r\nhalf", times=99, then_cut=True),
    ),
    "loading": (lambda p: p.answer_always(b"-LOADING is loading\r\n"),),
    "a replica": (
        lambda p: p.answer_always(b"-READONLY a replica\r\n", to=b"EVALSHA"),
    ),
    "moved": (lambda p: p.answer_always(b"-MOVED 1 127.0.0.1:1\r\n"),),
    "full": (lambda p: p.answer_always(b"-OOM 'maxmemory'\r\n"),),
    "busy": (lambda p: p.answer_always(b"-BUSY a script\r\n"),),
    "not authenticated": (lambda p: p.answer_always(b"-NOAUTH who?\r\n"),),
    "not understood": (lambda p: p.answer_always(b"HTTP/1.1 400 Bad\r\n\r\n"),),
    "another answer": (lambda p: p.answer_always(b"*3\r\n:1\r\n:2\r\n:3\r\n"),),
}


@pytest.fixture
def proxy(valkey: ValkeyServer) -> Iterator[TcpProxy]:
    with running_proxy(valkey.port) as made:
        yield made


@dataclass
class Application:
    """A client with the cache, and one without."""

    cached: Any
    plain: Any
    cache: Cache
    table: str

    def compare(self) -> None:
        """Make each kind of read: twice with the cache, once without."""
        for read in reads(self.table):
            expected = ordered(read(self.plain))
            assert ordered(read(self.cached)) == expected
            assert ordered(read(self.cached)) == expected

    def tell_story(self, n: int, writes: Sequence[Write] = ()) -> None:
        """Write and read; every answer must equal the one without a cache."""
        for write in writes or WRITES:
            write(self.cached, self.table, n)
            self.compare()

    def has_hits(self) -> bool:
        """Return whether a read is a hit now."""
        before = self.cache.stats().hits
        assert ordered(kept(self.cached, self.table)) == ordered(
            kept(self.plain, self.table)
        )
        return self.cache.stats().hits > before


@pytest.fixture
def application(
    dynamodb: DynamoDB, proxy: TcpProxy, namespace: str
) -> Iterator[Application]:
    session, outside = (dynamodb.session() for _ in range(2))
    cache = botocache.install(
        session,
        url=proxy.url(),
        namespace=namespace,
        timeout=TIMEOUT,
        settle=0.001,
        write_hold_off=0.05,
    )
    plain = dynamodb.client(outside)
    table = dynamodb.create_table("pk:S", "sk:S", client=plain)
    yield Application(dynamodb.client(session), plain, cache, table)
    cache.close()


def reads(table: str) -> list[Callable[[Any], Any]]:
    """Return every kind of read of the items that the test writes."""
    keys = [wire({"pk": "p", "sk": sk}) for sk in "ac"]
    by_partition = query_parameters(table, None, pk="p")
    in_batch = {table: {"Keys": keys}}
    return [
        lambda c: kept(c, table),
        lambda c: c.query(**by_partition),
        lambda c: c.batch_get_item(RequestItems=in_batch),
    ]


def kept(client: Any, table: str) -> Any:
    """Get an item that every story leaves there."""
    return client.get_item(TableName=table, Key=wire({"pk": "p", "sk": "b"}))


def ordered(response: Any) -> Any:
    """Return an answer; a batch's is in no order."""
    answer = answer_of(response)
    for items in answer.get("Responses", {}).values():
        items.sort(key=str)
    return answer


WRITES: list[Write] = [
    lambda c, t, n: put(c, t, pk="p", sk="a", n=n),
    lambda c, t, n: set_n(c, t, n, pk="p", sk="b"),
    lambda c, t, _: delete(c, t, pk="p", sk="a"),
]


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_reads_are_right_behind_any_network_fault(
    fault: tuple[Fault, ...], proxy: TcpProxy, application: Application
) -> None:
    application.tell_story(0)
    for step in fault:
        step(proxy)
    application.tell_story(1)
    proxy.heal()
    application.tell_story(2, WRITES[1:2])
    eventually(lambda: application.cache.stats().undelivered == 0)
    eventually(application.has_hits)


@pytest.mark.parametrize("moment", range(3))
def test_a_fault_at_any_moment_causes_no_stale_read(
    moment: int, proxy: TcpProxy, application: Application
) -> None:
    for n, reply in enumerate([b"-READONLY a replica\r\n", b"", b"*0\r\n"]):
        for to in (b"MGET", b"EVALSHA", b"SET"):
            proxy.answer(reply, times=2 * moment + 1, then_cut=not reply, to=to)
        application.tell_story(n)
        proxy.heal()


def test_an_application_whose_cache_server_refuses_it_still_gets_answers(
    proxy: TcpProxy, application: Application
) -> None:
    proxy.refuse()
    application.tell_story(0)
    assert application.cache.stats().hits == 0
    assert application.cache.stats().failures
    assert proxy.accepted == 0
