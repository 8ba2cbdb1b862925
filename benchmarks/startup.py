"""An interpreter's start with the start-up file installed, and imports.

Interpreters start in turns: without botocache, with the wheel and the toggle unset, and
with the toggle set. The first is measured twice; the difference is the noise.
"""

import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from pathlib import Path

from benchmarks import names
from benchmarks.measure import Contender, Group, time_rounds, timed
from benchmarks.places import Places
from benchmarks.scale import Scale
from tests.support.environment import build_once

ROOT = Path(__file__).resolve().parent.parent
_TIME = """
import time
begin = time.perf_counter()
{}
print(time.perf_counter() - begin)
"""


def measure(scale: Scale, places: Places) -> Iterator[Group]:
    """Compare starts, then imports."""
    with tempfile.TemporaryDirectory() as name:
        yield _starts(scale, places, Path(name))
    yield _imports(scale)


def _starts(scale: Scale, places: Places, directory: Path) -> Group:
    without = environment(directory / "without")
    with_it = environment(directory / "with")
    wheel = str(places.wheel or build_once(directory / "wheel").wheel)
    pip = [sys.executable, "-m", "pip", "-q", "--python", with_it, "install"]
    subprocess.run([*pip, "--no-deps", "--no-index", wheel], check=True)
    contenders = {
        names.WITHOUT: starting(without),
        names.WITHOUT_AGAIN: starting(without),
        names.TOGGLE_UNSET: starting(with_it),
        names.TOGGLE_SET: starting(with_it, BOTOCACHE="1"),
    }
    times = time_rounds(contenders, rounds=scale.starts, calls=1)
    title = "Start: an interpreter that does nothing"
    return Group("start", title, names.WITHOUT, times)


def _imports(scale: Scale) -> Group:
    contenders = {
        names.IMPORT_BOTO3: running("import boto3"),
        names.IMPORT_OURS: running("import botocache"),
        names.INSTALL: running("import boto3, botocache; botocache.install()"),
    }
    times = time_rounds(contenders, rounds=scale.starts // 2 + 1, calls=1)
    title = "Import: in a new interpreter"
    note = "Alone, and with everything that `install()` imports."
    return Group("import", title, names.IMPORT_BOTO3, times, note=note)


def environment(directory: Path) -> str:
    """Make an empty environment; return its Python."""
    venv.create(directory, with_pip=False, symlinks=True)
    return str(directory / "bin" / "python")


def starting(python: str, **variables: str) -> Contender:
    """Return a contender that starts an interpreter without a program."""
    env = {**_environ(), **variables}
    return timed(lambda: subprocess.run([python, "-c", ""], env=env, check=True))


def running(statement: str) -> Contender:
    """Return a contender that times a statement in a new interpreter."""
    command = [sys.executable, "-c", _TIME.format(statement)]

    def run(calls: int) -> float:
        return sum(
            float(subprocess.check_output(command, cwd=ROOT, env=_environ()))
            for _ in range(calls)
        )

    return Contender(run)


def _environ() -> dict[str, str]:
    """Return this process's environment without settings of botocache."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("BOTOCACHE")
    }
