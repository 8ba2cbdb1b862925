"""Commands and replies across a network that lies: see tests/support/tcp_proxy.py."""

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from botocache._errors import StoreConnectingError, StoreError
from botocache.stores.redis import connections
from botocache.stores.redis.commands import pack
from botocache.stores.redis.connections import (
    MOST_LEFT,
    Attempt,
    ServerConnections,
    exchange,
)
from botocache.stores.redis.deadlines import with_deadline
from botocache.stores.redis.types import Connection
from botocache.stores.redis.urls import connections_of_url
from tests.support.processes import (
    TIMEOUT,
    eventually,
    forked,
    in_thread,
    in_threads,
)
from tests.support.tcp_proxy import TcpProxy, running_proxy
from tests.support.threads import no_thread
from tests.support.valkey_server import ValkeyServer

SHORT = 0.2
"""Seconds that a call waits where it is to wait in vain."""

Links = Callable[..., ServerConnections]


@pytest.fixture
def proxy(valkey: ValkeyServer) -> Iterator[TcpProxy]:
    with running_proxy(valkey.port) as made:
        yield made


@pytest.fixture
def links(proxy: TcpProxy) -> Iterator[Links]:
    """Makes links through the proxy."""
    made: list[ServerConnections] = []

    def make(greet: Any = None) -> ServerConnections:
        _, connection = connections_of_url(proxy.url(), TIMEOUT)
        link = ServerConnections(connection, greet or (lambda *_: None), TIMEOUT)
        made.append(link)
        return link

    yield make
    for link in made:
        link.close()


def echo(link: ServerConnections, *words: str) -> list[Any]:
    """Ask for words; each reply must be the word that was asked for."""
    packed = b"".join(pack((b"ECHO", word.encode())) for word in words)
    return [reply.decode() for reply in link.ask(packed, len(words))]


def is_connected(link: ServerConnections) -> None:
    assert echo(link, "connected") == ["connected"]
    assert len(link._idle) == 1


Fault = Callable[[TcpProxy], None]

FAULTS: dict[str, tuple[Fault, ...]] = {
    "swallowed": (TcpProxy.swallow,),
    "replies held back": (TcpProxy.hold_replies,),
    "half a reply, then silence": (lambda p: p.answer(b"$9\r\nconn", times=9),),
    "a length without its end": (lambda p: p.answer(b"$9", times=9),),
    "half a reply, then cut": (
        lambda p: p.answer(b"$9\r\nco", times=9, then_cut=True),
    ),
    "garbage": (lambda p: p.answer_always(b"HTTP/1.1 400 Bad Request\r\n\r\n"),),
    "no number": (lambda p: p.answer_always(b"$many\r\n"),),
    "no text": (lambda p: p.answer_always(b":\xff\r\n"),),
    "nested": (lambda p: p.answer(b"*1\r\n" * 9999, times=9, then_cut=True),),
    "nothing, then cut": (lambda p: p.answer(b"", times=9, then_cut=True),),
    "loading": (lambda p: p.answer_always(b"-LOADING Redis is loading\r\n"),),
    "not authenticated": (lambda p: p.answer_always(b"-NOAUTH Who are you?\r\n"),),
    "reset, and refused": (TcpProxy.refuse, TcpProxy.cut),
    "ended, and refused": (TcpProxy.refuse, lambda p: p.cut(reset=False)),
    "reset, and not accepted": (TcpProxy.stop_accepting, TcpProxy.cut),
    "half closed, and not accepted": (TcpProxy.stop_accepting, TcpProxy.half_close),
}


def impatient(link: ServerConnections) -> None:
    """Have a link wait in vain for a moment only."""
    link._patience = SHORT
    for connection in link._idle:
        connection._sock.settimeout(SHORT)


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
@pytest.mark.parametrize("connect", [is_connected, lambda _: None], ids=["idle", "new"])
def test_a_call_waits_for_a_fault_once_and_the_late_reply_reaches_no_call(
    fault: tuple[Fault, ...], connect: Any, proxy: TcpProxy, links: Links
) -> None:
    link, other = links(), links()
    connect(link)
    impatient(link)
    before = proxy.accepted
    for step in fault:
        step(proxy)
    with pytest.raises(StoreError):
        echo(link, "lost")
    assert proxy.unanswered <= 1
    proxy.heal()
    assert proxy.accepted - before <= 2  # it tried again at once, and once
    link._patience = TIMEOUT
    for number in range(3):
        assert echo(link, f"a{number}", f"b{number}") == [f"a{number}", f"b{number}"]
    assert echo(other, "c") == ["c"]


ERRORS = {
    "readonly": b"-READONLY You can't write against a read only replica.\r\n",
    "moved": b"-MOVED 1 127.0.0.1:1\r\n",
    "full": b"-OOM command not allowed when used memory > 'maxmemory'.\r\n",
    "busy": b"-BUSY Redis is busy running a script.\r\n",
    "of no known kind": b"-WHATEVER it is\r\n",
    "without a word": b"-\r\n",
}


@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS.keys())
def test_an_error_is_the_reply_to_its_command_and_no_other(
    error: bytes, proxy: TcpProxy, links: Links
) -> None:
    link = links()
    is_connected(link)
    proxy.answer(error + b"$4\r\nnext\r\n", is_whole=True)
    packed = pack((b"ECHO", b"a")) + pack((b"ECHO", b"next"))
    refused, answered = link.ask(packed, 2)
    assert isinstance(refused, Exception)
    assert answered == b"next"
    assert echo(link, "b") == ["b"]
    assert proxy.accepted == 1


def test_a_connection_that_was_idle_too_long_is_replaced_within_the_call(
    proxy: TcpProxy, links: Links
) -> None:
    link = links()
    for reset in (True, False):
        several = [link._connect() for _ in range(3)]
        link._idle.extend(several)
        proxy.cut(reset=reset)
        before = proxy.accepted
        assert echo(link, "a", "b") == ["a", "b"]
        assert proxy.accepted == before + 1
        assert len(link._idle) == 1
        assert not any(connection._sock for connection in several)


def test_a_server_that_was_away_is_found_again(
    proxy: TcpProxy, links: Links, valkey: ValkeyServer
) -> None:
    link = links()
    is_connected(link)
    proxy.target = 1  # where nobody is
    proxy.cut()
    with pytest.raises(StoreError):
        echo(link, "a")
    proxy.target = valkey.port
    assert echo(link, "b") == ["b"]


def test_a_late_reply_reaches_no_call(proxy: TcpProxy, links: Links) -> None:
    link = links()
    is_connected(link)
    for number in range(3):
        impatient(link)
        proxy.hold_replies()
        with pytest.raises(StoreError, match="Timeout"):
            link.ask(pack((b"ECHO", b"late")), 1)
        assert not link._idle
        proxy.release_replies()
        link._patience = TIMEOUT
        assert echo(link, f"{number}") == [f"{number}"]


# --- the first connection ------------------------------------------------------------


@pytest.fixture
def cold(proxy: TcpProxy) -> Iterator[ServerConnections]:
    """A link without a connection, whose calls wait for less than connecting takes."""
    proxy.delay(to_client=SHORT)
    _, connection = connections_of_url(proxy.url(), TIMEOUT)
    made = ServerConnections(connection, lambda *_: None, SHORT / 4)
    yield made
    made.close()


def test_a_read_does_not_wait_for_the_first_connection_and_a_later_one_has_it(
    cold: ServerConnections, proxy: TcpProxy
) -> None:
    with pytest.raises(StoreConnectingError):
        echo(cold, "early")
    eventually(lambda: bool(cold._idle))
    proxy.heal()
    cold._patience = TIMEOUT
    assert echo(cold, "later") == ["later"]
    assert proxy.accepted == 1
    assert proxy.commands.count(b"ECHO") == 1


def test_an_eviction_waits_for_the_first_connection(
    cold: ServerConnections, proxy: TcpProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "CONNECTING", TIMEOUT)
    cold._handshake = lambda *_: proxy.heal()  # the replies to commands are quick
    packed = pack((b"ECHO", b"evicted"))
    monkeypatch.setattr(cold, "_patience", SHORT / 4)
    assert cold.ask(packed, 1, is_eviction=True) == [b"evicted"]


def test_an_eviction_connects_after_another_thread_connected(
    links: Links, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = links()
    begin = link._begin

    def connected_meanwhile() -> Attempt:
        attempt = begin()
        assert attempt.result(TIMEOUT) is not None
        assert link._eviction_deadline is None
        return attempt

    monkeypatch.setattr(link, "_begin", connected_meanwhile)
    packed = pack((b"ECHO", b"evicted"))
    assert link.ask(packed, 1, is_eviction=True) == [b"evicted"]
    assert len(link._idle) == 1


def test_a_server_that_is_down_delays_one_eviction_until_it_is_back(
    proxy: TcpProxy, links: Links, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    result = Attempt.result

    def noted(attempt: Attempt, patience: float) -> Any:
        waits.append(patience)
        return result(attempt, 0.0 if proxy.swallows else TIMEOUT)

    monkeypatch.setattr(Attempt, "result", noted)
    monkeypatch.setattr(connections, "CONNECTING", 2.0 * TIMEOUT)
    link, packed = links(), pack((b"ECHO", b"evicted"))
    link._patience = 1.0
    proxy.swallow()
    link._eviction_deadline = None
    with pytest.raises(StoreError, match="longer than"):
        link.ask(packed, 1, is_eviction=True)
    link._eviction_deadline = 0.0  # the time is over
    with pytest.raises(StoreError, match="longer than"):
        link.ask(packed, 1, is_eviction=True)
    assert waits[0] > TIMEOUT
    assert waits[1] <= 1.0
    proxy.heal()
    link._patience = TIMEOUT
    assert link.ask(packed, 1, is_eviction=True) == [b"evicted"]
    assert link._eviction_deadline is None  # the next may wait again


def test_few_connections_are_begun_behind_calls(
    proxy: TcpProxy, links: Links, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = links()
    link._patience = 0.01
    proxy.hold_replies()
    for _ in range(3 * MOST_LEFT):
        with pytest.raises(StoreConnectingError):
            echo(link, "a")
    assert len(link._left) == MOST_LEFT
    proxy.release_replies()
    eventually(lambda: len(link._idle) == MOST_LEFT)


def test_the_breaker_counts_what_fails_behind_a_call(proxy: TcpProxy) -> None:
    failed: list[Exception] = []
    _, connection = connections_of_url(proxy.url(), TIMEOUT)
    link = ServerConnections(connection, raise_oserror, 0.01, failed.append)
    proxy.hold_replies()
    with pytest.raises(StoreConnectingError):
        echo(link, "a")
    assert not failed
    proxy.release_replies()
    eventually(lambda: bool(failed))
    assert str(failed[0]) == "no route"


def test_an_eviction_connects_in_its_own_thread_if_no_other_can_be_started(
    links: Links, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = links()
    monkeypatch.setattr(threading.Thread, "start", no_thread)
    packed = pack((b"ECHO", b"evicted"))
    assert link.ask(packed, 1, is_eviction=True) == [b"evicted"]


def test_what_belongs_to_no_call_connects_in_its_own_thread_if_need_be(
    links: Links, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Python 3.12 starts no thread any more when a process posts its counts at its end.
    link = links()
    monkeypatch.setattr(threading.Thread, "start", no_thread)
    with with_deadline(TIMEOUT):
        assert echo(link, "posted") == ["posted"]
    link.close()
    with pytest.raises(StoreError, match="cannot connect"):
        echo(link, "of a call")


# --- callers who give up, or are interrupted ---------------------------------------


def test_a_connection_that_came_too_late_is_there_for_the_next(
    proxy: TcpProxy, links: Links
) -> None:
    link = links()
    link._patience = SHORT
    proxy.hold_replies()
    with pytest.raises(StoreError, match="connecting takes longer than"):
        link.ask(pack((b"SET", b"given-up", b"1")), 1)
    proxy.release_replies()
    eventually(lambda: bool(link._idle))
    assert b"SET" not in proxy.commands  # nobody waited for it any more
    link._patience = TIMEOUT
    assert echo(link, "next") == ["next"]
    assert proxy.accepted == 1


def test_connecting_and_the_answer_are_waited_for_as_one(
    proxy: TcpProxy, links: Links
) -> None:
    link = links()
    link._patience = SHORT
    greeted = threading.Event()

    def greet(*_: object) -> None:
        proxy.hold_replies()
        greeted.set()

    link._handshake = greet
    with pytest.raises(StoreError, match=r"longer than|Timeout"):
        echo(link, "held")
    assert greeted.wait(TIMEOUT)
    assert proxy.unanswered <= 1
    proxy.release_replies()
    link._patience, link._handshake = TIMEOUT, lambda *_: None
    assert echo(link, "next") == ["next"]


def test_a_command_past_its_deadline_is_not_sent(
    proxy: TcpProxy, links: Links, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = links()
    greeted: list[object] = []  # it is late as soon as there is a connection
    link._handshake = lambda *_: greeted.append(_)
    monkeypatch.setattr("time.monotonic", lambda: 2.0 * TIMEOUT if greeted else 0.0)
    with pytest.raises(StoreError, match="longer than"):
        link.ask(pack((b"SET", b"given-up", b"1")), 1)
    monkeypatch.undo()
    eventually(lambda: len(link._idle) == 1)
    assert b"SET" not in proxy.commands


class Interruption(BaseException):
    """What a signal handler raises, as the one for Ctrl-C does."""


@pytest.fixture
def interrupting() -> Iterator[Callable[[Callable[[], bool]], None]]:
    """Interrupts this thread once something has come true."""

    def interrupt(_number: int, _frame: object) -> None:
        raise Interruption

    def interrupt_when(is_true: Callable[[], bool]) -> None:
        eventually(is_true)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    threads: list[threading.Thread] = []

    def begin(is_true: Callable[[], bool]) -> None:
        threads.append(threading.Thread(target=interrupt_when, args=(is_true,)))
        threads[-1].start()

    before = signal.signal(signal.SIGUSR1, interrupt)
    yield begin
    for thread in threads:
        thread.join(TIMEOUT)
    signal.signal(signal.SIGUSR1, before)


def test_a_call_interrupted_in_a_reply_leaves_the_reply_to_no_other_call(
    proxy: TcpProxy, links: Links, interrupting: Any
) -> None:
    link = links()
    is_connected(link)
    proxy.hold_replies()
    interrupting(lambda: proxy.unanswered == 1)
    with pytest.raises(Interruption):
        link.ask(pack((b"ECHO", b"interrupted")), 1)
    proxy.release_replies()
    assert echo(link, "mine") == ["mine"]
    assert proxy.accepted == 2


def test_a_call_interrupted_in_half_a_reply_leaves_the_rest_to_no_other_call(
    proxy: TcpProxy, links: Links, interrupting: Any
) -> None:
    link = links()
    is_connected(link)
    proxy.answer(b"$11\r\ninterr", is_whole=True)
    interrupting(lambda: proxy.answered == 1)
    with pytest.raises(Interruption):
        link.ask(pack((b"ECHO", b"interrupted")), 1)
    assert echo(link, "mine") == ["mine"]


def test_a_call_interrupted_while_connecting_leaves_the_connection(
    proxy: TcpProxy, links: Links, interrupting: Any
) -> None:
    link = links()
    proxy.hold_replies()
    interrupting(lambda: proxy.unanswered == 1)
    with pytest.raises(Interruption):
        link.ask(pack((b"ECHO", b"interrupted")), 1)
    proxy.release_replies()
    eventually(lambda: bool(link._idle))
    assert echo(link, "mine") == ["mine"]
    assert proxy.accepted == 1


def test_a_call_interrupted_in_an_attempt_leaves_no_connection(links: Links) -> None:
    made: list[Connection] = []

    def greet(connection: Connection) -> None:
        made.append(connection)
        raise Interruption

    link = links(greet=greet)
    with pytest.raises(Interruption):
        link.try_out(pack((b"PING",)), 1)
    assert not made[0]._sock


# --- connecting --------------------------------------------------------------------


def test_a_connection_whose_handshake_fails_is_not_used(
    proxy: TcpProxy, links: Links
) -> None:
    made: list[Connection] = []

    def greet(connection: Connection) -> None:
        made.append(connection)
        raise StoreError("another server")

    link = links(greet=greet)
    with pytest.raises(StoreError, match="another server"):
        echo(link, "a")
    with pytest.raises(StoreError, match="another server"):
        link.try_out(pack((b"PING",)), 1)
    assert len(made) == 2
    assert not any(connection._sock for connection in made)
    assert b"ECHO" not in proxy.commands


def test_each_connection_is_greeted_before_anybody_uses_it(
    proxy: TcpProxy, links: Links
) -> None:
    def greet(connection: Connection) -> None:
        assert exchange(connection, pack((b"ECHO", b"hello")), 1) == [b"hello"]

    link = links(greet=greet)
    assert echo(link, "a") == ["a"]
    proxy.cut()
    assert echo(link, "b") == ["b"]
    used = [word for word in proxy.commands if word == b"ECHO"]
    assert len(used) == 2 + 2


def raise_oserror(*_: object) -> None:
    raise OSError("no route")


@pytest.mark.parametrize("ask", [ServerConnections.ask, ServerConnections.try_out])
def test_a_system_that_fails_is_a_store_that_fails(ask: Any, links: Links) -> None:
    with pytest.raises(StoreError, match="no route"):
        ask(links(greet=raise_oserror), pack((b"PING",)), 1)


@pytest.mark.parametrize("ask", [ServerConnections.ask, ServerConnections.try_out])
def test_an_unknown_host_name_is_a_store_error(ask: Any) -> None:
    _, make = connections_of_url("redis://nobody.invalid", TIMEOUT)
    with pytest.raises(StoreError, match=r"nobody\.invalid"):
        ask(ServerConnections(make, lambda *_: None, TIMEOUT), pack((b"PING",)), 1)


def test_without_threads_there_is_no_new_connection(
    links: Links, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = links()
    monkeypatch.setattr(threading.Thread, "start", no_thread)
    with pytest.raises(StoreError, match="cannot connect: can't start new thread"):
        echo(link, "a")
    monkeypatch.undo()
    is_connected(link)
    monkeypatch.setattr(threading.Thread, "start", no_thread)
    assert echo(link, "b") == ["b"]


def test_trying_out_makes_a_connection_and_leaves_it(
    proxy: TcpProxy, links: Links
) -> None:
    link = links()
    is_connected(link)
    assert link.try_out(pack((b"ECHO", b"tried")), 1) == [b"tried"]
    assert repr(link) == "<ServerConnections 2 idle connections>"
    assert proxy.accepted == 2
    proxy.refuse()
    with pytest.raises(StoreError, match="refused"):
        link.try_out(pack((b"PING",)), 1)


# --- threads, forks, closing -------------------------------------------------------


def test_threads_at_once_get_each_their_own_replies(
    proxy: TcpProxy, links: Links
) -> None:
    link = links()
    answered: list[str] = []

    def ask(name: int) -> None:
        for number in range(60):
            words = [f"{name}-{number}-{part}" for part in "ab"]
            if name == 0 and number % 20 == 10:
                proxy.cut(reset=number % 40 == 10)
            try:
                assert echo(link, *words) == words
            except StoreError:  # it was cut
                continue
            answered.append(words[0])

    in_threads([lambda name=name: ask(name) for name in range(6)])  # type: ignore[misc]  # a default
    assert len(answered) > 250
    assert 0 < len(link._idle) <= 6


def test_a_thread_may_take_the_last_idle_connection_away(links: Links) -> None:
    class TakenAway(deque[Any]):
        def __bool__(self) -> bool:
            return True

    link = links()
    link._idle = TakenAway()
    assert echo(link, "a") == ["a"]
    link._idle = deque(link._idle)


def test_a_child_never_uses_its_parents_connections(
    proxy: TcpProxy, links: Links
) -> None:
    link = links()
    is_connected(link)
    (ours,) = link._idle
    fd = ours._sock.fileno()
    inode = os.fstat(fd).st_ino

    def child(pipe: Any) -> None:
        assert not link._idle
        assert echo(link, "child") == ["child"]
        (theirs,) = link._idle
        pipe.send(os.fstat(theirs._sock.fileno()).st_ino)
        link.close()

    with forked(child) as pipe:
        assert echo(link, "a") == ["a"]
        assert pipe.poll(TIMEOUT)
        assert pipe.recv() != inode
    assert [echo(link, word) for word in "bc"] == [["b"], ["c"]]
    assert proxy.accepted == 2  # the parent still has its own


def test_closing_lets_an_exchange_end_and_keeps_no_connection(
    proxy: TcpProxy, links: Links
) -> None:
    link = links()
    is_connected(link)
    proxy.hold_replies()
    replies: list[list[str]] = []
    asking = threading.Thread(target=lambda: replies.append(echo(link, "a")))
    asking.start()
    eventually(lambda: proxy.unanswered == 1)
    link.close()
    proxy.release_replies()
    asking.join(TIMEOUT)
    assert replies == [["a"]]
    assert not link._idle
    assert echo(link, "b") == ["b"]
    assert proxy.accepted == 2


def test_closing_while_a_call_connects_leaves_nothing_idle(
    proxy: TcpProxy, links: Links
) -> None:
    link = links()
    proxy.hold_replies()
    replies: list[list[str]] = []
    asking = threading.Thread(target=lambda: replies.append(echo(link, "a")))
    asking.start()
    eventually(lambda: proxy.unanswered == 1)
    link.close()
    proxy.release_replies()
    asking.join(TIMEOUT)
    assert replies == [["a"]]
    assert not link._idle


def test_closing_ends_all_that_is_idle(links: Links) -> None:
    link = links()
    link._idle.extend([link._connect() for _ in range(3)])
    several = list(link._idle)
    link.close()
    link.close()
    assert not any(connection._sock for connection in several)


# --- other kinds -------------------------------------------------------------------


@pytest.mark.parametrize("protocol", [2, 3])
def test_both_protocols_are_spoken(
    protocol: int, proxy: TcpProxy, links: Links
) -> None:
    link = links()
    url = proxy.url(options=f"?protocol={protocol}")
    _, link._make = connections_of_url(url, TIMEOUT)
    assert echo(link, "a", "b") == ["a", "b"]
    assert (b"HELLO" in proxy.commands) is (protocol == 3)
    assert in_thread(lambda: echo(link, "c")) == ["c"]
