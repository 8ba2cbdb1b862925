"""What callers write down is read back, whatever became of them."""

from pathlib import Path

from tests.soak.journal import Journal, Outcome, read_history


def test_a_write_and_a_read_come_back_from_the_journal(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "a.journal")
    journal.started("a/1", "PutItem", {"x": "1"}, ["x"])
    journal.ended("a/1", outcome="applied", retried=True, pending_evictions=True)
    journal.started("a/2", "Query", {}, [])
    journal.ended("a/2", saw={"x": "1", "y": None}, hit=True)
    history = read_history(tmp_path)
    (write,), (read,) = history.writes, history.reads
    assert (write.name, write.kind, write.wrote) == ("a/1", "PutItem", {"x": "1"})
    assert write.outcome is Outcome.APPLIED
    assert write.if_there == {"x"}
    assert write.retried
    assert write.pending_evictions
    assert (read.name, read.kind, read.is_hit) == ("a/2", "Query", True)
    assert read.saw == {"x": "1", "y": None}
    assert write.ended is not None
    assert write.started <= write.ended <= read.started <= read.ended


def test_a_write_without_an_end_is_unknown_and_a_read_without_one_is_left_out(
    tmp_path: Path,
) -> None:
    journal = Journal(tmp_path / "a.journal")
    journal.started("a/1", "PutItem", {"x": None}, [])
    journal.started("a/2", "Query", {}, [])
    history = read_history(tmp_path)
    (write,) = history.writes
    assert (write.ended, write.outcome) == (None, Outcome.UNKNOWN)
    assert history.reads == []


def test_a_call_that_failed_in_an_unknown_way_is_an_error(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "a.journal")
    journal.started("a/1", "PutItem", {"x": "1"}, [])
    journal.error("it broke")
    history = read_history(tmp_path)
    assert history.errors == ["it broke"]
    assert history.writes[0].ended is None


def test_the_line_that_a_killed_caller_did_not_finish_is_left_out(
    tmp_path: Path,
) -> None:
    journal = Journal(tmp_path / "a.journal")
    journal.warning("fill_failed", "StoreError")
    with (tmp_path / "a.journal").open("a") as file:
        file.write('{"what": "sta')
    assert read_history(tmp_path).warnings == [("fill_failed", "StoreError")]
