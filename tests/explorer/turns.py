"""Ordinary code, cut into turns: an actor runs until its next pause, then another.

An Actor is a greenlet. Where its code calls `pause`, it stops and offers what may
happen there; a schedule takes one offer of one actor, again and again. The code under
test does not change: the pauses are in the store that it uses, and where DynamoDB would
answer.

history: all results of an actor's pauses so far. Its code is deterministic, so two
actors of one program with equal histories have reached the same place and variables.
"""

from collections.abc import Callable
from typing import Any

from greenlet import GreenletExit, getcurrent, greenlet

Offer = tuple[str, Any]
"""What may happen, in words, and the result that `pause` returns for it."""

Offers = Callable[[], list[Offer]]


class Actor(greenlet):
    """Some code, before, during or after its run.

    opening: returns the offers of its first pause; the actor runs up to that pause and
        on from there in one turn.
    observe: returns what else its code can see, for the history.

    call: the actor that makes the call which this one is part of: itself, unless it is
        a thread that waits for the store of an awaited call.
    is_killed: whether its process is; its code comes to no pause any more.

    For the judge (world.py), of the actor that makes a call:
    ended_before: writes that had ended when it began.
    is_ending: whether its write evicts for the second time.
    evicted_at: time of that eviction.
    version: that it has written.
    fills: the kind of entry that it may fill.
    evictions: how many evictions of its write were carried out.
    is_abandoned: whether its write was cut before it had evicted, and so before it was
        sent.
    was_exempt: whether another process had pending evictions when its thread loaded.
    is_on_loop: whether it is a task of an event loop, which must not wait.

    For remote.py:
    verb: of the store that it calls.
    commands: that the verb has sent so far.
    """

    ended_before = 0
    is_ending = False
    evicted_at: float | None = None
    version = 0
    fills = ""
    evictions = 0
    is_abandoned = False
    was_exempt = False
    is_on_loop = False
    is_killed = False
    verb = ""
    commands = 0

    def __init__(
        self,
        work: Callable[[], object],
        opening: Offers,
        observe: Callable[[], list[Any]],
    ) -> None:
        super().__init__(work)
        self.call = self
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

    def take(self, result: Any) -> None:
        """Let it run to its next pause. Raises what its code raises."""
        self.history.append(result)
        self.history += self._observe()
        if not self.is_under_way:
            self._first.append(result)
            self.switch()
        else:
            self.switch(result)

    def kill(self) -> None:
        """End it where it is: no `except Exception` of its code sees that."""
        self.is_killed = True
        self.throw()

    def pause(self, offers: Offers) -> Any:
        """Stop here until an offer is taken; return its result."""
        if self.is_killed:
            raise GreenletExit
        if self._first:
            result = self._first.pop()
            if result in [result for _, result in offers()]:
                return result  # else its code did not come to where it was expected
        self._offers = offers
        assert self.parent is not None
        return self.parent.switch()


def current_actor() -> Actor | None:
    """Return the actor that runs; None outside of a schedule."""
    current = getcurrent()
    return current if isinstance(current, Actor) else None


def current_call() -> Actor | None:
    """Return the actor that makes the call for which code runs."""
    current = getcurrent()
    return current.call if isinstance(current, Actor) else None


def pause(offers: Offers) -> Any:
    """Pause the current actor. Outside of a schedule, take the first offer."""
    actor = current_actor()
    return offers()[0][1] if actor is None else actor.pause(offers)


def record(*result: Any) -> None:
    """Add results to the current actor's history."""
    actor = current_actor()
    if actor is not None:
        actor.history += result
