"""Ordinary code, cut into turns: whoever has the turn runs until its next pause.

An Actor is a greenlet. Where its code calls `pause`, it stops and offers what may
happen there; a schedule takes one offer of one actor, again and again. Nothing of the
code under test knows: the pauses are in the store that it was given, and where
DynamoDB would answer.

history: everything that an actor has been told so far. Its code is deterministic, so
two actors of one program with equal histories are in the same place with the same
variables.
"""

from collections.abc import Callable
from typing import Any

from greenlet import getcurrent, greenlet

Offer = tuple[str, Any]
"""What may happen, in words, and what the code that pauses is told of it."""

Offers = Callable[[], list[Offer]]


class Actor(greenlet):
    """Some code, before, during or after its run.

    opening: what it may be told at its first pause; it runs up to there, and on from
    there, in one turn. observe: returns what else its code can see, for the history.
    ended_before, is_ending, evicted_at, version, fills: where its code is, when it
    evicted for the second time, what it has written, and what it may fill, for the
    judge (world.py). verb, commands: what it asks of its store, and how many commands
    that took so far (remote.py).
    """

    ended_before = 0
    is_ending = False
    evicted_at: float | None = None
    version = 0
    fills = ""
    verb = ""
    commands = 0

    def __init__(
        self,
        work: Callable[[], object],
        opening: Offers,
        observe: Callable[[], list[Any]],
    ) -> None:
        super().__init__(work)
        self.history: list[Any] = []
        self._offers = opening
        self._observe = observe
        self._first: list[Any] = []

    @property
    def is_under_way(self) -> bool:
        """Whether it has begun and has not ended."""
        return bool(self)

    def offers(self) -> list[Offer]:
        """Return what may happen to it next; nothing when it has ended."""
        return [] if self.dead else self._offers()

    def take(self, told: Any) -> None:
        """Let it run to its next pause. Raises what its code raises."""
        self.history.append(told)
        self.history += self._observe()
        if not self.is_under_way:
            self._first.append(told)
            self.switch()
        else:
            self.switch(told)

    def kill(self) -> None:
        """End it where it is: no `except Exception` of its code sees that."""
        self.throw()

    def pause(self, offers: Offers) -> Any:
        """Stop here, and return what it is told when its turn comes."""
        if self._first:
            told = self._first.pop()
            if told in [told for _, told in offers()]:
                return told  # else its code did not come to where it was expected
        self._offers = offers
        assert self.parent is not None
        return self.parent.switch()


def current_actor() -> Actor | None:
    """Return whose turn it is; None outside of a schedule."""
    current = getcurrent()
    return current if isinstance(current, Actor) else None


def pause(offers: Offers) -> Any:
    """Pause the current actor. Outside of a schedule what is offered first happens."""
    actor = current_actor()
    return offers()[0][1] if actor is None else actor.pause(offers)


def record(*told: Any) -> None:
    """Note what the current actor's code has found out."""
    actor = current_actor()
    if actor is not None:
        actor.history += told
