"""Verdicts on targets, and the times behind them, by values."""

from collections.abc import Callable
from itertools import count

import pytest

from benchmarks import names
from benchmarks.measure import Contender, Group, figure_of, time_rounds
from benchmarks.targets import TARGETS, Verdict, judge, missed


def judged(group: str, what: str, **times: list[float]) -> Verdict:
    """Return the verdict on the target of `group` whose text contains `what`."""
    named = {getattr(names, name): rounds for name, rounds in times.items()}
    verdicts = judge([Group(group, "title", next(iter(named)), named)])
    (verdict,) = (v for v in verdicts if v.group == group and what in v.what + v.of)
    return verdict


def test_a_ratio_is_the_median_of_the_rounds_and_not_that_of_medians() -> None:
    verdict = judged(
        "hit-get-client", "0.0.6", MEMORY=[1.0, 9.0, 4.0], RIVAL=[2.0, 10.0, 2.0]
    )
    assert verdict.measured == 0.9
    assert verdict.verdict == "missed"


def test_a_target_is_met_when_it_is_just_reached() -> None:
    verdict = judged("import", "import", IMPORT_OURS=[1.0], IMPORT_BOTO3=[10.0])
    assert (verdict.measured, verdict.verdict) == (0.1, "met")


def test_a_miss_is_compared_with_the_uncached_call() -> None:
    times = {"MEMORY": [130.0], "AT_ONCE": [100.0], "HANDLER": [50.0]}
    verdict = judged("miss", "memory", **times)
    assert (verdict.measured, verdict.verdict) == (1.3, "missed")


def test_what_misses_a_target_names_the_contender_to_profile() -> None:
    times = {names.DISK: [126.0], names.AT_ONCE: [100.0], names.MEMORY: [115.0]}
    group = Group("batch-0", "title", names.AT_ONCE, times)
    assert [verdict.own for verdict in missed(group)] == [names.DISK]


def test_a_hit_on_redis_has_fifteen_microseconds_beside_its_round_trip() -> None:
    verdict = judged("hit-get-client", "MGET", REDIS=[65.0], MGET=[40.0])
    assert (verdict.measured, verdict.verdict) == (1.25, "met")


@pytest.mark.parametrize(
    ("toggle_unset", "expected"), [(10.4, "met"), (12.0, "missed")]
)
def test_a_start_is_compared_with_the_noise(toggle_unset: float, expected: str) -> None:
    verdict = judged(
        "start",
        "toggle unset",
        WITHOUT=[10.0] * 5,
        WITHOUT_AGAIN=[9.0, 9.5, 10.0, 10.5, 11.0],
        TOGGLE_UNSET=[toggle_unset] * 5,
    )
    assert verdict.verdict == expected


def test_a_target_that_was_not_measured_is_neither_met_nor_missed() -> None:
    assert {verdict.verdict for verdict in judge([])} == {"not measured"}
    verdict = judged("hit-get-client", "client tracking", MEMORY=[1.0])
    assert (verdict.measured, verdict.verdict) == (None, "not measured")


def test_no_two_targets_say_the_same() -> None:
    assert len({(target.what, target.of) for target in TARGETS}) == len(TARGETS)


@pytest.mark.parametrize(
    ("group", "own", "at_most"),
    [
        ("hit-get-client", names.MEMORY, {0.030, 0.75}),
        ("hit-get-client", names.DISK, {0.045}),
        ("hit-get-client", names.NEAR_OFF, {1.25}),
        ("hit-get-resource", names.MEMORY, {0.035, 1.0}),
        ("hit-query-20-resource", names.MEMORY, {0.04}),
        ("hit-early-client", names.EARLY.format(names.MEMORY), {0.20}),
        ("hit-early-client", names.EARLY.format(names.DISK), {0.30}),
        ("hit-early-client", names.EARLY.format(names.REDIS), {0.75}),
        ("miss", names.MEMORY, {1.12}),
        ("miss", names.DISK, {1.15}),
        ("miss", names.REDIS, {1.8}),
        ("update", names.MEMORY, {1.12}),
        ("update", names.DISK, {1.15}),
        ("update", names.REDIS, {1.8}),
        ("put", names.MEMORY, {1.15}),
        ("put", names.DISK, {1.20}),
        ("put", names.REDIS, {1.9}),
        ("batch-0", names.MEMORY, {1.15}),
        ("batch-0", names.DISK, {1.25}),
        ("batch-50", names.MEMORY, {0.65}),
        ("batch-100", names.MEMORY, {0.05}),
        ("batch-100", names.DISK, {0.08}),
        ("batch-100", names.REDIS, {0.10}),
        ("entries-memory", names.MANY.format(names.ALL_READ), {4.0}),
        ("entries-disk", names.MANY.format(names.ALL_READ), {6.0}),
    ],
)
def test_a_kind_of_call_has_these_limits(
    group: str, own: str, at_most: set[float]
) -> None:
    of_it = [t.at_most for t in TARGETS if (t.group, t.own) == (group, own)]
    assert set(of_it) == at_most


# --- measuring ---------------------------------------------------------------------


def test_rounds_are_interleaved_and_their_order_changes() -> None:
    ran: list[str] = []

    def contender(name: str) -> Contender:
        def run(_calls: int) -> float:
            ran.append(name)
            return 1.0

        return Contender(run)

    time_rounds({name: contender(name) for name in "abc"}, rounds=20, calls=7)
    rounds = ["".join(ran[at : at + 3]) for at in range(3, len(ran), 3)]
    assert len(rounds) == 20
    assert all(sorted(each) == ["a", "b", "c"] for each in rounds)
    assert len(set(rounds)) > 1


def test_a_contender_timed_by_seconds_makes_as_many_calls_as_fit() -> None:
    counts: list[int] = []

    def run(calls: int) -> float:
        counts.append(calls)
        return calls * 1e-6

    times = time_rounds({"it": Contender(run)}, rounds=2, seconds=0.01)
    assert counts[-10:] == [2_000] * 10  # two rounds of five slices
    assert times["it"] == [pytest.approx(1.0), pytest.approx(1.0)]


def test_a_slice_that_was_interrupted_does_not_count() -> None:
    runs = count()

    def run(calls: int) -> float:
        is_interrupted = next(runs) % 5 in (1, 4)
        return calls * 1e-6 + is_interrupted

    times = time_rounds({"it": Contender(run)}, rounds=4, seconds=0.01)
    assert times["it"] == [pytest.approx(1.0)] * 4


def test_a_figure_has_the_quartiles_of_its_ratios() -> None:
    figure = figure_of("it", [1.0, 2.0, 3.0], [1.0, 1.0, 1.0])
    assert (figure.micros, figure.low, figure.ratio, figure.high) == (2, 1, 2, 3)
    assert figure_of("once", [6.0], [3.0]).high == 2.0


def test_all_contenders_make_as_many_calls_and_the_base_is_one_of_itself() -> None:
    calls = {"base": 0, "other": 0}

    def counting(name: str) -> Callable[[], None]:
        def call() -> None:
            calls[name] += 1

        return call

    contenders = {name: counting(name) for name in calls}
    times = time_rounds(contenders, rounds=3, calls=2)
    assert Group("group", "title", "base", times).figures()[0].ratio == 1.0
    assert calls["base"] == calls["other"] > 0
