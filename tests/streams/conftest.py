"""What tests of streams share: an environment in which botocore finds a server."""

from collections.abc import Callable

import pytest

from botocache._botocore.streams import BotocoreSource, new_streams_client
from tests.support.dynamodb import new_botocore_session


@pytest.fixture
def source_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], BotocoreSource]:
    """Return a source that reads a server, by its endpoint."""

    def source(url: str) -> BotocoreSource:
        monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB_STREAMS", url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        return BotocoreSource(new_streams_client(new_botocore_session()))

    return source
