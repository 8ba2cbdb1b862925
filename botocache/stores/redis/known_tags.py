"""What a process remembers of tags on a server, to save round trips. In memory.

It remembers the generation that each tag had, and until when the key of that generation
lives at least. Nothing here matters to coherence: if it is wrong, a look-up takes
another round trip, or an entry becomes unreachable before its TTL.
"""

from collections.abc import Iterable, Sequence
from operator import itemgetter

from botocache.stores.redis.scripts import GENERATION

MOST_TAGS = 8192
"""Tags that are remembered; at one more, all are forgotten."""

_SURE, _SUREST = 2, 3

_generation = itemgetter(slice(GENERATION))
"""Returns the generation in a state."""


class KnownTags:
    """The tags that a process has met. Safe for threads.

    expects_missing: unknown tags have most likely no generation.
    """

    def __init__(self) -> None:
        self._generations: dict[bytes, bytes] = {}
        self._lives: dict[bytes, float] = {}
        self._sureness = 0
        self.expects_missing = False

    def __repr__(self) -> str:
        return f"<KnownTags {len(self._generations)} tags, {self._sureness} sure>"

    def likely_missing(self, tags: Sequence[bytes]) -> Sequence[bytes]:
        """Return the tags to which a look-up should give generations in any case.

        That costs the server more than a look-up does, and saves a round trip only if
        the tags have none. So it is done only if `expects_missing`, which the last
        look-ups of unknown tags decide.
        """
        known = self._generations
        return [tag for tag in tags if tag not in known]

    def learn(
        self, tags: Sequence[bytes], states: Sequence[bytes], missing: int
    ) -> None:
        """Take in what a look-up found. missing: so many tags had no generation."""
        known = self._generations
        found = [*map(_generation, states)]
        before = [*map(known.get, tags)]
        if before == found:
            return
        for tag, old, new in zip(tags, before, found, strict=True):
            if old != new:
                known[tag] = new
                self._lives.pop(tag, None)
        if unknown := before.count(None):
            step = 1 if 2 * missing >= unknown else -1
            self._sureness = min(max(0, self._sureness + step), _SUREST)
            self.expects_missing = self._sureness >= _SURE
        if len(known) > MOST_TAGS:
            self._generations, self._lives = {}, {}

    def live(self, tags: Iterable[bytes], until: float) -> None:
        """Note until when the generations of some tags live at least."""
        # Apart from the generations: those of items that are written, and never looked
        # up, are not known.
        if len(self._lives) >= MOST_TAGS:
            self._lives = {}
        lives = self._lives
        for tag in tags:
            lives[tag] = until

    def shorten(self, tags: Iterable[bytes]) -> None:
        """Note that generations were replaced, whose successors live less long."""
        for tag in tags:
            self._lives.pop(tag, None)

    def ending(self, tags: Iterable[bytes], moment: float) -> list[bytes]:
        """Return the tags whose generations may end before a moment."""
        lives = self._lives
        return [tag for tag in tags if lives.get(tag, 0.0) < moment]
