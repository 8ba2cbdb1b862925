"""What an interpreter's start costs with the start-up file installed.

    python -m benchmarks.startup [--quick]

Three environments side by side, started in turns: one without botocache; the same
with the wheel and the toggle unset; and with the toggle set. The first is measured
twice: how far it is from itself is the noise that the others must be seen against.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable
from pathlib import Path

from benchmarks.measure import compare, report

ROOT = Path(__file__).resolve().parent.parent
SOURCES = (
    "botocache",
    "startup",
    "LICENSE",
    "README.md",
    "pyproject.toml",
    "setup.cfg",
)


def environment(directory: Path) -> str:
    """Make an empty environment; return its Python."""
    venv.create(directory, with_pip=False, symlinks=True)
    return str(directory / "bin" / "python")


def build_wheel(directory: Path) -> str:
    """Build the wheel from a copy of the sources; return its path."""
    sources = directory / "sources"
    sources.mkdir()
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, sources / name)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir"]
    subprocess.run([*command, directory, sources], check=True, capture_output=True)
    return str(next(directory.glob("*.whl")))


def starting(python: str, **variables: str) -> Callable[[], object]:
    """Return what starts an interpreter that does nothing."""
    env = {**os.environ, **variables}
    return lambda: subprocess.run([python, "-c", ""], env=env, check=True)


def main() -> None:
    """Compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    rounds = 15 if parser.parse_args().quick else 101
    os.environ.pop("BOTOCACHE", None)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        without = environment(directory / "without")
        with_it = environment(directory / "with")
        wheel = build_wheel(directory)
        pip = [sys.executable, "-m", "pip", "-q", "--python", with_it, "install"]
        subprocess.run([*pip, "--no-deps", "--no-index", wheel], check=True)
        base = "without botocache"
        figures = compare(
            {
                base: starting(without),
                "without botocache, again": starting(without),
                "with it, toggle unset": starting(with_it),
                "with it, BOTOCACHE=1": starting(with_it, BOTOCACHE="1"),
            },
            base=base,
            rounds=rounds,
            calls=2,
        )
        report("Start: an interpreter that does nothing", base, figures)


if __name__ == "__main__":
    main()
