"""Readers that DynamoDB has refused: they are served no hits for now."""

from collections.abc import Sequence
from typing import Final

from botocache._cache.prepare import PreparedRead

_MOST_REFUSED = 10_000
"""Readers that DynamoDB has refused; at one more, the oldest is forgotten."""


class Refusals:
    """The readers of one cache that DynamoDB has refused.

    tags: of the readers; in order, as keys.
    """

    def __init__(self) -> None:
        self.tags: Final[dict[bytes, None]] = {}

    def add(self, reader_tags: Sequence[bytes]) -> None:
        """Serve these readers no hits until DynamoDB allows them a read again.

        Other processes of a role may have newer keys, and go on filling. Keys that were
        revoked must not be served that.
        """
        for tag in reader_tags:
            self.tags[tag] = None
        while len(self.tags) > _MOST_REFUSED:
            self.tags.pop(next(iter(self.tags)), None)

    def allow(self, prepared: PreparedRead) -> None:
        """Serve a reader hits again: DynamoDB has allowed it a read."""
        self.tags.pop(prepared.reader_tag, None)
