"""What the near cache remembers: a refill outdates every answer of its entry."""

import math
from dataclasses import dataclass

import pytest

from botocache._cache.entries import Entry
from botocache._cache.prepare import Call, PreparedRead
from botocache._cache.read_mode import Mode
from botocache._cache.services import services_of
from botocache._cache.tickets import Hit
from botocache._dynamodb.plans import Kind, Read
from botocache._near.answers import NearAnswers
from botocache._near.call_keys import CallKey
from botocache._near.fill_places import place_of
from botocache._settings.load import Settings
from botocache.stores.memory import MemoryStore

KEY, OTHER, WHOLE = b"an entry", b"another one", b"the whole item"


@pytest.fixture
def answers() -> NearAnswers:
    """Return what a new cache remembers: nothing."""
    return NearAnswers(services_of(MemoryStore(), Settings()))


@dataclass
class _Call:
    """A call whose answer is remembered; see CallToRemember."""

    last_fill: object
    key: CallKey | None = b"a call's key"
    remembered: PreparedRead | None = None
    valid_until: float = math.inf


def hit_of(key: bytes, whole: bytes | None = None) -> Hit:
    """Return a hit of an entry that depends on nothing.

    whole: the key of the whole item's entry, of which it is a projection.
    """
    read = Read("GetItem", Kind.ITEM, "t", "t", (), b"", False, "NONE")
    call = Call("GetItem", "here", b"scope", Mode.NORMAL)
    prepared = PreparedRead(call, {}, read, Settings().policy("t"), key, (), whole)
    entry = Entry((), 0.0, math.inf, b"", lambda _: {})
    return Hit({}, 0.0, key, entry, prepared)


def remember(answers: NearAnswers, hit: Hit, call: _Call) -> bool:
    """Remember a hit; return whether its answer is served from then on."""
    watched = answers.watch(hit)
    assert watched is not None
    answers.remember(call, hit, dict, 100, watched)
    return is_served(answers)


def is_served(answers: NearAnswers) -> bool:
    """Return whether an answer is served from memory."""
    entry = answers.find(b"a call's key")
    return entry is not None and answers.serve(entry, None, {}) is not None


def test_a_fill_outdates_what_is_remembered_of_its_entry_alone(
    answers: NearAnswers,
) -> None:
    assert remember(answers, hit_of(KEY), _Call(answers.last_fill))
    answers.on_fill(OTHER)
    assert is_served(answers)
    answers.on_fill(KEY)
    assert not is_served(answers)
    assert remember(answers, hit_of(KEY), _Call(answers.last_fill))


def test_a_fill_of_the_whole_item_outdates_a_projection(answers: NearAnswers) -> None:
    for filled in (KEY, WHOLE):
        assert remember(answers, hit_of(KEY, WHOLE), _Call(answers.last_fill))
        answers.on_fill(filled)
        assert not is_served(answers)


def test_an_answer_from_before_a_fill_is_not_remembered_after_it(
    answers: NearAnswers,
) -> None:
    """The call may have loaded the older entry."""
    before = _Call(answers.last_fill)
    answers.on_fill(KEY)
    assert not remember(answers, hit_of(KEY), before)


def test_a_fill_just_after_the_comparison_outdates_the_answer(
    answers: NearAnswers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it is of another thread or of a signal handler."""
    for key in (KEY, WHOLE):

        def prefix(_key: str, key: bytes = key) -> str:
            answers.on_fill(key)
            return ""

        with monkeypatch.context() as patch:
            patch.setattr("botocache._near.answers.request_prefix", prefix)
            call = _Call(answers.last_fill)
            assert not remember(answers, hit_of(KEY, WHOLE), call)


def test_entries_that_share_a_place_outdate_each_other(answers: NearAnswers) -> None:
    """It costs a look-up in the store, and nothing else."""
    like = b"with this place, too: " + KEY
    assert place_of(like) == place_of(KEY)
    assert remember(answers, hit_of(KEY), _Call(answers.last_fill))
    answers.on_fill(like)
    assert not is_served(answers)
