"""The HTTP responses of hits, for the handlers of `after-call`.

botocore itself looks at the status alone, and few applications have handlers that look
at the rest. So a response gets the rest when something asks for it. To make one at once
takes 3 µs, most of it for the headers; this way it takes 0.4 µs.
"""

from collections.abc import Mapping
from typing import Final

from botocore.awsrequest import AWSResponse

_OK = 200
_MADE_OF = "_made_of"


class _EmptyBody:
    """The body of the HTTP response of a hit, which has none."""

    def stream(self, **_: object) -> tuple[bytes, ...]:
        return ()


kinds_of_responses: Final[dict[type, type["HitResponse"]]] = {}
"""The responses of another library's clients, by the class of their signers."""


class HitResponse(AWSResponse):
    """The HTTP response of a hit.

    url: of the request that was not sent.
    headers: of the response.
    """

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        # Not botocore's `__init__`: `__getattr__` calls it.
        self.status_code = _OK
        self._made_of = url, headers

    def __getattr__(self, name: str) -> object:
        """Set what botocore's `__init__` sets; called for what is not there yet."""
        # Not popped: another thread may be here, too.
        made_of = vars(self).get(_MADE_OF)
        if made_of is None:  # a copy or an unpickled one that has no attributes yet
            raise AttributeError(name)
        url, headers = made_of
        whole = AWSResponse(url, _OK, dict(headers), _EmptyBody())  # type: ignore[arg-type]  # it takes any mapping
        for attribute, value in vars(whole).items():
            # A handler may have set it already.
            vars(self).setdefault(attribute, value)
        if name not in vars(self):
            message = f"{type(self).__name__!r} object has no attribute {name!r}"
            raise AttributeError(message)
        return vars(self)[name]
