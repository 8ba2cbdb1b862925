"""Descriptors that the application closed, and whose numbers it uses itself."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from botocache.stores.disk.descriptors import OpenFile, open_file


@pytest.fixture
def number(tmp_path: Path) -> Iterator[int]:
    number = os.open(tmp_path / "ours", os.O_RDWR | os.O_CREAT)
    yield number
    os.close(number)


def give_to_application(number: int, path: Path) -> None:
    """Let the number lead to another file."""
    other = os.open(path, os.O_RDWR | os.O_CREAT)
    os.dup2(other, number)
    os.close(other)


def test_a_number_is_ours_while_it_leads_to_the_same_file(number: int) -> None:
    ours = open_file(number)
    status = os.fstat(number)
    assert ours == OpenFile(number, status.st_dev, status.st_ino)
    assert ours.is_ours() is True


def test_a_closed_number_is_not_ours(tmp_path: Path) -> None:
    number = os.open(tmp_path / "ours", os.O_RDWR | os.O_CREAT)
    ours = open_file(number)
    os.close(number)
    assert ours.is_ours() is False
    ours.close()  # and nothing is raised


def test_a_number_that_the_application_uses_is_not_ours_and_stays_open(
    number: int, tmp_path: Path
) -> None:
    ours = open_file(number)
    give_to_application(number, tmp_path / "theirs")
    assert ours.is_ours() is False
    ours.close()
    assert os.write(number, b"theirs") == len(b"theirs")
    assert (tmp_path / "theirs").read_bytes() == b"theirs"


def test_closing_closes_a_number_that_is_ours(tmp_path: Path) -> None:
    number = os.open(tmp_path / "ours", os.O_RDWR | os.O_CREAT)
    ours = open_file(number)
    ours.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)
