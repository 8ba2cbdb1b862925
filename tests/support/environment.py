"""The built distributions, and an environment that has the wheel as a user would."""

import fcntl
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
SOURCES = (
    ".ci",
    ".github",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "MANIFEST.in",
    "Makefile",
    "README.md",
    "SECURITY.md",
    "benchmarks",
    "botocache",
    "constraints.txt",
    "docs",
    "examples",
    "mkdocs.yml",
    "pyproject.toml",
    "release",
    "setup.cfg",
    "startup",
    "tests",
)
"""What a release has of a checkout. A copy of it is built: a build leaves files."""


BUILT_AT = 1_700_000_000
"""The time of the files of a distribution, by `SOURCE_DATE_EPOCH`. An even second."""


class Distributions(NamedTuple):
    """What a release consists of.

    sources: the copy of the checkout from which the sdist is built.
    sdist: the source distribution.
    wheel: built from the sdist, as `pip install` and a release do it.
    """

    sources: Path
    sdist: Path
    wheel: Path


def build_once(shared: Path) -> Distributions:
    """Return what the first test process to come here builds in `shared`."""
    shared.mkdir(exist_ok=True)
    sources, dist = shared / "sources", shared / "dist"
    with _locked(shared):
        if not list(dist.glob("*.whl")):
            _copy_sources(sources)
            build(sources, dist)
    (sdist,), (wheel,) = dist.glob("*.tar.gz"), dist.glob("*.whl")
    return Distributions(sources, sdist, wheel)


@contextmanager
def _locked(shared: Path) -> Iterator[None]:
    """Keep other test processes out of a directory for as long as the context lasts."""
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _copy_sources(sources: Path) -> None:
    sources.mkdir()
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, sources / name, ignore=ignored)
        else:
            shutil.copy(source, sources / name)


def build(
    sources: Path,
    dist: Path,
    *options: str,
    umask: int = -1,
    variables: Mapping[str, str] | None = None,
) -> None:
    """Run `python -m build`: without options the sdist, and the wheel from it."""
    # A path to a checkout would give the build what its sources lack.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    environment["SOURCE_DATE_EPOCH"] = str(BUILT_AT)
    subprocess.run(
        [
            *(sys.executable, "-m", "build", "--no-isolation", *options),
            *("--outdir", str(dist), str(sources)),
        ],
        check=True,
        capture_output=True,
        env={**environment, **(variables or {})},
        umask=umask,
    )


class Environment:
    """A virtual environment with the wheel; its dependencies are those of the tests."""

    def __init__(self, shared: Path, wheel: Path) -> None:
        """Make it in `shared`, unless another test process has."""
        shared.mkdir(exist_ok=True)
        directory = shared / "venv"
        self.python = str(directory / "bin" / "python")
        with _locked(shared):
            is_new = not directory.exists()
            if is_new:
                venv.create(directory, with_pip=False, symlinks=True)
            self.site_packages = Path(self.output("-c", _PRINT_SITE_PACKAGES).strip())
            if is_new:
                self._install(wheel)

    def _install(self, wheel: Path) -> None:
        self.pip("install", "--no-deps", "--no-index", str(wheel))
        ours = sysconfig.get_path("purelib")
        (self.site_packages / "zz-dependencies.pth").write_text(f"{ours}\n")

    def pip(self, *arguments: str) -> None:
        """Run the tests' own pip on this environment."""
        subprocess.run(
            [sys.executable, "-m", "pip", "-q", "--python", self.python, *arguments],
            check=True,
            capture_output=True,
        )

    def run(
        self, *arguments: str, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run its Python with these variables beside the tests' own."""
        return subprocess.run(
            [self.python, *arguments],
            env={**os.environ, **(env or {})},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def output(self, *arguments: str, env: Mapping[str, str] | None = None) -> str:
        """Run a program, and return its output; it must succeed."""
        done = self.run(*arguments, env=env)
        assert done.returncode == 0, done.stderr
        return done.stdout


_PRINT_SITE_PACKAGES = "import sysconfig; print(sysconfig.get_path('purelib'))"
