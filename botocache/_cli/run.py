"""`botocache run -- COMMAND`: run a program with the cache on.

It is for environments in which Python does not process the start-up files of
site-packages: `pip install --target`, an archive, an embedded interpreter. It puts the
`sitecustomize` of `_run` first on the path of the command and of every Python process
that the command starts. That one starts botocache, then imports the `sitecustomize`
that it hides.
"""

import argparse
import contextlib
import os
import sys
from pathlib import Path

from botocache._cli.commands import Parser
from botocache._cli.console import Console
from botocache._log import say
from botocache.plugin import OFF, TOGGLE

NAME = "run"
SUMMARY = "run a program, and the Python processes it starts, with the cache on"


_STARTUP = Path(__file__).parents[1] / "_run"


def add_arguments(parser: Parser) -> None:
    """Take a command, whose own options are none of ours."""
    parser.usage = f"{parser.prog} -- COMMAND [ARGUMENT ...]"
    parser.takes_command = True
    parser.epilog = (
        "Settings come from BOTOCACHE_* variables and the file that BOTOCACHE_CONFIG "
        "names.\nWith BOTOCACHE=shadow the cache serves nothing, and measures what it "
        "would save.\n\n"
        "exit status: the command's; 127 if it cannot be run, 2 wrong usage\n\n"
        f"example:\n  {parser.prog} -- gunicorn app:app"
    )


def run(options: argparse.Namespace, console: Console) -> int:  # noqa: ARG001 - the command prints
    """Become the command."""
    command: list[str] = options.command
    if not command:
        say("botocache: run: expected a command after 'run --'")
        return 2
    environment = _environment(dict(os.environ))
    # The buffers end with this program: unflushed output would be lost.
    for stream in filter(None, (sys.stdout, sys.stderr)):  # None: it is closed
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    try:
        os.execvpe(command[0], command, environment)  # noqa: S606 - that is its purpose
    except OSError as error:
        say(f"botocache: cannot run {command[0]!r}: {error.strerror}")
        return 127
    except ValueError as error:  # a null byte in an argument
        say(f"botocache: cannot run {command[0]!r}: {error}")
        return 127


def _environment(environment: dict[str, str]) -> dict[str, str]:
    if environment.get(TOGGLE, "").strip().lower() in OFF:
        environment[TOGGLE] = "1"
    paths = [str(_STARTUP), environment.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    return environment
