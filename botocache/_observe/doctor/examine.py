"""All checks of the doctor, side by side, within a time that is bounded.

A check that fails or hangs is a finding itself. So the doctor always has an answer, and
never a traceback.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from botocache._errors import pass_on
from botocache._log import describe
from botocache._observe.doctor.environment import check_environment
from botocache._observe.doctor.findings import Finding, bad
from botocache._observe.doctor.installed import check_installed
from botocache._observe.doctor.start import check_start
from botocache._observe.doctor.store import check_store
from botocache._observe.doctor.variables import check_settings, check_variables
from botocache._settings.load import trace_settings
from botocache.stores.options import default_url

PATIENCE = 9.0
"""Seconds for all checks together."""


class _Check:
    """A check in a thread of its own, with what it has found so far.

    subject: of the finding if the check itself fails.
    find: yields findings.
    """

    def __init__(self, subject: str, find: Callable[[], Iterator[Finding]]) -> None:
        self._subject = subject
        self._find = find
        self._found: list[Finding] = []
        self._done = threading.Event()

    def start(self) -> None:
        """Begin in a thread; in this one, if there can be none."""
        try:
            # A daemon: the program ends even if a check never does.
            threading.Thread(target=self._run, daemon=True).start()
        except RuntimeError as error:
            pass_on(error)
            self._run()

    def result(self, end: float) -> list[Finding]:
        """Return what was found until a moment of `time.monotonic`."""
        if self._done.wait(max(0.0, end - time.monotonic())):
            return self._found
        return [
            *self._found,
            bad(
                self._subject,
                "this check did not end in time; what it waits for may hang",
                "See whether the store, the disk or the machine responds at all.",
            ),
        ]

    def _run(self) -> None:
        try:
            for finding in self._find():
                self._found.append(finding)
        except Exception as error:  # noqa: BLE001 - whatever the error, it is a finding
            pass_on(error)
            self._found.append(
                bad(
                    self._subject,
                    f"this check failed: {describe(error)}",
                    "Report it, with this line.",
                )
            )
        finally:
            self._done.set()


def examine(
    environ: Mapping[str, str], version: str, patience: float = PATIENCE
) -> list[Finding]:
    """Return the findings of all checks, in the order of their subjects.

    environ: of the process.
    version: of this package.
    patience: seconds for all of them.
    """
    end = time.monotonic() + patience
    traced = trace_settings(environ, default_url())
    package = Path(__file__).parents[2]
    checks = [
        _Check("installed", lambda: check_installed(package, version)),
        _Check("start", lambda: check_start(environ, package)),
        _Check("variables", lambda: check_variables(environ, traced)),
        _Check("settings", lambda: check_settings(traced)),
        _Check("store", lambda: check_store(traced.settings, environ)),
        _Check("environment", lambda: check_environment(environ)),
    ]
    for check in checks:
        check.start()
    return [finding for check in checks for finding in check.result(end)]
