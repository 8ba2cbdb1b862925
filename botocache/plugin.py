"""The doors that need no code: the start-up file, and botocore's own plugins.

`start` runs at the start of every interpreter that has `BOTOCACHE` set, so it imports
next to nothing, never botocore, and never raises: what is wrong with the environment
becomes one line on the log and on standard error, and the application runs uncached.
The cache is installed at the moment when the application imports botocore.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # type checkers know it; importing typing would take a while
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

TOGGLE = "BOTOCACHE"
ON = frozenset({"1", "on", "true", "yes"})
OFF = frozenset({"", "0", "off", "false", "no"})

_BOTOCORE = "botocore.session"
"""Everything that an installation needs is loaded once this module is."""

_started = False


def start() -> None:
    """Install the cache if `BOTOCACHE` says so, as soon as botocore is imported.

    Called by the start-up file, which Python executes twice in a virtual environment,
    and by `python -m botocache run`; only the first call does anything.
    """
    global _started  # noqa: PLW0603 - there is one start of one process
    if _started:
        return
    _started = True
    value = os.environ.get(TOGGLE, "").strip().lower()
    if value in OFF:
        return
    if value not in ON:
        _complain(f"{TOGGLE}={value!r} is not known; expected 1, on, 0 or off")
    elif _BOTOCORE in sys.modules:
        _install()
    else:
        sys.meta_path.insert(0, _AfterImport(_BOTOCORE, _install))


def _install() -> None:
    from botocache._install import install_before_first_session

    _never_raise(install_before_first_session)


def _never_raise(installing: Callable[[], object]) -> None:
    try:
        installing()
    except Exception as error:  # noqa: BLE001 - the application must start, whatever is wrong
        _complain(str(error))


def _complain(what: str) -> None:
    import logging

    line = f"botocache: {what}; running uncached"
    print(line, file=sys.stderr)  # noqa: T201 - logging is hardly configured yet
    log = logging.getLogger("botocache")
    if log.hasHandlers():  # else Python itself would repeat it on standard error
        log.error("%s", line)


class _AfterImport:
    """A finder that calls back once, right after a module was executed."""

    def __init__(self, name: str, callback: Callable[[], None]) -> None:
        self._name = name
        self._callback = callback

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None = None,  # noqa: ARG002 - the protocol's signature
        target: ModuleType | None = None,  # noqa: ARG002 - the protocol's signature
    ) -> ModuleSpec | None:
        if name != self._name:
            return None
        from importlib.util import find_spec

        sys.meta_path.remove(self)  # the search below must not end here again
        spec = find_spec(name)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, self._callback)  # type: ignore[assignment]  # it stands in for one
        return spec


class _Loader:
    """Stands in for a module's loader while the module is executed."""

    def __init__(self, loader: Any, callback: Callable[[], None]) -> None:
        self._loader = loader
        self._callback = callback

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        self._callback()
