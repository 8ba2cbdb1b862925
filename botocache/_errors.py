"""The tree of errors.

Two of them reach an application. ConfigError: configuration fails at the start.
EvictionError: the one way in which caching fails a call, for whoever asked for it. The
others travel inside, from a store or the codec to the failure policy in cache.py.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, ClassVar, NoReturn


class BotocacheError(Exception):
    """Base of every error that botocache raises."""


class ConfigError(BotocacheError, ValueError):
    """A setting or an install target is wrong; the message says what would be right."""


class EvictionError(BotocacheError, RuntimeError):
    """A write was not sent, because what it would change could not be evicted.

    Raised only with `on_eviction_failure="refuse"`, and never for a read. Nothing was
    written: the same call may be made again.
    """


class StoreError(BotocacheError):
    """A store could not do what it was asked; nothing is known of the outcome.

    is_alive: what is asked next need not fail. Else whoever asks the store again may
    wait as long again.
    """

    is_alive: ClassVar[bool] = False


class EntryError(StoreError):
    """A store has no entries just now, but generations: it can still evict."""

    is_alive = True


class StoreSkippedError(StoreError):
    """A store was not asked, because it failed earlier in the same call.

    That failure is its cause, and was reported when it happened.
    """


class StoreLostError(StoreError):
    """A store lost the generations and hold-offs that it had; raised once per process.

    The generations are no loss. The hold-offs are: somebody may fill what an
    eventually consistent read still sees, so everything must be evicted.
    """

    is_alive = True


class CodecError(BotocacheError):
    """Bytes from a store are not an entry of this version, or were damaged."""


def assert_never(value: NoReturn) -> NoReturn:
    """Prove to the type checker that a union is exhausted. typing's is of 3.11."""
    raise AssertionError(f"unexpected {value!r}")


def is_alive(error: Exception) -> bool:
    """Tell whether a store that raised this may be asked again in the same call."""
    return isinstance(error, StoreError) and error.is_alive


def suggestion(name: Any, known: Iterable[str]) -> str:
    """Return the end of an error about a bad word: the nearest good one, or ""."""
    spellings = {other.lower(): other for other in known}
    near = get_close_matches(str(name).lower(), spellings, n=1)
    return f"; did you mean {spellings[near[0]]!r}?" if near else ""


def hint(name: Any, known: Iterable[str]) -> str:
    """Return the end of an error about an unknown name: the nearest one, or all."""
    return suggestion(name, known) or f"; known: {', '.join(known)}"
