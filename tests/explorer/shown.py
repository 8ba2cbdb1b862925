"""That a fault would be seen: what shows a mutation is run, with and without it."""

import contextlib

import pytest

from tests.explorer.explore import explore, follow, killed_at_each_turn
from tests.explorer.mutations import Mutation
from tests.explorer.world import Violation


def require_caught(mutation: Mutation, monkeypatch: pytest.MonkeyPatch) -> None:
    """Require that a mutation breaks a promise, and that nothing is broken without."""
    with monkeypatch.context() as patch:
        mutation.patch(patch)
        with pytest.raises(Violation) as caught:
            _show(mutation)
    print(f"{mutation.name}: {type(caught.value).__name__}: {caught.value}")
    with contextlib.suppress(ValueError):  # it goes another way
        _show(mutation)


def _show(mutation: Mutation) -> None:
    if mutation.schedule:
        run = mutation.program.start()
        follow(run, mutation.schedule)
        run.conclude()
    elif mutation.is_killed:
        killed_at_each_turn(mutation.program, client=1)
    else:
        explore(mutation.program, by_word=mutation.by_word)
