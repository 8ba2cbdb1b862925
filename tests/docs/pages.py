"""The pages of the documentation, and the blocks of code on them."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = (
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    *sorted((ROOT / "examples").glob("*/README.md")),
    *sorted(DOCS.rglob("*.md")),
)

_BLOCK = re.compile(
    r'^```(?P<language>\w+)(?: title="(?P<title>[^"]+)")?\n(?P<text>.*?)^```$',
    re.DOTALL | re.MULTILINE,
)


class Block(NamedTuple):
    """A fenced block. title: the name of the file that it is, or ""."""

    language: str
    title: str
    text: str


def text_of(page: Path) -> str:
    """Return the source of a page."""
    return page.read_text(encoding="utf-8")


def name_of(page: Path) -> str:
    """Return the page's path, as a test's id."""
    return str(page.relative_to(ROOT))


def id_of(value: object) -> str:
    """Return a test's id for a page, a block or a title."""
    if isinstance(value, Path):
        return name_of(value)
    return value.text.partition("\n")[0] if isinstance(value, Block) else str(value)


def blocks_of(page: Path) -> list[Block]:
    """Return the fenced blocks of a page, in order."""
    return [
        Block(match["language"], match["title"] or "", match["text"])
        for match in _BLOCK.finditer(text_of(page))
    ]


def blocks_in(language: str) -> list[tuple[Path, Block]]:
    """Return every block of all pages that is in a language, with its page."""
    return [
        (page, block)
        for page in PAGES
        for block in blocks_of(page)
        if block.language == language
    ]


def files_of(page: Path) -> dict[str, str]:
    """Return the blocks of a page that have a file's name, by that name."""
    return {block.title: block.text for block in blocks_of(page) if block.title}


def table_after(page: Path, heading: str) -> list[list[str]]:
    """Return the rows of the first table after a line that starts with `heading`."""
    _, found, rest = text_of(page).partition(f"\n{heading}")
    assert found or text_of(page).startswith(heading), heading
    rest = rest or text_of(page)
    table = re.search(r"(?:^\|.*\|$\n?)+", rest, re.MULTILINE)
    assert table is not None
    rows = [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in table[0].splitlines()
    ]
    return rows[2:]
