"""`botocache clear`: evict an item, a table or everything, for all processes."""

import argparse
import os
import sys
from base64 import b64decode
from collections.abc import Mapping
from typing import TYPE_CHECKING

from botocache._cli.commands import Parser, WrongUsage
from botocache._cli.console import Console
from botocache._log import say

if TYPE_CHECKING:
    from botocache._cache.cache import Cache
    from botocache._cache.invalidation import WireKey

NAME = "clear"
SUMMARY = "evict an item, a table or everything, for all that share the store"


def add_arguments(parser: Parser) -> None:
    """Take a table, a key, and the consent to evict everything."""
    parser.add_argument(
        "--table", metavar="NAME", help="evict this table alone; its name or ARN"
    )
    parser.add_argument(
        "--key",
        metavar="JSON",
        help="evict this item of the table alone: every key attribute and no other, "
        "as a client takes them or as a resource does; binary values in base64",
    )
    parser.add_argument(
        "--yes", action="store_true", help="evict everything without a question"
    )
    parser.add_json()
    parser.epilog = (
        "It does what cache.invalidate() and cache.clear() do. Call it after a write\n"
        "that went around botocache: a restore, an import, a script in another\n"
        "language. Without --table it evicts everything, and deletes all entries.\n\n"
        "exit status: 0 evicted, 1 the store failed or the answer was no, 2 wrong\n"
        "usage or a wrong setting\n\n"
        "examples:\n"
        f"  {parser.prog} --table users\n"
        f'  {parser.prog} --table users --key \'{{"id": "7"}}\'\n'
        f'  {parser.prog} --table users --key \'{{"id": {{"S": "7"}}}}\'\n'
        f"  {parser.prog} --yes"
    )


def run(options: argparse.Namespace, console: Console) -> int:
    """Evict, and say what was evicted."""
    from botocache._cache.cache import Cache
    from botocache._cli.environment import (
        check_shared,
        is_absent,
        patient,
        read_settings,
        shown_store,
    )
    from botocache.stores.memory import MemoryStore
    from botocache.stores.opening import open_store

    if options.key is not None and options.table is None:
        raise WrongUsage("--key needs --table")
    key = None if options.key is None else _key(options.key)
    settings = read_settings()
    check_shared(settings)
    store = open_store(patient(settings).store_options(os.environ))
    where = f"{shown_store(settings, store)}, namespace {settings.namespace!r}"
    if options.table is None and not options.yes and not _agrees(where, console):
        return 1
    if is_absent(store):
        # To open it would make it, as this user, who may not be the application's.
        console.finding(
            "warning", f"there is nothing to evict: no process has made {where}"
        )
        store = MemoryStore()
    cache = Cache(store, settings)
    try:
        if options.table is None:
            return _clear(cache, where, console)
        return _invalidate(cache, options.table, key, where, console)
    finally:
        cache.close()


def _clear(cache: "Cache", where: str, console: Console) -> int:
    # A cache of its own, so its counts are of this command alone.
    cache.clear()
    stats = cache.stats()
    # The log has said why; `clear` itself raises nothing.
    is_evicted, is_deleted = not stats.undelivered, not stats.failures
    console.json(
        {"table": None, "key": None, "delivered": is_evicted, "deleted": is_deleted}
    )
    if not is_evicted:
        console.finding("bad", f"the store failed; try again: {where}")
    elif not is_deleted:
        console.finding(
            "warning",
            f"everything was evicted from {where}, but not all entries were deleted",
            "None of them is served; they expire.",
        )
    else:
        console.finding("good", f"everything was evicted from {where}")
    return 0 if is_evicted and is_deleted else 1


def _invalidate(
    cache: "Cache",
    table: str,
    key: Mapping[str, object] | None,
    where: str,
    console: Console,
) -> int:
    try:
        done = cache.invalidate(table, key)
    # What `invalidate` refuses is wrong usage here. Its messages hold no value.
    except (TypeError, ValueError) as error:
        raise WrongUsage(str(error)) from None
    console.json(
        {
            "table": done.table,
            "key": None if done.key is None else _types_of(done.key),
            "delivered": done.is_delivered,
            "known": done.is_table_known,
        }
    )
    what = f"the table {done.table!r}"
    if done.key is not None:
        what = f"one item ({', '.join(done.key)}) of {what}"
    if not done.is_delivered:
        console.finding("bad", f"the store failed; try again: {where}")
        return 1
    console.finding("good", f"{what} was evicted from {where}")
    if not done.is_table_known:
        console.finding(
            "warning",
            f"no process that shares the store has named the table {done.table!r} "
            "since it was last evicted as a whole",
            "If that surprises you, check the name, the store and the namespace.",
        )
    return 0


def _types_of(key: "WireKey") -> dict[str, str]:
    """Return a key without its values: what a command prints ends up in logs."""
    return {name: next(iter(value)) for name, value in key.items()}


def _key(text: str) -> dict[str, object]:
    """Return a key of JSON; binary values are decoded. Raises WrongUsage."""
    import json
    from decimal import Decimal

    try:
        # As boto3 has it: a float would not find the item of `1.1`.
        key = json.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError):
        # Without the text: what a command prints ends up in logs.
        raise WrongUsage('--key: expected JSON, as \'{"id": "7"}\'') from None
    if not isinstance(key, dict):
        raise WrongUsage('--key: expected a JSON object, as \'{"id": "7"}\'')
    return {name: _value(value) for name, value in key.items()}


def _value(value: object) -> object:
    if not isinstance(value, dict) or value.keys() != {"B"}:
        return value
    try:
        return {"B": b64decode(value["B"], validate=True)}
    except (TypeError, ValueError):
        raise WrongUsage("--key: expected the binary value in base64") from None


def _agrees(where: str, console: Console) -> bool:
    """Ask whether everything shall be evicted. Raises WrongUsage without a terminal."""
    if console.is_json or sys.stdin is None or not sys.stdin.isatty():
        raise WrongUsage(
            "this evicts everything, in all processes that share the store: add --yes, "
            "or name a table with --table"
        )
    # To standard error: standard output is for what the command was asked for.
    say(f"This evicts everything from {where}, for all processes. Go on? [y/N]")
    if sys.stdin.readline().strip().lower() in ("y", "yes"):
        return True
    say("Nothing was evicted.")
    return False
