"""How calls report to exporters and to a tracer, if there are any."""

from typing import Protocol


class CallObserver(Protocol):
    """Called after each call was counted. No method raises."""

    def on_call(self) -> None:
        """Note that something was counted."""

    def on_hit(
        self, table: str, operation: str, tier: str, age: float, hits: int = 1
    ) -> None:
        """Note hits on one table, while the call is under way.

        table: its name.
        operation: as the service model spells it.
        tier: `near` or `store`.
        age: seconds since the entry's read was sent; the greatest of several.
        hits: how many keys of a BatchGetItem are hits.
        """

    def on_stale(self, table: str, operation: str, age: float, reads: int) -> None:
        """Note reads on one table that entries over their TTL answer.

        age: seconds since the entry's read was sent; the greatest of several.
        reads: how many keys of a BatchGetItem DynamoDB did not answer.
        """

    def on_close(self) -> None:
        """Export what was counted, and end the thread; the next call starts another."""
