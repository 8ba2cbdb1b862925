"""Runs programs through all of their schedules, or through samples of them.

`explore` is complete: whatever may happen in a program in whatever order, it runs.
Schedules that have led to the same state go on alike, so each choice of a state is
taken once, and schedules are counted, not repeated: as a model checker does, but on the
code itself. `each` runs every schedule by itself, without that. `sample` draws some.
`killed_at_each_turn` is for what is too long for any of them.

Nothing is copied or undone: what has happened before is made to happen again, in a
new world. A schedule is the list of numbers that were chosen.
"""

import gc
import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence
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
    with _looked_up_once(), _older_objects_set_aside():
        return _Search(program, by_word=by_word).run()


@contextmanager
def _looked_up_once() -> Iterator[None]:
    """Keep the signal handlers, which no schedule sets: each failure asks for them."""
    codes = cache(_errors._codes_of_handlers)
    with mock.patch.object(_errors, "_codes_of_handlers", codes):
        yield


@contextmanager
def _older_objects_set_aside() -> Iterator[None]:
    """Spare the garbage collector what is no world's: an eighth of the time."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


class _Search:
    """The states of a program, and the ways from each to the next.

    A run goes on from a known state as long as one of its choices was not taken yet.
    So each choice is made once, and what leads to a state is repeated only where more
    ways lead out of it than into it.
    """

    def __init__(self, program: Program, *, by_word: bool) -> None:
        self._program = program
        self._by_word = by_word
        self._turns = 0
        self._numbers: dict[bytes, int] = {}  # of the states; there are millions
        self._origins: list[tuple[int, int]] = []  # state before, and choice
        self._choices: list[int] = []
        self._next: list[list[int]] = []  # states, by the choices that were taken
        self._unfinished: deque[int] = deque()

    def run(self) -> Explored:
        """Take every choice of every state."""
        self._number(self._program.start(by_word=self._by_word), (0, 0))
        while self._unfinished:
            state = self._unfinished[0]  # the oldest: its way is short
            if self._is_unfinished(state):
                self._go_on(self._replay(state), state)
            else:
                self._unfinished.popleft()
        return Explored(self._schedules(), len(self._numbers), self._turns)

    def _is_unfinished(self, state: int) -> bool:
        return len(self._next[state]) < self._choices[state]

    def _replay(self, state: int) -> Run:
        path = []
        while state:
            state, choice = self._origins[state]
            path.append(choice)
        run = self._program.start(by_word=self._by_word)
        for choice in reversed(path):
            run.take(run.choices()[choice])
        self._turns += len(path)
        return run

    def _go_on(self, run: Run, state: int) -> None:
        while self._is_unfinished(state):
            choice = len(self._next[state])
            run.take(run.choices()[choice])
            self._turns += 1
            number = self._number(run, (state, choice))
            self._next[state].append(number)
            state = number
        run.stop()  # a greenlet that is not ended is never freed

    def _number(self, run: Run, origin: tuple[int, int]) -> int:
        """Return the number of the state of a run; conclude one that is at an end."""
        state = digest(run.state())
        number = self._numbers.get(state)
        if number is not None:
            return number
        number = self._numbers[state] = len(self._numbers)
        self._origins.append(origin)
        self._next.append([])
        self._choices.append(len(run.choices()))
        if self._choices[number]:
            self._unfinished.append(number)
        else:
            run.conclude()
        return number

    def _schedules(self) -> int:
        """Return in how many ways the first state leads to an end."""
        ways: dict[int, int] = {}
        waiting = [0]
        while waiting:
            state = waiting[-1]
            unknown = [after for after in self._next[state] if after not in ways]
            waiting += unknown
            if not unknown:
                ways[state] = sum(ways[after] for after in self._next[state]) or 1
                waiting.pop()
        return ways[0]


def digest(state: tuple[Any, ...]) -> bytes:
    """Return 16 bytes that no two states share."""
    return blake2b(msgspec.msgpack.encode(state), digest_size=16).digest()


def endings(program: Program, most: int) -> tuple[set[Any], int]:
    """Run each schedule by itself, `most` at the most; return their last states too."""
    last: set[Any] = set()
    number = 0
    for run in each(program.start):
        last.add(run.state())
        run.conclude()
        number += 1
        if number == most:
            break
    return last, number


def each(start: Callable[[], Run]) -> Iterator[Run]:
    """Yield a run of each schedule of a program, at its end.

    start: returns a new run of it.
    """
    path: list[list[int]] = []  # [choice, choices] of each step
    while True:
        run = start()
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
