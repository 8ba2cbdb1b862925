"""How much is measured: the whole, what is done in under a minute, or next to nothing.

A smaller scale measures the same things, less often and with fewer entries.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """How much is measured.

    rounds: of every group, and of those that ask a server. seconds: that a contender
    runs in each round, about: less than what a scheduler gives at once.
    starts: rounds of starting interpreters. few, many: entries whose hits are compared.
    kept: entries whose memory is measured. keys: of the mix; calls: of each contender
    of the mix; as many before it is measured, if it is cached. processes: of a crowd.
    """

    name: str
    rounds: int
    server_rounds: int
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
            rounds=101,
            server_rounds=21,
            seconds=0.006,
            starts=101,
            few=1_000,
            many=1_000_000,
            kept=100_000,
            keys=100_000,
            calls=6_000,
            processes=(1, 2, 4, 8),
        ),
        Scale(
            name="quick",
            rounds=15,
            server_rounds=3,
            seconds=0.002,
            starts=9,
            few=1_000,
            many=10_000,
            kept=5_000,
            keys=1_000,
            calls=200,
            processes=(1, 4),
        ),
        Scale(
            name="tiny",
            rounds=2,
            server_rounds=1,
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
