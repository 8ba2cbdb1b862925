"""Plain text: for pipes, files, logs and terminals without Rich."""

from collections.abc import Sequence

from botocache._cli.face import Grade, Row

_MARKS: dict[Grade, str] = {"good": "ok", "warning": "warning", "bad": "bad"}
_MARK_WIDTH = 9
_GAP = "  "


class PlainFace:
    """See Face.

    width: columns of the terminal; None where lines may have any length.
    """

    def __init__(self, width: int | None = None) -> None:
        self._width = width

    def heading(self, text: str) -> str:
        return f"\n{text}\n"

    def lines(self, lines: Sequence[str]) -> str:
        return "".join(f"{line}\n" for line in lines)

    def pairs(self, pairs: Sequence[tuple[str, str]]) -> str:
        longest = max((len(name) for name, _ in pairs), default=0)
        return "".join(
            f"{_GAP}{name:<{longest}}{_GAP}{value}".rstrip() + "\n"
            for name, value in pairs
        )

    def table(self, columns: Row, rows: Sequence[Row], words: int) -> str:
        widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
        if self._width is not None and sum(widths) + 2 * len(widths) > self._width:
            return self._records(columns, rows, words)
        lines = []
        for row in (columns, *rows):
            cells = [
                cell.ljust(width) if place < words else cell.rjust(width)
                for place, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            lines.append((_GAP + _GAP.join(cells)).rstrip())
        return self.lines(lines)

    def _records(self, columns: Row, rows: Sequence[Row], words: int) -> str:
        """Return the rows one under the other, where the table is too wide."""
        text = ""
        for row in rows:
            text += f"{_GAP}{' '.join(row[:words])}\n"
            for name, value in zip(columns[words:], row[words:], strict=True):
                text += f"{_GAP}{_GAP}{name} {value}\n"
        return text

    def finding(self, grade: Grade, text: str, advice: str) -> str:
        lines = f"{_MARKS[grade]:<{_MARK_WIDTH}}{text}\n"
        return lines + (f"{'':<{_MARK_WIDTH}}{advice}\n" if advice else "")
