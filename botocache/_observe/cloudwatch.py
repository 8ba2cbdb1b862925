"""CloudWatch's embedded metric format: lines of JSON on standard output.

CloudWatch makes metrics of the lines that it finds in a log. A line has the growth
since the last one, for one table and operation. It has at most 4096 bytes: what a pipe
takes in one piece, without blocking.
"""

import json
import os
import select
import sys
import time
from collections.abc import Callable, Iterator
from io import TextIOWrapper
from typing import Any, Final

from botocache._counting.stats import Histogram
from botocache._errors import pass_on
from botocache._observe.metrics import (
    TABLE,
    Kind,
    Labels,
    Value,
    cloudwatch_name,
    cloudwatch_unit,
)
from botocache._observe.readings import BY_NAME, Growth, Readings, Totals
from botocache._observe.replay import replayed

NAMESPACE = "botocache"

MOST_METRICS = 100
"""Metrics that a line may have, and values of one metric."""

LONGEST_LINE = 4096
"""Bytes of a line with its end; PIPE_BUF."""


class CloudWatchExporter:
    """Writes what has grown.

    clock: seconds since the epoch.
    write: writes a line, and returns whether that went well.
    """

    is_asked = False

    def __init__(
        self,
        readings: Readings,
        clock: Callable[[], float] = time.time,
        write: Callable[[str], bool] | None = None,
    ) -> None:
        self._readings: Final = readings
        self._clock: Final = clock
        self._write: Final = write or write_line
        self._growth: Final = Growth()
        self._gauges: Totals = {}

    def export(self) -> bool:
        """Write a line for each table and operation; return whether there was one."""
        totals = self._readings.read()
        growth = self._growth.of(totals)
        groups: dict[Labels, Totals] = {}
        for (name, labels), value in growth.items():
            if self._is_new(name, labels, value):
                # A table and an operation, a table alone, or nothing. These come first
                # among the labels of each metric.
                number = sum(each in TABLE for each in BY_NAME[name].labels)
                dimensions = labels[:number]
                groups.setdefault(dimensions, {})[name, labels] = value
        now = int(self._clock() * 1000)
        for dimensions, group in groups.items():
            for series, line in _lines(dimensions, group, now):
                if not self._write(line):
                    return False  # what was not written is in the next lines
                taken = {each: totals[each] for each in series}
                self._growth.take(taken)
                self._gauges.update(taken)
        return bool(groups)

    def end(self) -> None:
        """Write the rest."""
        self.export()

    def _is_new(self, name: str, labels: Labels, value: Value) -> bool:
        """Return whether a value goes into a line: a growth, or another gauge."""
        if BY_NAME[name].kind is Kind.GAUGE:
            return self._gauges.get((name, labels), 0.0) != value
        return isinstance(value, Histogram) or value > 0


def _lines(
    dimensions: Labels, group: Totals, now: int
) -> Iterator[tuple[list[tuple[str, Labels]], str]]:
    """Yield lines, each with the series that it has.

    dimensions: a table and an operation, a table, or nothing.
    now: milliseconds since the epoch.
    """
    series: list[tuple[str, Labels]] = []
    last = ""
    for each in group:
        line = _line(dimensions, group, [*series, each], now)
        if series and (
            len(series) == MOST_METRICS or len(line.encode()) >= LONGEST_LINE
        ):
            yield series, last
            series, line = [], _line(dimensions, group, [each], now)
        series = [*series, each]
        last = line
    if series:
        yield series, last


def _line(
    dimensions: Labels, group: Totals, series: list[tuple[str, Labels]], now: int
) -> str:
    members: dict[str, Any] = dict(zip(TABLE, dimensions, strict=False))
    directives = []
    for name, labels in series:
        metric = BY_NAME[name]
        own = cloudwatch_name(metric, labels)
        directives.append({"Name": own, "Unit": cloudwatch_unit(metric)})
        members[own] = _target(group[name, labels])
    directive = {
        "Namespace": NAMESPACE,
        "Dimensions": [list(TABLE[: len(dimensions)])],
        "Metrics": directives,
    }
    about = {"Timestamp": now, "CloudWatchMetrics": [directive]}
    return json.dumps({"_aws": about, **members}, separators=(",", ":"))


def _target(value: Value) -> float | list[float]:
    """Return the value of a metric: a number, or at most a hundred."""
    if isinstance(value, Histogram):
        most = MOST_METRICS - len(value.counts)  # each bucket may be rounded up
        return [float(f"{seconds:.3g}") for seconds in replayed(value, most)]
    return int(value) if value.is_integer() else value


def write_line(line: str) -> bool:
    """Write a line to standard output; return False if that takes none now.

    Never raises, and does not wait for whatever reads it.
    """
    stream = sys.stdout
    if stream is None:
        return False
    try:
        if type(stream) is not TextIOWrapper:  # the application's own
            stream.write(f"{line}\n")
            stream.flush()
            return True
        descriptor = stream.fileno()
        poll = select.poll()
        poll.register(descriptor, select.POLLOUT)
        if not any(event & select.POLLOUT for _, event in poll.poll(0)):
            return False
        stream.flush()  # what the application has printed comes first
        # Past its buffer: at exit Python would try again what a failure left there, and
        # end the process with status 120.
        os.write(descriptor, f"{line}\n".encode())
    except Exception as error:  # noqa: BLE001 - it is full, closed, or the application's
        pass_on(error)
        return False
    return True
