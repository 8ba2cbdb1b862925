"""Replies of a server out of bytes, within bounds. Pure.

Redis-py's parsers believe what a server says. They nest as deep as it likes, keep as
much as it sends, and hiredis allocates a list before its elements arrive. Here a reply
is refused as soon as it announces too much. How many bytes arrive at all is limited by
sockets.py.

RESP2 and RESP3. Each byte is looked at once or twice, however small the pieces are in
which a server sends.
"""

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from redis.exceptions import InvalidResponse

from botocache.stores.redis.types import Reply

MOST_VALUES = 300_000
"""In one reply. The largest is the map of a cluster's slots, in as many pieces as there
are slots."""

DEEPEST = 8
"""Lists within lists."""

LONGEST_LINE = 1 << 16
"""Bytes of a line: an error, or a status."""

LONGEST_NUMBER = 20
"""Digits, with a sign: 64 bits."""

LONGEST_ERROR = 200
"""Characters that are kept of an error's text."""

UNFINISHED: Final = object()
"""Returned instead of a reply whose rest has not arrived."""

_MakeError: TypeAlias = Callable[[str], Reply]

_END = b"\r\n"
_BULK, _ARRAY, _INTEGER, _STATUS, _ERROR = b"$*:+-"
_NULL, _DOUBLE, _BOOLEAN, _BIG, _VERBATIM, _BULK_ERROR = b"_,#(=!"
_MAP, _SET, _PUSH = b"%~>"
_STRINGS = frozenset((_BULK, _VERBATIM, _BULK_ERROR))
_LISTS = frozenset((_ARRAY, _SET, _PUSH, _MAP))
_LINES = frozenset((_INTEGER, _STATUS, _ERROR, _NULL, _DOUBLE, _BOOLEAN, _BIG))
_KINDS = {
    2: frozenset((_BULK, _ARRAY, _INTEGER, _STATUS, _ERROR)),
    3: _STRINGS | _LISTS | _LINES,
}


class ReplyReader:
    """Gets bytes by `feed`, and returns replies by `next_reply`.

    make_error: returns the reply for the text of an error.
    protocol: 2 or 3; what only RESP3 has is refused in RESP2.
    """

    def __init__(self, make_error: _MakeError, protocol: int = 3) -> None:
        self._make_error = make_error
        self._protocol = protocol
        kinds = _KINDS[protocol]
        self._lines, self._strings = _LINES & kinds, _STRINGS & kinds
        self._lists = _LISTS & kinds
        self._data = b""
        self._at = 0  # where the next value begins
        self._later: list[bytes] = []  # what arrived after `_data`
        self._later_size = 0
        self._needed = 0  # bytes from `_at`, without which there is no next value
        # Lists that are not complete: the kind, the elements, their number at the end.
        self._open: list[tuple[int, list[Reply], int]] = []
        self._announced = 0

    @property
    def has_data(self) -> bool:
        """Whether something is there that was not returned."""
        return bool(self._open or self._later or self._at < len(self._data))

    @property
    def missing(self) -> int:
        """The bytes that must arrive before there can be another value."""
        return self._needed - (len(self._data) - self._at) - self._later_size

    def feed(self, chunk: bytes) -> None:
        """Take bytes that have arrived."""
        if self._at == len(self._data) and not self._later:
            self._data, self._at = chunk, 0
        else:  # joined when there is enough: a server may send byte by byte
            self._later.append(chunk)
            self._later_size += len(chunk)

    def next_reply(self) -> Reply:  # noqa: C901, PLR0912 - a call for each value would take as long again
        """Return the next reply, or UNFINISHED. Raises InvalidResponse.

        After an error the rest has no meaning. Messages of RESP3 are left out.
        """
        if self._later:
            if self.missing > 0:
                return UNFINISHED
            self._data = b"".join((self._data[self._at :], *self._later))
            self._at, self._later, self._later_size = 0, [], 0
        data, at, unfinished = self._data, self._at, self._open
        while True:
            end = data.find(_END, at)
            if end < 0:
                return self._wait(at, len(data) - at + 1)
            kind, begin = data[at], end + 2
            if kind in self._strings:
                size = _number(data, at, end)
                if size < 0:
                    _require_null(size)
                    value, at = None, begin
                else:
                    stop = begin + size
                    if len(data) < stop + 2:
                        return self._wait(at, stop + 2 - at)
                    if data[stop : stop + 2] != _END:
                        raise InvalidResponse("a string does not end where it says")
                    value, at = data[begin:stop], stop + 2
                    if kind != _BULK:
                        value = self._string(kind, value)
            elif kind in self._lists:
                size, at = _number(data, at, end), begin
                if size > 0:
                    self._begin_list(kind, size)
                    continue
                if size:
                    _require_null(size)
                value = None if size else _finished(kind, [])
            elif kind in self._lines:
                value = self._line(kind, data, at, end)
                at = begin
            else:
                raise InvalidResponse(f"a reply is not RESP{self._protocol}")
            while unfinished:
                kind, items, size = unfinished[-1]
                items.append(value)
                if len(items) < size:
                    break
                del unfinished[-1]
                value = _finished(kind, items)
            else:
                self._announced = 0
                if kind == _PUSH:
                    continue
                self._at = at
                return value

    def _wait(self, at: int, needed: int) -> object:
        if len(self._data) - at > LONGEST_LINE and needed == len(self._data) - at + 1:
            raise InvalidResponse("a line is too long")
        self._at, self._needed = at, needed
        return UNFINISHED

    def _begin_list(self, kind: int, size: int) -> None:
        size *= 2 if kind == _MAP else 1
        self._announced += size
        if self._announced > MOST_VALUES:
            raise InvalidResponse("a reply has too many values")
        if len(self._open) == DEEPEST:
            raise InvalidResponse("a reply nests too deeply")
        self._open.append((kind, [], size))

    def _line(self, kind: int, data: bytes, at: int, end: int) -> Reply:
        """Return a value that is one line."""
        if kind in (_INTEGER, _BIG):
            return _number(data, at, end)
        text = data[at + 1 : end]
        if kind == _STATUS:
            return text
        if kind == _ERROR:
            return self._error(text)
        if kind == _NULL:
            return None
        if kind == _BOOLEAN:
            return text == b"t"
        try:
            return float(text)
        except ValueError:
            raise InvalidResponse("a number cannot be read") from None

    def _string(self, kind: int, text: bytes) -> Reply:
        return self._error(text) if kind == _BULK_ERROR else text[4:]

    def _error(self, text: bytes) -> Reply:
        # No command of ours has such a reply. Each would take a hundred times the
        # memory of its bytes.
        if self._open:
            raise InvalidResponse("an error is inside of a list")
        return self._make_error(text[:LONGEST_ERROR].decode(errors="replace"))


def _number(data: bytes, at: int, end: int) -> int:
    if end - at - 1 <= LONGEST_NUMBER:
        try:
            return int(data[at + 1 : end])
        except ValueError:
            pass
    raise InvalidResponse("a number cannot be read")


def _require_null(size: int) -> None:
    if size != -1:
        raise InvalidResponse("a size is negative")


def _finished(kind: int, items: list[Reply]) -> Any:
    if kind != _MAP:
        return items
    try:
        return dict(zip(items[::2], items[1::2], strict=True))
    except TypeError:  # a list as a key
        raise InvalidResponse("a key of a map is no key") from None
