"""The source distribution, and the wheel that is built from it."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

from tests.support.environment import Distributions, build

MADE_BY_THE_BUILD = {"PKG-INFO"}


def files_of(wheel: Path) -> dict[str, bytes]:
    """Return the content of each file of a wheel, by its name."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def files_below(directory: Path) -> set[str]:
    """Return the names of all files of a source tree, without what a build leaves."""
    names = {
        path.relative_to(directory) for path in directory.rglob("*") if path.is_file()
    }
    return {
        str(name)
        for name in names
        if name.suffix != ".pyc"
        and not name.parts[0].endswith(".egg-info")
        and name.parts[0] != "build"
    }


def test_the_sdist_has_every_file_of_the_checkout(distributions: Distributions) -> None:
    with tarfile.open(distributions.sdist) as archive:
        members = [PurePosixPath(each.name) for each in archive if each.isfile()]
    assert {name.parts[0] for name in members} == {
        distributions.sdist.name.removesuffix(".tar.gz")
    }
    names = {str(PurePosixPath(*name.parts[1:])) for name in members}
    names = {name for name in names if ".egg-info/" not in name}
    assert names - MADE_BY_THE_BUILD == files_below(distributions.sources)
    assert {
        *("startup/botocache.pth", "startup/botocache.start", "CHANGELOG.md"),
        *("startup/build_startup.py", "LICENSE", "README.md", "setup.cfg"),
        *("tests/wheel/test_distributions.py", "tests/conftest.py", "Makefile"),
        *("docs/how-to/troubleshooting.md", "botocache/stores/redis/evict.lua"),
    } <= names


def test_the_wheel_of_the_sdist_is_that_of_the_checkout_file_by_file(
    distributions: Distributions, tmp_path: Path
) -> None:
    build(distributions.sources, tmp_path, "--wheel")
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name == distributions.wheel.name
    assert files_of(distributions.wheel) == files_of(wheel)


def test_pip_installs_the_sdist_with_its_startup_files(
    distributions: Distributions, tmp_path: Path
) -> None:
    target = tmp_path / "target"
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index"),
            *("--no-build-isolation", "--no-cache-dir", "--no-compile"),
            *("--target", str(target), str(distributions.sdist)),
        ],
        check=True,
        capture_output=True,
    )
    installed = {
        str(path.relative_to(target)) for path in target.rglob("*") if path.is_file()
    }
    expected = {
        name for name in files_of(distributions.wheel) if "dist-info" not in name
    }
    assert {name for name in installed if "dist-info" not in name} == expected
