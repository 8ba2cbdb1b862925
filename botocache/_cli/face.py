"""What a face is: it turns what a command says into text, and prints nothing itself."""

from collections.abc import Sequence
from typing import Literal, Protocol, TypeAlias

Grade: TypeAlias = Literal["good", "warning", "bad"]

Row: TypeAlias = Sequence[str]


class Face(Protocol):
    """Turns what a command says into text. Each text ends its own line.

    is_live: a terminal shows it, which can draw a view again in its own place.
    """

    is_live: bool

    def heading(self, text: str) -> str:
        """Return the beginning of a section."""

    def lines(self, lines: Sequence[str]) -> str:
        """Return lines as they are."""

    def pairs(self, pairs: Sequence[tuple[str, str]], *, is_indented: bool) -> str:
        """Return names with their values, one under the other."""

    def table(self, columns: Row, rows: Sequence[Row], words: int) -> str:
        """Return a table. words: columns at the left that hold no numbers."""

    def finding(self, grade: Grade, text: str, advice: str) -> str:
        """Return a finding, and what to do about it."""
