"""Whose answers a call may be served: the scope of the keys that would sign it now.

Calls with equal scopes share entries. The keys are those of this very moment: an
application may change its credentials at any time, and a class of its own may choose
them by the tenant of the current context.
"""

import inspect
import math
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import lru_cache
from operator import attrgetter, is_
from time import time
from types import SimpleNamespace
from typing import Any, Final, NamedTuple, Protocol
from weakref import WeakKeyDictionary

from botocore import credentials as botocores
from botocore.credentials import (
    Credentials,
    DeferredRefreshableCredentials,
    ReadOnlyCredentials,
    RefreshableCredentials,
)

from botocache._botocore.accounts import account_of
from botocache._botocore.principals import Proof, principals, session_of
from botocache._botocore.started import Keys, function_of_keys
from botocache._digests import digest
from botocache._errors import shows
from botocache._log import log, log_once

AUTO = "auto"
"""The setting `scope` by which credentials decide; any other value is a name."""


class Frozen(Protocol):
    """One set of keys, which does not change: botocore's ReadOnlyCredentials."""

    @property
    def access_key(self) -> str | None:
        """The access key id."""

    @property
    def secret_key(self) -> str | None:
        """The secret."""

    @property
    def token(self) -> str | None:
        """The session token; None for long-lived keys."""


@shows("scope", "account")
class Caller(NamedTuple):
    """Who makes a call.

    scope: whose answers it may be served.
    access_key_id: of the keys that would sign it now; "" if it is not signed.
    account: of these keys, twelve digits; "" if it is not known.
    """

    scope: bytes
    access_key_id: str
    account: str


def caller_of(credentials: Credentials | None, setting: str) -> Caller:
    """Return who makes a call. Raises what refreshing the credentials raises.

    credentials: of the call; None when it is not signed.
    setting: `scope`.
    """
    if credentials is None:
        scope = ANONYMOUS_SCOPE if setting == AUTO else named_scope(setting)
        return Caller(scope, "", "")
    if isinstance(credentials, RefreshableCredentials):
        return _caller_of_refreshable(credentials, setting)
    return _caller_of_keys(_keys_of(credentials), credentials, setting)[0]


@shows("setting", "valid_until")
class _KnownStatic(NamedTuple):
    """Who made the last call with credentials that do not refresh themselves.

    values: all attributes of the credentials: their keys, and a method put among them.
    setting: `scope`.
    version: of the principals that are known.
    valid_until: when the keys expire, in seconds on the clock of the principals.
    caller: who made it.
    """

    values: Mapping[str, object]
    setting: str
    version: object
    valid_until: float
    caller: Caller


class CallerMemory:
    """Remembers who made the last call of one client: most calls have the same caller.

    It holds while nothing has changed that the caller is made of: the attributes of the
    credentials, botocore's method that chooses their keys, and the known principals.

    kind: the library's credentials that do not refresh themselves.
    """

    __slots__ = ("_choose", "_kind", "_known", "_methods")

    def __init__(self, kind: type[Credentials] = Credentials) -> None:
        self._known: _KnownStatic | None = None
        self._kind = kind
        self._methods = vars(kind)  # a view: it shows the methods of this moment
        self._choose = _choices[kind]

    def caller_of(self, credentials: Credentials, setting: str) -> Caller:
        """Return who makes a call. See the function `caller_of`."""
        known = self._known
        if (
            known is not None
            and type(credentials) is self._kind
            and credentials.__dict__ == known.values
            and self._methods[_CHOICE] is self._choose
            and setting == known.setting
            and principals.version is known.version
            and (
                known.valid_until == math.inf or principals.clock() < known.valid_until
            )
        ):
            return known.caller
        if type(credentials) is not self._kind:
            return caller_of(credentials, setting)
        # Before the keys: what changes meanwhile outdates what is remembered of them.
        values, version = dict(vars(credentials)), principals.version
        if (
            self._methods[_CHOICE] is not self._choose
            or not is_botocores(credentials)
            # Its scope may rest on the environment, which can change at any time.
            or (setting == AUTO and values.get("method") == "env")
        ):
            return caller_of(credentials, setting)
        keys = ReadOnlyCredentials(*map(values.get, ReadOnlyCredentials._fields))
        caller, expires_at = _caller_of_keys(keys, credentials, setting)
        self._known = _KnownStatic(values, setting, version, expires_at, caller)
        return caller


_CHOICE: Final = "get_frozen_credentials"


@shows("expiry", "valid_until", "setting")
class _Known(NamedTuple):
    """Who made the last call with credentials that refresh themselves.

    keys: that the caller is of.
    expiry: of these keys, as the credentials have it.
    valid_until: when botocore must refresh them, in seconds on the machine's clock.
    setting: `scope`.
    caller: who made it.
    """

    keys: Frozen
    expiry: object
    valid_until: float
    setting: str
    caller: Caller


_known: "WeakKeyDictionary[RefreshableCredentials, _Known]" = WeakKeyDictionary()


def _caller_of_refreshable(credentials: RefreshableCredentials, setting: str) -> Caller:
    if not is_botocores(credentials):  # it may choose by the context
        return _caller_of_keys(_keys_of(credentials), credentials, setting)[0]
    # botocore's own look at its clock takes 15 us.
    known, values = _known.get(credentials), vars(credentials)
    if (
        known is not None
        and values.get("_frozen_credentials") is known.keys
        and values.get("_expiry_time") is known.expiry
        and known.setting == setting
        and time() < known.valid_until
    ):
        return known.caller
    keys = frozen_of(credentials)
    caller, expires_at = _caller_of_keys(keys, credentials, setting)
    # The keys after their expiry: botocore publishes new ones in the other order, so
    # these are the same only if the expiry is theirs.
    expiry, seconds = values.get("_expiry_time"), seconds_valid(credentials)
    if seconds and values.get("_frozen_credentials") is keys:
        valid_until = min(time() + seconds, expires_at)
        _known[credentials] = _Known(keys, expiry, valid_until, setting, caller)
    return caller


def _caller_of_keys(
    frozen: Frozen, credentials: Credentials, setting: str
) -> tuple[Caller, float]:
    """Return who makes a call, and when its keys expire, as Proof has it."""
    key = frozen.access_key or ""
    scope, expires_at = scope_of(frozen, credentials, setting)
    return Caller(scope, key, account_of(frozen, key)), expires_at


def scope_of(frozen: Frozen, credentials: Credentials, setting: str) -> Proof:
    """Return the scope of a set of keys, and how long they have it.

    credentials: those that the keys are of.
    setting: `scope`.
    """
    if setting != AUTO:
        return Proof(named_scope(setting, account_of(frozen, frozen.access_key or "")))
    keys = (frozen.access_key or "", frozen.secret_key or "", frozen.token or "")
    session = _session_of(keys)
    proof = principals.of(session)
    if proof is not None:
        return proof
    method: str = getattr(credentials, "method", "")
    if method == "env":
        return Proof(function_of_keys(keys) or session)
    if isinstance(credentials, RefreshableCredentials):
        log_once(log.info, "role_not_known", _NOT_KNOWN % method)
    return Proof(session)


class _Last:
    """The session of the keys of the last call: most calls have the same objects."""

    __slots__ = ("keys", "session")

    def __init__(self, keys: Keys, session: bytes) -> None:
        self.keys = keys
        self.session = session


_last = _Last(("", "", ""), session_of("", "", ""))


def _session_of(keys: Keys) -> bytes:
    global _last  # noqa: PLW0603 - one object, so that threads never see half of it
    last = _last
    # By identity, which no thread can change; a digest takes ten times as long.
    if all(map(is_, keys, last.keys)):
        return last.session
    last = _last = _Last(keys, session_of(*keys))
    return last.session


def frozen_of(credentials: RefreshableCredentials) -> Frozen:
    """Return the keys that would sign a request at this moment.

    credentials: of a kind of botocore's.

    Refreshes credentials only where botocore could not sign without it. Up to five
    minutes earlier botocore refreshes for the requests that it signs; an attempt here
    would be a second one, and an endpoint that does not answer would delay each call
    twice.
    """
    frozen = _valid_keys(credentials)
    return _keys_of(credentials) if frozen is None else frozen


def _valid_keys(credentials: RefreshableCredentials) -> Frozen | None:
    """Return the keys that credentials have; None if they must be refreshed first."""
    frozen: Frozen | None = getattr(credentials, "_frozen_credentials", None)
    timeout: int | None = getattr(credentials, "_mandatory_refresh_timeout", None)
    # None for the timeout is botocore's advisory one.
    if frozen is not None and not credentials.refresh_needed(timeout):
        return frozen
    return None


_NOT_KNOWN = (
    "botocache did not see for which role %s credentials were handed out; this process "
    "shares entries with those that have the same keys, until they are refreshed. To "
    "share more, install before the first client is made, or name a `scope`"
)

# --- botocore's own kinds of credentials -------------------------------------------

_NAMES = ("get_frozen_credentials", "_refresh", "refresh_needed", "_seconds_remaining")


@shows()
class _Kinds(NamedTuple):
    """A library's classes of credentials.

    classes: has each of them.
    methods: returns what they choose keys with at this moment.
    usual: what the library itself has them choose with.
    """

    classes: object
    methods: Callable[[object], tuple[object, ...]]
    usual: tuple[object, ...]


_kinds: Final[dict[type, _Kinds]] = {}
_choices: Final[dict[type, object]] = {}
"""What static credentials choose their keys with, as their library has it."""


def add_kinds(static: type[Credentials], *refreshing: type[Credentials]) -> None:
    """Count a library's classes of credentials as botocore's own kinds.

    static: does not refresh itself.
    refreshing: refresh themselves.
    """
    by_name: dict[str, type] = {f"each{at}": each for at, each in enumerate(refreshing)}
    names = [f"{kind}.{name}" for kind in by_name for name in _NAMES]
    methods: Any = attrgetter("static.get_frozen_credentials", *names)
    classes = SimpleNamespace(static=static, **by_name)
    usual = tuple(each if _is_own(each) else None for each in methods(classes))
    _choices[static] = vars(static)[_CHOICE]
    _kinds.update(dict.fromkeys((static, *refreshing), _Kinds(classes, methods, usual)))


def _is_own(method: object) -> bool:
    module = getattr(method, "__globals__", {}).get("__name__")
    return module in {"botocore.credentials", "aiobotocore.credentials"}


add_kinds(Credentials, RefreshableCredentials, DeferredRefreshableCredentials)


def is_botocores(credentials: object) -> bool:
    """Return whether botocore's own code alone chooses the keys of credentials.

    Or aiobotocore's, of a class that `add_kinds` has added.
    """
    kinds = _kinds.get(type(credentials))
    return (
        kinds is not None
        and vars(credentials).keys().isdisjoint(_NAMES)
        and kinds.methods(kinds.classes) == kinds.usual
    )


# --- keys that are awaited ---------------------------------------------------------

awaited_keys: Final[ContextVar[tuple[object, Frozen] | None]] = ContextVar(
    "botocache_awaited_keys", default=None
)
"""Credentials, and the keys that a coroutine of theirs has returned for this call."""


def are_keys_at_hand(credentials: Credentials | None, setting: str) -> bool:
    """Return whether `caller_of` finds the keys of credentials and awaits nothing.

    setting: `scope`.
    """
    awaited = awaited_keys.get()
    if credentials is None or (awaited is not None and awaited[0] is credentials):
        return True
    if not is_botocores(credentials):  # they may choose other keys for each call
        return False
    if not isinstance(credentials, RefreshableCredentials):
        return True
    known = _known.get(credentials)
    return (
        known is not None
        and vars(credentials).get("_frozen_credentials") is known.keys
        and known.setting == setting
        and time() < known.valid_until
    ) or _valid_keys(credentials) is not None


def _keys_of(credentials: Credentials) -> Frozen:
    """Return the keys that credentials choose now.

    Raises LookupError if only a coroutine can choose them, and was not awaited.
    """
    awaited = awaited_keys.get()
    if awaited is not None and awaited[0] is credentials:
        return awaited[1]
    if is_botocores(credentials) and not isinstance(
        credentials, RefreshableCredentials
    ):
        values = vars(credentials)
        return ReadOnlyCredentials(*map(values.get, ReadOnlyCredentials._fields))
    keys: Any = credentials.get_frozen_credentials()
    if inspect.iscoroutine(keys):
        keys.close()
        raise LookupError("keys that were not awaited")
    frozen: Frozen = keys
    return frozen


def seconds_valid(credentials: Credentials) -> float:
    """Return for how many seconds botocore signs with the present keys.

    0 if it has none yet, or if that is not known; infinite for static keys.

    credentials: of a kind of botocore's.
    """
    if not isinstance(credentials, RefreshableCredentials):
        return math.inf
    values = vars(credentials)
    if values.get("_frozen_credentials") is None:
        return 0
    if values.get("_time_fetcher") is not _local_now:
        return 0  # a clock that only the application can read
    if values.get("_expiry_time", 0) is None:
        return math.inf
    timeout: int | None = getattr(credentials, "_mandatory_refresh_timeout", None)
    if timeout is None:
        return 0
    remaining: float = credentials._seconds_remaining()  # type: ignore[attr-defined]  # noqa: SLF001 - one of _NAMES
    return max(remaining - timeout, 0)


_local_now: Final = getattr(botocores, "_local_now", math)
"""botocore's clock; something else where botocore has none of that name."""

# --- scopes ------------------------------------------------------------------------


@lru_cache(maxsize=16)
def named_scope(name: str, account: str = "") -> bytes:
    """Return the scope that the user named.

    Callers of one account share entries by this name. Those of two accounts do not:
    each has tables of its own, which may have the same names.

    account: twelve digits; "" if it is not known.
    """
    return digest("scope", "named", name, account)


ANONYMOUS_SCOPE = digest("scope", "anonymous")
"""The scope of unsigned requests."""
