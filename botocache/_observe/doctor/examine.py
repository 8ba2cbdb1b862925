"""All checks of the doctor, side by side, within a time that is bounded.

A check that fails or hangs is a finding itself. So the doctor always has an answer, and
never a traceback.
"""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from pathlib import Path

from botocache._errors import pass_on
from botocache._log import describe
from botocache._observe.doctor.environment import check_environment
from botocache._observe.doctor.findings import Finding, bad
from botocache._observe.doctor.installed import check_installed
from botocache._observe.doctor.start import check_start
from botocache._observe.doctor.store import check_store
from botocache._observe.doctor.streams import check_streams
from botocache._observe.doctor.variables import check_settings, check_variables
from botocache._settings.load import CONFIG, TracedSettings, trace_settings
from botocache.stores.options import default_url

PATIENCE = 9.0
"""Seconds for all checks together."""

_FILE_PATIENCE = 2.0
"""Seconds for reading the file of settings."""


class _Check:
    """A check in a thread of its own, with what it has found so far.

    subject: of the finding if the check itself fails.
    find: yields findings.
    """

    def __init__(self, subject: str, find: Callable[[], Iterable[Finding]]) -> None:
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
        # A check looks into what may be damaged in any way, so it may fail in any way.
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


def _traced(environ: Mapping[str, str]) -> tuple[TracedSettings, list[Finding]]:
    """Return the settings, and what is found if their file cannot be read in time.

    A file may be a pipe, or on a network that is gone: reading it then never ends.
    """
    traced: list[TracedSettings] = []
    thread = threading.Thread(
        target=lambda: traced.append(trace_settings(environ, default_url())),
        daemon=True,
    )
    try:
        thread.start()
    except RuntimeError as error:  # no thread can be started, which is found below
        pass_on(error)
        return trace_settings(environ, default_url()), []
    thread.join(_FILE_PATIENCE)
    if traced:
        return traced[0], []
    name = environ.get(CONFIG, "")
    finding = bad(
        "settings",
        f"{CONFIG} names {name!r}, which cannot be read in time",
        "Let it name a file of this machine; the application waits for it at start.",
    )
    without = {n: v for n, v in environ.items() if n != CONFIG}
    return trace_settings(without, default_url()), [finding]


def examine(
    environ: Mapping[str, str], version: str, patience: float = PATIENCE
) -> list[Finding]:
    """Return the findings of all checks, in the order of their subjects.

    environ: of the process.
    version: of this package.
    patience: seconds for all of them.
    """
    end = time.monotonic() + patience
    package = Path(__file__).parents[2]
    traced, unread = _traced(environ)
    checks = [
        _Check(
            "installed",
            lambda: check_installed(package, version, traced.settings.metrics),
        ),
        _Check("start", lambda: check_start(environ, package)),
        _Check("variables", lambda: check_variables(environ, traced)),
        _Check("settings", lambda: chain(unread, check_settings(traced))),
        _Check("store", lambda: check_store(traced.settings, environ)),
        _Check("followed tables", lambda: check_streams(traced.settings, environ)),
        _Check(
            "environment",
            lambda: check_environment(
                environ, client_tracking=traced.settings.client_tracking
            ),
        ),
    ]
    # All at once: the child of `start` takes as long as a server that hangs.
    for check in checks:
        check.start()
    return [finding for check in checks for finding in check.result(end)]
