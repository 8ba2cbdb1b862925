"""The table of commands, and the parser of each. No command is imported for another."""

import argparse
import functools
from collections.abc import Mapping, Sequence
from importlib import import_module
from types import MappingProxyType
from typing import NoReturn, Protocol, cast

from botocache._cli.console import Console
from botocache._errors import suggestion
from botocache._log import say

COMMANDS: Mapping[str, str] = MappingProxyType(
    {
        "doctor": "botocache._cli.doctor",
        "run": "botocache._cli.run",
        "stats": "botocache._cli.stats",
        "clear": "botocache._cli.clear",
        "explain": "botocache._cli.explain",
        "report": "botocache._cli.report",
        "follow-streams": "botocache._cli.follow_streams",
        "completion": "botocache._cli.completion",
    }
)
"""The module of each command, in the order in which help lists them."""


class Command(Protocol):
    """What the module of a command has.

    NAME: as people type it.
    SUMMARY: one line for the list of commands.
    """

    NAME: str
    SUMMARY: str

    def add_arguments(self, parser: "Parser") -> None:
        """Add the command's own arguments, its description and its epilog."""

    def run(self, options: argparse.Namespace, console: Console) -> int:
        """Run the command. Return an exit status: 0 good, 1 failure, 2 wrong usage.

        May raise BotocacheError and OSError; each becomes one line.
        """


def load_command(name: str) -> Command:
    """Return the module of a command; a test holds each against the protocol."""
    command: Command = import_module(COMMANDS[name])
    return command


class WrongUsage(Exception):  # noqa: N818 - it is no error of the program
    """The arguments are wrong. The message is one sentence."""


class FailedCommand(Exception):  # noqa: N818 - it is no error of the program
    """A command cannot do what it should. The message is one sentence."""


class Parser(argparse.ArgumentParser):
    """The parser of a command. It prints nothing by itself.

    console: prints the help.
    takes_command: the arguments after the options, or after `--`, are a command, which
        is read as `options.command`.
    """

    def __init__(self, prog: str, console: Console, **_: object) -> None:
        super().__init__(
            prog=prog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            add_help=False,
            allow_abbrev=False,
        )
        self.console = console
        self.takes_command = False
        self.add_argument("-h", "--help", action=_Help, help="show this and exit")

    def add_json(self) -> None:
        """Add `--json`, with which the command prints one JSON document."""
        self.add_argument("--json", action="store_true", help="print JSON")

    def add_show_keys(self) -> None:
        """Add `--show-keys`, without which keys are shown as digests."""
        self.add_argument(
            "--show-keys",
            action="store_true",
            help="show the keys that are read most as they are; without it, as digests",
        )

    def read(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Return the options. Raises WrongUsage, or SystemExit after the help."""
        own, command = _split(arguments) if self.takes_command else (arguments, ())
        options, unknown = self.parse_known_args(own)
        # argparse itself would print what it does not know, which may be a key.
        if unknown:
            raise WrongUsage(self._about(unknown))
        if self.takes_command:
            options.command = list(command)
        return options

    def options(self) -> tuple[str, ...]:
        """Return the options that the command has: `--json`, `-h`."""
        return tuple(self._option_string_actions)

    def _about(self, unknown: Sequence[str]) -> str:
        for argument in unknown:
            name = argument.partition("=")[0]
            if name.startswith("-"):
                near = suggestion(name, self.options())
                return f"unknown option {name!r}{near}"
        # Not the arguments themselves: one of them may be a key or an item.
        return f"{len(unknown)} argument{'s' * (len(unknown) > 1)} too many"

    def error(self, message: str) -> NoReturn:
        raise WrongUsage(message)


def _split(arguments: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """Return the options at the beginning, and the command behind them."""
    for place, argument in enumerate(arguments):
        if argument == "--":
            return arguments[:place], arguments[place + 1 :]
        if not argument.startswith("-"):
            return arguments[:place], arguments[place:]
    return arguments, ()


class _Help(argparse.Action):
    """Print the help. argparse's own would leave it in a buffer that may fail."""

    def __init__(self, option_strings: Sequence[str], **others: str) -> None:
        super().__init__(
            option_strings, argparse.SUPPRESS, nargs=0, help=others["help"]
        )

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        assert isinstance(parser, Parser)  # noqa: S101 - for the type checker
        parser.console.text(parser.format_help())
        raise SystemExit(0)


def whole_parser(console: Console) -> Parser:
    """Return one parser of all commands, from which completion is made."""
    parser = Parser("botocache", console)
    parser.add_argument("-V", "--version", action="store_true", help="show the version")
    made = functools.partial(Parser, console=console)
    commands = parser.add_subparsers(parser_class=cast("type[Parser]", made))
    for name in COMMANDS:
        command = load_command(name)
        command.add_arguments(commands.add_parser(name, help=command.SUMMARY))
    return parser


def complain(command: str, message: str) -> None:
    """Say on standard error, in one line, what is wrong. command: "" for none."""
    say(": ".join(filter(None, ("botocache", command, message))))
