"""What an audit says of pip-audit's answers, by values: findings, silence, nothing."""

import json
import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from release import advisories
from release.advisories import Advisory
from release.audit import Audit, audit, judge, parse
from release.vex import JUSTIFICATIONS
from tests.support.environment import ROOT

TODAY = date(2027, 1, 1)
ARGUED = Advisory(
    "CVE-1", ("GHSA-1",), "cache", "1.0", "", "", (), until=date(2027, 1, 1)
)
NOTHING = "NOTHING WAS AUDITED: no advisory database could be reached"
REQUIREMENTS = ["cache==1.0", "other-one==2.0"]


def answer(*dependencies: dict[str, Any]) -> str:
    return json.dumps({"dependencies": dependencies, "fixes": []})


def known(name: str, *vulns: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "version": "1.0", "vulns": list(vulns)}


UNKNOWN = {"name": "cache", "skip_reason": "Dependency not found on PyPI"}
FINDING = {"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": []}


def test_a_finding_has_all_its_names() -> None:
    assert parse(answer(known("cache", FINDING), known("Other_One")), REQUIREMENTS) == (
        ["cache", "other-one"],
        [],
        [("cache", ("PYSEC-1", "CVE-1"))],
    )


def test_a_package_that_the_service_does_not_know_is_not_audited() -> None:
    assert parse(answer(UNKNOWN, known("other-one")), REQUIREMENTS) == (
        ["other-one"],
        ["cache==1.0"],
        [],
    )


@pytest.mark.parametrize(
    "output", ["", "Traceback (most recent call last):", "[]", "{}", "null"]
)
def test_without_an_answer_nothing_is_audited(output: str) -> None:
    assert parse(output, REQUIREMENTS) == ([], REQUIREMENTS, [])


@pytest.mark.parametrize(
    ("first", "asked"),
    [
        ("", ["pypi", "osv"]),
        (answer(UNKNOWN), ["pypi", "osv"]),
        (answer(UNKNOWN, known("other-one")), ["pypi"]),
    ],
)
def test_the_second_service_is_asked_if_the_first_knows_nothing(
    first: str, asked: list[str]
) -> None:
    services = []

    def ask(service: str, file: Path) -> str:
        assert file.read_text().splitlines() == REQUIREMENTS
        services.append(service)
        return first

    audit(REQUIREMENTS, ask)
    assert services == asked


ALL = ["cache", "other-one"]
CASES = {
    "no finding": (Audit(ALL, [], []), 0, 0, "audited: 2 packages"),
    "a finding": (Audit(ALL, [], [("cache", ("CVE-9",))]), 1, 1, "FOUND: cache: CVE-9"),
    "an argued one": (
        Audit(ALL, [], [("cache", ("PYSEC-1", "GHSA-1"))]),
        *(0, 0),
        "accepted until 2027-01-01: cache: PYSEC-1: see release/advisories.toml",
    ),
    "an argued one of another package": (
        Audit(ALL, [], [("other-one", ("CVE-1",))]),
        *(1, 1),
        "FOUND: other-one: CVE-1",
    ),
    "a part": (
        Audit(["cache"], ["other-one==2.0"], []),
        *(0, 1),
        "not audited: other-one==2.0",
    ),
    "no answer": (Audit([], REQUIREMENTS, []), 0, 1, NOTHING),
}


@pytest.mark.parametrize(
    ("found", "status", "strict", "line"), CASES.values(), ids=CASES.keys()
)
def test_an_audit_fails_for_findings_and_says_what_was_not_audited(
    found: Audit, status: int, strict: int, line: str
) -> None:
    given, lines = judge(found, [ARGUED], TODAY, is_strict=False)
    assert given == status
    assert line in lines
    assert (NOTHING in lines) is (not found.audited)
    assert judge(found, [ARGUED], TODAY, is_strict=True)[0] == strict


def test_an_exception_is_no_longer_accepted_after_its_day() -> None:
    found = Audit(ALL, [], [("cache", ("CVE-1",))])
    assert judge(found, [ARGUED], date(2027, 1, 2), is_strict=False)[0] == 1


# --- advisories.toml -----------------------------------------------------------------


@pytest.mark.parametrize("advisory", advisories.read(), ids=lambda each: each.id)
def test_each_exception_is_argued_and_about_the_version_that_is_installed(
    advisory: Advisory,
) -> None:
    assert len(advisory.reason.split()) > 20
    assert advisory.justification in JUSTIFICATIONS
    assert advisory.evidence
    for path in advisory.evidence:
        assert "\ndef test_" in (ROOT / path).read_text(encoding="utf-8")
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert f"{advisory.package}=={advisory.version}" in pins


def test_an_audit_and_an_sbom_are_about_all_extras_but_the_demo() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    _, _, optional = project.partition("[project.optional-dependencies]\n")
    names = re.findall(r"^(\w+) = ", optional.partition("\n[")[0], re.MULTILINE)
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (extras,) = re.findall(r"^EXTRAS := (\S+)$", makefile, re.MULTILINE)
    assert sorted([*extras.split(","), "demo"]) == sorted(names)
