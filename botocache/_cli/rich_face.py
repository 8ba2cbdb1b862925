"""Rich's face, for terminals. The only file that imports Rich."""

import sys
from collections.abc import Sequence

from rich.console import Console as RichConsole
from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from botocache._cli.face import Grade, Row
from botocache._cli.plain_face import fits, records, widths_of

_MARKS: dict[Grade, Text] = {
    "good": Text("✓", "green"),
    "warning": Text("!", "bold yellow"),
    "bad": Text("✗", "bold red"),
}
_ASCII = {"good": "+", "warning": "!", "bad": "x"}

_INDENT = (0, 0, 0, 2)


class RichFace:
    """See Face."""

    is_live = True

    def __init__(self, console: RichConsole | None = None) -> None:
        self._console = console or RichConsole(
            file=sys.stdout, highlight=False, markup=False, emoji=False
        )

    def heading(self, text: str) -> str:
        return self._rendered(Text(f"\n{text}", "bold cyan"))

    def lines(self, lines: Sequence[str]) -> str:
        return "".join(self._rendered(Text(line)) for line in lines)

    def pairs(self, pairs: Sequence[tuple[str, str]], *, is_indented: bool) -> str:
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="dim", no_wrap=True)
        grid.add_column(overflow="fold")
        for name, value in pairs:
            grid.add_row(Text(name), Text(value))
        return self._rendered(
            Padding(grid, _INDENT if is_indented else 0, expand=False)
        )

    def table(self, columns: Row, rows: Sequence[Row], words: int) -> str:
        if not fits(widths_of(columns, rows), self._console.width):
            return records(columns, rows, words)
        table = Table(
            box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim"
        )
        for place, name in enumerate(columns):
            side = "left" if place < words else "right"
            table.add_column(Text(name), justify=side, no_wrap=True)  # type: ignore[arg-type]  # one of Rich's words
        for row in rows:
            table.add_row(*map(Text, row))
        return self._rendered(Padding(table, _INDENT, expand=False))

    def finding(self, grade: Grade, text: str, advice: str) -> str:
        grid = Table.grid(padding=(0, 1))
        grid.add_column(no_wrap=True)
        grid.add_column(overflow="fold")
        mark = _MARKS[grade]
        if not self._console.encoding.startswith("utf"):
            mark = Text(_ASCII[grade], mark.style)
        grid.add_row(mark, Text(text))
        if advice:
            grid.add_row("", Text(advice, "dim"))
        return self._rendered(grid)

    def _rendered(self, renderable: RenderableType) -> str:
        with self._console.capture() as captured:
            self._console.print(renderable)
        return captured.get()
