"""What `make test` measures coverage on: no file is missed, and none runs twice."""

import pytest

from tests.measured import ADDED, LEFT_OUT, ROOMS, ROOT, measured_files, whole_files


@pytest.mark.parametrize("name", [*ADDED, *LEFT_OUT])
def test_every_file_that_is_named_is_there(name: str) -> None:
    assert (ROOT / name).is_file()


def test_what_is_left_out_is_of_the_rooms_and_what_is_added_is_not() -> None:
    assert all(name.startswith(ROOMS) for name in LEFT_OUT)
    assert not any(name.startswith(ROOMS) for name in ADDED)


def test_a_file_of_which_nothing_is_left_for_the_other_run_has_no_property() -> None:
    whole = set(whole_files())
    assert whole < set(measured_files())
    assert not any("\n@given" in (ROOT / name).read_text() for name in whole)
