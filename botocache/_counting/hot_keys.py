"""Which keys are read most, from a sample of the hits, in bounded memory.

By the algorithm "space-saving": when all places are taken, a new key takes the place of
the one with the fewest reads, and begins at its count. So a key that is read often can
be counted too high, never be missed.
"""

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

from botocache._counting.stats import HotKey, hottest

TextOf: TypeAlias = Callable[[Any], str]
"""Makes the text of a key; never raises."""

MOST_KEPT = 200
"""Keys that are counted at a time."""

MOST_TEXT = 200
"""Characters of a key that are kept."""


class Named(Protocol):
    """What the key belongs to: a Series."""

    @property
    def table(self) -> str:
        """Its name."""

    @property
    def operation(self) -> str:
        """As the service model spells it."""


class _Place:
    __slots__ = ("hits", "text", "units")

    def __init__(self, hits: int, units: float, text: str) -> None:
        self.hits = hits
        self.units = units
        self.text = text


class HotKeys:
    """The keys that are read most. The caller holds a lock."""

    def __init__(self) -> None:
        self._places: dict[tuple[Named, str], _Place] = {}
        # Names that had the fewest reads when they were last looked for. Where far more
        # keys are read than there are places, each sample takes one: to look through
        # all places took as long each time as a hit does.
        self._candidates: list[tuple[Named, str]] = []
        self._fewest = 0

    def __repr__(self) -> str:
        return f"<HotKeys: {len(self._places)}>"

    def add(  # noqa: PLR0913, PLR0917 - what a sample consists of
        self,
        series: Named,
        digest: str,
        hits: int,
        units: float,
        text_of: TextOf,
        asked: object,
    ) -> None:
        """Add hits on a key.

        series: that it belongs to.
        digest: of the entry's key, in hex.
        hits: that this one stands for.
        units: read units that these would have consumed.
        text_of: makes the key's text of `asked`; called if the key is new here.
        """
        name = (series, digest)
        place = self._places.get(name)
        if place is None:
            # For a new key alone: to write its JSON takes longer than all else here.
            place = _Place(0, 0.0, text_of(asked)[:MOST_TEXT])
            # Not `if`: a signal handler may add a key between the two lines below.
            while len(self._places) >= MOST_KEPT:
                before = self._places.pop(self._least(), place)
                # The new key inherits them (Space-Saving). So no key that is read often
                # is left out for long, and one that is not may be shown as hotter than
                # it is.
                place.hits, place.units = before.hits, before.units
            self._places[name] = place
        place.hits += hits
        place.units += units

    def _least(self) -> tuple[Named, str]:
        """Return the name of a place with the fewest reads."""
        places, candidates = self._places, self._candidates
        while True:
            try:
                name = candidates.pop()
            except IndexError:  # not before: a signal handler may take the last one
                break
            place = places.get(name)
            # Reads only rise, so one that still has as few is still among the least.
            if place is not None and place.hits == self._fewest:
                return name
        # In copies: a signal handler may add a key meanwhile, or reads of one.
        hits = [(name, place.hits) for name, place in [*places.items()]]
        fewest = min([each for _, each in hits])
        # The oldest one is the last, and goes first.
        candidates = [name for name, each in reversed(hits) if each == fewest]
        name = candidates.pop()
        self._candidates, self._fewest = candidates, fewest
        return name

    def read(self) -> tuple[HotKey, ...]:
        """Return the keys with the most read units saved."""
        return hottest(
            HotKey(
                series.table,
                series.operation,
                digest,
                place.text,
                place.hits,
                place.units,
            )
            for (series, digest), place in [*self._places.items()]  # as above
        )
