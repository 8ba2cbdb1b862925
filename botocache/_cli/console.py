"""What commands print: one vocabulary, and a face for each kind of reader.

A command says everything once. `--json` prints the value of `json` and nothing else. A
terminal gets Rich's face, if Rich is installed (extra `[cli]`); all else plain text.

Records come from a store that other programs may write to: control characters, which a
terminal would obey, are shown as escapes.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from functools import cached_property

from botocache._cli.face import Face, Grade, Row


class OutputError(Exception):
    """Standard output does not take what we print.

    The message is empty if it is a pipe that has read enough.
    """


class Console:
    """Prints on standard output. Each method may raise OutputError.

    is_json: print nothing but JSON.
    """

    def __init__(self, *, is_json: bool = False) -> None:
        self.is_json = is_json

    def heading(self, text: str) -> None:
        """Begin a section."""
        if not self.is_json:
            self.text(self.face.heading(clean(text)))

    def lines(self, *lines: str) -> None:
        """Print lines, as they are."""
        if not self.is_json:
            self.text(self.face.lines([*map(clean, lines)]))

    def pairs(
        self, pairs: Sequence[tuple[str, str]], *, is_indented: bool = True
    ) -> None:
        """Print names with their values, one under the other.

        is_indented: they belong to the heading before them.
        """
        if not self.is_json:
            cleaned = [(clean(name), clean(value)) for name, value in pairs]
            self.text(self.face.pairs(cleaned, is_indented=is_indented))

    def table(self, columns: Row, rows: Sequence[Row], *, words: int = 1) -> None:
        """Print a table.

        columns: their heads.
        rows: of one text for each column.
        words: how many columns, from the left, hold words; the others hold numbers.
        """
        if not self.is_json:
            cells = [[*map(clean, row)] for row in rows]
            self.text(self.face.table([*map(clean, columns)], cells, words))

    def finding(self, grade: Grade, text: str, advice: str = "") -> None:
        """Print what a check has found.

        grade: `good`, `warning` or `bad`.
        text: a sentence.
        advice: what to do; "" if nothing is to be done.
        """
        if not self.is_json:
            self.text(self.face.finding(grade, clean(text), clean(advice)))

    def json(self, value: object) -> None:
        """Print a document, if JSON is wanted. value: of dicts, lists and scalars."""
        if self.is_json:
            # Escaped: it passes through any encoding, and no terminal obeys it.
            import json

            self.text(json.dumps(value, indent=2, allow_nan=False) + "\n")

    def json_line(self, value: object) -> None:
        """Print a document in one line, if JSON is wanted: one of many."""
        if self.is_json:
            import json

            self.text(json.dumps(value, allow_nan=False) + "\n")

    @property
    def is_live(self) -> bool:
        """Whether a view can be drawn again in its own place."""
        return not self.is_json and self.face.is_live and _is_a_tty()

    @cached_property
    def face(self) -> Face:
        """The face for the reader. Rich is imported for a terminal only."""
        if is_terminal(os.environ):
            try:
                from botocache._cli.rich_face import RichFace
            except ImportError:
                pass
            else:
                return RichFace()
        from botocache._cli.plain_face import PlainFace

        return PlainFace(terminal_width() if _is_a_tty() else None)

    def text(self, text: str) -> None:
        """Write a text as it is; past the buffer, which would fail again at exit."""
        stream = sys.stdout
        if stream is None:
            raise OutputError("cannot write to standard output: it is closed")
        encoding = getattr(stream, "encoding", None) or "utf-8"
        try:
            stream.write(_encodable(text, encoding))
            stream.flush()
        except (OSError, ValueError) as error:
            # What is left in the buffer would fail again at exit, with a traceback.
            sys.stdout = None
            if isinstance(error, BrokenPipeError):  # `| head` has read enough
                raise OutputError from None
            message = f"cannot write to standard output: {error}"
            raise OutputError(message) from None


def _encodable(text: str, encoding: str) -> str:
    """Return a text that an output takes, with escapes for what it lacks."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        if encoding.lower() in ("ascii", "us-ascii"):
            text = text.replace("µ", "u")
        return text.encode(encoding, "backslashreplace").decode(encoding)
    return text


def clean(text: str) -> str:
    """Return a text without characters that a terminal would obey."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode("ascii")
        for each in text
    )


def is_terminal(environ: Mapping[str, str]) -> bool:
    """Return whether standard output is a terminal that can do more than print."""
    if environ.get("FORCE_COLOR"):
        return True
    return _is_a_tty() and environ.get("TERM", "") not in ("", "dumb", "unknown")


def _is_a_tty() -> bool:
    try:
        return sys.stdout is not None and sys.stdout.isatty()
    except (OSError, ValueError):  # it is closed
        return False


def terminal_width() -> int:
    """Return the columns of the terminal."""
    import shutil

    return shutil.get_terminal_size().columns
