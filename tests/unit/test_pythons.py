"""The Pythons on which `make test-pythons` runs are found wherever they are."""

from pathlib import Path

import pytest

from tests.pythons import find, supported

CPYTHON = "3 13 CPython False"


def install(path: Path, answer: str, *, status: int = 0) -> Path:
    """Make a program that answers as a Python does when it is asked what it is."""
    path.parent.mkdir(parents=True)
    path.write_text(f"#!/bin/sh\necho '{answer}'\nexit {status}\n")
    path.chmod(0o755)
    return path


def test_all_four_versions_are_supported() -> None:
    assert supported() == ["3.10", "3.11", "3.12", "3.13"]


def test_a_python_on_the_path_is_found(tmp_path: Path) -> None:
    python = install(tmp_path / "bin/python3.13", CPYTHON)
    assert find("3.13", {"PATH": f"/nowhere:{python.parent}"}) == python


@pytest.mark.parametrize("variable", ["PYENV_ROOT", "HOME", "PATH"])
def test_the_newest_of_pyenvs_versions_is_found(tmp_path: Path, variable: str) -> None:
    root = tmp_path / ".pyenv"
    for version in ("3.13.0rc1", "3.13.9", "3.12.11"):
        install(root / f"versions/{version}/bin/python", CPYTHON)
    newest = install(root / "versions/3.13.10/bin/python", CPYTHON)
    places = {"PYENV_ROOT": root, "HOME": tmp_path, "PATH": root / "shims"}
    environ = {"PATH": "", variable: str(places[variable])}
    assert find("3.13", environ) == newest


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ("pyenv: python3.13: command not found", 127),
        ("3 12 CPython False", 0),
        ("3 13 PyPy False", 0),
        ("3 13 CPython True", 0),
    ],
    ids=["a shim of pyenv", "another version", "PyPy", "free-threaded"],
)
def test_what_is_not_that_python_is_not_taken_for_it(
    tmp_path: Path, answer: str, status: int
) -> None:
    python = install(tmp_path / "bin/python3.13", answer, status=status)
    assert find("3.13", {"PATH": str(python.parent)}) is None
