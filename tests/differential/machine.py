"""The programs: a Hypothesis state machine that makes each call on both sides.

Hypothesis draws a number for each step and makes the calls of it with Dice: that is
quick, and a shorter program is one without some of the steps. The questions of a
program are few and numbered, so that a program repeats them.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import seed as with_seed
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from tests.differential.calls import Call
from tests.differential.changes import draw_change
from tests.differential.pairs import Pair
from tests.differential.questions import draw_question, vary
from tests.differential.tables import SHAPES, Dice, Item, Tables, draw_item, table_name

STEPS = 40
"""Steps of one program; a step makes one to five calls."""

SETTLE = 1.1
"""Seconds after which the hold-off of a write that ended is over."""

# Within `settle` and beyond it, within a write's window and beyond it, beyond a TTL.
_WAITS = [0.3, SETTLE, SETTLE, 4.5, 5.1, 61.0]

_FEWEST, _MOST = 3, 7
"""Questions of a program. Each has two variants, which differ from it in one thing."""

# Below what Hypothesis draws evenly.
numbers = st.integers(0, 2**23)


class Programs(RuleBasedStateMachine):
    """Two tables, and calls to them. pair: the sides, of all programs of a run."""

    pair: ClassVar[Pair]
    number: ClassVar[int]
    """Of the program: with another one the same draws are another program."""

    @initialize(seed=numbers)
    def begin(self, seed: int) -> None:
        """Create the tables, with a few items. seed: 0 is of a program of nothing."""
        self.seed = seed
        if not seed:
            return
        self.pair.begin()
        self.drawn: Counter[int] = Counter()
        dice = Dice(f"{self.number} {seed}")
        self.questions = range(dice.randint(_FEWEST, _MOST))
        shapes = (dice.among(SHAPES), dice.among(SHAPES))
        self.tables = Tables(shapes, self.pair.traits)
        for number in range(len(shapes)):
            self._create(dice, number)
        self.pair.pass_time(SETTLE)

    @rule(number=numbers)
    def step(self, number: int) -> None:
        """Do one of what an application does, or let time pass."""
        if not self.seed:
            return
        # Hypothesis likes to draw one number again and again.
        self.drawn[number] += 1
        dice = Dice(f"{self.number} {number} {self.drawn[number]}")
        dice.choice(_STEPS)(self, dice)

    def ask(self, dice: Dice) -> None:
        """Make a read."""
        self.pair.compare(self._question(dice).another_way(dice))

    def ask_twice(self, dice: Dice) -> None:
        """Make a read twice: the second one should be a hit."""
        if dice.often():
            self.pair.pass_time(SETTLE)
        question = self._question(dice)
        self.pair.compare(question)
        self.pair.compare(question.another_way(dice))

    def ask_variants(self, dice: Dice) -> None:
        """Make reads one after the other that differ in one parameter."""
        self.pair.pass_time(SETTLE)
        number = dice.choice(self.questions)
        for variant in (0, 1, 2, 0):
            question = self._numbered_question(number, variant)
            self.pair.compare(question.another_way(dice))

    def change(self, dice: Dice) -> None:
        """Write, or try to."""
        self.pair.compare(draw_change(dice, self.tables).another_way(dice))

    def ask_before_and_after_a_change(self, dice: Dice) -> None:
        """Read, so that the answer is cached; write; and read the same again."""
        self.pair.pass_time(SETTLE)
        question = self._question(dice)
        answer = self.pair.compare(question).raw
        self.pair.compare(question.another_way(dice))
        parameters = question.parameters
        hot = _one_item(dice, answer) or parameters.get("Key", {})
        tables = self.tables.preferring(parameters.get("TableName", ""), hot)
        self.pair.compare(draw_change(dice, tables).another_way(dice))
        self.pair.compare(question.another_way(dice))
        if dice.often():
            self.pair.pass_time(SETTLE)
            self.pair.compare(question.another_way(dice))

    def wait(self, dice: Dice) -> None:
        """Let time pass."""
        self.pair.pass_time(dice.choice(_WAITS))

    def create_anew(self, dice: Dice) -> None:
        """Delete a table and create it, half of the time with another schema."""
        number = dice.randrange(len(self.tables.shapes))
        question, variant = dice.choice(self.questions), dice.choice((0, 0, 1, 2))
        self.pair.pass_time(SETTLE)
        self.pair.compare(self._numbered_question(question, variant))
        self.pair.drop(number)
        if dice.often():
            self.ask(dice)
        if dice.often():
            shapes = [*self.tables.shapes]
            shapes[number] = dice.among(SHAPES)
            self.tables = Tables(tuple(shapes), self.pair.traits)
        self._create(dice, number)
        self.pair.compare(self._numbered_question(question, variant))

    def teardown(self) -> None:
        """Delete the tables, or the server's memory fills."""
        self.pair.end()

    def _question(self, dice: Dice) -> Call:
        """Return one of the program's questions."""
        number = dice.choice(self.questions)
        return self._numbered_question(number, dice.choice((0, 0, 1, 2)))

    def _numbered_question(self, number: int, variant: int) -> Call:
        """Return a question, as the program's tables are now. variant: 0 for none."""
        seed = f"{self.number} {self.seed} {number}"
        question = draw_question(Dice(seed), self.tables)
        if variant:
            return vary(Dice(f"{seed} {variant}"), question, self.tables)
        return question

    def _create(self, dice: Dice, number: int) -> None:
        shape = self.tables.shapes[number]
        self.pair.create(number, shape)
        for _ in range(dice.randint(0, 6)):
            item = draw_item(dice, self.tables, shape)
            put = Call("PutItem", {"TableName": table_name(number), "Item": item})
            self.pair.compare(put)


def _one_item(dice: Dice, answer: Any) -> Item:
    """Return an item of a client's answer; none if it has none."""
    page = answer[0] if isinstance(answer, list) and answer else answer
    if not isinstance(page, dict):
        return {}
    items = page.get("Items") or [page.get("Item", {})]
    return {**dice.choice(items)}


_STEPS: list[Callable[[Programs, Dice], None]] = [
    *[Programs.ask] * 6,
    *[Programs.ask_twice] * 8,
    *[Programs.ask_variants] * 4,
    *[Programs.change] * 4,
    *[Programs.ask_before_and_after_a_change] * 10,
    *[Programs.wait] * 4,
    *[Programs.create_anew] * 2,
]


def run_programs(pair: Pair, seeds: Iterable[int], *, shrinks: bool = True) -> None:
    """Run a program of each seed. Raises DifferenceError, with a short program.

    The same seed makes the same program. shrinks: makes it short, in some minutes.
    """

    class ProgramsOfPair(Programs):
        pass

    ProgramsOfPair.pair = pair
    of_one_program = settings(
        # Hypothesis begins with zeros, which are the program of nothing; and would go
        # on with some seven programs that are much like the first of its own.
        max_examples=2,
        stateful_step_count=STEPS,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink] if shrinks else [Phase.generate],
    )
    for seed in seeds:
        ProgramsOfPair.number = seed
        seeded = with_seed(seed)(ProgramsOfPair)
        run_state_machine_as_test(seeded, settings=of_one_program)
