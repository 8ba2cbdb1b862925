"""A program: the tests on each supported Python that this machine has.

    python -m tests.pythons            unit, integration and store tests
    python -m tests.pythons FILE...    these instead

It looks for the Pythons on the PATH (`python3.13`) and among the versions of pyenv,
makes an environment for each, `.venv-3.13`, and says at the end which it did not find.
`--others` leaves out the Python that runs it: `make test` has run all tests there.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
PYPROJECT = ROOT / "pyproject.toml"
CONSTRAINTS = ROOT / "constraints.txt"
TESTS = ("tests/unit", "tests/stores", "tests/integration")

_NAME_AND_KIND = """
import platform, sys, sysconfig
is_free_threaded = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
print(*sys.version_info[:2], platform.python_implementation(), is_free_threaded)
"""


def supported() -> list[str]:
    """Return the versions that the package says it supports, such as "3.10"."""
    text = PYPROJECT.read_text(encoding="utf-8")
    return re.findall(r'"Programming Language :: Python :: (3\.\d+)"', text)


def find(version: str, environ: Mapping[str, str]) -> Path | None:
    """Return a Python of this version, or None."""
    for python in _candidates(version, environ):
        if _is_usable(python, version):
            return python
    return None


def _candidates(version: str, environ: Mapping[str, str]) -> Iterator[Path]:
    path = environ.get("PATH", os.defpath)
    for place in path.split(os.pathsep):
        if found := shutil.which(f"python{version}", path=place):
            yield Path(found)
    places = map(Path, path.split(os.pathsep))
    roots = [place.parent for place in places if place.name == "shims"]
    if "HOME" in environ:
        roots.insert(0, Path(environ["HOME"], ".pyenv"))
    if "PYENV_ROOT" in environ:
        roots.insert(0, Path(environ["PYENV_ROOT"]))
    for root in roots:
        patches = root.glob(f"versions/{version}.*/bin/python")
        yield from sorted(patches, key=_patch, reverse=True)


def _patch(python: Path) -> int:
    """Return 13 of `versions/3.10.13/bin/python`; of a pre-release less than any."""
    last = python.parts[-3].rpartition(".")[2]
    return int(last) if last.isdigit() else -1


def _is_usable(python: Path, version: str) -> bool:
    """Tell whether it runs: pyenv's shims do so only for versions that are active."""
    try:
        asked = subprocess.run(
            [python, "-c", _NAME_AND_KIND],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    except OSError:
        return False
    expected = [*version.split("."), "CPython", "False"]
    return asked.returncode == 0 and asked.stdout.split() == expected


def environment(version: str, python: Path) -> Path:
    """Return the Python of an environment of this version, with the tests' needs."""
    directory = ROOT / f".venv-{version}"
    ready = directory / ".ready"
    inputs = (PYPROJECT, ROOT / "setup.cfg", CONSTRAINTS)
    if not ready.exists() or any(
        each.stat().st_mtime > ready.stat().st_mtime for each in inputs
    ):
        needs = ("--constraint", str(CONSTRAINTS), "--editable", ".", "--group", "test")
        maker = str(ROOT / ".ci" / "environment")
        command = [maker, str(directory), str(python), *needs]
        subprocess.run(command, cwd=ROOT, check=True)
        ready.touch()
    return directory / "bin" / "python"


def run(version: str, python: Path, tests: list[str]) -> bool:
    """Run the tests on one Python, and tell whether they passed."""
    began = time.monotonic()
    print(f"\n== Python {version}, {python}", flush=True)
    pytest = [str(environment(version, python)), "-m", "pytest", "-q"]
    passed = not subprocess.call(
        [*pytest, "-n", "2", "--dist", "worksteal", *tests], cwd=ROOT
    )
    word = "passed" if passed else "FAILED"
    print(f"Python {version}: {word} in {time.monotonic() - began:.0f} s", flush=True)
    return passed


def main() -> None:
    """Run the tests on each Python; exit with 1 unless they pass on all of them."""
    parser = argparse.ArgumentParser(prog="python -m tests.pythons")
    parser.add_argument("--others", action="store_true")
    parser.add_argument("tests", nargs="*", default=TESTS)
    arguments = parser.parse_args()
    own = "{}.{}".format(*sys.version_info)
    results: dict[str, str] = {}
    for version in supported():
        if arguments.others and version == own:
            results[version] = "left out: it runs this program"
        elif python := find(version, os.environ):
            passed = run(version, python, list(arguments.tests))
            results[version] = "passed" if passed else "FAILED"
        else:
            results[version] = "not found"
    print()
    for version, result in results.items():
        print(f"Python {version}: {result}")
    sys.exit("FAILED" in results.values())


if __name__ == "__main__":
    main()
