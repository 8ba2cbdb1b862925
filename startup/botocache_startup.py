"""Switches botocache on where the environment says BOTOCACHE=1; else does nothing.

Python imports this module when it starts, because `botocache.pth` names it. The module
reads one variable. Unless that is set, it imports, writes and changes nothing.
"""

import os
import sys


def start() -> None:
    """Call botocache.plugin.start() if `BOTOCACHE` is set, and not to 0.

    Never raises an Exception: a damaged package is one line on standard error.
    """
    if os.environ.get("BOTOCACHE", "") in ("", "0"):
        return
    try:
        from botocache import plugin

        plugin.start()
    except Exception as error:  # noqa: BLE001 - whatever the error, Python must start
        _complain(error)


def _complain(error: Exception) -> None:
    # Here, because botocache itself is what cannot be imported.
    line = f"botocache: {error}; running uncached\n"
    try:
        if sys.stderr is not None:  # else 2 may be a file of the application
            os.write(sys.stderr.fileno(), line.encode("ascii", "backslashreplace"))
    except (OSError, ValueError):  # standard error is full or closed
        pass


start()
