"""`botocache doctor`: what is wrong here, and what to do about it."""

import argparse
import os
from collections import Counter
from typing import TYPE_CHECKING

from botocache._cli.commands import Parser
from botocache._cli.console import Console

if TYPE_CHECKING:
    from botocache._observe.doctor.findings import Finding

NAME = "doctor"
SUMMARY = "check installation, settings and store, and say what to do"


def add_arguments(parser: Parser) -> None:
    """Take `--json` and `--quiet`."""
    parser.add_json()
    parser.add_argument(
        "-q", "--quiet", action="store_true", help="print no findings that are good"
    )
    parser.description = (
        "Check what is installed, whether BOTOCACHE=1 takes effect here, the\n"
        "settings and where each comes from, the store with a live round trip, and\n"
        "the process. Run it as the application runs: the same user, variables and\n"
        "Python.\n\n"
        "It takes ten seconds at most. It writes to the store in a namespace of its\n"
        "own, and removes that. No password and no key is shown."
    )
    parser.epilog = (
        "exit status: 0 if nothing is bad (there may be warnings), 1 otherwise\n\n"
        f"example:\n  BOTOCACHE_URL=valkey://cache.internal:6379/0 {parser.prog}"
    )


def run(options: argparse.Namespace, console: Console) -> int:
    """Print all findings. Return 1 if one of them is bad."""
    from botocache import __version__
    from botocache._observe.doctor.examine import examine
    from botocache._observe.doctor.findings import State, worst

    findings = examine(os.environ, __version__)
    console.json(
        {
            "state": worst(findings).value,
            "findings": [
                {
                    "subject": finding.subject,
                    "state": finding.state.value,
                    "found": finding.found,
                    "advice": finding.advice,
                }
                for finding in findings
            ],
        }
    )
    for finding in findings:
        if not (options.quiet and finding.state is State.GOOD):
            text = f"{finding.subject}: {finding.found}"
            console.finding(finding.state.value, text, finding.advice)
    console.lines(_summary(findings))
    return 1 if worst(findings) is State.BAD else 0


def _summary(findings: "list[Finding]") -> str:
    count = Counter(finding.state.value for finding in findings)
    if count["good"] == len(findings):
        return f"All {len(findings)} findings are good."
    return f"{count['bad']} bad, {count['warning']} to look at, {count['good']} good."
