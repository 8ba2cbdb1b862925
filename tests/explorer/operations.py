"""The operations of a program: each a sequence of steps others may come between."""

from collections.abc import Callable, Iterator
from typing import Protocol

from botocache._cache import Hit, ReadTicket, Ticket
from tests.explorer.world import SETTINGS, Action, World, answer_of


class Operation(Protocol):
    """One call of one client. `client` is -1 once its process was killed."""

    client: int

    def actions(self) -> Iterator[Action]:
        """Yield what may happen to it next; nothing when it is over."""

    def kill(self) -> None:
        """End its process here."""


class Read:
    """begin, the server reads, finish. Eventually consistent unless `consistent`."""

    def __init__(
        self, world: World, client: int, kind: str, *, consistent: bool = False
    ) -> None:
        self._world = world
        self.client = client
        self._kind = kind
        self._consistent = consistent
        self._step = 0
        self._ticket: Ticket | None = None
        self._version = 0

    def actions(self) -> Iterator[Action]:
        """Yield the next step, or two where the server's replicas may differ."""
        name = f"client {self.client} {self._kind}"
        if self._step == 0:
            yield f"{name}: begin", self._begin
        elif self._step == 1:
            yield f"{name}: server reads", self._serve
            if not self._consistent and self._world.may_lag():
                yield f"{name}: a lagging replica reads", self._serve_lagging
        elif self._step == 2:
            yield f"{name}: finish", self._finish

    def kill(self) -> None:
        """End; a read leaves nothing behind."""
        self._step = 3

    def _begin(self) -> None:
        outcome = self._world.begin(self.client, self._kind)
        if isinstance(outcome, Hit):
            self._step = 3
        else:
            self._ticket = outcome
            self._step = 1

    def _serve(self) -> None:
        self._version = self._world.server.version
        self._step = 2

    def _serve_lagging(self) -> None:
        self._version = self._world.server.version - 1
        self._step = 2

    def _finish(self) -> None:
        if isinstance(self._ticket, ReadTicket):
            answer = answer_of(self._kind, self._version)
            cache = self._world.cache_of(self.client)
            cache.finish(self._ticket, answer, succeeded=True, certain=True)
        self._step = 3


class Write:
    """begin, the server commits, and an end.

    ending: `ok`; `refused` (a failed condition: nothing is committed); `timeout` (no
    answer comes; the request may be carried out before that, after it, or never).
    """

    def __init__(
        self, world: World, client: int, kind: str, ending: str = "ok"
    ) -> None:
        self._world = world
        self.client = client
        self._kind = kind
        self._ending = ending
        self._ticket: Ticket | None = None
        self._begun_at = self._committed_at = 0.0
        self._begun = self._ended = self._committed = False
        self._version = 0

    def actions(self) -> Iterator[Action]:
        """Yield the commit and the ending, in whatever order they may come."""
        name = f"client {self.client} {self._kind} ({self._ending})"
        if not self._begun:
            if not self._ended:
                yield f"{name}: begin", self._begin
            return
        can_commit = not self._committed and self._ending != "refused"
        if can_commit and self._in_time():
            yield f"{name}: server commits", self._commit
        if not self._ended and (self._committed or self._ending != "ok"):
            yield f"{name}: end", self._end

    def kill(self) -> None:
        """End the process. The request, once sent, may still be carried out."""
        if self._committed and not self._ended:
            late = self._committed_at - self._begun_at >= SETTINGS.write_window
            self._world.has_late_commit |= late
        self._ended = True

    def _in_time(self) -> bool:
        # What is carried out later than that after its sender is gone is not covered.
        window = self._world.clock() - self._begun_at
        return not self._ended or window < SETTINGS.write_window

    def _begin(self) -> None:
        outcome = self._world.begin(self.client, self._kind)
        assert not isinstance(outcome, Hit)
        self._ticket = outcome
        self._begun = True
        self._begun_at = self._world.clock()

    def _commit(self) -> None:
        self._version = self._world.commit()
        self._committed_at = self._world.clock()
        self._committed = True
        if self._ended:  # nobody waits for it; it counts from now on
            self._world.complete(self._version)

    def _end(self) -> None:
        if self._ending == "timeout":
            self._begun_at = self._world.clock()  # the window begins anew
        if self._ticket is not None:
            cache = self._world.cache_of(self.client)
            if self._ending == "timeout":
                cache.fail(self._ticket)
            else:
                succeeded = self._ending == "ok"
                cache.finish(self._ticket, {}, succeeded=succeeded, certain=True)
        if self._committed:
            self._world.complete(self._version)
        self._ended = True


class Clock:
    """Time passes, each amount once, between any two steps."""

    client = -1

    def __init__(self, world: World, *amounts: float) -> None:
        self._world = world
        self._amounts = list(amounts)

    def actions(self) -> Iterator[Action]:
        """Yield the next amount of time."""
        if self._amounts:
            yield f"{self._amounts[0]} s pass", self._pass

    def kill(self) -> None:
        """Stop."""
        self._amounts.clear()

    def _pass(self) -> None:
        self._world.clock.advance(self._amounts.pop(0))


class Fault:
    """One misfortune, at any moment, or never."""

    client = -1

    def __init__(self, world: World, kind: str, victims: list[Operation]) -> None:
        self._world = world
        self._kind = kind
        self._victims = victims
        self._is_due = True

    def actions(self) -> Iterator[Action]:
        """Yield the misfortune, to each whom it may strike."""
        if not self._is_due:
            return
        if self._kind == "kill":
            for number, victim in enumerate(self._victims):
                yield f"operation {number}'s process is killed", self._killing(victim)
        elif self._kind.startswith("fail "):
            yield f"the next {self._kind[5:]} fails", self._failing
        else:
            yield f"{self._kind} are lost", self._losing

    def kill(self) -> None:
        """Never happen."""
        self._is_due = False

    def _killing(self, victim: Operation) -> Callable[[], None]:
        def strike() -> None:
            self._is_due = False
            victim.kill()

        return strike

    def _failing(self) -> None:
        self._is_due = False
        self._world.store.failing = self._kind[5:]

    def _losing(self) -> None:
        self._is_due = False
        if self._kind == "entries":
            self._world.lose_entries()
        else:
            self._world.lose_generations()
