"""What is sent for an entry: as it is or packed, and never more than is allowed."""

import os
import random
import threading
from functools import partial

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from botocache._cache.entries import CLEAR, ENCRYPTED
from botocache.stores.redis import compression
from botocache.stores.redis.compression import (
    MARK,
    UNPACKED_LIMIT,
    WORTH_IT,
    pack,
    unpack,
)
from tests.support.processes import in_threads

ZSTD = MARK + b"\1"
LARGE = b"".join(b"attribute %d of an item, " % n for n in range(1000))


@given(st.binary(max_size=100), st.integers(0, 2000))
@settings(deadline=None)
def test_whatever_is_packed_comes_back(part: bytes, times: int) -> None:
    assert unpack(pack(part * times)) == part * times


@given(st.binary(max_size=50))
def test_an_entry_that_begins_like_a_frame_comes_back(rest: bytes) -> None:
    for entry in (MARK + rest, MARK + b"\0" + rest, ZSTD + rest, MARK * 2 + rest):
        assert unpack(pack(entry)) == entry


def test_a_small_entry_is_sent_as_it_is() -> None:
    small = LARGE[: WORTH_IT - 1]
    assert pack(small) is small
    assert unpack(small) is small
    assert len(pack(LARGE[:WORTH_IT])) < WORTH_IT


def test_no_entry_of_ours_begins_like_a_frame() -> None:
    assert MARK not in (bytes([CLEAR]), bytes([ENCRYPTED]))


def test_a_large_entry_is_sent_packed() -> None:
    sent = pack(LARGE)
    assert sent.startswith(ZSTD)
    assert len(sent) < len(LARGE) / 4


def test_an_entry_that_hardly_shrinks_is_sent_as_it_is() -> None:
    entry = os.urandom(50_000)
    assert pack(entry) is entry
    assert unpack(entry) is entry


def test_a_bit_that_is_turned_in_a_packed_entry_makes_it_none() -> None:
    sent, found = pack(LARGE), []
    for at in range(2, len(sent)):
        damaged = bytearray(sent)
        damaged[at] ^= 1 << at % 8
        found.append(unpack(bytes(damaged)))
    assert set(found) <= {None, LARGE}
    assert found.count(LARGE) < len(found) / 100  # a few bits have no meaning


def test_bits_that_are_turned_anywhere_never_make_another_entry() -> None:
    sent, chance = pack(LARGE), random.Random(1)
    for _ in range(500):
        damaged = bytearray(sent)
        for _ in range(chance.randint(1, 3)):
            damaged[chance.randrange(2, len(sent))] ^= 1 << chance.randrange(8)
        assert unpack(bytes(damaged)) in (None, LARGE)  # a bit may be turned twice


def test_a_packed_entry_that_was_cut_or_lengthened_is_none() -> None:
    sent = pack(LARGE)
    for end in range(1, len(sent), 7):
        assert unpack(sent[:end]) is None
    assert unpack(sent + b"x") is None
    assert unpack(sent + sent[2:]) is None


@pytest.mark.parametrize("kind", [b"", b"\2", b"\xff", MARK])
def test_a_frame_of_a_kind_that_is_not_known_is_none(kind: bytes) -> None:
    assert unpack(MARK + kind) is None
    assert unpack(MARK + kind + (b"rest" if kind else b"")) is None


def zstd(entry: bytes, **options: bool) -> bytes:
    return ZSTD + zstandard.ZstdCompressor(**options).compress(entry)  # type: ignore[arg-type]


def test_an_entry_that_would_be_too_large_unpacked_is_none() -> None:
    assert unpack(zstd(bytes(UNPACKED_LIMIT))) == bytes(UNPACKED_LIMIT)
    assert unpack(zstd(bytes(UNPACKED_LIMIT + 1))) is None


def test_an_entry_that_does_not_say_how_large_it_is_is_none() -> None:
    assert unpack(zstd(LARGE, write_content_size=False)) is None


def test_an_entry_that_says_that_it_is_smaller_than_it_is_is_none() -> None:
    sent = bytearray(zstd(bytes(60_000)))
    said = (60_000 - 256).to_bytes(2, "little")  # as two bytes are written
    at = sent.index(said)
    sent[at : at + 2] = (1000).to_bytes(2, "little")
    assert zstandard.frame_content_size(bytes(sent[2:])) == 1256
    assert unpack(bytes(sent)) is None


def test_after_damage_whole_entries_are_unpacked_as_before() -> None:
    sent = pack(LARGE)
    for _ in range(20):
        assert unpack(sent[:-1]) is None
        assert unpack(sent) == LARGE


def test_without_zstandard_nothing_is_packed_and_what_is_packed_is_a_miss(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent = pack(LARGE)
    monkeypatch.setattr(compression, "zstandard", None)
    assert pack(LARGE) is LARGE
    assert unpack(LARGE) == LARGE
    assert unpack(sent) is None
    assert unpack(pack(MARK)) == MARK


def test_threads_pack_and_unpack_at_once() -> None:
    gate = threading.Barrier(6)

    def use(number: int) -> None:
        entry = b"%d of thread %d, " * 10_000 % ((number,) * 20_000)
        gate.wait(10)
        for _ in range(50):
            assert unpack(pack(entry)) == entry

    in_threads([partial(use, number) for number in range(6)])
