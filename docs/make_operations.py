"""Writes docs/reference/operations.md from the package's table of operations.

    python docs/make_operations.py

A test compares the file with the table.
"""

from pathlib import Path

from botocache._dynamodb.operations import OPERATIONS, UNKNOWN, Rule

TARGET = Path(__file__).parent / "reference" / "operations.md"

HEAD = """\
# Operations

What botocache does with each DynamoDB operation. `make docs` writes this page from
the package's own table of operations.

*Cached*: botocache may answer the call from the cache. *Depends on*: a write to any of
this evicts the cached answer, before the write is sent and after it. Every entry also
depends on its table. *Evicts*: the entries that the call makes unreachable.

A PutItem, a DeleteItem, and an UpdateItem that returns `ALL_NEW` also fill the entry of
their item. `python -m botocache explain` shows the same for one call of yours.

| operation | cached | depends on | evicts |
| --- | --- | --- | --- |
"""


def text() -> str:
    """Return the whole file."""
    rows = [_row(f"`{name}`", rule) for name, rule in _ordered()]
    rows.append(_row("any other", UNKNOWN))
    return HEAD + "".join(rows)


def _ordered() -> list[tuple[str, Rule]]:
    """Return the operations: those that read first, then those that write."""
    return sorted(
        OPERATIONS.items(),
        key=lambda pair: (pair[1].cached == "no", not pair[1].evicts, pair[0]),
    )


def _row(name: str, rule: Rule) -> str:
    return f"| {name} | {rule.cached} | {rule.depends_on} | {rule.evicts} |\n"


if __name__ == "__main__":
    TARGET.write_text(text(), encoding="utf-8")
