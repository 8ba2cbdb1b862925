"""The words of a generation table, with an observer of each access."""

from collections.abc import Callable

from botocache.stores.generation_table import Words


class Watched:
    """Words that call `ask` whenever one of them is read or written.

    seen: what `ask` returned.
    """

    def __init__(self, words: Words, ask: Callable[[], bool]) -> None:
        self.seen: set[bool] = set()
        self._words = words
        self._ask = ask

    def __len__(self) -> int:
        return len(self._words)

    def __getitem__(self, index: int) -> int:
        self.seen.add(self._ask())
        return self._words[index]

    def __setitem__(self, index: int, word: int) -> None:
        self.seen.add(self._ask())
        self._words[index] = word
