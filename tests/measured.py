"""A program: what `make test` measures coverage on. Prints it as arguments of pytest.

Coverage doubles the time of what runs under it. So it is measured on the tests that
reach lines and branches which no cheaper ones reach: of the unit tests, and of those of
stores and streams, all but the files named here, of others the files named here.
Examples that are chosen by Hypothesis reach nothing more than those that are written
down.

What is not measured runs as well, in a run of its own.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]

ROOMS = ("tests/unit", "tests/stores", "tests/streams")
"""Measured, with all that comes to them."""

ADDED = (
    "tests/integration/observe/test_doctor.py",
    "tests/integration/test_accounts.py",
    "tests/integration/test_batches.py",
    "tests/integration/test_clients.py",
    "tests/integration/test_install.py",
    "tests/integration/test_near.py",
    "tests/integration/test_tracing.py",
    "tests/security/test_refused.py",
    "tests/security/test_whose_answer.py",
)
"""They call by botocore: from half a dozen to hundreds of lines of their own each."""

LEFT_OUT = (
    # They read the package's files, and run next to nothing of it.
    "tests/unit/test_layers.py",
    "tests/unit/test_prose.py",
    # Many or long tests, which together reach one line in two hundred.
    "tests/stores/disk/test_generation_file.py",
    "tests/stores/disk/test_processes.py",
    "tests/stores/disk/test_slots_harmed.py",
    "tests/stores/disk/test_store.py",
    "tests/stores/redis/cluster/test_failover.py",
    "tests/stores/redis/test_failover.py",
    "tests/stores/redis/test_full.py",
    "tests/stores/redis/test_poisoned_keys.py",
    "tests/stores/redis/test_sentinel.py",
    "tests/stores/redis/test_servers.py",
    "tests/stores/redis/test_store.py",
    "tests/stores/redis/test_users.py",
    "tests/stores/redis/test_wrong_answers.py",
    "tests/stores/redis/tracking/test_sentinel.py",
    "tests/stores/test_contract.py",
    "tests/stores/test_generation_table.py",
    "tests/stores/test_memory.py",
    # The stand-in, which is no part of the package.
    "tests/streams/test_stand_in.py",
    "tests/unit/botocore/test_callers.py",
    "tests/unit/cli/test_terminal.py",
)
"""Of the rooms."""


def measured_files() -> Iterator[str]:
    """Yield the files of tests that are measured, from the root."""
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("test_*.py")):
            name = path.relative_to(ROOT).as_posix()
            if name not in LEFT_OUT:
                yield name
    yield from ADDED


def whole_files() -> Iterator[str]:
    """Yield those of which nothing is left for the run without coverage."""
    for name in measured_files():
        if "hypothesis" not in (ROOT / name).read_text():
            yield name


if __name__ == "__main__":
    print(*whole_files() if "--whole" in sys.argv else measured_files())
