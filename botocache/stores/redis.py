"""The store of many machines: Redis or Valkey. Not there yet."""

import redis  # noqa: F401 - whoever has not got it is told so

from botocache._errors import ConfigError
from botocache.stores import Opening, Store


def open_redis(_opening: Opening) -> Store:
    """Refuse: there is no such store in this version."""
    raise ConfigError("url: this version has no store in Redis")
