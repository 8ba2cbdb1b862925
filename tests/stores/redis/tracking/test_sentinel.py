"""Client tracking ends when Sentinels name another primary."""

import contextlib

from botocache.stores.redis.urls import connections_of_url
from tests.support.digests import key, tag
from tests.support.processes import TIMEOUT, eventually
from tests.support.redis_stores import redis_store
from tests.support.valkey_sentinel import running_service

KEY, A = key("an entry"), tag("a")


def test_what_the_old_primary_says_is_not_current_after_a_failover(
    namespace: str,
) -> None:
    """Nothing but that is asked, so no connection is made that would show it."""
    with running_service() as service:
        _, make = connections_of_url(service.url(), TIMEOUT)
        store = redis_store(
            make, namespace=namespace, timeout=TIMEOUT, settle=0.0, client_tracking=True
        )
        with contextlib.closing(store):
            eventually(
                lambda: store.is_current([A], store.load(KEY, [A]).snapshot),
            )
            snapshot = store.load(KEY, [A]).snapshot
            old = service.primary
            service.fail_over()

            def is_left() -> bool:
                replies = (old.command("PING") for _ in range(100))
                return not any(
                    store.is_current([A], snapshot) for reply in replies if reply
                )

            eventually(is_left)
            assert b"role:master" in old.command("INFO", "replication")
            eventually(
                lambda: store.is_current([A], store.load(KEY, [A]).snapshot),
            )
            name = store._keys.generation(A).decode()
            assert service.primary.command("EXISTS", name) == b":1\r\n"
