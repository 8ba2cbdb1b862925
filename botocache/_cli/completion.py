"""`botocache completion SHELL`: print a script with which a shell completes commands.

shtab writes it from the parsers. So it knows every command and option, and completing
starts no Python.
"""

import argparse
from collections.abc import Iterator, Mapping

from botocache._cli.commands import FailedCommand, Parser, whole_parser
from botocache._cli.console import Console

NAME = "completion"
SUMMARY = "print a script for completion in bash, zsh or fish"

SHELLS = ("bash", "zsh", "fish")


def add_arguments(parser: Parser) -> None:
    """Take a shell."""
    parser.add_argument("shell", choices=SHELLS, metavar="{bash,zsh,fish}")
    parser.epilog = (
        "It needs the package shtab: pip install 'botocache-dynamodb[cli]'\n\n"
        "exit status: 0 printed, 1 shtab is not installed, 2 wrong usage\n\n"
        "examples:\n"
        "  botocache completion bash > ~/.local/share/bash-completion/completions/"
        "botocache\n"
        "  botocache completion zsh > ~/.zfunc/_botocache   # in your $fpath\n"
        "  botocache completion fish > ~/.config/fish/completions/botocache.fish"
    )


def run(options: argparse.Namespace, console: Console) -> int:
    """Print the script."""
    from botocache._dynamodb.operations import OPERATIONS

    try:
        import shtab
    except ImportError:
        raise FailedCommand(
            "it needs the package shtab: pip install 'botocache-dynamodb[cli]'"
        ) from None
    parser = whole_parser(console)
    for action in _actions(parser):
        if action.dest == "file":
            action.complete = shtab.FILE  # type: ignore[attr-defined]  # shtab's own
        elif action.dest == "operation":
            action.choices = sorted(OPERATIONS)
    console.text(shtab.complete(parser, options.shell).rstrip() + "\n")
    return 0


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yield the arguments of a parser, and those of its commands."""
    for action in parser._actions:  # noqa: SLF001 - argparse has no other way
        yield action
        if isinstance(action.choices, Mapping):  # the parsers of commands
            for command in action.choices.values():
                yield from _actions(command)
