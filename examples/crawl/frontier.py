"""Which pages are still to be visited: each URL once, and no more than the budget.

Shared by the workers. It knows URLs and depths, and nothing of HTTP.
"""

from __future__ import annotations

import threading
from collections import deque


class Frontier:
    """A queue that ends by itself when nothing is waiting and nobody is working."""

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._changed = threading.Condition()
        self._seen: set[str] = set()
        self._waiting: deque[tuple[str, int]] = deque()
        self._visiting = 0

    def offer(self, url: str, depth: int) -> None:
        """Add a URL unless it is known already or the budget is spent."""
        with self._changed:
            if url not in self._seen and len(self._seen) < self._budget:
                self._seen.add(url)
                self._waiting.append((url, depth))
                self._changed.notify()

    def take(self) -> tuple[str, int] | None:
        """Return the next URL and its depth; None when the crawl is over.

        Whoever took one must call `done` for it, whatever came of it.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or not self._visiting)
            if not self._waiting:
                return None
            self._visiting += 1
            return self._waiting.popleft()

    def done(self) -> None:
        """Say that a visit has ended and will offer nothing more."""
        with self._changed:
            self._visiting -= 1
            self._changed.notify_all()
