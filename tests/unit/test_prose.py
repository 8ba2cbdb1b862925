"""Plain English: words that hide the subject, fields of docstrings, comments, reasons.

A failure names file, line, word, and what to write instead. Each file is a case of its
own, so that a run lists all files that have to change.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = sorted((ROOT / "botocache").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
PAGES = [
    *(
        ROOT / name
        for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")
    ),
    *sorted((ROOT / "docs").rglob("*.md")),
]

_A_PERSON = "what acts: 'the caller', 'the application', 'another process'"
INSTEAD = {
    "nobody": "'no process', 'no caller', 'it is not known'",
    "whoever": _A_PERSON,
    "somebody": _A_PERSON,
    "as ever": "the reason itself",
    "see above": "the reason itself",
    "is told": "'receives', 'learns', 'gets the argument'",
    "has a say": "'decides', 'changes'",
    "the ordinary way": "'through botocore', 'as without botocache'",
    "he": _A_PERSON,
    "him": _A_PERSON,
    "his": "'the user's', 'its', 'their'",
}
"""Forbidden words, and what to write instead."""

_FORBIDDEN = re.compile(
    r"(?<![\w'])(?:"
    + "|".join(word.replace(" ", r"\s+") for word in INSTEAD)
    + r")(?![\w'])",
    re.IGNORECASE,
)

LEAST_COMMENTS = 0.04
"""Comments in all lines of the package. Their place is where the code surprises."""


class Text(NamedTuple):
    """A piece of prose.

    line: its first one in the file.
    text: as a reader sees it.
    """

    line: int
    text: str


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _source(path: Path) -> str:
    return path.read_text(encoding="utf-8")


# --- finding prose -----------------------------------------------------------------


def _comments(source: str) -> Iterator[Text]:
    """Yield every comment, without its `#`."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield Text(token.start[0], token.string.lstrip("#").strip())


def _blocks(comments: Iterator[Text]) -> Iterator[Text]:
    """Yield comments on consecutive lines as one, so that no phrase is cut in two."""
    numbered = enumerate(comments)
    for _, run in groupby(numbered, key=lambda pair: pair[1].line - pair[0]):
        block = [comment for _, comment in run]
        yield Text(block[0].line, "\n".join(comment.text for comment in block))


def _strings(tree: ast.AST) -> Iterator[Text]:
    """Yield docstrings, messages and all other text."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield Text(node.lineno, node.value)


def _test_names(tree: ast.AST) -> Iterator[Text]:
    """Yield the names of tests as sentences."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            yield Text(node.lineno, node.name.replace("_", " "))


def _complaints(texts: Iterator[Text]) -> list[str]:
    """Return a line for each forbidden word, in the order of the file."""
    found = []
    for line, text in sorted(texts):
        for match in _FORBIDDEN.finditer(text):
            at = line + text.count("\n", 0, match.start())
            word = " ".join(match[0].split())
            found.append(f"{at}: {word!r}; write {INSTEAD[word.lower()]}")
    return found


def _check(path: Path, complaints: list[str]) -> None:
    """Fail with every complaint about a file, however many there are."""
    if complaints:
        report = "\n".join(f"{_name(path)}:{each}" for each in complaints)
        pytest.fail(report, pytrace=False)


# --- words -------------------------------------------------------------------------


@pytest.mark.parametrize("path", PACKAGE, ids=_name)
def test_the_prose_of_a_module_names_its_subjects(path: Path) -> None:
    source = _source(path)
    comments = _complaints(_blocks(_comments(source)))
    _check(path, comments + _complaints(_strings(ast.parse(source))))


@pytest.mark.parametrize("path", PAGES, ids=_name)
def test_the_prose_of_a_page_names_its_subjects(path: Path) -> None:
    _check(path, _complaints(iter([Text(1, _source(path))])))


@pytest.mark.parametrize("path", TESTS, ids=_name)
def test_the_names_of_tests_name_their_subjects(path: Path) -> None:
    _check(path, _complaints(_test_names(ast.parse(_source(path)))))


# --- fields ------------------------------------------------------------------------

Documented = ast.FunctionDef | ast.ClassDef


def _fields(node: Documented) -> set[str]:
    """Return the parameters of a function, or the fields of a class."""
    if isinstance(node, ast.FunctionDef):
        given = node.args
        return {
            each.arg for each in (*given.posonlyargs, *given.args, *given.kwonlyargs)
        }
    names: set[str] = set()
    for part in node.body:
        if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
            names.add(part.target.id)
        elif isinstance(part, ast.FunctionDef) and part.name == "__init__":
            names |= _fields(part)
    return names


def _crowded_fields(node: Documented) -> list[str]:
    """Return the fields that do not begin a line, if the docstring has several."""
    fields = _fields(node)
    matches = [
        match
        for match in re.finditer(
            r"(?<![\w`'\".])(\w+):\s", ast.get_docstring(node) or ""
        )
        if match[1] in fields
    ]
    if len({match[1] for match in matches}) < 2:
        return []
    return [
        f"{node.lineno}: {node.name}: field {match[1]!r} needs a line of its own"
        for match in matches
        if match.string[: match.start()].rpartition("\n")[2].strip()
    ]


@pytest.mark.parametrize("path", PACKAGE, ids=_name)
def test_each_field_of_a_docstring_has_a_line_of_its_own(path: Path) -> None:
    nodes = ast.walk(ast.parse(_source(path)))
    documented = [node for node in nodes if isinstance(node, Documented)]
    _check(path, [field for node in documented for field in _crowded_fields(node)])


# --- comments ----------------------------------------------------------------------


def test_the_package_has_comments_where_it_surprises() -> None:
    sizes = {}
    for path in PACKAGE:
        source = _source(path)
        sizes[_name(path)] = len(list(_comments(source))), source.count("\n")
    comments, lines = map(sum, zip(*sizes.values(), strict=True))
    shares = sorted(
        (c / n, f"{c} of {n}: {name}") for name, (c, n) in sizes.items() if n
    )
    # The files with the fewest come first, and are those to look at.
    listed = "\n".join(text for share, text in shares if share < LEAST_COMMENTS)
    assert comments >= LEAST_COMMENTS * lines, f"{comments} of {lines} lines\n{listed}"


_NOQA = re.compile(r"noqa:\s*[A-Z]+[0-9]+(?:,\s*[A-Z]+[0-9]+)*(?P<reason>.*)")
_LEAST_WORDS = 3


def _bad_reasons(comments: Iterator[Text]) -> list[str]:
    """Return the lint exceptions whose reason is missing or stands elsewhere."""
    bad = []
    for line, text in comments:
        match = _NOQA.search(text)
        if match is None:
            continue
        reason = match["reason"].strip().removeprefix("-").strip()
        is_elsewhere = reason.startswith(("see ", "as ever"))
        if is_elsewhere or len(reason.split()) < _LEAST_WORDS:
            bad.append(f"{line}: noqa with the reason {reason!r}; write a whole one")
    return bad


@pytest.mark.parametrize("path", PACKAGE, ids=_name)
def test_a_lint_exception_has_a_whole_reason(path: Path) -> None:
    _check(path, _bad_reasons(_comments(_source(path))))


# --- the checks themselves ---------------------------------------------------------

BAD = '''
def call(a, b):
    """Return what nobody asks for.

    a: one. b: another.
    """
    # A comment in which a word is
    # told on two lines.
    raise ValueError(
        "whoever "
        f"reads {a} has a "
        "say"
    )  # noqa: TRY003 - as ever


def test_he_is_told(): ...
'''


def test_a_forbidden_word_is_found_in_strings_comments_and_names() -> None:
    tree = ast.parse(BAD)
    strings = {each.split("'")[1] for each in _complaints(_strings(tree))}
    assert strings == {"nobody", "whoever", "has a say"}
    comments = _complaints(_blocks(_comments(BAD)))
    assert [each.partition(";")[0] for each in comments] == [
        "7: 'is told'",
        "13: 'as ever'",
    ]
    names = _complaints(_test_names(tree))
    assert [each.partition(";")[0] for each in names] == ["16: 'he'", "16: 'is told'"]


@pytest.mark.parametrize(
    "text", ["the history of this cache", "the help", "which", "a told story", "see"]
)
def test_a_word_that_only_holds_a_forbidden_one_is_allowed(text: str) -> None:
    assert _complaints(iter([Text(1, text)])) == []


def test_two_fields_on_a_line_are_found() -> None:
    (function, _) = ast.parse(BAD).body
    assert isinstance(function, ast.FunctionDef)
    assert _crowded_fields(function) == ["2: call: field 'b' needs a line of its own"]


def test_a_reason_that_stands_elsewhere_is_found() -> None:
    assert _bad_reasons(_comments(BAD)) == [
        "13: noqa with the reason 'as ever'; write a whole one"
    ]
