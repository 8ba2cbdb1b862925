"""Runs programs through all of their schedules, or through samples of them.

`explore` is complete: whatever may happen in a program in whatever order, it runs.
Schedules that have led to the same state go on alike, so what comes after a state is
run once, and schedules are counted, not repeated: as a model checker does, but on the
code itself. `each` runs every schedule by itself, without that. `sample` draws some.
`killed_at_each_turn` is for what is too long for any of them.

Nothing is copied or undone: what has happened before is made to happen again, in a
new world. A schedule is the list of numbers that were chosen.
"""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from itertools import count
from typing import Any
from unittest import mock

import msgspec

from botocache import _errors
from tests.explorer.programs import Program, Run


@dataclass(slots=True)
class Explored:
    """The counts of a search.

    schedules: in how many ways a program may go, from begin to end. states: how many
    different ones they lead through. turns: how often real code was run to a pause.
    """

    schedules: int = 0
    states: int = 0
    turns: int = 0

    def add(self, other: "Explored") -> None:
        """Add the counts of another search."""
        self.schedules += other.schedules
        self.states += other.states
        self.turns += other.turns


def explore(program: Program, *, by_word: bool = False) -> Explored:
    """Run a program in every way in which it may go. Raises Violation."""
    if program.moves > 1:
        raise ValueError("states are compared by eyes that expect time to move once")
    with _looked_up_once():
        return _explore(program, by_word=by_word)


@contextmanager
def _looked_up_once() -> Iterator[None]:
    """Keep the signal handlers, which no schedule sets: each failure asks for them."""
    codes = cache(_errors._codes_of_handlers)
    with mock.patch.object(_errors, "_codes_of_handlers", codes):
        yield


def _explore(program: Program, *, by_word: bool) -> Explored:
    explored = Explored()
    schedules_from: dict[bytes, int] = {}

    def replay(path: list[int]) -> Run:
        run = program.start(by_word=by_word)
        for number in path:
            run.take(run.choices()[number])
        explored.turns += len(path)
        return run

    def visit(run: Run, path: list[int]) -> int:
        state = digest(run.state())  # there are millions
        if state in schedules_from:
            run.stop()  # a greenlet that is not ended is never freed
            return schedules_from[state]
        number = len(run.choices())
        schedules = 0 if number else 1
        if not number:
            run.conclude()
        for choice in range(number):
            next_run = replay(path) if choice else run
            next_run.take(next_run.choices()[choice])
            explored.turns += 1
            schedules += visit(next_run, [*path, choice])
        schedules_from[state] = schedules
        return schedules

    explored.schedules = visit(replay([]), [])
    explored.states = len(schedules_from)
    return explored


def digest(state: tuple[Any, ...]) -> bytes:
    """Return 16 bytes that no two states share."""
    return blake2b(msgspec.msgpack.encode(state), digest_size=16).digest()


def endings(program: Program, most: int) -> tuple[set[Any], int]:
    """Run each schedule by itself, `most` at the most; return their last states too."""
    last: set[Any] = set()
    number = 0
    for run in each(program):
        last.add(run.state())
        run.conclude()
        number += 1
        if number == most:
            break
    return last, number


def each(program: Program) -> Iterator[Run]:
    """Yield a run of each schedule of a program, at its end."""
    path: list[list[int]] = []  # [choice, choices] of each step
    while True:
        run = program.start()
        depth = 0
        while choices := run.choices():
            if depth == len(path):
                path.append([0, len(choices)])
            run.take(choices[path[depth][0]])
            depth += 1
        yield run
        while path and path[-1][0] + 1 == path[-1][1]:
            path.pop()
        if not path:
            return
        path[-1][0] += 1


def killed_at_each_turn(program: Program, client: int) -> int:
    """Kill a client at each word of its operations, alone. Raises Violation.

    Return how many turns it has.
    """
    for turns in count(1):
        run = program.start(by_word=True)
        for _ in range(turns):
            own = [c for c in run.choices() if c[0].startswith(f"client {client} ")]
            if not own:
                return turns - 1
            run.take(own[0])
        kill = f"the process of client {client} is killed"
        if kill in dict(run.choices()):
            follow(run, [kill])
        run.stop()
        run.conclude()
    raise AssertionError


def follow(run: Run, schedule: Sequence[str]) -> None:
    """Let just this happen, in words. Raises Violation; ValueError when it cannot."""
    for words in schedule:
        offered = dict(run.choices())
        if words not in offered:
            raise ValueError(f"{words!r} is not among {list(offered)}")
        run.take((words, offered[words]))


def sample(run: Run, choose: random.Random) -> None:
    """Let a run go on at random to its end. Raises Violation."""
    while choices := run.choices():
        run.take(choices[choose.randrange(len(choices))])
    run.conclude()
