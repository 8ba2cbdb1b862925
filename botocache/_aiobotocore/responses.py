"""The HTTP responses of hits, for handlers of `after-call` that await their content."""

from collections.abc import Mapping

from aiobotocore.awsrequest import AioAWSResponse

from botocache._botocore.responses import HitResponse


class AioHitResponse(HitResponse, AioAWSResponse):
    """The HTTP response of a hit; see HitResponse."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        super().__init__(url, headers)
        self._content = b""  # as read: aiobotocore would await the body
