"""How much is measured: everything, what takes under a minute, or next to nothing.

A smaller scale measures the same things with fewer rounds and fewer entries.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """How much is measured.

    name: as `--scale` takes it.
    rounds: of every group.
    server_rounds: of groups that call a server.
    seconds: that a contender runs in each round, less than a scheduler's time slice.
    starts: rounds of starting interpreters.
    few: entries of the smaller store whose hits are compared.
    many: entries of the larger one.
    kept: entries whose memory is measured.
    keys: of the mix.
    calls: of each contender of the mix; a cached one makes as many to warm up.
    processes: numbers of processes that share a store.
    has_rival: whether botocache 0.0.6 is measured, in an environment of its own.
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
    has_rival: bool = True


FULL = Scale(
    "full", 101, 21, 0.006, 101, 1_000, 1_000_000, 100_000, 100_000, 6_000, (1, 2, 4, 8)
)
QUICK = Scale(
    "quick", 15, 3, 0.002, 9, 1_000, 10_000, 5_000, 1_000, 200, (1, 4), has_rival=False
)
TINY = Scale("tiny", 2, 1, 0.0, 2, 5, 10, 50, 20, 20, (1, 2))

SCALES = {scale.name: scale for scale in (FULL, QUICK, TINY)}
