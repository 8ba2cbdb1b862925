"""The pages about security: each test that they name is there, and each fact is so."""

import ast
import re

import pytest

from release.advisories import Advisory, read
from release.audit import judge, parse
from tests.docs.pages import DOCS, ROOT, table_after, text_of

THREATS = DOCS / "explanation" / "threat-model.md"
SUPPLY = DOCS / "explanation" / "supply-chain.md"
ATTACKS = table_after(THREATS, "## Attacks")

NAMED = sorted(
    {
        path
        for page in (THREATS, SUPPLY, ROOT / "SECURITY.md")
        for path in re.findall(r"`(tests/[\w/.]+)`", text_of(page))
    }
)


def test_each_attack_has_what_it_got_and_tests() -> None:
    assert len(ATTACKS) >= 14
    for attack, got, tests in ATTACKS:
        assert attack
        assert got
        assert re.fullmatch(r"`tests/[\w/]+\.py`(, `tests/[\w/]+\.py`)*", tests)


@pytest.mark.parametrize("path", NAMED)
def test_each_test_that_a_page_names_is_there(path: str) -> None:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    assert any(
        isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
        for node in tree.body
    )


def test_the_page_has_each_dependency_with_its_bounds() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (listed,) = re.findall(
        r"^dependencies = \[\n(.*?)^\]", project, re.MULTILINE | re.DOTALL
    )
    wanted = {
        name: re.findall(r"[\d.]+", versions)
        for name, versions in re.findall(r'"([a-z]+)([^";]*)[";]', listed)
    }
    rows = {row[0]: row[1] for row in table_after(SUPPLY, "## Dependencies")}
    assert wanted.keys() == {"botocore", "diskcache", "msgspec", "tomli"}
    for name, bounds in wanted.items():
        assert re.findall(r"[\d.]+", rows[f"`{name}`"]) == bounds


def test_the_page_shows_what_an_audit_prints_that_reached_nothing() -> None:
    _, lines = judge(parse("", []), [], read()[0].until, is_strict=False)
    (line,) = lines
    assert f"`{line.partition(':')[0]}`" in text_of(SUPPLY)
    assert line.startswith("NOTHING WAS AUDITED:")


@pytest.mark.parametrize("advisory", read(), ids=lambda each: each.id)
def test_each_advisory_that_is_argued_has_its_section(advisory: Advisory) -> None:
    headings = re.findall(r"^## (.*)$", text_of(SUPPLY), re.MULTILINE)
    assert any(heading.startswith(advisory.id) for heading in headings)
