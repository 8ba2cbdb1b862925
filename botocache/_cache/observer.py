"""What calls tell those that export and trace them."""

from typing import Protocol


class CallObserver(Protocol):
    """Is told of calls, after they were counted. No method raises."""

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
