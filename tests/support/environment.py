"""The built wheel, and an environment that has it as a user would."""

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

ROOT = Path(__file__).parents[2]
SOURCES = (
    "botocache",
    "startup",
    "LICENSE",
    "README.md",
    "pyproject.toml",
    "setup.cfg",
)


def build_wheel_once(shared: Path) -> Path:
    """Return the wheel, built in `shared` by whichever test process comes first."""
    shared.mkdir(exist_ok=True)
    with _locked(shared):
        built = list((shared / "dist").glob("*.whl"))
        return built[0] if built else _build(shared)


@contextmanager
def _locked(shared: Path) -> Iterator[None]:
    """Keep other test processes out of a directory for as long as the context lasts."""
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(shared: Path) -> Path:
    sources = shared / "sources"
    sources.mkdir()
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, sources / name, ignore=ignored)
        else:
            shutil.copy(source, sources / name)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation"]
    subprocess.run(
        [*command, "--outdir", str(shared / "dist"), str(sources)],
        check=True,
        capture_output=True,
    )
    return next((shared / "dist").glob("*.whl"))


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
