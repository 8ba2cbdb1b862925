"""The promise holds among real processes, half of which call through aiobotocore.

Their calls are tasks of one loop, and many are cancelled. The other half calls through
boto3, on the same store.
"""

import pytest

from tests.soak.soak import STORES, soak

SECONDS = 7


# That a cut call breaks no promise is what test_explorer.py holds.
@pytest.mark.long("real processes, and real threads that go on when a task is cut")
@pytest.mark.parametrize("store", STORES)
def test_no_read_is_older_than_a_completed_write_while_tasks_are_cut(
    store: str,
) -> None:
    report = soak(SECONDS, seed=1, store=store, with_tasks=True)
    print(report)
    assert report.problems() == []
    assert report.history.cut > 20
    assert report.hits > len(report.history.reads) / 20
