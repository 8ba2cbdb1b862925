"""Open a store by its URL, as an installation does."""

from typing import Any

from botocache.stores.opening import open_store
from botocache.stores.options import StoreOptions
from botocache.stores.protocol import Store


def open_store_at(url: str, **options: Any) -> Store:
    """Return the store that a URL names. options: fields of StoreOptions."""
    usual: dict[str, Any] = {
        "namespace": "mine",
        "environ": {},
        "timeout": 0.5,
        "settle": 1.0,
        "longest_ttl": 60.0,
    }
    return open_store(StoreOptions(url, **{**usual, **options}))
