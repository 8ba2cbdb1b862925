"""Looks the shipped dependencies up in the advisory databases, with pip-audit.

    python -m release.audit PYTHON [--strict]

PYTHON is that of an environment with botocache and all its extras. A finding that
advisories.toml does not argue is an error. Where no database can be reached, nothing
was audited: the last line says so, and only `--strict` makes that an error.
"""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

from release.advisories import Advisory, read

SERVICES = ("pypi", "osv")
"""What pip-audit can ask. The second one is asked if the first gives no answer."""

_OURS = "botocache-dynamodb"

_PRINT_INSTALLED = """
import json
from importlib.metadata import distributions
print(json.dumps(sorted({(d.name, d.version) for d in distributions()})))
"""

_INSTALLERS = {"pip", "setuptools", "wheel"}
"""What an environment may have beside what is shipped."""


class Audit(NamedTuple):
    """What the databases know of some packages.

    audited: the packages that they know.
    skipped: the packages that they do not know, or could not be asked about.
    findings: names of an advisory, by package.
    """

    audited: list[str]
    skipped: list[str]
    findings: list[tuple[str, tuple[str, ...]]]


def main(arguments: list[str]) -> int:
    """Run the audit, and print what it found. Returns an exit status."""
    is_strict = "--strict" in arguments
    (python,) = [each for each in arguments if not each.startswith("-")]
    requirements = installed(python)
    today = datetime.now(tz=timezone.utc).date()
    answer = audit(requirements, _pip_audit)
    status, lines = judge(answer, read(), today, is_strict=is_strict)
    print("\n".join([f"Shipped: {', '.join(requirements)}", *lines]))
    return status


def installed(python: str) -> list[str]:
    """Return what an environment has of what is shipped, as `name==version`."""
    done = subprocess.run(
        [python, "-I", "-c", _PRINT_INSTALLED],
        check=True,
        capture_output=True,
        text=True,
    )
    pairs = [(_normalized(name), version) for name, version in json.loads(done.stdout)]
    left_out = {_OURS, *_INSTALLERS}
    return [f"{name}=={version}" for name, version in pairs if name not in left_out]


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def audit(requirements: Sequence[str], ask: Callable[[str, Path], str]) -> Audit:
    """Ask the services in turn until one knows a package.

    ask: gets the service's name and a file of requirements; returns JSON, or else.
    """
    answer = Audit([], list(requirements), [])
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory, "requirements.txt")
        file.write_text("\n".join(requirements), encoding="utf-8")
        for service in SERVICES:
            answer = parse(ask(service, file), requirements)
            if answer.audited:
                break
    return answer


def _pip_audit(service: str, file: Path) -> str:
    command = [sys.executable, "-m", "pip_audit", "--progress-spinner=off"]
    options = ["--no-deps", "--disable-pip", "--format=json", "--timeout=10"]
    try:
        done = subprocess.run(
            [*command, *options, f"--vulnerability-service={service}", "-r", str(file)],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
    except subprocess.TimeoutExpired:
        return ""
    return done.stdout


def parse(output: str, requirements: Sequence[str]) -> Audit:
    """Read what pip-audit printed. Where a service failed, that is no JSON."""
    try:
        dependencies: list[dict[str, Any]] = json.loads(output)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return Audit([], list(requirements), [])
    audited = [each for each in dependencies if "vulns" in each]
    names = {_normalized(each["name"]) for each in audited}
    return Audit(
        sorted(names),
        [each for each in requirements if each.partition("==")[0] not in names],
        [
            (_normalized(each["name"]), (found["id"], *found.get("aliases", ())))
            for each in audited
            for found in each["vulns"]
        ],
    )


def judge(
    answer: Audit, advisories: Iterable[Advisory], today: date, *, is_strict: bool
) -> tuple[int, list[str]]:
    """Return the exit status, and the lines to print."""
    lines, status = [], 0
    accepted = [each for each in advisories if today <= each.until]
    for package, names in answer.findings:
        argued = [each for each in accepted if each.is_named(package, names)]
        if argued:
            lines.append(
                f"accepted until {argued[0].until}: {package}: {names[0]}: see "
                "release/advisories.toml"
            )
        else:
            lines.append(f"FOUND: {package}: {', '.join(names)}")
            status = 1
    if answer.skipped and answer.audited:
        lines.append(f"not audited: {', '.join(answer.skipped)}")
    if answer.audited:
        lines.append(f"audited: {len(answer.audited)} packages")
    else:
        lines.append("NOTHING WAS AUDITED: no advisory database could be reached")
    if answer.skipped and is_strict:
        status = 1
    return status, lines


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
