"""Changes of memory that no thread and no signal handler sees a part of.

A thread that has a lock may lose its turn. Then all others that want the lock wait
until it has its next one: half a second, where thirty threads compute. So what threads
change often has no lock here. A change first finds out what to write. It then takes one
step: one call of a C function that only calls C functions. Nothing else runs in the
middle of that, as long as the interpreter has its lock (the GIL).

Each step takes the number of what it changes out of a dict, and puts the next one in.
If the number is not there, the step ends with a KeyError, and has changed nothing:
another change has come between, and this one begins again.

Nothing in a step may make a container, so no function in it takes a tuple of arguments:
before Python 3.12 that can start a garbage collection, which calls finalizers. Nor may
anything in it be what a program can replace by Python code, as gevent replaces locks.
"""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

TakeStep: TypeAlias = Callable[[Iterable[object], int], object]

take_step: Final[TakeStep] = deque
"""Has an iterator make its calls, and keeps so many of their results: none."""

NO_ARGUMENTS: Final = ((),)
"""Of one call by `starmap`."""

NONE: Final = (None,)
"""As the default in one call by `map`."""
