"""Makes docs/performance.md and its tables from the JSON of a run.

    python -m benchmarks.page [JSON]

No figure in them is typed.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from benchmarks.measure import RESULTS

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
FIGURES = PAGE.with_name("performance-figures.md")

HEAD = """\
# Performance

What a hit, a miss and a write cost, as ratios to other ways to do the same. All figures
are on [a page of their own](performance-figures.md); [the method](#method) is below.

## Targets

This project set itself these limits. A target that is missed is written as missed.

*The handler* is a call that a do-nothing handler of `before-call` answers: the least
that a cache can cost that hooks into botocore. *The uncached call* goes through all of
botocore, to a transport that answers at once. With a real DynamoDB behind it a call
takes longer, and what botocache adds is a smaller part of it.

| | of | at most | measured | |
| --- | --- | --- | --- | --- |
"""

MISSED = """
## Where the time of a missed target goes

The share of each function's own time in the call that was measured, by cProfile. It
slows Python down more than C, so the shares are estimates. What is missing to 100 % is
botocore, the transport and the benchmark itself.

| missed | inside botocache | most of it in |
| --- | --- | --- |
"""

FIGURES_HEAD = """\
# Performance: all figures

`make performance` makes this page. [Performance](performance.md) has the targets, the
method, and the machine.
"""

METHOD = """
## Method

`make performance` makes both pages from what `make bench` measured; no figure in them
is typed. The command was `{command}`.

Machines are shared and noisy, so a time alone means little. All contenders of a table
ran in one run: each once in every round, in an order that changed. A ratio is a
contender's time divided by the base's in the same round. The tables show the median of
the rounds, and the quartiles in brackets. In a round a contender runs in five short
slices, of which the median counts. Compare ratios, and times only within a table.

Times are those of the caller. On disk, a thread of the same process writes entries
behind the call: its work counts as far as it delays the caller. On a server, a reply
that a call does not wait for is read with the next call, and counts there. With
`--cpu`, `python -m benchmarks compare REV` counts the processor time of all threads.

Threads of one process share the interpreter. One that computes keeps it for 5 ms. One
that makes a system call, or waits for another thread, gives it up, and then waits for
the turns of all that compute. In memory, no read or write waits for a lock of the
store. On disk, the evictions of one process take place one after another, and each
makes some sixteen system calls meanwhile. So where many threads compute, updates on
disk get a smaller share than others. The tables of threads show three crowds: all
cached; only the hits cached; and the same with as many system calls as the cache makes.
What the last two differ by is the price of system calls. What the first and the last
differ by is what the cache computes, and waiting for each other. What all kinds do
together shows if time is lost.

No module is compiled. Cython and mypyc were tried: no target came within reach, and
most calls took longer, because a miss and a write spend their time in code that the
processor must load each time, in C functions and in system calls, not in bytecode. On
disk, SQLite and system calls alone take more than the targets leave. A compiled module
would also hide what an interrupted call must find out from its frames.

No entry is refreshed before its TTL is over (XFetch, with a probability that grows).
That was tried beside coalescing and leases. At the end of an entry one request is sent
in any case. All that is left to gain is that a few readers need not wait for it, once
in a TTL, for the time that DynamoDB takes. The figures are in [When DynamoDB
throttles](how-to/throttled.md#why-entries-are-not-refreshed-early).

Every hit is checked: its client's transport must not have been called. A hit of
botocache is a fresh object each time. `botocache` 0.0.6 of PyPI hands out one shared
object to all callers, and evicts nothing. It runs in an environment and a process of
its own, with the same boto3, between the other contenders' rounds.
"""

BUSY = """
The machine was busy with other things: its load was {load} for {cores} cores before the
run. Spreads are wide, and contenders that wait for another process look worse than they
are.
"""

_TABLE = "\n| | {unit} | ratio | |\n| --- | ---: | ---: | --- |\n"


def text(content: Mapping[str, Any]) -> str:
    """Return the page with the targets from the content of the JSON."""
    return "".join(
        (
            HEAD,
            *map(_target, content["targets"]),
            *_missed(content["profiles"]),
            METHOD.format(command=content["command"]),
            *_described("Measured on", content["machine"]),
            _busy(content["machine"]),
            *_described("With", content["versions"]),
            *_described("In the environment of botocache 0.0.6", content["rival"]),
        )
    )


def figures_text(content: Mapping[str, Any]) -> str:
    """Return the page with a table for each group."""
    return "".join((FIGURES_HEAD, *_sections(content["groups"])))


def _described(what: str, values: Mapping[str, str]) -> Iterator[str]:
    if not values:
        return
    yield f"\n{what}: "
    yield ", ".join(f"{name} {value}" for name, value in values.items())
    yield ".\n"


def _busy(machine: Mapping[str, str]) -> str:
    """Return a warning if the machine was too busy for narrow spreads."""
    load, cores = machine["load at the start"], machine["cores"]
    if float(load) < int(cores) / 2:
        return ""
    return BUSY.format(load=load, cores=cores)


def _target(target: Mapping[str, Any]) -> str:
    measured = ""
    if target["measured"] is not None:
        spread = _spread(target["low"], target["high"])
        measured = f"{_number(target['measured'])} {spread}".strip()
    verdict = target["verdict"]
    marked = f"**{verdict}**" if verdict == "missed" else verdict
    cells = (
        *(target["what"], target["of"], _number(target["at_most"])),
        *(measured, marked),
    )
    return f"| {' | '.join(cells)} |\n"


def _missed(profiles: list[dict[str, Any]]) -> Iterator[str]:
    """Yield a row for each profile, if there is any."""
    if profiles:
        yield MISSED
    for profile in profiles:
        parts = [f"`{name}` {share:.1%}" for name, share in profile["functions"]]
        inside = f"{profile['inside']:.0%}"
        yield f"| {profile['what']} | {inside} | {', '.join(parts)} |\n"


def _sections(groups: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the tables, those of one section under one heading."""
    for section, some in groupby(groups, key=lambda group: _parts(group)[0]):
        yield f"\n## {section}\n"
        for group in some:
            yield from _group(group)


def _parts(group: Mapping[str, Any]) -> tuple[str, str]:
    section, _, rest = group["title"].partition(": ")
    return section, rest


def _group(group: Mapping[str, Any]) -> Iterator[str]:
    rest = _parts(group)[1]
    yield f"\n**{rest[0].upper()}{rest[1:]}.** Ratio to: {group['base']}.\n"
    if group["note"]:
        yield f"{group['note']}\n"
    yield _TABLE.format(unit=group["unit"])
    for figure in group["figures"]:
        spread = _spread(figure["low"], figure["high"])
        micros, ratio = _number(figure["micros"]), _number(figure["ratio"])
        yield f"| {figure['name']} | {micros} | {ratio} | {spread} |\n"


def _spread(low: float, high: float) -> str:
    return "" if low == high else f"[{_number(low)} .. {_number(high)}]"


def _number(value: float) -> str:
    """Return three significant digits, or all digits before the point."""
    for least, form in ((100, ",.0f"), (10, ",.1f"), (1, ",.2f")):
        if abs(value) >= least:
            return format(value, form)
    return format(value, ".3f")


def main() -> None:
    """Write the pages."""
    source = Path(sys.argv[1]) if len(sys.argv) > 1 else RESULTS / "suite.json"
    content = json.loads(source.read_text(encoding="utf-8"))
    PAGE.write_text(text(content), encoding="utf-8")
    FIGURES.write_text(figures_text(content), encoding="utf-8")


if __name__ == "__main__":
    main()
