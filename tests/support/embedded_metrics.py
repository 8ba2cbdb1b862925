"""The rules of CloudWatch's embedded metric format, as its specification has them."""

import json
from typing import Any

UNITS = {
    *("Seconds", "Microseconds", "Milliseconds", "Bytes", "Kilobytes", "Megabytes"),
    *("Gigabytes", "Terabytes", "Bits", "Kilobits", "Megabits", "Gigabits"),
    *("Terabits", "Percent", "Count", "None"),
}
"""Units without those per second."""

_MOST_DIMENSIONS = 30
_MOST_METRICS = 100
_MOST_VALUES = 100
_LONGEST_NAME = 1024


def _check_name(name: object, longest: int = _LONGEST_NAME) -> str:
    assert isinstance(name, str)
    assert 1 <= len(name) <= longest
    assert name.isprintable()
    return name


def check_line(line: str) -> dict[str, Any]:
    """Return the document of a line. Fails unless CloudWatch would take all of it."""
    document: dict[str, Any] = json.loads(line)
    about = document["_aws"]
    assert set(about) == {"Timestamp", "CloudWatchMetrics"}
    assert type(about["Timestamp"]) is int
    directives = about["CloudWatchMetrics"]
    assert isinstance(directives, list)
    assert directives
    named = {"_aws"}
    for directive in directives:
        assert set(directive) == {"Namespace", "Dimensions", "Metrics"}
        _check_name(directive["Namespace"], 256)
        assert directive["Dimensions"]
        for dimensions in directive["Dimensions"]:
            assert len(dimensions) <= _MOST_DIMENSIONS
            for dimension in dimensions:
                _check_name(document[_check_name(dimension)])
                named.add(dimension)
        assert 1 <= len(directive["Metrics"]) <= _MOST_METRICS
        for metric in directive["Metrics"]:
            assert {"Name"} <= set(metric) <= {"Name", "Unit", "StorageResolution"}
            assert metric["Unit"] in UNITS
            _check_value(document[_check_name(metric["Name"], 255)])
            assert metric["Name"] not in named
            named.add(metric["Name"])
    assert set(document) == named
    return document


def _check_value(value: Any) -> None:
    values = value if isinstance(value, list) else [value]
    assert 1 <= len(values) <= _MOST_VALUES
    for each in values:
        assert type(each) in (int, float)
        assert each == 0 or 2**-360 <= abs(each) <= 2**360
