"""The demo: a crawl without botocache, in shadow mode, and with it; DynamoDB counts.

Owns the order of events and the exit status. The processes are `stage.py`'s, the
numbers `report.py`'s, the drawings `chart.py`'s.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from chart import Recording, glyphs_for, png, terminal
from report import (
    Counted,
    Run,
    busiest_table,
    complaints,
    disagreements,
    figures,
    table,
    tried_in_vain,
)
from stage import Cache, Settings, StageError, perform

INTERRUPTED = 130
TERMINATED = 143

TRIED = 6
"""The shadow run has one page of so many: DynamoDB answers, and so throttles it."""

LEAST_PAGES = 12


def main() -> int:
    """Run the demo; returns the exit status."""
    arguments = _parser().parse_args()
    settings = Settings(
        pages=arguments.pages,
        read_capacity=arguments.read_capacity,
        burst_seconds=arguments.burst_seconds,
        workers=arguments.workers,
        seed=arguments.seed,
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    try:
        return _tell(settings, arguments.out)
    except StageError as error:
        print(f"The demo could not run: {error}.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted; all processes are ended.", file=sys.stderr)
        return INTERRUPTED


def _tell(settings: Settings, out: Path) -> int:
    with tempfile.TemporaryDirectory(prefix="crawl-demo-") as scratch:
        print(
            f"A crawl of {settings.pages} pages; every request of its graph service "
            "reads the same\nmetadata from DynamoDB tables with "
            f"{settings.read_capacity} read units a second each.\n"
        )
        print("1. without botocache", flush=True)
        plain = perform(settings)

        part = replace(settings, pages=max(LEAST_PAGES, settings.pages // TRIED))
        print(f"\n2. tried: {part.pages} pages with BOTOCACHE=shadow", flush=True)
        shadow = Cache(Path(scratch, "shadow"), "shadow")
        tried = perform(part, shadow)
        promised = Counted.from_json(shadow.document())
        print(promised.line("would have answered"))

        print("\n3. with botocache: the same code, and BOTOCACHE=1", flush=True)
        cache = Cache(Path(scratch, "cache"), "1")
        cached = perform(settings, cache)
        kept = Counted.from_json(cache.document())
        print(kept.line("answered"))

        _show(plain, cached, out / "read-capacity.png")
        cache.write_report(out / "report.html")
        numbers = json.dumps(figures(plain, cached), indent=1)
        (out / "figures.json").write_text(f"{numbers}\n", encoding="utf-8")
        print(f"What it saved, as `botocache report` shows it: {out / 'report.html'}")
    sys.stdout.flush()
    wrong = [
        *complaints(plain, cached),
        *tried_in_vain(promised),
        *disagreements(tried, promised, is_shadow=True),
        *disagreements(cached, kept, is_shadow=False),
    ]
    for sentence in wrong:
        print(sentence, file=sys.stderr)
    return 1 if wrong else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--pages", type=_positive, default=180, help="pages to crawl")
    parser.add_argument(
        "--read-capacity",
        type=_positive,
        default=10,
        help="provisioned read units per second, of each metadata table",
    )
    parser.add_argument(
        "--burst-seconds",
        type=_positive,
        default=3,
        help="seconds of unused capacity that a table keeps (DynamoDB: 300)",
    )
    parser.add_argument(
        "--workers", type=_positive, default=12, help="the crawler's threads"
    )
    parser.add_argument("--seed", type=int, default=1, help="makes the site")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("demo-out"),
        help="where the report and the PNG go",
    )
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        message = f"{text} is not a positive number"
        raise argparse.ArgumentTypeError(message)
    return number


def _show(plain: Run, cached: Run, path: Path) -> None:
    name = busiest_table(plain)
    recordings = (
        _recording(plain, name, "without"),
        _recording(cached, name, "with"),
    )
    glyphs = glyphs_for(sys.stdout.encoding)
    print(f"\n{table(plain, cached)}\n\n{terminal(recordings, glyphs)}\n")
    try:
        png(recordings, path)
    except ImportError:
        print("For the graph as a picture: pip install matplotlib")
    else:
        print(f"The graph as a picture: {path}")


def _recording(run: Run, name: str, which: str) -> Recording:
    reads = run.tables[name]
    return Recording(
        title=f'Read capacity of table "{name}", {which} botocache',
        provisioned=reads.provisioned,
        consumed=reads.consumed,
        throttled=reads.throttled,
        bucket_seconds=run.bucket_seconds,
    )


if __name__ == "__main__":
    sys.exit(main())
