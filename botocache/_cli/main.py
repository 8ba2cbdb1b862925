"""From arguments to a command, and from what it returns or raises to an exit status.

Whatever happens, no traceback is printed: a wrong usage, a setting that is wrong, a
store that fails and an error of ours are one line each on standard error.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from botocache._cli.commands import (
    COMMANDS,
    FailedCommand,
    Parser,
    WrongUsage,
    complain,
    load_command,
)
from botocache._cli.console import Console, OutputError
from botocache._errors import BotocacheError, ConfigError, hint, pass_on, suggestion
from botocache._log import describe, say

GOOD, FAILED, WRONG_USAGE = 0, 1, 2

_EXAMPLES = """\
examples:
  botocache run -- gunicorn app:app
  echo '{"TableName": "users", "Key": {"id": {"S": "7"}}}' | botocache explain GetItem

Settings come from the same BOTOCACHE_* variables and TOML file as the application's.
Exit status: 0 good, 1 a finding or a failure, 2 wrong usage or a wrong setting.
"""


def run_command(arguments: Sequence[str]) -> int:
    """Run the command that the arguments name. Returns an exit status."""
    console = Console(is_json="--json" in arguments)
    try:
        return _dispatch(arguments, console)
    except OutputError as error:
        if str(error):
            complain("", str(error))
        return FAILED


def _dispatch(arguments: Sequence[str], console: Console) -> int:
    match arguments:
        case []:
            say(_help().rstrip())
        case ["help", name, *_] if name in COMMANDS:
            return _run(name, ["--help"], console)
        case ["-h" | "--help" | "help", *_]:
            console.text(_help())
            return GOOD
        case ["-V" | "--version", *_]:
            from botocache import __version__

            console.text(f"botocache {__version__}\n")
            return GOOD
        case [name, *rest] if name in COMMANDS:
            return _run(name, rest, console)
        case [name, *_]:
            complain("", _unknown(name))
    return WRONG_USAGE


def _unknown(name: str) -> str:
    if name.startswith("-"):
        near = suggestion(name, ("--help", "--version"))
        return f"unknown option {name!r}{near or '; see botocache --help'}"
    return f"unknown command {name!r}{hint(name, COMMANDS)}"


def _run(name: str, arguments: Sequence[str], console: Console) -> int:
    try:
        command = load_command(name)
        parser = Parser(f"{program()} {name}", console)
        parser.description = command.SUMMARY
        command.add_arguments(parser)
        return command.run(parser.read(arguments), console)
    except WrongUsage as error:
        complain(name, f"{error}; see botocache {name} --help")
        return WRONG_USAGE
    except ConfigError as error:
        complain(name, str(error))
        return WRONG_USAGE
    except (BotocacheError, FailedCommand, OSError) as error:
        complain(name, str(error))
        return FAILED
    except OutputError:
        raise
    except Exception as error:  # noqa: BLE001 - a damaged package may raise anything
        pass_on(error)
        complain(name, f"failed ({describe(error)})")
        return FAILED


def program() -> str:
    """Return how the user has called this program."""
    is_module = Path(sys.argv[0]).parts[-2:] == ("botocache", "__main__.py")
    return "python -m botocache" if is_module else "botocache"


def _help() -> str:
    commands = "\n".join(
        f"  {name:<16}{load_command(name).SUMMARY}" for name in COMMANDS
    )
    return (
        f"usage: {program()} COMMAND [OPTION ...]\n\n"
        "Look into the DynamoDB cache, and switch it on for a program.\n\n"
        f"commands:\n{commands}\n\n"
        f"options:\n  -h, --help     show this, or with a command its help\n"
        f"  -V, --version  show the version\n\n{_EXAMPLES}"
    )
