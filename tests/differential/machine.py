"""The programs: a Hypothesis state machine that makes each call on both sides."""

from functools import cache
from typing import ClassVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import seed as with_seed
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from tests.differential.calls import DOORS, Call, Door, Spelling, spellings
from tests.differential.changes import changes
from tests.differential.pairs import Pair
from tests.differential.questions import questions
from tests.differential.tables import (
    SHAPES,
    Draw,
    Shape,
    Tables,
    draw_item,
    table_name,
)

STEPS = 50
"""Steps of one program."""

SETTLE = 1.1
"""Seconds after which the hold-off of a write that ended is over."""

shapes = st.sampled_from(SHAPES)
doors = st.sampled_from(DOORS)
applications = st.sampled_from([0, 0, 1])
pauses = st.sampled_from([0.0, 0.0, SETTLE])
numbers = st.sampled_from([0, 1])

# Within `settle` and beyond it, within a write's window and beyond it, beyond a TTL.
seconds = st.sampled_from([0.3, SETTLE, SETTLE, 4.5, 5.1, 61.0])


class Programs(RuleBasedStateMachine):
    """Two tables, and calls to them. pair: the sides, of all programs of a run."""

    pair: ClassVar[Pair]
    asked: Bundle[Call] = Bundle("asked")

    @initialize(first=shapes, second=shapes, data=st.data())
    def begin(self, first: Shape, second: Shape, data: st.DataObject) -> None:
        """Create the tables, with a few items."""
        self.pair.begin()
        self.tables = Tables((first, second), self.pair.numbers_are_alike)
        for number, shape in enumerate(self.tables.shapes):
            self.pair.create(number, shape)
        for call in data.draw(_first_puts(self.tables)):
            self.pair.compare(call)
        self.pair.pass_time(SETTLE)

    @rule(
        target=asked,
        data=st.data(),
        spelling=spellings,
        door=doors,
        application=applications,
    )
    def ask(
        self, data: st.DataObject, spelling: Spelling, door: Door, application: int
    ) -> Call:
        """Ask a new question."""
        call = data.draw(_questions(self.tables))
        self.pair.compare(call.spelled(spelling).through(door, application))
        return call

    @rule(
        call=asked,
        spelling=spellings,
        door=doors,
        application=applications,
        pause=pauses,
    )
    def ask_again(
        self,
        call: Call,
        spelling: Spelling,
        door: Door,
        application: int,
        pause: float,
    ) -> None:
        """Ask what was asked before, whatever has happened since."""
        if pause:
            self.pair.pass_time(pause)
        self.pair.compare(call.spelled(spelling).through(door, application))

    @rule(call=asked, spelling=spellings, door=doors)
    def ask_twice(self, call: Call, spelling: Spelling, door: Door) -> None:
        """Ask what was asked before, and what it is then by the other application."""
        self.pair.compare(call.spelled(spelling).through(door, 0))
        self.pair.compare(call.spelled(spelling).through(door, 1))

    @rule(data=st.data(), spelling=spellings, door=doors, application=applications)
    def change(
        self, data: st.DataObject, spelling: Spelling, door: Door, application: int
    ) -> None:
        """Write, or try to."""
        call = data.draw(_changes(self.tables))
        self.pair.compare(call.spelled(spelling).through(door, application))

    @rule(
        call=asked,
        data=st.data(),
        door=doors,
        application=applications,
    )
    def ask_before_and_after_a_change(
        self, call: Call, data: st.DataObject, door: Door, application: int
    ) -> None:
        """Ask what was asked before, so that it is cached; write, and ask again."""
        self.pair.pass_time(SETTLE)
        self.pair.compare(call)
        change = data.draw(_changes(self.tables))
        self.pair.compare(change.through(door, application))
        self.pair.compare(call)

    @rule(passed=seconds)
    def wait(self, passed: float) -> None:
        """Let time pass."""
        self.pair.pass_time(passed)

    @rule(number=numbers, shape=shapes, data=st.data(), lag=st.booleans())
    def create_anew(
        self, number: int, shape: Shape, data: st.DataObject, *, lag: bool
    ) -> None:
        """Delete a table and create it with another schema.

        lag: something is asked in between.
        """
        if not data.draw(_is_created_anew):
            return
        self.pair.drop(number)
        if lag:
            self.pair.compare(data.draw(_questions(self.tables)))
        changed = [*self.tables.shapes]
        changed[number] = shape
        self.tables = Tables(tuple(changed), self.pair.numbers_are_alike)
        self.pair.create(number, shape)
        for call in data.draw(_first_puts(self.tables)):
            self.pair.compare(call)

    def teardown(self) -> None:
        """Delete the tables, or the server's memory fills."""
        self.pair.end()


_is_created_anew = st.sampled_from([False, False, False, True])
"""Whether a table is: it empties the cache, so it should be seldom."""

_questions = cache(questions)
_changes = cache(changes)


@cache
@st.composite
def _first_puts(draw: Draw, tables: Tables) -> list[Call]:
    """Draw puts of a few items into each table."""
    return [
        Call("PutItem", {"TableName": table_name(i), "Item": draw_item(draw, tables, s)})
        for i, s in enumerate(tables.shapes)
        for _ in range(3)
    ]


def run_programs(pair: Pair, count: int, seed: int, *, shrinks: bool = True) -> None:
    """Run some programs. Raises Difference, with the shortest program that shows it.

    The same seed makes the same programs. shrinks: makes it short, in some minutes.
    """

    class ProgramsOfPair(Programs):
        pass

    ProgramsOfPair.pair = pair
    run_state_machine_as_test(
        with_seed(seed)(ProgramsOfPair),
        settings=settings(
            max_examples=count,
            stateful_step_count=STEPS,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink] if shrinks else [Phase.generate],
        ),
    )
