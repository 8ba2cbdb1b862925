"""The command line: `python -m botocache run -- command`, and `explain`.

`run` is for environments in which Python does not process the start-up files of
site-packages: `pip install --target`, an archive, an embedded interpreter. It puts the
`sitecustomize` of `_run` first on the path of the command and of every Python process
that the command starts. That one starts botocache, then imports the `sitecustomize`
that it hides.
"""

import argparse
import os
import sys
from pathlib import Path

from botocache.plugin import OFF, TOGGLE

USAGE = """\
usage: python -m botocache run -- COMMAND [ARGUMENT ...]
       python -m botocache explain OPERATION [FILE] [--keys NAME[,NAME]]

run      runs COMMAND, and every Python process that COMMAND starts, with the
         DynamoDB cache on. Settings come from BOTOCACHE_* variables.
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
            print(USAGE, end="")
            return 0
        case ["run", *command]:
            return _run(command)
        case ["explain", *call]:
            return _explain(call)
        case _:
            print(USAGE, end="", file=sys.stderr)
            return 2


def _run(command: list[str]) -> int:
    if command[:1] == ["--"]:
        command = command[1:]
    if not command:
        print("botocache: run: expected a command after 'run --'", file=sys.stderr)
        return 2
    environment = _environment(dict(os.environ))
    # The buffers end with this program: unflushed output would be lost.
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execvpe(command[0], command, environment)
    except OSError as error:
        reason = error.strerror
        print(f"botocache: cannot run {command[0]!r}: {reason}", file=sys.stderr)
        return 127


def _explain(arguments: list[str]) -> int:
    from botocache._errors import BotocacheError
    from botocache._explain import explain
    from botocache._settings.load import load_settings
    from botocache.stores.options import default_url

    parser = argparse.ArgumentParser(prog="python -m botocache explain")
    parser.add_argument("operation", help="as the service model spells it: GetItem")
    parser.add_argument("file", nargs="?", default="-", help="parameters, in JSON")
    parser.add_argument("--keys", help="the tables' key attributes: id or pk,sk")
    call = parser.parse_args(arguments)
    try:
        text = sys.stdin.read() if call.file == "-" else Path(call.file).read_text()
        settings = load_settings({}, os.environ, default_url())
        keys = frozenset(call.keys.split(",")) if call.keys else None
        print(explain(call.operation, text, settings, keys))
    except (BotocacheError, OSError, UnicodeDecodeError) as error:
        print(f"botocache: explain: {error}", file=sys.stderr)
        return 2
    return 0


def _environment(environment: dict[str, str]) -> dict[str, str]:
    if environment.get(TOGGLE, "").strip().lower() in OFF:
        environment[TOGGLE] = "1"
    paths = [str(_STARTUP), environment.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    return environment


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
