"""How much is measured: the whole, what is done in under a minute, or next to nothing.

A smaller scale measures the same things, less often and with fewer entries.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """How much is measured.

    rounds: of every group. seconds: that a contender runs in each round, about.
    starts: rounds of starting interpreters. few, many: entries whose hits are compared.
    kept: entries whose memory is measured. keys: of the mix; calls: of each contender
    of the mix, once before it is measured and once measured. processes: of a crowd.
    """

    name: str
    rounds: int
    seconds: float
    starts: int
    few: int
    many: int
    kept: int
    keys: int
    calls: int
    processes: tuple[int, ...]


SCALES = {
    scale.name: scale
    for scale in (
        Scale(
            name="full",
            rounds=31,
            seconds=0.03,
            starts=101,
            few=1_000,
            many=1_000_000,
            kept=100_000,
            keys=100_000,
            calls=12_000,
            processes=(1, 2, 4, 8),
        ),
        Scale(
            name="quick",
            rounds=7,
            seconds=0.005,
            starts=9,
            few=1_000,
            many=20_000,
            kept=20_000,
            keys=5_000,
            calls=1_200,
            processes=(1, 4),
        ),
        Scale(
            name="tiny",
            rounds=2,
            seconds=0.0,
            starts=2,
            few=5,
            many=10,
            kept=50,
            keys=20,
            calls=20,
            processes=(1, 2),
        ),
    )
}
