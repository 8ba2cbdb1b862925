"""No schedule breaks a promise between clients with the keys of neighbouring steps."""

import logging
from collections.abc import Iterator

import pytest

from botocache.stores.keyed_names import Names, keyed_store
from botocache.stores.protocol import Store
from tests.explorer.backends import MemoryBackend
from tests.explorer.explore import explore
from tests.explorer.programs import Program, _template, one_each
from tests.explorer.world import Violation
from tests.support.keys import key

OLD, NEW = key(1), key(2)

PROGRAMS = [
    one_each("get", "update"),
    one_each("put", "update all new", features=("through",)),
    one_each("put", "move in old form", features=("images of the odd",)),
    one_each("move", "put elsewhere", features=("images",)),
]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)  # failures are meant
    # What makes a world warm has the names of its own test.
    _template.cache_clear()
    yield
    _template.cache_clear()
    logging.disable(logging.NOTSET)


def share(
    monkeypatch: pytest.MonkeyPatch, *keys: tuple[bytes | None, ...]
) -> list[Program]:
    """Give each client the names of its keys; return the programs."""
    names = [Names(each) for each in keys]

    def store_of(backend: MemoryBackend, client: int) -> Store:
        return keyed_store(backend.store, lambda: names[client])

    def snapshot(
        backend: MemoryBackend, client: int, of: bytes, tags: list[bytes]
    ) -> tuple[int, ...]:
        return store_of(backend, client).load(of, tags).snapshot

    monkeypatch.setattr(MemoryBackend, "store_of", store_of)
    monkeypatch.setattr(MemoryBackend, "snapshot", snapshot)
    return PROGRAMS


@pytest.mark.parametrize(
    "keys",
    [
        ((None,), (None, NEW)),
        ((None, NEW), (NEW, None)),
        ((OLD, NEW), (NEW, OLD)),
        ((NEW,), (NEW, OLD)),
    ],
    ids=["plain and plain,NEW", "plain,NEW and NEW,plain", "both ways", "step 3"],
)
def test_no_schedule_of_neighbouring_steps_breaks_a_promise(
    monkeypatch: pytest.MonkeyPatch,
    keys: tuple[tuple[bytes | None, ...], ...],
) -> None:
    for program in share(monkeypatch, *keys):
        assert explore(program).schedules


def test_a_step_that_was_left_out_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for program in share(monkeypatch, (OLD,), (NEW,)):
        with pytest.raises(Violation):
            explore(program)
