"""The door that needs no code: the start-up file calls `start`.

`start` runs at the start of every interpreter that has `BOTOCACHE` set. So it imports
almost nothing, and never botocore: it installs the cache at the moment when the
application imports botocore. It never raises: a wrong setting, or a package that cannot
be imported, becomes one line on the log and on standard error, and the application runs
uncached.
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
SHADOW = "shadow"
"""Also on; the settings read it and serve nothing."""

_BOTOCORE = "botocore.session"
"""Once this module is loaded, so is all of botocore that an installation needs."""

_AIOBOTOCORE = "aiobotocore.session"

_started_in: int | None = None
"""The process in which `start` was called first; a forked child is another one."""


def start() -> None:
    """Install the cache if `BOTOCACHE` says so, as soon as botocore is imported.

    The start-up file calls it, and `python -m botocache run`. Python executes the
    start-up file twice in a virtual environment; only the first call has an effect.
    """
    global _started_in  # noqa: PLW0603 - a process starts once
    if _started_in is not None:
        return
    _started_in = os.getpid()
    value = os.environ.get(TOGGLE, "").strip().lower()
    if value in OFF:
        return
    if value not in ON and value != SHADOW:
        expected = f"expected 1, on, {SHADOW}, 0 or off"
        _complain(f"{TOGGLE}={value!r} is not known; {expected}")
    elif _BOTOCORE in sys.modules:
        _install()
    else:
        sys.meta_path.insert(0, _AfterImport(_AIOBOTOCORE, _adapt))
        sys.meta_path.insert(0, _AfterImport(_BOTOCORE, _install))


def _install() -> None:
    try:
        # Inside: this import is the one that a package built for another machine fails.
        from botocache import _install as installation

        installation.install_before_first_session(is_forked=os.getpid() != _started_in)
    except Exception as error:  # noqa: BLE001 - whatever the error, the application must start
        _complain_about(error)


def _adapt() -> None:
    """Look at aiobotocore before it asks for its first credentials."""
    try:
        from botocache import _install as installation

        installation.adapt_to_aiobotocore()
    except Exception as error:  # noqa: BLE001 - whatever the error, the application must start
        _complain_about(error)


def _complain_about(error: Exception) -> None:
    from botocache._errors import pass_on  # of the standard library alone

    pass_on(error)
    # By its name: importing ConfigError may be what failed.
    if type(error).__name__ == "ConfigError":
        _complain(str(error))
        return
    try:
        from botocache._log import describe

        what = describe(error)
    except Exception:  # noqa: BLE001 - the environment may be damaged anywhere
        what = type(error).__name__
    _complain(f"cannot start ({what})")


def _complain(what: str) -> None:
    line = f"{what}; running uncached"
    try:
        from botocache._log import log, say

        # At this moment few applications have configured logging.
        say(f"botocache: {line}")
        # Without a handler, Python itself would print the line on standard error again.
        if log.has_handlers():
            log.error("%s", line)
    except Exception:  # noqa: BLE001, S110 - the environment may be damaged anywhere
        pass


class _AfterImport:
    """An import finder that calls back once, right after a module has been executed.

    It stays on `sys.meta_path` until then: a search alone (`importlib.util.find_spec`)
    executes nothing, and an import that failed may be tried again.

    name: of the module.
    callback: called without arguments.
    """

    def __init__(self, name: str, callback: Callable[[], None]) -> None:
        self._name = name
        self._callback = callback
        self._is_done = False

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        if name != self._name or self._is_done:
            return None
        # Only the finders behind this one: those before it had their turn already. A
        # copy, because a finder may change the list.
        finders = iter(list(sys.meta_path))
        any(finder is self for finder in finders)  # advances the iterator
        for finder in finders:
            find_spec = getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = find_spec and find_spec(name, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _Loader(spec.loader, self._done)  # type: ignore[assignment]  # _Loader has a loader's methods
                return spec
        return None

    def _done(self) -> None:
        if self._is_done:  # the module was executed a second time
            return
        self._callback()
        # After it: what interrupts the callback fails the import, too.
        self._is_done = True
        if self in sys.meta_path:
            sys.meta_path.remove(self)


class _Loader:
    """A module's loader that calls back after it has executed the module.

    Its class, attributes and equality are those of the real one. So a spec that was
    only searched for is like any other.

    loader: does the work, and takes this one's place before the module runs, so that
        the module and its importers see their usual loader.
    callback: called without arguments.
    """

    __slots__ = ("_callback", "_loader")  # so that `__dict__` is the loader's, too

    def __init__(self, loader: Loader, callback: Callable[[], None]) -> None:
        self._loader = loader
        self._callback = callback

    def __getattr__(self, name: str) -> object:
        value: object = getattr(self._loader, name)
        return value

    @property  # type: ignore[misc]  # isinstance() reads it
    def __class__(self) -> type:
        return type(self._loader)

    def __eq__(self, other: object) -> bool:
        if type(other) is _Loader:
            other = other._loader
        return bool(self._loader == other)

    def __hash__(self) -> int:
        return hash(self._loader)

    def __repr__(self) -> str:
        return repr(self._loader)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        # A loader of the old protocol has only `load_module`.
        create = getattr(self._loader, "create_module", None)
        module: ModuleType | None = create and create(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        if hasattr(self._loader, "exec_module"):
            self._loader.exec_module(module)
        else:
            self._loader.load_module(module.__name__)
        self._callback()
