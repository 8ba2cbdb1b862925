"""Writes docs/operations.md from the table of operations in botocache/_plan.py.

    python docs/make_operations.py

A test holds the file against it.
"""

from pathlib import Path

from botocache._dynamodb.operations import OPERATIONS, UNKNOWN, Rule

TARGET = Path(__file__).with_name("operations.md")

HEAD = """\
# Operations

What happens to each operation of DynamoDB. This file is made from the table of
operations in `botocache/_plan.py` by `make docs`.

*Depends on* is what a cached answer depends on beside its table: a write that may
change it evicts the answer, before it is sent and after it. Every entry also depends
on its table, so whatever evicts the table evicts all of its entries. A put, an update
that returns `ALL_NEW` and a delete of one item also fill that item's entry.

`python -m botocache explain` says the same of one call.

| operation | cached | depends on | evicts |
| --- | --- | --- | --- |
"""


def text() -> str:
    """Return the whole file."""
    rows = [_row(f"`{name}`", rule) for name, rule in _ordered()]
    rows.append(_row("any other", UNKNOWN))
    return HEAD + "".join(rows)


def _ordered() -> list[tuple[str, Rule]]:
    """Return what reads and writes first, and what does neither last."""
    return sorted(
        OPERATIONS.items(),
        key=lambda pair: (pair[1].cached == "no", not pair[1].evicts, pair[0]),
    )


def _row(name: str, rule: Rule) -> str:
    return f"| {name} | {rule.cached} | {rule.depends_on} | {rule.evicts} |\n"


if __name__ == "__main__":
    TARGET.write_text(text(), encoding="utf-8")
