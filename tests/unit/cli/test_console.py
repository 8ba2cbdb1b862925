"""The console: one vocabulary, three faces, and a standard output that may fail."""

import errno
import io
import json
import sys
from typing import Any

import pytest
from rich.console import Console as RichConsole

from botocache._cli import console as console_module
from botocache._cli.console import Console, OutputError, clean, is_terminal
from botocache._cli.plain_face import PlainFace
from botocache._cli.rich_face import RichFace
from tests.support.terminals import without_escapes


def say_all(console: Console) -> None:
    console.heading("Tables")
    console.lines("one", "two")
    console.pairs([("hit ratio", "84 %"), ("reads", "12")])
    console.pairs([("operation", "GetItem"), ("", "more")], is_indented=False)
    console.table(("table", "hits"), [("users", "1,204"), ("orders", "7")])
    console.finding("good", "the store answers")
    console.finding("warning", "it is slow", "look at it")
    console.finding("bad", "it is full", "make room")
    console.json({"hits": 7})


SAID = """\

Tables
one
two
  hit ratio  84 %
  reads      12
operation GetItem
          more
  table    hits
  users   1,204
  orders      7
ok       the store answers
warning  it is slow
         look at it
bad      it is full
         make room
"""


def test_plain_text_is_aligned_and_has_no_escape(
    capsys: pytest.CaptureFixture[str],
) -> None:
    say_all(Console())
    assert capsys.readouterr().out == SAID


def test_with_json_nothing_but_the_document_is_printed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    say_all(Console(is_json=True))
    assert json.loads(capsys.readouterr().out) == {"hits": 7}


def test_a_document_of_many_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(is_json=True)
    console.json_line({"table": "é", "hits": 7})
    assert capsys.readouterr().out == '{"table": "\\u00e9", "hits": 7}\n'


def test_a_document_with_no_number_is_an_error_of_ours() -> None:
    with pytest.raises(ValueError, match="Out of range"):
        Console(is_json=True).json({"p99": float("inf")})


def rich_face(width: int = 80, encoding: str = "utf-8") -> RichFace:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    return RichFace(
        RichConsole(file=file, force_terminal=True, width=width, legacy_windows=False)
    )


def with_face(monkeypatch: pytest.MonkeyPatch, face: Any) -> Console:
    console = Console()
    monkeypatch.setitem(vars(console), "face", face)
    return console


def test_rich_says_the_same_words_with_colours(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    say_all(with_face(monkeypatch, rich_face()))
    raw = capsys.readouterr().out
    assert "\x1b[1;36mTables" in raw
    words = without_escapes(raw).split()
    marks = {"✓": "ok", "!": "warning", "✗": "bad"}
    assert [marks.get(word, word) for word in words] == SAID.split()
    assert "  users   1,204\n" in without_escapes(raw).replace(" \n", "\n")


def test_a_terminal_without_unicode_gets_other_marks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    console = with_face(monkeypatch, rich_face(encoding="ascii"))
    console.finding("good", "yes")
    console.finding("bad", "no")
    shown = without_escapes(capsys.readouterr().out)
    assert [line.strip() for line in shown.splitlines()] == ["+ yes", "x no"]


NARROW = """\
  users GetItem
    hits 1,204
    misses 12
  orders Query
    hits 7
    misses 9
"""


@pytest.mark.parametrize("face", [PlainFace(24), rich_face(24)])
def test_a_table_that_is_too_wide_is_shown_one_row_after_the_other(face: Any) -> None:
    rows = [("users", "GetItem", "1,204", "12"), ("orders", "Query", "7", "9")]
    text = face.table(("table", "operation", "hits", "misses"), rows, 2)
    assert text == NARROW
    assert max(map(len, text.splitlines())) <= 24


@pytest.mark.parametrize("face", [PlainFace(24), PlainFace(), rich_face(24)])
def test_a_table_that_fits_is_a_table(face: Any) -> None:
    text = without_escapes(face.table(("table", "hits"), [("users", "1,204")], 1))
    lines = [line.rstrip() for line in text.splitlines()]
    assert lines == ["  table   hits", "  users  1,204"]


def test_a_table_without_rows_has_its_heads() -> None:
    assert PlainFace().table(("table", "hits"), [], 1) == "  table  hits\n"


# --- what a terminal would obey ------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("users", "users"),
        ("żółw ✓", "żółw ✓"),
        ("a\x1b[31mb", "a\\x1b[31mb"),
        ("a\nb\tc\r", "a\\nb\\tc\\r"),
        ("a\x9b31mb", "a\\x9b31mb"),
        ("a\u202eb", "a\\u202eb"),
        ("a\ud800b", "a\\ud800b"),
        ("", ""),
    ],
)
def test_control_characters_are_shown_as_escapes(text: str, shown: str) -> None:
    assert clean(text) == shown


HOSTILE = "\x1b]0;mine\x07\x1b[2J"


@pytest.mark.parametrize(
    "face", [PlainFace(), PlainFace(10), rich_face(), rich_face(9)]
)
def test_no_face_lets_a_terminal_obey_what_a_store_holds(
    face: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    console = with_face(monkeypatch, face)
    console.heading(HOSTILE)
    console.lines(HOSTILE)
    console.pairs([(HOSTILE, HOSTILE)])
    console.table((HOSTILE, "b"), [(HOSTILE, HOSTILE)])
    console.finding("bad", HOSTILE, HOSTILE)
    raw = capsys.readouterr().out
    assert "\x1b]" not in raw
    assert "\x1b[2J" not in raw
    assert "\x07" not in raw
    assert "mine" in raw


# --- which face ----------------------------------------------------------------------


class Terminal(io.StringIO):
    """Standard output that says it is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def a_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Let standard output be a terminal. Not a fixture: pytest changes the output."""
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("FORCE_COLOR", "NO_COLOR", "COLUMNS", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    stream = Terminal()
    monkeypatch.setattr(sys, "stdout", stream)
    return stream


def test_a_terminal_gets_rich(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = a_terminal(monkeypatch)
    console = Console()
    console.heading("Tables")
    assert "\x1b[1;36mTables\x1b[0m" in terminal.getvalue()
    assert console.is_live


@pytest.mark.parametrize("name", ["dumb", "unknown", ""])
def test_a_terminal_that_can_only_print_gets_plain_text(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    terminal = a_terminal(monkeypatch)
    monkeypatch.setenv("TERM", name)
    console = Console()
    console.heading("Tables")
    assert terminal.getvalue() == "\nTables\n"
    assert not console.is_live


def test_with_no_color_a_terminal_gets_rich_without_colours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = a_terminal(monkeypatch)
    monkeypatch.setenv("NO_COLOR", "1")
    console = Console()
    console.finding("bad", "no")
    raw = terminal.getvalue()
    assert without_escapes(raw).split() == ["✗", "no"]
    assert "31" not in raw
    assert console.is_live


def test_without_rich_a_terminal_gets_plain_text(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = a_terminal(monkeypatch)
    monkeypatch.setitem(sys.modules, "botocache._cli.rich_face", None)
    console = Console()
    console.finding("bad", "no")
    assert terminal.getvalue() == "bad      no\n"
    assert not console.is_live


def test_a_narrow_terminal_without_rich_is_not_overrun(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = a_terminal(monkeypatch)
    monkeypatch.setitem(sys.modules, "botocache._cli.rich_face", None)
    monkeypatch.setattr(console_module, "terminal_width", lambda: 20)
    Console().table(("table", "reads saved"), [("users-of-today", "12")])
    assert terminal.getvalue() == "  users-of-today\n    reads saved 12\n"


def test_json_is_never_live(monkeypatch: pytest.MonkeyPatch) -> None:
    a_terminal(monkeypatch)
    assert not Console(is_json=True).is_live


@pytest.mark.parametrize("stream", [None, io.StringIO()])
def test_what_is_no_terminal_gets_plain_text(
    monkeypatch: pytest.MonkeyPatch, stream: Any
) -> None:
    monkeypatch.setattr(sys, "stdout", stream)
    assert not is_terminal({"TERM": "xterm"})
    assert isinstance(Console().face, PlainFace)


def test_colours_can_be_forced_for_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    console = Console()
    console.finding("bad", "no")
    assert "\x1b[1;31m" in stream.getvalue()
    assert not console.is_live  # a pipe shows no place again


# --- a standard output that fails ----------------------------------------------------


class Failing(io.StringIO):
    """Standard output that fails when it is written to, or flushed."""

    def __init__(self, error: Exception, method: str) -> None:
        super().__init__()
        setattr(self, method, self._fail)
        self._error = error

    def _fail(self, *_: object) -> int:
        raise self._error


@pytest.mark.parametrize("method", ["write", "flush"])
@pytest.mark.parametrize(
    ("error", "message"),
    [
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), ""),
        (OSError(errno.ENOSPC, "No space"), "cannot write to standard output: [Errno"),
        (ValueError("closed file"), "cannot write to standard output: closed file"),
    ],
)
def test_an_output_that_fails_is_one_sentence_and_nothing_at_exit(
    monkeypatch: pytest.MonkeyPatch, method: str, error: Exception, message: str
) -> None:
    monkeypatch.setattr(sys, "stdout", Failing(error, method))
    with pytest.raises(OutputError) as raised:
        Console().lines("one")
    assert str(raised.value).startswith(message)
    assert bool(str(raised.value)) == bool(message)
    assert sys.stdout is None  # else its buffer would be flushed again at exit


def test_a_closed_output_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(OutputError, match="it is closed"):
        Console().lines("one")


@pytest.mark.parametrize(
    ("encoding", "printed"),
    [("utf-8", "5 µs ✓\n"), ("latin-1", "5 µs \\u2713\n"), ("ascii", "5 us \\u2713\n")],
)
def test_characters_that_the_output_lacks_are_spelled(
    monkeypatch: pytest.MonkeyPatch, encoding: str, printed: str
) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    Console().lines("5 µs ✓")
    assert raw.getvalue().decode(encoding) == printed
