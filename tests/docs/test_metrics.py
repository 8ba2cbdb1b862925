"""The page of the metrics, held against the table in the code."""

import re

from botocache._observe.metrics import (
    ATTRIBUTES,
    METRICS,
    cloudwatch_name,
    prometheus_name,
)
from tests.docs.pages import DOCS, text_of

PAGE = text_of(DOCS / "reference" / "metrics.md")


def rows() -> list[str]:
    """Return the rows of the page's table."""
    return [
        f"| `{metric.name}` | `{prometheus_name(metric)}` | {metric.kind.value} "
        f"| `{metric.unit}` | {', '.join(f'`{each}`' for each in metric.labels)} "
        f"| {metric.help} |"
        for metric in METRICS
    ]


def test_the_page_has_the_table_of_the_code() -> None:
    found = [line for line in PAGE.splitlines() if line.startswith("| `botocache.")]
    assert found == rows()


def test_the_page_explains_each_label_with_its_name_in_opentelemetry() -> None:
    of_metrics = {label for metric in METRICS for label in metric.labels}
    explained = dict(
        re.findall(r"^\| `(\w+)` \| (`[\w.]+`|the same)", PAGE, re.MULTILINE)
    )
    assert set(explained) >= of_metrics
    for label in of_metrics:
        name = ATTRIBUTES.get(label)
        assert explained[label] == ("the same" if name is None else f"`{name}`")


def test_the_page_names_values_as_cloudwatch_has_them() -> None:
    by_name = {metric.name: metric for metric in METRICS}
    for name, labels in (
        ("botocache.requests", ("t", "GetItem", "hit", "near")),
        ("botocache.unfilled", ("t", "GetItem", "held")),
        ("botocache.request.duration", ("t", "GetItem", "miss", "")),
    ):
        assert f"`{cloudwatch_name(by_name[name], labels)}`" in PAGE
