"""Sections of a report: what was evicted or not kept, and whether hits were right."""

from collections.abc import Mapping
from typing import Final

from botocache._counting.stats import FOLLOWED, NOT_EVICTED, TableStats
from botocache._observe.numbers import UNKNOWN, count, duration, size
from botocache._observe.report.charts import share_bar
from botocache._observe.report.figures import Figures
from botocache._observe.report.markup import Content, Html, element
from botocache._observe.report.subject import (
    MOST_ROWS,
    Subject,
    card,
    name_of,
    operation_of,
    paragraph,
    section,
)
from botocache._observe.report.tables import Column, table

# --- evictions ---------------------------------------------------------------------

REASONS: Final[Mapping[str, str]] = {
    "bypass": "the application has asked for it",
    "error": "DynamoDB has answered with an error",
    "failed": "the cache has failed",
    "foreign": "other code has changed the answer",
    "held": "a write was too recent",
    "no_scope": "the caller is not known for certain",
    "not_sent": "another library, or a stale answer, has answered",
    "off": "the table or the operation is off",
    "pending": "an eviction waits to be delivered",
    "queue_full": "the disk is slower than the reads",
    "schema": "the table's key is not known",
    "store_error": "the store has failed",
    "too_large": "the answer is too large",
    "ttl": "its TTL is 0",
    "uncacheable": "a read of this kind is not cached",
    "unencodable": "the answer cannot be encoded",
    "unmatched": "no key asked for this item",
    "unprocessed": "DynamoDB has left the key unprocessed",
}
"""What the reasons mean for which an answer is not kept, or a read not looked up."""


def evictions(subject: Subject) -> Html | None:
    """Return what was evicted, and what was not filled or not looked up."""
    figures = subject.figures
    writes = sorted(
        (row for row in figures.rows if row.writes or row.evicted),
        key=lambda row: -row.writes,
    )
    total = figures.total
    if not (writes or total.unfilled or total.bypassed or total.fills):
        return None
    shown = table(
        "Writes by table and operation. A write evicts tags: an item, the queries that "
        "it belongs to, the scans of its table.",
        [
            Column("Table and operation", is_number=False),
            Column("Writes"),
            Column("Tags evicted"),
        ],
        [
            (
                operation_of(row),
                count(row.writes),
                count(row.evicted),
            )
            for row in writes[:MOST_ROWS]
        ],
    )
    return section(
        "evictions",
        "Evictions, and answers that were not kept",
        paragraph(_store_sentence(figures)),
        card(
            shown if writes else paragraph("No write went through botocache."),
        ),
        element(
            "div",
            {"class": "two"},
            _causes(
                "Answers that were not kept",
                total.unfilled,
                f"{count(total.fills)} entries were filled. ",
                "Every answer was kept.",
            ),
            _causes(
                "Reads that bypassed the cache",
                total.bypassed,
                "",
                "Every read was looked up.",
            ),
        ),
        _failures(figures),
    )


def _store_sentence(figures: Figures) -> str:
    parts = []
    if figures.entries is not None:
        parts.append(f"{count(figures.entries)} entries")
    if figures.size is not None:
        parts.append(size(figures.size))
    kept = f"The store holds {' in '.join(parts)}." if parts else ""
    waiting = (
        f" {count(figures.undelivered)} evictions wait to be delivered."
        if figures.undelivered
        else " No eviction waits to be delivered."
    )
    return kept + waiting


def _causes(heading: str, reasons: Mapping[str, int], before: str, none: str) -> Html:
    whole = sum(reasons.values())
    ordered = sorted(reasons.items(), key=lambda pair: (-pair[1], pair[0]))
    return card(
        element("h3", None, heading),
        table(
            f"{before}By reason:",
            [
                Column("Reason", is_number=False),
                Column("", is_number=False, kind="ratio"),
                Column("Count"),
            ],
            [
                (
                    name_of(REASONS.get(reason, reason.replace("_", " "))),
                    (share_bar(number / whole, "store-f"),),
                    count(number),
                )
                for reason, number in ordered[:12]
            ],
        )
        if ordered
        else paragraph(before, none, kind="sub"),
    )


def _failures(figures: Figures) -> Html | None:
    if not figures.failures:
        return None
    ordered = sorted(figures.failures.items(), key=lambda pair: (-pair[1], pair[0]))
    return card(
        element("h3", None, "Failures inside the cache"),
        table(
            "The application sees none of them: such a call goes to DynamoDB.",
            [Column("Event", is_number=False), Column("Count")],
            [
                (element("code", None, name_of(kind)), count(n))
                for kind, n in ordered[:12]
            ],
        ),
    )


# --- staleness ---------------------------------------------------------------------


def staleness(subject: Subject) -> Html:
    """Return what shadow mode or an audit found."""
    figures = subject.figures
    total = figures.total
    if not total.compared:
        found: Content = card(
            paragraph(
                element("strong", None, "Not measured: "),
                "neither shadow mode nor an audit has compared a hit.",
            ),
            paragraph(
                "An audit sends a share of the hits to DynamoDB and compares the "
                "answers; the rest is served. One in a hundred costs one per cent of "
                "what is saved:",
                kind="sub",
            ),
            element("pre", None, element("code", None, "BOTOCACHE_AUDIT=0.01")),
            paragraph(
                "Shadow mode serves nothing, and compares every would-be hit:",
                kind="sub",
            ),
            element("pre", None, element("code", None, "BOTOCACHE=shadow")),
        )
    else:
        found = card(_verdict(total), _differences(figures))
    return section(
        "staleness",
        "Is it ever wrong?",
        paragraph(
            "Hits that were compared with DynamoDB's own answer, at no extra request."
        ),
        found,
    )


def _verdict(total: TableStats) -> Html:
    if total.lasting:
        return paragraph(
            element("strong", {"class": "wrong"}, "\N{BALLOT X} Yes. "),
            f"{count(total.lasting)} of {count(total.compared)} compared hits differed "
            f"for good, the longest for {duration(total.stale_seconds)}. A writer goes "
            "around botocache; the advice names the table.",
        )
    different = sum(total.differing.values())
    missed = total.follow_ups.get(NOT_EVICTED, 0)
    if missed:
        return paragraph(
            element("strong", {"class": "wrong"}, "\N{BALLOT X} For a while. "),
            f"{count(missed)} entries that another program had outdated were not "
            "evicted within ten seconds, though the streams of their tables were "
            "followed. See the log of the follower for stream_failed.",
        )
    if not different:
        return paragraph(
            element("strong", {"class": "good"}, "\N{CHECK MARK} No difference"),
            f" in {count(total.compared)} compared hits.",
        )
    return paragraph(
        element("strong", {"class": "good"}, "\N{CHECK MARK} None that lasted"),
        f" in {count(total.compared)} compared hits. {count(different)} differed for a "
        "moment, as DynamoDB's own replicas do after a write"
        + (", or until a follower evicted them." if total.follow_ups else "."),
    )


def _differences(figures: Figures) -> Html:
    rows = [row for row in figures.rows if row.compared]
    rows.sort(key=lambda row: (-row.lasting, -row.compared, row.table))
    return table(
        "Settling: within moments of a write of ours. Unconfirmed: seen once. "
        "Followed: a follower of the table's stream was about to evict it. Lasting: "
        "seen again later.",
        [
            Column("Table and operation", is_number=False),
            Column("Compared"),
            Column("Settling"),
            Column("Unconfirmed"),
            Column("Followed"),
            Column("Lasting"),
            Column("Longest"),
        ],
        [
            (
                operation_of(row),
                count(row.compared),
                count(row.differing.get("settling", 0)),
                count(row.differing.get("unconfirmed", 0)),
                count(row.differing.get(FOLLOWED, 0)),
                element(
                    "span",
                    {"class": "wrong" if row.lasting else None},
                    count(row.lasting),
                ),
                duration(row.stale_seconds) if row.stale_seconds else UNKNOWN,
            )
            for row in rows[:MOST_ROWS]
        ],
    )
