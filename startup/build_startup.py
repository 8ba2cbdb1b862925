"""The build steps that setuptools has no settings for.

`BuildWithStartup` puts the start-up files beside the package in site-packages:

    botocache.pth            Python 3.14 and earlier: names a module to import at start
    botocache.start          Python 3.15 and later (PEP 829): names a function to call
    botocache_startup.py     that module

The build option `--without-startup` leaves them out.

`ReproducibleSdist` and `ReproducibleWheel` make the same bytes from the same sources,
whatever the umask, the directory, and the times and modes of the checkout.
"""

import gzip
import os
import tarfile
from pathlib import Path
from typing import Any

from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

FILES = ("botocache.pth", "botocache.start", "botocache_startup.py")

_EARLIEST = 315532800
"""1 January 1980: the earliest time in a wheel, and that of all files by default."""


class BuildWithStartup(build_py):
    """Setuptools' build_py, which also copies the start-up files."""

    def run(self) -> None:
        """Build the package and copy the start-up files."""
        super().run()
        for name in self._startup():
            source = Path(__file__).with_name(name)
            self.copy_file(str(source), str(Path(self.build_lib, name)))

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:  # noqa: FBT001, FBT002 - setuptools' signature
        """Return the paths of all files that were built."""
        outputs = super().get_outputs(include_bytecode)
        return outputs + [str(Path(self.build_lib, name)) for name in self._startup()]

    def _startup(self) -> tuple[str, ...]:
        # A checkout must not start the cache everywhere.
        left_out = getattr(self.distribution, "without_startup", False)
        return () if self.editable_mode or left_out else FILES


class ReproducibleWheel(bdist_wheel):
    """Setuptools' bdist_wheel, with one mode and one time for all files."""

    user_options = [  # noqa: RUF012 - setuptools' own
        *bdist_wheel.user_options,
        ("without-startup", None, "leave out the files that Python reads at start"),
    ]
    boolean_options = [*bdist_wheel.boolean_options, "without-startup"]  # noqa: RUF012 - as above

    def initialize_options(self) -> None:
        """Set the defaults of the options."""
        super().initialize_options()
        self.without_startup = False

    def run(self) -> None:
        """Build the wheel, with or without the start-up files."""
        self.distribution.without_startup = bool(self.without_startup)
        os.environ.setdefault("SOURCE_DATE_EPOCH", str(_time()))
        super().run()

    def write_wheelfile(self, *arguments: Any, **named: Any) -> None:
        """Write the file WHEEL. It is the last one before all go into the archive."""
        super().write_wheelfile(*arguments, **named)
        for path in Path(self.bdist_dir).rglob("*"):
            if path.is_file():
                path.chmod(0o644)


class ReproducibleSdist(sdist):
    """Setuptools' sdist, whose archive depends on the files' names and bytes alone."""

    def make_archive(self, base_name: str, *_: Any, **named: Any) -> str:
        """Write `base_name`.tar.gz from the directory `base_dir`; return its path."""
        directory = named["base_dir"]
        path = f"{base_name}.tar.gz"
        paths = sorted(Path(directory).rglob("*"))
        with (
            Path(path).open("wb") as file,
            gzip.GzipFile("", "wb", mtime=_time(), fileobj=file) as compressed,
            tarfile.open(
                fileobj=compressed, mode="w", format=tarfile.PAX_FORMAT
            ) as tar,
        ):
            for each in [Path(directory), *paths]:
                tar.add(each, each.as_posix(), recursive=False, filter=_plain)
        return path


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Take from a member what differs between two checkouts."""
    is_program = member.isdir() or member.mode & 0o100
    member.mode = 0o755 if is_program else 0o644
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime = _time()
    return member


def _time() -> int:
    """Return the time of all files: that of the release, if the environment says it."""
    return max(_EARLIEST, int(os.environ.get("SOURCE_DATE_EPOCH") or _EARLIEST))
