"""The reasons that docs/reference/counters.md explains are those of the report."""

import re
from pathlib import Path

from botocache._observe.report.evictions import REASONS

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "counters.md"


def test_the_report_explains_each_reason_that_the_page_explains() -> None:
    text = PAGE.read_text(encoding="utf-8")
    _, bypassed, unfilled = re.split(r"^### Why .*$", text, flags=re.MULTILINE)
    rows = bypassed + unfilled.partition("\n## ")[0]
    explained = set(re.findall(r"^\| `(\w+)` \|", rows, flags=re.MULTILINE))
    assert explained == REASONS.keys()
