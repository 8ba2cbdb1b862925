"""The source distribution, and the wheel that is built from it."""

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path, PurePosixPath

import pytest

from tests.support.environment import BUILT_AT, Distributions, build

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
        "startup/botocache_startup.py",
        *("startup/build_startup.py", "LICENSE", "README.md", "setup.cfg"),
        *("tests/wheel/test_distributions.py", "tests/conftest.py", "Makefile"),
        *("docs/how-to/troubleshooting.md", "botocache/stores/redis/evict.lua"),
    } <= names


@pytest.mark.long("two more builds")
def test_another_build_of_the_same_sources_makes_the_same_bytes(
    distributions: Distributions, tmp_path: Path
) -> None:
    """Elsewhere, at another time, under another umask; the wheel not by the sdist."""
    sources = tmp_path / "sources"
    shutil.copytree(distributions.sources, sources, copy_function=shutil.copyfile)
    for name in ("build", "botocache_dynamodb.egg-info"):
        shutil.rmtree(sources / name, ignore_errors=True)
    program = sources / ".ci" / "run"
    program.chmod(0o700)
    for name in ("environment", "npm-environment"):
        (sources / ".ci" / name).chmod(0o711)
    os.utime(program, (1, 1_000_000_000))
    build(
        *(sources, tmp_path, "--sdist", "--wheel"),
        umask=0o077,
        variables={"PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"},
    )
    for one in (distributions.sdist, distributions.wheel):
        other = tmp_path / one.name
        assert sha256(one) == sha256(other)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_each_file_has_the_time_that_the_environment_names(
    distributions: Distributions,
) -> None:
    with tarfile.open(distributions.sdist) as archive:
        members = archive.getmembers()
    assert {each.mtime for each in members} == {BUILT_AT}
    assert {(each.uid, each.gid, each.uname, each.gname) for each in members} == {
        (0, 0, "", "")
    }
    assert {each.mode for each in members} == {0o644, 0o755}
    with zipfile.ZipFile(distributions.wheel) as wheel:
        infos = wheel.infolist()
    assert {each.date_time for each in infos} == {time.gmtime(BUILT_AT)[:6]}
    modes = {
        each.external_attr >> 16 & 0o777
        for each in infos
        if not each.filename.endswith("/RECORD")
    }
    assert modes == {0o644}


def test_pip_installs_the_sdist_and_leaves_the_startup_files_out_if_told(
    distributions: Distributions, tmp_path: Path
) -> None:
    target = tmp_path / "target"
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index"),
            *("--no-build-isolation", "--no-cache-dir", "--no-compile"),
            "--config-settings=--build-option=--without-startup",
            *("--target", str(target), str(distributions.sdist)),
        ],
        check=True,
        capture_output=True,
    )
    installed = {
        str(path.relative_to(target)) for path in target.rglob("*") if path.is_file()
    }
    whole = {name for name in files_of(distributions.wheel) if "dist-info" not in name}
    startup = {"botocache.pth", "botocache.start", "botocache_startup.py"}
    assert startup < whole
    others = {name for name in installed if "dist-info" not in name}
    assert others == whole - startup | {"bin/botocache"}
