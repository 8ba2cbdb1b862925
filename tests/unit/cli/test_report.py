"""`report`: the page and the document of a store, its options, and what goes wrong."""

import json
import time
from pathlib import Path

import pytest

from botocache._cache.sealed import seal
from botocache._cli.main import run_command
from botocache._cli.report import DEFAULT_OUTPUT
from botocache._counting.stats import HotKey, Stats, TableStats
from botocache._observe.overview import open_board
from botocache._observe.records import ProcessRecord
from botocache._observe.sealing import process_name
from botocache._settings.load import load_settings
from botocache.stores.protocol import Board

STATS = Stats(
    hits=90,
    misses=10,
    tables=(
        TableStats(
            "users",
            "GetItem",
            near_hits=60,
            store_hits=30,
            misses=10,
            units_saved=45.0,
            units_consumed=5.0,
        ),
    ),
    hot_keys=(HotKey("users", "GetItem", "ab" * 16, "id=S:7", 50, 25.0),),
)


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the URL of an empty store, which the environment names."""
    directory = tmp_path / "store"
    directory.mkdir(mode=0o700)
    monkeypatch.setenv("BOTOCACHE_URL", f"disk://{directory}")
    monkeypatch.chdir(tmp_path)
    return f"disk://{directory}"


@pytest.fixture
def posted(url: str) -> str:
    """Return the URL of a store on which one process has posted."""
    now = time.time()
    record = ProcessRecord("a1", "web", 7, "1", now - 3600, now, STATS)
    with open_board(load_settings({}, {"BOTOCACHE_URL": url}, url), {}) as board:
        assert isinstance(board.store, Board)
        name = process_name("a1")
        sealed = seal(board.codec, name, record, now, 3600.0)
        board.store.post(name, sealed, 3600.0)
    return url


def test_a_page_is_written_where_it_is_wanted(
    posted: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["report", "--output", "a.html"]) == 0
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert "90\u202f% of the read capacity saved" in page
    assert "id=S:7" not in page
    out = capsys.readouterr()
    assert out.out == f"wrote {tmp_path}/a.html\n"
    assert out.err == ""


def test_it_has_a_name_of_its_own_else(posted: str, tmp_path: Path) -> None:
    assert run_command(["report"]) == 0
    assert (tmp_path / DEFAULT_OUTPUT).exists()


def test_the_page_goes_to_standard_output(
    posted: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["report", "-o", "-", "--show-keys"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("<!DOCTYPE html>\n")
    assert out.endswith("</html>\n")
    assert "id=S:7" in out
    assert not [*tmp_path.glob("*.html")]


def test_json_writes_no_page(
    posted: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["report", "--json", "--prices", "on_demand=1,region=eu-west-1"]
    assert run_command(arguments) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["units_saved"] == 45.0
    assert document["share_saved"] == 0.9
    assert document["prices"]["region"] == "eu-west-1"
    assert document["money"]["on_demand"]["without"] == pytest.approx(
        50 * 730 / 1e6, rel=0.01
    )
    assert document["hot_keys"] == [
        {
            "table": "users",
            "operation": "GetItem",
            "digest": "ab" * 16,
            "hits": 50,
            "units_saved": 25.0,
        }
    ]
    assert not [*tmp_path.glob("*.html")]


def test_prices_come_from_the_environment_too(
    posted: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BOTOCACHE_PRICES", "store=12.5,currency=EUR")
    assert run_command(["report", "-o", "-"]) == 0
    out = capsys.readouterr().out
    assert "12.5 EUR" in out
    assert "unstated region, undated" in out


def test_an_empty_store_has_a_page_that_helps(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["report"]) == 0
    assert "No figures yet" in (tmp_path / DEFAULT_OUTPUT).read_text(encoding="utf-8")
    assert "no process has left its counters on this store" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--days", "0"], "expected days, up to 400, not '0'"),
        (["--days", "nan"], "expected days, up to 400, not 'nan'"),
        (["--days", "x"], "expected days"),
        (["--prices", "ondemand=1"], "did you mean 'on_demand'?"),
        (["--prices", "on_demand"], "expected prices as"),
        (["--outputs", "x"], "did you mean '--output'?"),
        (["x"], "1 argument too many"),
    ],
)
def test_wrong_usage_is_one_line(
    arguments: list[str], message: str, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["report", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("botocache: report: ")
    assert message in error
    assert error.count("\n") == 1


def test_a_store_in_memory_is_wrong_usage(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BOTOCACHE_URL", "memory:")
    assert run_command(["report"]) == 2
    assert "memory of one process" in capsys.readouterr().err


def test_a_file_that_cannot_be_written_is_a_failure(
    posted: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["report", "-o", "no/such/place.html"]) == 1
    assert capsys.readouterr().err.startswith("botocache: report: ")
