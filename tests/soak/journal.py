"""What happened: the operations of all callers, as lines in files, and read back.

A line is written by one system call before an operation is sent, and one after it
ended, so a caller that is killed leaves the start of what it was about to do. Moments
are nanoseconds since the machine's boot: the same clock for all processes.

A value is a string that no two writes share; None is an item that is not there.
"""

import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, TypeAlias

Values: TypeAlias = Mapping[str, str | None]
"""Values by item."""


class Outcome(Enum):
    """The outcome of a write.

    APPLIED: DynamoDB said so. REFUSED: DynamoDB said that it did nothing. UNKNOWN:
    neither; it may have been applied, or be so at any time to come.
    """

    APPLIED = "applied"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Write:
    """A write.

    wrote: the items after it.
    ended: None if the caller was killed before the end.
    if_there: items that it changes only if they exist, without an answer that says so.
    retried: whether an attempt of it may be applied once more.
    pending_evictions: whether its process had some when it ended.
    """

    name: str
    kind: str
    started: int
    wrote: Values
    ended: int | None = None
    outcome: Outcome = Outcome.UNKNOWN
    if_there: frozenset[str] = frozenset()
    retried: bool = False
    pending_evictions: bool = False


@dataclass(frozen=True, slots=True)
class Read:
    """A read that ended. saw: every item that it requested, also missing ones."""

    name: str
    kind: str
    started: int
    ended: int
    saw: Values
    is_hit: bool = False
    is_stale: bool = False


@dataclass(slots=True)
class History:
    """All that was written down.

    errors: calls that ended as they would not have without the cache. warnings: what
    botocache logged, as (event, type of the error). cut: how many calls were cancelled.
    """

    writes: list[Write] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    warnings: list[tuple[str, str]] = field(default_factory=list)
    cut: int = 0


class Journal:
    """Writes lines to a file, from any number of threads and forked processes."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def started(
        self, name: str, kind: str, wrote: Values, if_there: Iterable[str]
    ) -> None:
        """Write down an operation that is about to be sent."""
        self._add("start", name=name, kind=kind, wrote=wrote, if_there=sorted(if_there))

    def ended(self, name: str, **known: Any) -> None:
        """Write down the end of an operation, and its outcome."""
        self._add("end", name=name, **known)

    def cut(self, name: str) -> None:
        """Write down that an operation was cancelled. It may be applied at any time."""
        self._add("cut", name=name)

    def error(self, text: str) -> None:
        """Write down a call that did not end as it should."""
        self._add("error", text=text)

    def warning(self, event: str, error: str) -> None:
        """Write down what botocache warned of."""
        self._add("warning", event=event, error=error)

    def _add(self, what: str, **known: Any) -> None:
        # The moment of a start comes before its line, that of an end as well: both
        # intervals are as short as can be, and still contain what happened.
        line = json.dumps({"what": what, "at": now(), **known})
        os.write(self._fd, f"{line}\n".encode())


def now() -> int:
    """Return nanoseconds on the clock that all processes share."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def read_history(directory: Path) -> History:
    """Read the journals of a directory."""
    history = History()
    for path in sorted(directory.glob("*.journal")):
        _Reader(history).read(_lines(path))
    return history


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    for line in path.read_bytes().splitlines(keepends=True):
        if line.endswith(b"\n"):  # else its writer was killed in the middle of it
            yield json.loads(line)


class _Reader:
    """Matches starts and ends of one journal."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._starts: dict[str, dict[str, Any]] = {}

    def read(self, lines: Iterable[dict[str, Any]]) -> None:
        for line in lines:
            match line["what"]:
                case "start":
                    self._starts[line["name"]] = line
                case "end":
                    self._add(self._starts.pop(line["name"]), line)
                case "cut":
                    self._history.cut += 1  # it has no end, as if its caller was killed
                case "error":
                    self._history.errors.append(line["text"])
                case "warning":
                    self._history.warnings.append((line["event"], line["error"]))
        for start in self._starts.values():
            self._add(start, {})

    def _add(self, start: dict[str, Any], end: dict[str, Any]) -> None:
        common = {name: start[name] for name in ("name", "kind")}
        if start["wrote"]:
            self._history.writes.append(
                Write(
                    **common,
                    started=start["at"],
                    wrote=start["wrote"],
                    if_there=frozenset(start["if_there"]),
                    ended=end.get("at"),
                    outcome=Outcome(end.get("outcome", "unknown")),
                    retried=end.get("retried", False),
                    pending_evictions=end.get("pending_evictions", False),
                )
            )
        elif "saw" in end:
            self._history.reads.append(
                Read(
                    **common,
                    started=start["at"],
                    ended=end["at"],
                    saw=end["saw"],
                    is_hit=end["hit"],
                    is_stale=end.get("stale", False),
                )
            )
