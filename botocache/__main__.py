"""The command line: `python -m botocache run -- command`.

For where start-up files of site-packages are not processed (`pip install --target`,
an archive, an embedded interpreter): the command and every Python process that it
starts find a `sitecustomize` of ours first, which does the same and then lets the one
that was there before have its turn.
"""

import os
import sys
from pathlib import Path

from botocache.plugin import OFF, TOGGLE

USAGE = """\
usage: python -m botocache run -- COMMAND [ARGUMENT ...]

Runs COMMAND with the DynamoDB cache on, in it and in every Python process that it
starts. Settings come from BOTOCACHE_* variables, as always.

example: python -m botocache run -- gunicorn app:app
"""

_STARTUP = Path(__file__).with_name("_run")


def main(arguments: list[str]) -> int:
    """Run the command line. Returns an exit status, or becomes another program."""
    if arguments and arguments[0] in ("-h", "--help", "help"):
        print(USAGE, end="")
        return 0
    if not arguments or arguments[0] != "run":
        print(USAGE, end="", file=sys.stderr)
        return 2
    command = arguments[1:]
    if command[:1] == ["--"]:
        command = command[1:]
    if not command:
        print("botocache: run: expected a command after 'run --'", file=sys.stderr)
        return 2
    environment = _environment(dict(os.environ))
    try:
        os.execvpe(command[0], command, environment)
    except OSError as error:
        reason = error.strerror
        print(f"botocache: cannot run {command[0]!r}: {reason}", file=sys.stderr)
        return 127


def _environment(environment: dict[str, str]) -> dict[str, str]:
    if environment.get(TOGGLE, "").strip().lower() in OFF:
        environment[TOGGLE] = "1"
    paths = [str(_STARTUP), environment.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    return environment


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
