"""The page about the command line names each command, option and field there is."""

import re
from dataclasses import replace

import pytest

from botocache._cli.commands import COMMANDS, Parser, load_command
from botocache._cli.console import Console
from botocache._cli.rates_view import rates_document
from botocache._observe.document import document_of
from botocache._observe.rates import Frame, Rates
from botocache.stores.protocol import Usage
from tests.docs.pages import DOCS, table_after, text_of
from tests.support.followed import followed
from tests.support.posted import overview_of, record

PAGE = DOCS / "reference" / "command-line.md"


def section(name: str) -> str:
    """Return the text below a heading, up to the next one."""
    found = re.search(
        rf"^## {name}\n(.*?)(?=^## |\Z)", text_of(PAGE), re.MULTILINE | re.DOTALL
    )
    assert found is not None, name
    return found[1]


def test_the_table_has_each_command_with_its_summary() -> None:
    listed = {
        re.sub(r"\[`([\w-]+)`\].*", r"\1", name): does
        for name, does in table_after(PAGE, "`botocache COMMAND`")
    }
    assert list(listed) == list(COMMANDS)
    for name, does in listed.items():
        third_person = load_command(name).SUMMARY.split()
        written = does.split()
        verb = third_person[0].rstrip(",")
        assert written[0].startswith(verb[:5]), name
        assert set(written[1:]) & set(third_person[1:]), name


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_a_section_with_its_options(name: str) -> None:
    parser = Parser(f"botocache {name}", Console())
    load_command(name).add_arguments(parser)
    text = section(name)
    assert f"`botocache {name}" in text
    named = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", text.replace("|", " ")))
    missing = {*parser.options()} - {"-h", "--help"} - named
    assert not missing


def fields_of(document: object) -> set[str]:
    """Return the names in a document, at any depth, but those of counts by a reason."""
    if isinstance(document, list):
        return {name for each in document for name in fields_of(each)}
    if not isinstance(document, dict):
        return set()
    names = set(document)
    for name, value in document.items():
        if name not in ("bypassed", "unfilled", "differing", "follow_ups", "failures"):
            names |= fields_of(value)
    return names


def test_the_page_has_each_field_of_stats_and_no_other() -> None:
    overview = replace(overview_of(record()), followed=(followed(),))
    document = document_of(overview, overview.total, Usage(1, 2), 10.0, shows_keys=True)
    rates = rates_document(Frame(0.0, Rates(), {}))
    there = fields_of({**document, "rates": rates})
    cells = " ".join(" ".join(row) for row in table_after(PAGE, "The document of"))
    named = set(re.findall(r"`(?:(?:tables|followed)\[\]\.)?([a-z_0-9]+)`", cells))
    # Names of values, not of fields.
    assert named - {"running", "silent", "ended"} - there == set()
    assert there - named == set()
