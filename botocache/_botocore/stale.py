"""A stale answer in the place of DynamoDB's refusal: which part of botocore sees which.

A refusal is answered after the first request, in each retry mode. botocore asks its
handlers one after the other, and what each sees decides what it does:

- `needs-retry.dynamodb`: the handlers of the retry modes. They see a success, or they
  would repeat the request, and in standard mode take it from the quota of retries.
- `needs-retry`: the rate limiter of adaptive mode. It sees the refusal, which it needs.
- `after-call`: the quota, which grows after a success. It must not grow here. All
  others see the stale answer: boto3's resource layer, and the application's.

A timeout or a lost connection has no response that could be changed. The hooks raise
botocore's error before the retry handlers see it, and the near cache, which has made
the call, returns the answer instead. So it takes a client with the near cache.
"""

from typing import Any, Final

from botocore import exceptions
from botocore.awsrequest import HeadersDict

from botocache._botocore.types import CallContext, Response
from botocache._cache.tickets import Hit, response_metadata
from botocache._dynamodb.types import Answer

_OK = 200
_QUOTA = "retry_quota_capacity"


def is_unanswered(error: object) -> bool:
    """Return whether DynamoDB could not be reached, or has not answered in time."""
    # A certificate that is wrong needs somebody's attention, and no answer.
    return isinstance(error, _UNANSWERED) and not isinstance(error, exceptions.SSLError)


_UNANSWERED: Final = (
    exceptions.ConnectionError,
    exceptions.ConnectionClosedError,
    exceptions.ReadTimeoutError,
)


class StaleResponse:
    """DynamoDB's response to one request, and the answer in its place.

    hit: the answer.
    http: the response.
    parsed: the same, as botocore parsed it. It has an error.
    """

    __slots__ = ("_error", "_http", "_parsed", "_status", "hit")

    def __init__(self, hit: Hit, http: Response, parsed: Answer) -> None:
        self.hit = hit
        self._http, self._parsed = http, parsed
        self._status, self._error = http.status_code, parsed["Error"]

    def hide_error(self) -> None:
        """Let the response look like a success."""
        self._http.status_code = _OK  # first: if this fails, nothing has changed
        self._parsed.pop("Error", None)

    def show_error(self) -> None:
        """Undo `hide_error`, if it was not undone yet."""
        self._http.status_code = self._status
        self._parsed["Error"] = self._error

    def deliver(self, parsed: Answer, context: CallContext) -> bool:
        """Put the answer in the place of the error, for the application.

        Return False and change nothing if an application's handler had the request
        repeated.

        parsed: of the call's last response.
        """
        if parsed is not self._parsed:
            return False
        http: Any = self._http
        metadata = response_metadata(self.hit.key.hex(), self.hit.age, "stale")
        retries = parsed.get("ResponseMetadata", {}).get("RetryAttempts", 0)
        metadata["RetryAttempts"] = retries
        http.status_code = _OK
        http.headers = HeadersDict(metadata["HTTPHeaders"])
        http._content = b""  # noqa: SLF001 - where botocore keeps the body it has read
        parsed.clear()
        parsed.update(self.hit.answer)
        parsed["ResponseMetadata"] = metadata
        keep_quota(context)
        return True


def keep_quota(context: Any) -> None:
    """Let the quota of retries give nothing back at the end of a call."""
    context[_QUOTA] = 0
