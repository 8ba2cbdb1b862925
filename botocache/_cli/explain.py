"""`botocache explain OPERATION`: what the cache would do with a call, and why."""

import argparse
import sys
from collections.abc import Collection
from pathlib import Path

from botocache._cli.commands import Parser, WrongUsage, complain
from botocache._cli.console import Console

NAME = "explain"
SUMMARY = "show what the cache does with a call, and why"


def add_arguments(parser: Parser) -> None:
    """Take an operation, a file, and the key attributes of tables."""
    parser.add_argument("operation", help="as the service model spells it: GetItem")
    parser.add_argument(
        "file",
        nargs="?",
        default="-",
        help="has the call's parameters as JSON, as a client takes them ({'S': '7'}) "
        "or as a resource does ('7'); without it, standard input is read",
    )
    parser.add_argument(
        "--keys",
        metavar="NAME[,NAME]",
        help="the key attributes of the call's tables; a running cache learns them",
    )
    parser.add_json()
    parser.epilog = (
        "exit status: 0 explained, 2 wrong usage, setting or parameters\n\n"
        "example:\n"
        '  echo \'{"TableName": "users", "Key": {"id": {"S": "7"}}}\' |\n'
        f"      {parser.prog} GetItem"
    )


def run(options: argparse.Namespace, console: Console) -> int:
    """Explain a call."""
    from botocache._cli.environment import read_settings
    from botocache._errors import BotocacheError
    from botocache._explain import document_of, explain, texts_of

    if options.file.lstrip().startswith("{"):
        raise WrongUsage("the parameters are read from a file or standard input")
    try:
        if options.file != "-":
            text = Path(options.file).read_text(encoding="utf-8")
        else:
            text = "" if sys.stdin is None else sys.stdin.read()
        settings = read_settings()
        keys = frozenset(options.keys.split(",")) if options.keys else None
        lines = explain(options.operation, text, settings, keys, _operations)
    except (BotocacheError, OSError, UnicodeDecodeError) as error:
        complain(NAME, str(error))
        return 2
    console.json(document_of(lines))
    console.pairs(texts_of(lines), is_indented=False)
    return 0


def _operations() -> Collection[str]:
    """Return DynamoDB's operations as the installed botocore knows them."""
    try:
        from botocore.session import get_session

        model = get_session().get_service_model("dynamodb")
        operations: Collection[str] = model.operation_names
    except Exception:  # noqa: BLE001 - without them an operation is checked by its name
        return ()
    return operations
