"""`make fuzz-inputs FOR=600`: random inputs for every target, or one, for a time.

    python -m tests.fuzz [--seconds S] [--seed N] [--target NAME] [--coverage]

Prints each input that a target does not bear, made as small as it goes, as a line for
tests/fuzz/corpus. Ends with 1 if there is one. With --coverage and the package
`atheris`, coverage guides the inputs of one target.
"""

import argparse
import importlib
import json
import logging
import random
import sys
import time
import traceback
import warnings
from collections.abc import Sequence

from tests.fuzz.inputs import Edit, random_edits, written_case
from tests.fuzz.limits import bounded
from tests.fuzz.targets import TARGETS, Target

_ROUND = 2.0
"""Seconds of one target before the next one."""


def main() -> int:
    """Run the targets for the given number of seconds."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--target", choices=TARGETS)
    parser.add_argument("--coverage", action="store_true")
    arguments = parser.parse_args()
    warnings.simplefilter("error")
    logging.disable()
    if arguments.coverage:
        return _guided(arguments.target or "expression", arguments.seconds)
    print(f"seed: {arguments.seed}", flush=True)
    end = time.monotonic() + arguments.seconds
    source = random.Random(arguments.seed)
    tried = dict.fromkeys(TARGETS, 0)
    found: dict[str, str] = {}
    chosen = [arguments.target] if arguments.target else [*TARGETS]
    while time.monotonic() < end:
        for name in chosen:
            until = min(end, time.monotonic() + _ROUND)
            while time.monotonic() < until:
                tried[name] += 1
                problem = _tried_once(name, source)
                if problem is not None and problem[0] not in found:
                    found[problem[0]] = problem[1]
                    print(f"{name}: {problem[1]}\n", flush=True)
    print(f"inputs: {json.dumps(tried)}; {len(found)} problems")
    return int(bool(found))


def _tried_once(name: str, source: random.Random) -> tuple[str, str] | None:
    """Try an input. Return a problem: what tells it from others, and its text."""
    target = TARGETS[name]
    pick, edits = source.getrandbits(16), random_edits(source, 6)
    error = _problem(target, pick, edits)
    if error is None:
        return None
    at = 0
    while at < len(edits):
        fewer = edits[:at] + edits[at + 1 :]
        smaller = _problem(target, pick, fewer)
        if smaller is not None and type(smaller) is type(error):
            edits, error = fewer, smaller
        else:
            at += 1
    given = target.input_of(pick, edits)
    shown = written_case(given) if isinstance(given, bytes) else _text(given)
    last = traceback.extract_tb(error.__traceback__)[-1]
    text = "".join(traceback.format_exception(error)[-5:])
    kind = f"{name} {type(error).__name__} {last.filename}:{last.lineno}"
    return kind, f"{shown[:3000]}\n{text}"


def _text(given: object) -> str:
    try:
        return json.dumps(given)
    except Exception:  # noqa: BLE001 - an object of the input may raise anything
        try:
            return repr(given)
        except Exception as error:  # noqa: BLE001 - as above
            return f"cannot be shown: {type(error).__name__}"


def _problem(target: Target, pick: int, edits: Sequence[Edit]) -> BaseException | None:
    given = target.input_of(pick, edits)
    try:
        with bounded():
            target.try_out(given)
    except (Exception, RecursionError) as error:  # noqa: BLE001 - that is the question
        return error
    return None


def _guided(name: str, seconds: float) -> int:
    atheris = importlib.import_module("atheris")  # optional

    target = TARGETS[name]

    def try_out(data: bytes) -> None:
        source = atheris.FuzzedDataProvider(data)
        pick = source.ConsumeIntInRange(0, 1 << 16)
        edits = [
            (
                source.ConsumeIntInRange(0, 255),
                source.ConsumeIntInRange(0, 1 << 24),
                source.ConsumeIntInRange(0, 1 << 24),
            )
            for _ in range(source.ConsumeIntInRange(0, 12))
        ]
        target.try_out(target.input_of(pick, edits))

    atheris.instrument_all()
    options = [sys.argv[0], f"-max_total_time={seconds:.0f}", "-timeout=5"]
    atheris.Setup(options, try_out)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
