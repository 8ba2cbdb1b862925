"""What the near cache remembers: a refill outdates every answer of its entry."""

import weakref
from threading import Thread
from typing import Any

import pytest

from botocache._cache.services import services_of
from botocache._near.answers import NearAnswers
from botocache._near.markers import RefillMarker
from botocache._settings.load import Settings
from botocache.stores.memory import MemoryStore

KEY = b"an entry's key"


@pytest.fixture
def answers() -> NearAnswers:
    """Return what a new cache remembers: nothing."""
    return NearAnswers(services_of(MemoryStore(), Settings()))


def test_a_fill_outdates_the_marker_of_its_entry_alone(answers: NearAnswers) -> None:
    filled, other = answers.markers_of([KEY, b"another key"])
    before = answers.last_fill
    answers.on_fill(KEY)
    assert (filled.is_outdated, other.is_outdated) == (True, False)
    assert answers.last_fill is not before
    assert not answers.markers_of([KEY])[0].is_outdated


def test_two_threads_that_remember_one_entry_at_once_share_its_marker(
    answers: NearAnswers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a fill would outdate the answer of one of them, and not the other's."""
    others: list[RefillMarker] = []
    thread = Thread(target=lambda: others.extend(answers.markers_of([KEY])))

    def reference(*arguments: Any) -> Any:
        """Let the other thread in, after it was seen that there is no marker."""
        monkeypatch.undo()
        thread.start()
        thread.join(timeout=0.2)  # it waits for this one
        return weakref.KeyedRef(*arguments)

    monkeypatch.setattr("weakref.KeyedRef", reference)
    (mine,) = answers.markers_of([KEY])
    thread.join()
    assert others == [mine]
