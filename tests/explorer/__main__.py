"""`make explore`: all schedules of small programs, then samples of larger ones.

    python -m tests.explorer [--minutes M] [--seed S]

Four fifths of the time are for the programs. Ends with 1, and the schedule that shows
it, if a promise is broken.
"""

import argparse
import time
from itertools import count

from tests.explorer.campaign import (
    BATCH,
    explore_one,
    processes,
    run,
    sample_some,
    tiers,
)
from tests.explorer.explore import Explored


def main() -> None:
    """Explore for the given number of minutes."""
    parser = argparse.ArgumentParser(prog="python -m tests.explorer")
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    start = time.monotonic()
    end = start + options.minutes * 60
    everything = Explored()
    with processes() as pool:
        for name, members in tiers():
            done, total = run(pool, explore_one, members, start + 0.8 * (end - start))
            everything.add(total)
            print(
                f"{name}: {done} of {len(members)} programs, {total.schedules:,} "
                f"schedules through {total.states:,} states in {total.turns:,} turns",
                flush=True,
            )
    with processes() as pool:
        seeds = count(options.seed, BATCH)
        _, sampled = run(pool, sample_some, seeds, end)
    everything.add(sampled)
    print(f"samples from seed {options.seed}: {sampled.schedules:,} schedules")
    print(
        f"no promise broken in {everything.schedules:,} schedules, "
        f"{time.monotonic() - start:.0f} s"
    )


if __name__ == "__main__":
    main()
