"""Tables of a report: on a narrow screen each row becomes a block with its labels."""

from collections.abc import Sequence
from typing import NamedTuple

from botocache._errors import shows
from botocache._observe.report.markup import Content, Html, element


@shows("kind")
class Column(NamedTuple):
    """A column.

    head: its heading.
    is_number: its cells stand at the right.
    kind: a class of its cells; empty for none.
    """

    head: str
    is_number: bool = True
    kind: str = ""


def table(
    caption: Content,
    columns: Sequence[Column],
    rows: Sequence[Sequence[Content]],
    *,
    total: Sequence[Content] | None = None,
) -> Html:
    """Return a table. The first cell of a row is its heading.

    caption: what it shows.
    columns: from left to right.
    rows: of one cell for each column.
    total: the last row; None for none.
    """
    body = [_row(columns, row, None) for row in rows]
    if total is not None:
        body.append(_row(columns, total, "total"))
    # The roles stay where the style makes blocks of rows: browsers drop them else.
    return element(
        "table",
        {"class": "stack", "role": "table"},
        element("caption", None, caption),
        element(
            "thead",
            {"role": "rowgroup"},
            element(
                "tr",
                {"role": "row"},
                [
                    element(
                        "th",
                        {
                            "scope": "col",
                            "role": "columnheader",
                            "class": _class(column),
                        },
                        column.head,
                    )
                    for column in columns
                ],
            ),
        ),
        element("tbody", {"role": "rowgroup"}, body),
    )


def _row(columns: Sequence[Column], cells: Sequence[Content], kind: str | None) -> Html:
    head, *others = cells
    return element(
        "tr",
        {"class": kind, "role": "row"},
        element("th", {"scope": "row", "role": "rowheader"}, head),
        [
            element(
                "td",
                {
                    "class": _class(column),
                    "role": "cell",
                    "data-label": column.head or None,
                },
                element("span", None, cell) if not isinstance(cell, tuple) else cell,
            )
            for column, cell in zip(columns[1:], others, strict=True)
        ],
    )


def _class(column: Column) -> str | None:
    parts = ["n" if column.is_number else "", column.kind]
    return " ".join(filter(None, parts)) or None
