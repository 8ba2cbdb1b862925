"""Tells which calls of a client reach botocore's pipeline."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Pipeline:
    """Counts the calls of a client that go through botocore's pipeline."""

    def __init__(self, client: Any) -> None:
        self.calls = 0
        self._convert = client._convert_to_request_dict
        client._convert_to_request_dict = self._count

    def _count(self, *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        return self._convert(*args, **kwargs)


@contextmanager
def past_the_pipeline(client: Any) -> Iterator[None]:
    """Require that what is called inside does not reach botocore's pipeline."""
    pipeline = Pipeline(client)
    yield
    vars(client).pop("_convert_to_request_dict")
    assert pipeline.calls == 0


@contextmanager
def through_the_pipeline(client: Any, calls: int = 1) -> Iterator[None]:
    """Require that so many calls inside reach botocore's pipeline."""
    pipeline = Pipeline(client)
    yield
    vars(client).pop("_convert_to_request_dict")
    assert pipeline.calls == calls, pipeline.calls
