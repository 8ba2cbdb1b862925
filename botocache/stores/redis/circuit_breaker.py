"""The circuit breaker: calls do not wait for a server that does not answer.

After some failures in a row it is open. Then calls fail at once, and a thread probes
the server, at growing intervals, until the server is back.
"""

import threading
from collections.abc import Callable, Sequence

from botocache._errors import StoreError, pass_on
from botocache._forks import renew_after_fork

FAILURES = 3
"""In a row, after which it opens."""

PAUSES = (0.0, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Seconds before each probe; the last one repeats."""


class Breaker:
    """Counts failures and successes of one server.

    probe: raises unless the server does all that a store needs.
    pauses: seconds before each probe.
    """

    _prober: threading.Thread | None
    _trouble: str

    def __init__(
        self, probe: Callable[[], object], *, pauses: Sequence[float] = PAUSES
    ) -> None:
        self._probe = probe
        self._pauses = pauses
        self._reset()
        renew_after_fork(self, Breaker._reset)

    def __repr__(self) -> str:
        state = f"open: {self._trouble}" if self._trouble else "closed"
        return f"<Breaker {state}>"

    @property
    def is_open(self) -> bool:
        """Whether calls must not use the server."""
        return bool(self._trouble)

    def check(self) -> None:
        """Raise StoreError while it is open."""
        if self._trouble:
            raise StoreError(f"the server is left alone: {self._trouble}")

    def succeeded(self) -> None:
        """Note that the server carried out a command."""
        self._failures = 0

    def failed(self, error: Exception) -> None:
        """Note that it did not; open after FAILURES in a row."""
        with self._lock:
            self._failures += 1
            if self._failures < FAILURES or self._trouble or self._ended.is_set():
                return
            self._trouble = _reason(error)
            prober = threading.Thread(
                target=self._probe_until_back, name="botocache-probe", daemon=True
            )
            try:
                prober.start()
            except BaseException as trouble:
                if prober.ident is None:
                    self._trouble = ""
                # No thread can be started now.
                if not isinstance(pass_on(trouble), RuntimeError):
                    raise
            else:
                self._prober = prober

    def close(self) -> None:
        """End the thread, and close the breaker."""
        prober, ended = self._prober, self._ended
        ended.set()
        if prober is not None and prober is not threading.current_thread():
            prober.join()
        self._reset()

    def _probe_until_back(self) -> None:
        ended, attempt = self._ended, 0
        while not ended.wait(self._pauses[min(attempt, len(self._pauses) - 1)]):
            attempt += 1
            try:
                self._probe()
            except Exception as error:  # noqa: BLE001 - the thread must not end before the server is back
                self._trouble = _reason(error)
            else:
                self._failures = 0
                self._trouble = ""
                return

    def _reset(self) -> None:
        self._lock = threading.RLock()  # a signal handler may make calls in here
        self._ended = threading.Event()
        self._prober = None
        self._failures = 0
        self._trouble = ""


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
