"""`botocache doctor`: what is wrong here, and what to do about it."""

import argparse
import os

from botocache._cli.commands import Parser
from botocache._cli.console import Console
from botocache._observe.doctor.examine import examine
from botocache._observe.doctor.findings import Finding, State, worst

NAME = "doctor"
SUMMARY = "check installation, settings and store, and say what to do"


def add_arguments(parser: Parser) -> None:
    """Take `--json` and `--quiet`."""
    parser.add_json()
    parser.add_argument(
        "-q", "--quiet", action="store_true", help="print no findings that are good"
    )
    parser.description = (
        "Check what is installed, whether BOTOCACHE=1 takes effect here, the settings\n"
        "and where each comes from, the store with a live round trip, and the process.\n"
        "Run it as the application runs: the same user, variables and Python.\n\n"
        "It takes ten seconds at most. It writes to the store in a namespace of its\n"
        "own, and removes that. No password and no key is shown."
    )
    parser.epilog = (
        "exit status: 0 if nothing is bad (there may be warnings), 1 otherwise\n\n"
        f"example:\n  BOTOCACHE_URL=valkey://cache.internal:6379/0 {parser.prog}"
    )


def run(options: argparse.Namespace, console: Console) -> int:
    """Print all findings. Return 1 if one of them is bad."""
    findings = examine(os.environ)
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


def _summary(findings: list[Finding]) -> str:
    count = {each: sum(f.state is each for f in findings) for each in State}
    if worst(findings) is State.GOOD:
        return f"All {count[State.GOOD]} findings are good."
    return (
        f"{count[State.BAD]} bad, {count[State.WARNING]} to look at, "
        f"{count[State.GOOD]} good."
    )
