"""The command line: `python -m botocache run -- command`, and `explain`.

`run` is for environments in which Python does not process the start-up files of
site-packages: `pip install --target`, an archive, an embedded interpreter. It puts the
`sitecustomize` of `_run` first on the path of the command and of every Python process
that the command starts. That one starts botocache, then imports the `sitecustomize`
that it hides.
"""

import argparse
import contextlib
import os
import sys
from collections.abc import Collection
from pathlib import Path
from typing import NoReturn

from botocache._log import describe, say
from botocache.plugin import OFF, TOGGLE

USAGE = """\
usage: python -m botocache run -- COMMAND [ARGUMENT ...]
       python -m botocache explain OPERATION [FILE] [--keys NAME[,NAME]]

run      runs COMMAND, and every Python process that COMMAND starts, with the
         DynamoDB cache on. Settings come from BOTOCACHE_* variables. With
         BOTOCACHE=shadow, the cache serves nothing and measures what it would.
explain  prints what the cache does with a call, and why. FILE, or standard input,
         has the call's parameters as JSON, as a client takes them ({"S": "7"}) or
         as a resource does ("7"). --keys names the key attributes of the call's
         tables; a running cache learns them.

examples: python -m botocache run -- gunicorn app:app
          echo '{"TableName": "users", "Key": {"id": {"S": "7"}}}' |
              python -m botocache explain GetItem
"""

_STARTUP = Path(__file__).with_name("_run")


def main(arguments: list[str]) -> int:
    """Run the command line. Returns an exit status, or becomes another program."""
    match arguments:
        case ["-h" | "--help" | "help", *_]:
            return _print(USAGE)
        case ["run", *command]:
            return _run(command)
        case ["explain", *call]:
            return _explain(call)
        case _:
            say(USAGE.rstrip())
            return 2


def _run(command: list[str]) -> int:
    if command[:1] == ["--"]:
        command = command[1:]
    if not command:
        say("botocache: run: expected a command after 'run --'")
        return 2
    environment = _environment(dict(os.environ))
    # The buffers end with this program: unflushed output would be lost.
    for stream in filter(None, (sys.stdout, sys.stderr)):  # None: it is closed
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    try:
        os.execvpe(command[0], command, environment)
    except OSError as error:
        say(f"botocache: cannot run {command[0]!r}: {error.strerror}")
        return 127
    except ValueError as error:  # a null byte in an argument
        say(f"botocache: cannot run {command[0]!r}: {error}")
        return 127


def _explain(arguments: list[str]) -> int:
    from botocache._errors import BotocacheError

    try:
        from botocache._explain import explain
        from botocache._settings.load import load_settings
        from botocache.stores.options import default_url
    except Exception as error:  # noqa: BLE001 - a damaged package may raise anything
        say(f"botocache: explain: cannot start ({describe(error)})")
        return 1

    parser = _Parser(prog="python -m botocache explain")
    parser.add_argument("operation", help="as the service model spells it: GetItem")
    parser.add_argument("file", nargs="?", default="-", help="parameters, in JSON")
    parser.add_argument("--keys", help="the tables' key attributes: id or pk,sk")
    call = parser.parse_args(arguments)
    try:
        if call.file.lstrip().startswith("{"):
            parser.error("the parameters are read from a file or standard input")
        if call.file != "-":
            text = Path(call.file).read_text(encoding="utf-8")
        else:
            text = "" if sys.stdin is None else sys.stdin.read()
        settings = load_settings({}, os.environ, default_url())
        keys = frozenset(call.keys.split(",")) if call.keys else None
        explanation = explain(call.operation, text, settings, keys, _operations)
    except (BotocacheError, OSError, UnicodeDecodeError) as error:
        say(f"botocache: explain: {error}")
        return 2
    return _print(explanation + "\n")


def _operations() -> Collection[str]:
    """Return DynamoDB's operations as the installed botocore knows them."""
    try:
        from botocore.session import get_session

        model = get_session().get_service_model("dynamodb")
        operations: Collection[str] = model.operation_names
    except Exception:  # noqa: BLE001 - without them an operation is checked by its name
        return ()
    return operations


class _Parser(argparse.ArgumentParser):
    """argparse's, which prints to standard output where standard error is closed."""

    def error(self, message: str) -> NoReturn:
        say(f"{self.format_usage()}{self.prog}: error: {message}")
        raise SystemExit(2)


def _print(text: str) -> int:
    """Print what the command was asked for. Return an exit status."""
    if sys.stdout is None:
        say("botocache: cannot write to standard output: it is closed")
        return 1
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except (OSError, ValueError) as error:
        if not isinstance(error, BrokenPipeError):  # `| head` has read enough
            say(f"botocache: cannot write to standard output: {error}")
        # What is left in the buffer would fail again at exit, with a traceback.
        sys.stdout = None
        return 1
    return 0


def _environment(environment: dict[str, str]) -> dict[str, str]:
    if environment.get(TOGGLE, "").strip().lower() in OFF:
        environment[TOGGLE] = "1"
    paths = [str(_STARTUP), environment.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    return environment


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
