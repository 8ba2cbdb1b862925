"""The servers of this directory's tests: one of each in a process, for all of them."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache

import pytest

from tests.differential.runs import running
from tests.support.dynamodb import DynamoDB


@pytest.fixture(scope="session")
def server_of() -> Iterator[Callable[[str], DynamoDB]]:
    """Return a server by its name. A start takes 0.2 s of a processor."""
    with ExitStack() as servers:
        yield cache(lambda name: servers.enter_context(running(name)))
