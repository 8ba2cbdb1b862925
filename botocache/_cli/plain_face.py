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

    is_live = False

    def __init__(self, width: int | None = None) -> None:
        self._width = width

    def heading(self, text: str) -> str:
        return f"\n{text}\n"

    def lines(self, lines: Sequence[str]) -> str:
        return "".join(f"{line}\n" for line in lines)

    def pairs(self, pairs: Sequence[tuple[str, str]], *, is_indented: bool) -> str:
        longest = max((len(name) for name, _ in pairs), default=0)
        indent, gap = (_GAP, _GAP) if is_indented else ("", " ")
        return "".join(
            f"{indent}{name:<{longest}}{gap}{value}".rstrip() + "\n"
            for name, value in pairs
        )

    def table(self, columns: Row, rows: Sequence[Row], words: int) -> str:
        widths = widths_of(columns, rows)
        if self._width is not None and not fits(widths, self._width):
            return records(columns, rows, words)
        lines = []
        for row in (columns, *rows):
            cells = [
                cell.ljust(width) if place < words else cell.rjust(width)
                for place, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            lines.append((_GAP + _GAP.join(cells)).rstrip())
        return self.lines(lines)

    def finding(self, grade: Grade, text: str, advice: str) -> str:
        lines = f"{_MARKS[grade]:<{_MARK_WIDTH}}{text}\n"
        return lines + (f"{'':<{_MARK_WIDTH}}{advice}\n" if advice else "")


def widths_of(columns: Row, rows: Sequence[Row]) -> list[int]:
    """Return the characters that each column of a table takes."""
    return [max(map(len, column)) for column in zip(columns, *rows, strict=True)]


def fits(widths: Sequence[int], width: int) -> bool:
    """Return whether a table is no wider than the terminal."""
    return sum(widths) + len(_GAP) * len(widths) <= width


def records(columns: Row, rows: Sequence[Row], words: int) -> str:
    """Return the rows one under the other, for a table that is too wide."""
    text = ""
    for row in rows:
        text += f"{_GAP}{' '.join(row[:words])}\n"
        for name, value in zip(columns[words:], row[words:], strict=True):
            text += f"{_GAP}{_GAP}{name} {value}\n"
    return text
