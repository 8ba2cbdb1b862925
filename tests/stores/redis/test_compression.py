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


# --- frames that others make ---------------------------------------------------------

BLOCK = 1 << 17


def frame(
    size: int,
    blocks: bytes,
    *,
    window: int | None = None,
    dictionary: bytes = b"",
) -> bytes:
    """Return a frame of Zstandard.

    size: of its content, as it says.
    blocks: after its header.
    window: the exponent of the window's size; by default the content is the window.
    dictionary: its id, in four bytes.
    """
    flags = 0b1100_0000 | (0b0010_0000 if window is None else 0)
    flags |= 0b0000_0011 if dictionary else 0
    of_window = b"" if window is None else bytes([(window - 10) << 3])
    head = b"\x28\xb5\x2f\xfd" + bytes([flags]) + of_window + dictionary
    return head + size.to_bytes(8, "little") + blocks


def block(size: int, *, is_last: bool = True) -> bytes:
    """Return a block of four bytes that says: so many bytes, which are all the same."""
    return (size << 3 | 0b010 | is_last).to_bytes(3, "little") + b"x"


ONE = frame(100, block(100))
SKIPPED = b"\x50\x2a\x4d\x18\4\0\0\0abcd"

BOMBS = {
    "a window of two gigabytes": frame(1000, b"", window=31),
    "a window of two terabytes": frame(100, block(100), window=41),
    "a window of 128 megabytes, cut": frame(
        UNPACKED_LIMIT, block(BLOCK, is_last=False), window=27
    ),
    "more than it says": frame(100, block(BLOCK)),
    "less than it says": frame(UNPACKED_LIMIT, block(100)),
    "a size of half the memory there is": frame(2**63, block(100)),
    "a size that means that none is given": frame(2**64 - 1, block(100)),
    "a size that means an error": frame(2**64 - 2, block(100)),
    "a dictionary": frame(100, block(100), dictionary=b"\7\0\0\0"),
    "two frames": ONE * 2,
    "a frame that is skipped": SKIPPED,
    "a frame after one that is skipped": SKIPPED + ONE,
    "a thousand frames that are skipped": SKIPPED * 1000 + ONE,
    "nothing": b"",
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS.keys())
def test_a_frame_that_others_made_takes_no_memory_and_is_none(bomb: bytes) -> None:
    compression._local.unpacker = None
    assert unpack(ZSTD + ONE) == b"x" * 100
    assert unpack(ZSTD + bomb) is None
    # What a thread's decompressor keeps.
    unpacker = compression._local.unpacker
    assert unpacker is not None
    assert unpacker.memory_size() < BLOCK
    assert unpack(ZSTD + ONE) == b"x" * 100


def test_many_blocks_of_few_bytes_are_an_entry_of_the_limit_at_most() -> None:
    many = block(BLOCK, is_last=False) * (UNPACKED_LIMIT // BLOCK - 1) + block(BLOCK)
    assert unpack(ZSTD + frame(UNPACKED_LIMIT, many)) == b"x" * UNPACKED_LIMIT
    more = block(BLOCK, is_last=False) + many
    assert unpack(ZSTD + frame(UNPACKED_LIMIT + BLOCK, more)) is None
    assert unpack(ZSTD + frame(UNPACKED_LIMIT, more)) is None
