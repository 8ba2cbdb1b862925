"""Starts botocache in the processes of `python -m botocache run`, then steps aside.

Python imports the first `sitecustomize` on its path, which is this one. After the start
this one imports the `sitecustomize` that it hides. It is no module of the package:
Python finds it by its path.
"""

import contextlib
import os
import sys
from pathlib import Path

_here = Path(__file__).resolve().parent


def _start() -> None:
    try:
        import botocache.plugin
    except ImportError:
        # The package is not on this interpreter's path. At the end of the path its
        # directory hides no other module.
        sys.path.append(str(_here.parent.parent))
        import botocache.plugin
    botocache.plugin.start()


def _complain(error: Exception) -> None:
    # Here, because botocache itself is what cannot be imported.
    if sys.stderr is None:
        return  # print(file=None) would write among the application's output
    with contextlib.suppress(Exception):  # standard error is full or closed
        # Past its buffer, as `say` of _log.py does.
        line = f"botocache: {error}; running uncached\n"
        os.write(sys.stderr.fileno(), line.encode("ascii", "backslashreplace"))


def _is_here(entry: str) -> bool:
    try:
        return Path(entry or ".").resolve() == _here
    except (OSError, RuntimeError):  # no current directory; a loop of links
        return False


def _let_the_hidden_one_run() -> None:
    hidden_from = [entry for entry in sys.path if not _is_here(entry)]
    mine = sys.modules.pop("sitecustomize", None)
    path, sys.path = sys.path, hidden_from
    try:
        import sitecustomize  # type: ignore[import-not-found]  # noqa: F401 - the hidden one, if there is one
    except ModuleNotFoundError as error:
        if error.name != "sitecustomize":
            raise
        if mine is not None:
            sys.modules["sitecustomize"] = mine
    finally:
        added = [entry for entry in sys.path if entry not in hidden_from]
        sys.path = path + added


try:
    _start()
except Exception as error:  # noqa: BLE001 - whatever the error, the application must start
    _complain(error)
_let_the_hidden_one_run()
