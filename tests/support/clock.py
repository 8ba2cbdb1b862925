"""A clock that moves only when a test advances it."""


class FakeClock:
    """Seconds since it was made. Call it for the time; `advance` moves it."""

    def __init__(self, now: float = 1000.0) -> None:
        self._now = now

    def __call__(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._now += seconds
