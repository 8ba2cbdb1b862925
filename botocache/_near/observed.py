"""The near cache of an installation whose hits are traced or exported.

A class of its own: a near hit pays nothing for it where neither is switched on.
"""

from typing import Final

from botocache._cache.services import CacheServices
from botocache._dynamodb.types import Answer
from botocache._near.answers import NearAnswers, NearEntry
from botocache._near.audited_answers import AuditedAnswers
from botocache._near.batch_answers import BATCH
from botocache._observe.exports import Exports


def observed_answers(exports: Exports, services: CacheServices) -> NearAnswers:
    """Return the near cache of a cache with these services."""
    kind = ObservedAnswers if services.audits is None else ObservedAuditedAnswers
    return kind(exports, services)


class ObservedAnswers(NearAnswers):
    """Near answers that report their hits to the exports."""

    _serve = NearAnswers.serve  # bound here: `super()` takes 50 ns longer

    def __init__(self, exports: Exports, services: CacheServices) -> None:
        super().__init__(services)
        self._exports: Final = exports
        self._ticker: Final = exports.ticker
        self._spans: Final = exports.spans

    def serve(
        self, entry: NearEntry, started: float | None, arguments: object
    ) -> Answer | None:
        """Return the answer as a hit, and report it. See NearAnswers."""
        answer = self._serve(entry, started, arguments)
        if answer is not None:
            if self._ticker.is_resting:
                self._exports.on_call()
            spans = self._spans
            span = spans.context().get(spans.key)
            if span is not None and span.is_recording() and entry.hits is not None:
                age = self.now() - entry.stored_at
                self._exports.on_hit(*entry.hits.place, "near", age)
        return answer

    def on_batch(self, table: str, hits: int, age: float) -> None:
        """Report the near hits of a batch."""
        self._exports.on_hit(table, BATCH, "near", age, hits)


class ObservedAuditedAnswers(ObservedAnswers, AuditedAnswers):
    """The same, of which a share is audited."""

    _serve = AuditedAnswers.serve
