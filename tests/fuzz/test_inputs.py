"""A share of the fuzzing, and inputs of a great size.

`make fuzz-inputs` runs the rest, for as long as you like.
"""

import logging
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.giants import GIANTS, SIZE, bytes_of
from tests.fuzz.inputs import Edit, cases_of, read_case, written_case
from tests.fuzz.limits import bounded, cost_of
from tests.fuzz.targets import TARGETS

EDITS = st.lists(
    st.tuples(st.integers(0, 255), st.integers(0, 1 << 24), st.integers(0, 1 << 24)),
    max_size=5,
)

GROWTH = 8
"""How much larger the larger one of two inputs is."""

STEEPNESS = 5
"""How much more time the larger one may take for each of its bytes. A reader that looks
at each part once for each other part takes GROWTH times as much."""

NOTICEABLE = 0.03
"""Seconds. What takes less says nothing about growth."""

LARGEST = 50
"""Bytes of memory for a byte of input."""


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("name", TARGETS)
def test_a_reader_bears_each_case_of_its_corpus(name: str) -> None:
    target = TARGETS[name]
    for pick in range(len(cases_of(target.corpus))):
        with bounded():
            target.try_out(target.input_of(pick, []))


@pytest.mark.parametrize("name", TARGETS)
@settings(
    max_examples=40,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(pick=st.integers(0, 200), edits=EDITS)
def test_a_reader_bears_any_input(name: str, pick: int, edits: list[Edit]) -> None:
    target = TARGETS[name]
    with bounded():
        target.try_out(target.input_of(pick, edits))


def require_proportion(name: str, size: int) -> None:
    """Give a target an input of a size, and one of a part of it. Compare the costs."""
    giant = GIANTS[name]
    target = TARGETS[giant.target]
    small, large = giant.make(size // GROWTH), giant.make(size)
    with bounded(20.0):
        took, peak = cost_of(lambda: target.try_out(large))
        assert peak <= giant.memory + LARGEST * bytes_of(large)
        if took > NOTICEABLE:
            before = min(cost_of(lambda: target.try_out(small))[0] for _ in range(3))
            again = min(took, cost_of(lambda: target.try_out(large))[0])
            assert again <= max(before * GROWTH * STEEPNESS, NOTICEABLE)


@pytest.mark.parametrize("name", GIANTS)
def test_a_great_input_takes_time_and_memory_in_proportion(name: str) -> None:
    require_proportion(name, SIZE // 4)


@pytest.mark.long("at a quarter of the size")
@pytest.mark.parametrize("name", GIANTS)
def test_the_greatest_input_takes_time_and_memory_in_proportion(name: str) -> None:
    require_proportion(name, SIZE)


@pytest.mark.parametrize("raw", [b"", b"a\n\\b\x00\xff", "é".encode()])
def test_a_case_of_a_corpus_is_read_as_it_was_written(raw: bytes) -> None:
    line = written_case(raw)
    assert line.isascii()
    assert "\n" not in line
    assert read_case(line) == raw
