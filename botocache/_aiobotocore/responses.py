"""HTTP responses of hits, for aiobotocore, where `content` and `text` are awaited."""

from aiobotocore.awsrequest import AioAWSResponse

from botocache._botocore.responses import HitResponse


class AioHitResponse(HitResponse, AioAWSResponse):  # type: ignore[misc]  # as aiobotocore derives its own
    """The HTTP response of a hit. See HitResponse."""

    async def _content_prop(self) -> bytes:
        return b""

    async def _text_prop(self) -> str:
        return ""

    content = AioAWSResponse.content
    text = AioAWSResponse.text
