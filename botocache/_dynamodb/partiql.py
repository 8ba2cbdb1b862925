"""Plans of PartiQL statements: the table that each changes. Pure.

Only the verb and the table of a statement are parsed. A statement that does not match
evicts everything. A SELECT is a bypass.
"""

import re
from collections.abc import Iterable, Iterator

from botocache._dynamodb.limits import STATEMENT_LENGTH
from botocache._dynamodb.plans import Bypass, CallPlan, KeysOf, Write
from botocache._dynamodb.tags import EVERYTHING, Tag, table_tag
from botocache._dynamodb.types import Body
from botocache._dynamodb.values import table_name

# A plain name must end at a blank. Otherwise the match has no name, and the statement
# evicts everything: the rest of the word may belong to the name.
_STATEMENT = re.compile(
    r"""\s*(?P<verb>INSERT\s+INTO|UPDATE|DELETE\s+FROM|SELECT|EXISTS)\b
        (?:\s*"(?P<quoted>[^"]+)"|\s+(?P<plain>[A-Za-z_](?:-?[A-Za-z0-9_.])*)(?![^\s]))?""",
    re.IGNORECASE | re.VERBOSE,
)

# The first FROM outside of quotes. Each step takes at least one character, and no two
# of the alternatives begin alike, so a long statement takes no longer than its length.
_FROM = re.compile(
    r"""(?:"[^"]*"|'[^']*'|[^"'])*?\bFROM\b
        (?:\s*"(?P<quoted>[^"]+)"|\s+(?P<plain>[A-Za-z_](?:-?[A-Za-z0-9_])*))""",
    re.IGNORECASE | re.VERBOSE,
)


def selected_tables(statement: str) -> Iterator[str]:
    """Yield the table, a name or an ARN, that a SELECT names; none of other verbs.

    Yields nothing either if the statement is not understood.
    """
    verb = _STATEMENT.match(statement)
    found = _FROM.match(statement)
    if verb is not None and found is not None and verb["verb"].upper() == "SELECT":
        yield found["quoted"] or found["plain"]


def execute_statement(body: Body, _keys_of: KeysOf) -> CallPlan:
    return _statements([body["Statement"]])


def batch_execute_statement(body: Body, _keys_of: KeysOf) -> CallPlan:
    return _statements(entry["Statement"] for entry in body["Statements"])


def execute_transaction(body: Body, _keys_of: KeysOf) -> CallPlan:
    return _statements(entry["Statement"] for entry in body["TransactStatements"])


def _statements(statements: Iterable[str]) -> CallPlan:
    tags: dict[Tag, None] = {}
    for statement in statements:
        match = _STATEMENT.match(statement[:STATEMENT_LENGTH])
        if match is None:
            return _UNREADABLE
        # EXISTS is the condition check of a transaction.
        if match["verb"].upper() in ("SELECT", "EXISTS"):
            continue
        name = match["quoted"] or match["plain"]
        if name is None:
            return _UNREADABLE
        tags[table_tag(table_name(name))] = None
    if not tags:
        return _SELECTS
    return Write(tuple(tags), why=_WHY)


_SELECTS = Bypass(why="A SELECT changes nothing, and botocache does not cache it.")
_WHY = (
    "botocache parses the verb and the table of a PartiQL statement, nothing more. So "
    "it evicts each table that a statement changes."
)
_UNREADABLE = Write(
    (EVERYTHING,),
    why="botocache finds no verb or no table in a statement, so it evicts everything.",
)
