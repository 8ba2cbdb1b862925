"""The dashboard and the alert rules: well formed, and of what botocache exports."""

import json
import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from botocache._observe.metrics import METRICS, Kind, prometheus_name
from tests.support.promql import Parsed, PromQLError, Selector, parse

EXAMPLE = Path(__file__).parents[2] / "examples" / "observability"
DASHBOARD: dict[str, Any] = json.loads((EXAMPLE / "dashboard.json").read_text())
[GROUP] = yaml.safe_load((EXAMPLE / "alerts.yaml").read_text())["groups"]
RULES: list[dict[str, Any]] = GROUP["rules"]
ALERTS = [rule for rule in RULES if "alert" in rule]
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
SHOWING = [panel for panel in PANELS if panel["type"] != "row"]

OF_SCRAPES = {"job", "instance"}
"""Labels that Prometheus itself adds."""


def series() -> dict[str, set[str]]:
    """Return the names that Prometheus has, and their labels."""
    found: dict[str, set[str]] = {}
    for metric in METRICS:
        name, labels = prometheus_name(metric), {*metric.labels, *OF_SCRAPES}
        if metric.kind is Kind.HISTOGRAM:
            found[f"{name}_bucket"] = {*labels, "le"}
            found[f"{name}_sum"] = found[f"{name}_count"] = labels
        else:
            found[name] = labels
    return found


RECORDED = {
    rule["record"]: parse(rule["expr"]).groups for rule in RULES if "record" in rule
}
SERIES = {**series(), **RECORDED}

VALUES = {
    "result": {"hit", "miss", "stale", "bypass", "held"},
    "tier": {"near", "store"},
    "difference": {"settling", "unconfirmed", "lasting"},
}
"""Values of labels that are known beforehand."""


def parse_panel(expression: str) -> Parsed:
    """Parse an expression with Grafana's variables."""
    for variable, value in (
        ("$__rate_interval", "1m"),
        ("$__range", "1h"),
        *((f"${each['name']}", "x") for each in DASHBOARD["templating"]["list"]),
    ):
        expression = expression.replace(variable, value)
    assert "$" not in expression, "an unknown variable"
    return parse(expression)


def check(parsed: Parsed) -> None:
    """Fail if an expression names what botocache does not export."""
    assert parsed.selectors
    for selector in parsed.selectors:
        assert selector.name in SERIES
        assert set(selector.labels) <= SERIES[selector.name]
        check_values(selector)
    for label in parsed.groups:
        assert all(label in SERIES[each.name] for each in parsed.selectors)


def check_values(selector: Selector) -> None:
    for label, (operator, value) in selector.labels.items():
        if label in VALUES:
            values = value.split("|") if "~" in operator else [value]
            assert set(values) <= VALUES[label]


def expressions() -> Iterator[Any]:
    """Yield all expressions, parsed by what they are."""
    for panel in SHOWING:
        for target in panel["targets"]:
            name = f"{panel['title']} {target['refId']}"
            yield pytest.param(parse_panel, target["expr"], id=name)
    for rule in RULES:
        name = rule.get("alert") or rule["record"]
        yield pytest.param(parse, rule["expr"], id=name)


@pytest.mark.parametrize(("read", "expression"), [*expressions()])
def test_an_expression_names_what_is_exported(read: Any, expression: str) -> None:
    check(read(expression))


@pytest.mark.parametrize(
    "expression",
    [
        "sum(botocache_fills_total",
        "sum(botocache_fills_total))",
        "rate(botocache_fills_total)",
        "botocache_fills_total{table=users}",
        'botocache_fills_total{table="users"',
        'botocache_fills_total{table=~"("}',
        "botocache_fills_total[5]",
        "a / ",
        "a b",
        "sum by table (a)",
        "a ? b",
    ],
)
def test_a_wrong_expression_is_found(expression: str) -> None:
    with pytest.raises((PromQLError, re.error)):
        parse(expression)


@pytest.mark.parametrize(
    "expression",
    [
        "botocache_fill_total",
        'botocache_fills_total{tables="x"}',
        "sum by (kind) (botocache_fills_total)",
        'botocache_requests_total{result="hits"}',
    ],
)
def test_a_wrong_name_is_found(expression: str) -> None:
    with pytest.raises(AssertionError):
        check(parse(expression))


# --- the dashboard -------------------------------------------------------------------


def test_panels_have_ids_of_their_own_and_do_not_overlap() -> None:
    ids = [panel["id"] for panel in PANELS]
    assert len({*ids}) == len(ids)
    for panel in PANELS:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24  # Grafana's columns
    for one, other in combinations((panel["gridPos"] for panel in PANELS), 2):
        is_beside = (
            one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        )
        is_below = (
            one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        )
        assert is_beside or is_below


def test_all_data_comes_from_the_data_source_that_the_reader_chooses() -> None:
    first, *others = DASHBOARD["templating"]["list"]
    assert (first["name"], first["type"]) == ("datasource", "datasource")
    assert first["query"] == "prometheus"
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    assert [each["datasource"] for each in others] == [chosen] * len(others)
    for panel in SHOWING:
        assert panel["datasource"] == chosen
        assert all(target["datasource"] == chosen for target in panel["targets"])


def test_variables_are_values_of_labels_that_are_exported() -> None:
    pattern = re.compile(r"label_values\((.*), (\w+)\)")
    for variable in DASHBOARD["templating"]["list"][1:]:
        match = pattern.fullmatch(variable["query"]["query"])
        assert match is not None
        [selector] = parse_panel(match[1]).selectors
        assert match[2] in SERIES[selector.name]


def test_each_panel_says_what_it_shows_and_each_curve_has_a_name_of_its_own() -> None:
    for panel in SHOWING:
        assert panel["title"]
        assert panel["description"].endswith(".")
        legends = [target["legendFormat"] for target in panel["targets"]]
        assert len({*legends}) == len(legends)
        for target, legend in zip(panel["targets"], legends, strict=True):
            for label in re.findall(r"{{(\w+)}}", legend):
                assert label in parse_panel(target["expr"]).groups


def test_the_dashboard_shows_each_metric_but_the_estimated_part() -> None:
    shown = {
        selector.name.removesuffix("_bucket")
        for panel in SHOWING
        for target in panel["targets"]
        for selector in parse_panel(target["expr"]).selectors
    }
    hidden = {prometheus_name(metric) for metric in METRICS} - shown
    assert hidden == {"botocache_read_units_estimated_total"}


# --- the alerts ----------------------------------------------------------------------


def test_alerts_say_what_to_do() -> None:
    assert {rule["alert"] for rule in ALERTS} == {
        "BotocacheHitRatioFell",
        "BotocacheStale",
        "BotocacheStoreFailing",
        "BotocacheEvictionsUndelivered",
        "BotocacheStreamLate",
    }
    for rule in ALERTS:
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert set(rule["annotations"]) == {"summary", "description"}
        for text in rule["annotations"].values():
            for label in re.findall(r"\$labels\.(\w+)", text):
                assert label in parse(rule["expr"]).groups


def test_the_page_of_the_example_names_each_file_and_alert() -> None:
    page = (EXAMPLE / "README.md").read_text(encoding="utf-8")
    for path in EXAMPLE.iterdir():
        assert path.name == "README.md" or path.name in page
    for rule in ALERTS:
        assert rule["alert"] in page
