"""The door that needs no code: the start-up file calls `start`.

`start` runs at the start of every interpreter that has `BOTOCACHE` set. So it imports
almost nothing, and never botocore: it installs the cache at the moment when the
application imports botocore. It never raises: a wrong setting becomes one line on the
log and on standard error, and the application runs uncached.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # type checkers take it as True; importing typing takes time
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.abc import Loader
    from importlib.machinery import ModuleSpec
    from types import ModuleType

TOGGLE = "BOTOCACHE"
ON = frozenset({"1", "on", "true", "yes"})
OFF = frozenset({"", "0", "off", "false", "no"})

_BOTOCORE = "botocore.session"
"""Once this module is loaded, so is all of botocore that an installation needs."""

_started = False


def start() -> None:
    """Install the cache if `BOTOCACHE` says so, as soon as botocore is imported.

    The start-up file calls it, and `python -m botocache run`. Python executes the
    start-up file twice in a virtual environment; only the first call has an effect.
    """
    global _started  # noqa: PLW0603 - a process starts once
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
    except Exception as error:  # noqa: BLE001 - whatever the error, the application must start
        _complain(str(error))


def _complain(what: str) -> None:
    import logging

    line = f"botocache: {what}; running uncached"
    print(line, file=sys.stderr)  # noqa: T201 - at this moment few applications have configured logging
    log = logging.getLogger("botocache")
    # Without a handler, Python itself would print the line on standard error again.
    if log.hasHandlers():
        log.error("%s", line)


class _AfterImport:
    """An import finder that calls back once, right after a module has been executed.

    name: of the module.
    callback: called without arguments.
    """

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

        # Before the search below, which would else find this finder again, forever.
        sys.meta_path.remove(self)
        spec = find_spec(name)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, self._callback)  # type: ignore[assignment]  # _Loader has a loader's methods
        return spec


class _Loader:
    """A module's loader that calls back after it has executed the module.

    loader: does the work, and takes this one's place before the module runs, so that
        the module and its importers see their usual loader.
    callback: called without arguments.
    """

    def __init__(self, loader: Loader, callback: Callable[[], None]) -> None:
        self._loader = loader
        self._callback = callback

    def __getattr__(self, name: str) -> object:
        value: object = getattr(self._loader, name)
        return value

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        self._callback()
