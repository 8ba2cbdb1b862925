"""Commands for a cluster: which of them have no reply yet, and why. Pure."""

from collections.abc import Callable, Mapping, Sequence

from redis.crc import key_slot

from botocache.stores.redis.types import ClusterServer, Command, Reply

_KEY_AT: Mapping[bytes, int] = {b"EVALSHA": 3, b"EVAL": 3}


def slot_of(command: Command) -> int:
    """Return the slot of a command's first key; all others must share it."""
    slot: int = key_slot(command[_KEY_AT.get(command[0], 1)])
    return slot


class Batch:
    """Commands, their replies, and what is to be done before the rest is sent again.

    make: returns the commands. It is called again for commands that are sent again.
    with_source: returns a call of a script that brings the script.

    replies: one for each command, in their order.
    open: indexes of the commands that have no reply.
    redirected: the server that an open command is to be sent to, after ASK.
    unknown: indexes of commands whose script a server did not know.
    is_moved: a slot is elsewhere than the map says.
    is_lost: a server failed, so the map must be refreshed.
    trouble: why the last of the open commands has no reply.
    """

    def __init__(
        self,
        make: Callable[[], Sequence[Command]],
        with_source: Callable[[Command], Command],
    ) -> None:
        self._make = make
        self._with_source = with_source
        self._commands = make()
        self._failed: list[int] = []
        self.slots = [*map(slot_of, self._commands)]
        self.replies: list[Reply] = [None] * len(self._commands)
        self.open = list(range(len(self._commands)))
        self.redirected: dict[int, ClusterServer] = {}
        self.unknown: set[int] = set()
        self.is_moved = False
        self.is_lost = False
        self.trouble: Exception | None = None

    def command(self, at: int) -> Command:
        """Return a command as it is to be sent now."""
        command = self._commands[at]
        return self._with_source(command) if at in self.unknown else command

    def fail(self, failed: Sequence[int], trouble: Exception) -> None:
        """Note that commands got no reply."""
        self._failed += failed
        self.trouble = trouble

    def reopen(self) -> None:
        """Make anew what failed, and what comes after it for the same slot.

        A server may have carried out a command whose reply was lost. Others may have
        evicted since, so the same generations must not be sent twice.
        """
        first: dict[int, int] = {}
        for at in sorted(self._failed):
            first.setdefault(self.slots[at], at)
        end = len(self.slots)
        self.open = [at for at in range(end) if at >= first.get(self.slots[at], end)]
        self._failed = []
        if self.open:
            self._commands = self._make()
