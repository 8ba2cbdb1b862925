"""Listening to a server: whatever it says, in whatever pieces it comes."""

import contextlib
import itertools
import select
import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.exceptions import ConnectionError as LostError

from botocache.stores.redis.tracking.messages import Listener, Refusal
from tests.support.processes import TIMEOUT

SAID = {
    b"+OK\r\n": b"OK",
    b":-12\r\n": -12,
    b"$-1\r\n": None,
    b"*-1\r\n": None,
    b"$0\r\n\r\n": b"",
    b"$4\r\na\r\nb\r\n": b"a\r\nb",
    b"*0\r\n": [],
    b"-NOPERM no \xff\r\n": "NOPERM no \ufffd",
    b"*2\r\n$4\r\npong\r\n$0\r\n\r\n": [b"pong", b""],
    b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n": [
        b"message",
        b"c",
        [b"a", b"b"],
    ],
    b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$-1\r\n": [b"message", b"c", None],
}


class Ends:
    """A listener, and the other end of its connection."""

    def __init__(self) -> None:
        ours, self.server = socket.socketpair()
        self._ours = ours
        self.listener = Listener(SimpleNamespace(_sock=ours))

    def close(self) -> None:
        self._ours.close()
        self.server.close()

    def said(self, data: bytes) -> list[Any]:
        self.server.sendall(data)
        return list(self.listener.read_messages(TIMEOUT))


@pytest.fixture
def ends() -> Iterator[Ends]:
    made = Ends()
    yield made
    made.close()


@pytest.mark.parametrize("data", SAID)
def test_what_is_said_is_heard(ends: Ends, data: bytes) -> None:
    (heard,) = ends.said(data)
    assert heard == SAID[data]
    assert isinstance(heard, Refusal) == data.startswith(b"-")


@pytest.mark.parametrize("data", SAID)
def test_what_is_half_there_is_waited_for(ends: Ends, data: bytes) -> None:
    for at in range(len(data) - 1):
        assert ends.said(data[at : at + 1]) == []
    assert ends.said(data[-1:]) == [SAID[data]]


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(sorted(SAID)), min_size=1, max_size=10),
    st.lists(st.integers(1, 60), min_size=1, max_size=10),
)
def test_much_in_any_pieces_is_heard_in_order(
    said: list[bytes], sizes: list[int]
) -> None:
    data, heard, size = b"".join(said), list[Any](), itertools.cycle(sizes)
    with contextlib.closing(Ends()) as ends:
        while data:
            piece, data = data[: (end := next(size))], data[end:]
            heard += ends.said(piece)
    assert heard == [SAID[each] for each in said]


def test_nothing_is_heard_where_nothing_is_said(ends: Ends) -> None:
    assert list(ends.listener.read_messages(0.001)) == []


def test_a_reader_that_stops_after_one_message_loses_none(ends: Ends) -> None:
    ends.server.sendall(b"+a\r\n+b\r\n")
    assert next(ends.listener.read_messages(TIMEOUT)) == b"a"
    assert ends.said(b"+c\r\n") == [b"b", b"c"]


def test_what_has_arrived_is_unheard_until_it_was_heard(ends: Ends) -> None:
    assert not ends.listener.has_unread()
    ends.server.sendall(b"+a\r\n")
    assert ends.listener.has_unread()
    hearing = ends.listener.read_messages(TIMEOUT)
    assert next(hearing) == b"a"
    assert ends.listener.has_unread()  # it is not processed yet
    assert list(hearing) == []
    assert not ends.listener.has_unread()


def test_half_a_message_is_unheard(ends: Ends) -> None:
    assert ends.said(b"$4\r\nab") == []
    assert ends.listener.has_unread()
    assert ends.said(b"cd\r\n") == [b"abcd"]
    assert not ends.listener.has_unread()


def test_an_end_is_unheard(ends: Ends) -> None:
    ends.server.close()
    assert ends.listener.has_unread()


def test_it_does_without_epoll(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(select, "epoll", raising=False)
    with contextlib.closing(Ends()) as ends:
        assert not ends.listener.has_unread()
        assert list(ends.listener.read_messages(0.001)) == []
        assert ends.said(b"+a\r\n") == [b"a"]
        ends.server.sendall(b"+b\r\n")
        assert ends.listener.has_unread()


def test_what_is_encrypted_and_half_there_is_waited_for(ends: Ends) -> None:
    class Encrypted:
        """A socket that can be read, and has nothing that could be decrypted yet."""

        def __init__(self, real: socket.socket) -> None:
            self.fileno, self.settimeout = real.fileno, real.settimeout

        def recv(self, _: int) -> bytes:
            raise TimeoutError

    listener = Listener(SimpleNamespace(_sock=Encrypted(ends.listener._socket)))
    ends.server.sendall(b"+a")
    assert list(listener.read_messages(TIMEOUT)) == []


def test_commands_are_sent(ends: Ends) -> None:
    ends.listener.send(b"PING\r\n")
    assert ends.server.recv(100) == b"PING\r\n"


def test_an_end_is_a_loss(ends: Ends) -> None:
    ends.server.close()
    with pytest.raises(LostError):
        list(ends.listener.read_messages(TIMEOUT))


@pytest.mark.parametrize("data", [b"_\r\n", b">1\r\n", b"\r\n", b"HTTP/1.1 400\r\n"])
def test_what_is_no_resp2_is_a_loss(ends: Ends, data: bytes) -> None:
    with pytest.raises(LostError):
        ends.said(data)


def test_a_number_that_is_none_is_an_error(ends: Ends) -> None:
    with pytest.raises(LostError, match="a number cannot be read"):
        ends.said(b"$x\r\n")
