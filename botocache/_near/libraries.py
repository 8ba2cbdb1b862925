"""The libraries whose clients can have the near cache, and what it watches of each.

botocore is one of them. Others derive their clients, credentials and emitters from
botocore's, and so have methods of their own, which anyone may replace while the process
runs. Each near hit looks at these methods, through the views here.
"""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from types import FunctionType
from typing import Final

from botocore.client import BaseClient
from botocore.credentials import Credentials, RefreshableCredentials
from botocore.hooks import HierarchicalEmitter

from botocache._botocore.responses import HitResponse
from botocache._errors import shows

CALL: Final = "_make_api_call"
CHOICE: Final = "get_frozen_credentials"
REFRESH: Final = "_refresh"


@shows()
@dataclass(frozen=True, slots=True, eq=False)
class Library:
    """A library's classes, and its methods as they were at first.

    packages: where its functions are; botocore's count for those that derive from it.
    near: the module of the near cache's base class of its clients.
    callers: the classes behind that one which have `_make_api_call`, the nearest first.
    emitter: the class of its clients' emitters.
    response: what the handlers of `after-call` get as the HTTP response of a near hit.
    static: its class of credentials that do not refresh themselves.
    methods: of its class of clients. A view: it shows the methods of this moment.
    own: its `_make_api_call`; None if another library had replaced it already.
    choices: the methods of static credentials, a view.
    choose: the one that chooses their keys.
    refreshing: the methods of credentials that refresh themselves, a view.
    choose_refreshed: the one that chooses their keys.
    refresh: the one that refreshes them.
    """

    packages: tuple[str, ...]
    near: str
    callers: tuple[type, ...]
    emitter: type
    response: type[HitResponse]
    static: type
    methods: Mapping[str, object]
    own: object
    choices: Mapping[str, object]
    choose: object
    refreshing: Mapping[str, object]
    choose_refreshed: object
    refresh: object

    def comes_first(self, *, is_untraced: bool) -> bool:
        """Return whether hits may be answered before the library's present method.

        If another library replaced `_make_api_call`, hits must go through that
        replacement. With `near='untraced'`, a replacement that only wraps the method
        (tracers do) may be skipped.
        """
        method = self.methods[CALL]
        if _is_of(self.packages, method):
            return True
        return is_untraced and _is_of(self.packages, inspect.unwrap(method))  # type: ignore[arg-type]  # it takes anything


def library_of(  # noqa: PLR0913, PLR0917 - all that sets a library apart
    near: str,
    callers: tuple[type, ...],
    client: type,
    emitter: type,
    response: type[HitResponse],
    static: type,
    refreshable: type,
) -> Library:
    """Return a library as it is now. See Library.

    client: its class of clients, one of `callers`.
    refreshable: its class of credentials that refresh themselves.
    """
    packages = tuple(f"{kind.__module__.partition('.')[0]}." for kind in callers)
    methods, choices, refreshing = vars(client), vars(static), vars(refreshable)
    method = methods[CALL]
    return Library(
        packages,
        near,
        callers,
        emitter,
        response,
        static,
        methods,
        method if _is_of(packages, method) else None,
        choices,
        # As `is_botocores` has it for all methods, when a state is made.
        choices[CHOICE],
        refreshing,
        refreshing[CHOICE],
        refreshing.get(REFRESH),
    )


def _is_of(packages: tuple[str, ...], method: object) -> bool:
    """Return whether a package defines a function; its own decorators count as well."""
    if type(method) is not FunctionType:
        return False
    # By its globals: functools.wraps copies `__module__` to the wrappers of tracers.
    module: str = method.__globals__.get("__name__", "")
    return module.startswith(packages)


BOTOCORE: Final = library_of(
    "botocache._near.client",
    (BaseClient,),
    BaseClient,
    HierarchicalEmitter,
    HitResponse,
    Credentials,
    RefreshableCredentials,
)


def made_by(kind: type) -> Library:
    """Return the library that a client's class is of."""
    library: Library = getattr(kind, "_botocache_library", BOTOCORE)  # of a NearClient
    return library
