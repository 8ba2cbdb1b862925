"""A server or a cluster, for tests that hold on both; others have one of their own."""

from collections.abc import Iterator
from typing import Any

import pytest
import redis

from tests.support.valkey_cluster import ValkeyCluster
from tests.support.valkey_server import ValkeyServer


@pytest.fixture(params=["redis", "redis+cluster"])
def server(request: pytest.FixtureRequest) -> Any:
    """Return a server, or a cluster."""
    name = "valkey" if request.param == "redis" else "cluster"
    return request.getfixturevalue(name)


@pytest.fixture
def client(server: ValkeyServer | ValkeyCluster) -> Iterator[Any]:
    """A plain client of the same, which does what another program might."""
    if isinstance(server, ValkeyServer):
        with redis.Redis(port=server.port) as plain:
            yield plain
    else:
        with redis.RedisCluster("127.0.0.1", server.nodes[0].port) as of_cluster:
            yield of_cluster
