"""Something that comes up at a chosen line of botocache, in the middle of a call.

By a trace function, which interrupts a frame as a signal handler does: with that frame
as its argument, and between two steps of its work.
"""

import linecache
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import botocache

_PACKAGE = str(Path(botocache.__file__).parent)


_WITHOUT_HANDLERS = ("with ", "try", "finally", "pass")
"""How lines begin on which Python runs no handler of signals."""


class Interruption:
    """Does something at the line that is the `at`-th to be reached.

    at: counted from 0; None to do nothing but count.
    do: what is done.
    reached: how many lines were.
    place: the file and the line where it was done, or "".
    """

    def __init__(self, at: int | None, do: Callable[[], object]) -> None:
        self.reached = 0
        self.place = ""
        self._at = at
        self._do = do

    def during(self, call: Callable[[], object]) -> object:
        """Make a call, and return its result."""
        before = sys.gettrace()
        sys.settrace(self._trace)
        try:
            return call()
        finally:
            sys.settrace(before)

    def _trace(self, frame: FrameType, event: str, _arg: object) -> Any:
        name, line = frame.f_code.co_filename, frame.f_lineno
        if not name.startswith(_PACKAGE) or _is_in_finalizer(frame):
            return None
        # Python runs no handler between the end of a `with` and the exit of its lock,
        # where it calls a trace function. Nor does it before it enters a `try`, or where
        # `pass` is all that a `with` has.
        source = linecache.getline(name, line).lstrip()
        if event == "line" and not source.startswith(_WITHOUT_HANDLERS):
            self.reached += 1
            if self.reached - 1 == self._at:
                self.place = f"{name.removeprefix(_PACKAGE)}:{line}"
                self._do()
        return self._trace


def _is_in_finalizer(frame: FrameType | None) -> bool:
    """Return whether a frame is of a `__del__`, where Python drops what is raised."""
    while frame is not None:
        if frame.f_code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False


def lines_of(call: Callable[[], object]) -> int:
    """Return how many lines of botocache a call reaches."""
    interruption = Interruption(None, lambda: None)
    interruption.during(call)
    return interruption.reached
