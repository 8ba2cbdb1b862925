"""The tree of errors.

Two of them reach an application: ConfigError when it installs the cache, and
EvictionError from a write, if a setting asks for that. The others travel inside, from a
store or the codec to the failure policy in cache.py.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import ClassVar, NoReturn


class BotocacheError(Exception):
    """Base of every error that botocache raises."""


class ConfigError(BotocacheError, ValueError):
    """A setting or an install target is wrong; the message says what is accepted."""


class EvictionError(BotocacheError, RuntimeError):
    """A write was not sent, because the entries that it changes could not be evicted.

    Raised only with `on_eviction_failure="refuse"`, and never for a read. Nothing was
    written: the application may make the same call again.
    """


class StoreError(BotocacheError):
    """A request to a store failed; it may have been carried out all the same.

    is_alive: the store still responds, so another request in the same call will not
        run into the timeout again.
    """

    is_alive: ClassVar[bool] = False


class EntryError(StoreError):
    """A store cannot reach its entries now, but its generations: it can still evict."""

    is_alive = True


class StoreConnectingError(StoreError):
    """A read did not wait any longer for a connection, which is still being made.

    Each process starts like that, so it is no failure and not reported. An eviction
    that has no connection in time raises a StoreError.
    """

    is_alive = True


class StoreSkippedError(StoreError):
    """A call skipped the store, because the store failed earlier in the same call.

    `__cause__` is that failure, which was reported when it happened.
    """


class StoreLostError(StoreError):
    """A store lost its generations and hold-offs. Raised once in each process.

    Lost generations only cost misses. Lost hold-offs do harm: another process may fill
    the old item that its eventually consistent read still saw. So everything must be
    evicted.
    """

    is_alive = True


class CodecError(BotocacheError):
    """An answer cannot be encoded, or a store's bytes are no entry of this version."""


def assert_never(value: NoReturn) -> NoReturn:
    """Prove to the type checker that a union is exhausted.

    typing.assert_never needs Python 3.11.
    """
    raise AssertionError(f"unexpected {value!r}")


def is_alive(error: Exception) -> bool:
    """Return whether a store that raised this still responds; see StoreError."""
    return isinstance(error, StoreError) and error.is_alive


def suggestion(name: object, known: Iterable[str]) -> str:
    """Return the end of an error message about an unknown name: "; did you mean ...?".

    Empty if no known name is similar.
    """
    spellings = {other.lower(): other for other in known}
    near = get_close_matches(str(name).lower(), spellings, n=1)
    return f"; did you mean {spellings[near[0]]!r}?" if near else ""


def hint(name: object, known: Iterable[str]) -> str:
    """Return a suggestion, or the list of all known names if none is similar."""
    return suggestion(name, known) or f"; known: {', '.join(known)}"
