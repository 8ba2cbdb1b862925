"""The handler of a Lambda function that evicts by a table's stream.

Name it as the function's handler, `botocache.streams.handler`, and give the function
an event source mapping of the stream with `ReportBatchItemFailures`. The settings come
from the environment, as those of the readers: `BOTOCACHE_URL` names the server that
they share. botocore is not imported.

It posts no heartbeat. Lambda calls a handler only when something has changed. So no
call for an hour can mean that nothing has changed, or that the mapping is switched off,
and readers could not tell which. For the same reason `ttl_unfollowed` is of no use with
it: the `ttl` bounds what it misses.
"""

import os
from dataclasses import replace
from functools import lru_cache

from botocache._errors import ConfigError
from botocache._settings.load import Settings, load_settings
from botocache._streams.events import BatchResponse, Event, EventEvictor
from botocache.stores.opening import open_store
from botocache.stores.options import default_url
from botocache.stores.urls import local_place

__all__ = ["handler"]

_PATIENCE = 5.0
"""Seconds for the server to respond in. No call of an application waits meanwhile."""


def handler(event: Event, context: object) -> BatchResponse:  # noqa: ARG001 - Lambda passes it
    """Evict what the records of an event say has changed.

    Args:
        event: of DynamoDB Streams, or of Kinesis Data Streams for DynamoDB.
        context: of Lambda; not used.

    Returns:
        `{"batchItemFailures": []}`; if the store has failed, with the sequence number
        of the first record that is not evicted, as `itemIdentifier`. Lambda delivers
        the records again from there on.

    Raises:
        ConfigError: a setting is wrong, or `url` names no server that functions share.
        ValueError: the event is none of a stream.
    """
    return _evictor().evict(event)


@lru_cache(maxsize=1)  # of the process: its connections stay open between two events
def _evictor() -> EventEvictor:
    settings = load_settings({}, os.environ, default_url())
    _check_shared(settings)
    patient = replace(settings, timeout=max(settings.timeout, _PATIENCE))
    return EventEvictor(open_store(patient.store_options(os.environ)), settings)


def _check_shared(settings: Settings) -> None:
    """Raise ConfigError if the store is one of this instance of the function alone."""
    url = settings.url
    place = local_place(url) if isinstance(url, str) else None
    if place is not None:
        raise ConfigError(
            f"url '{place.scheme}:' is of one machine, and no other function reads it; "
            "set BOTOCACHE_URL to the server that the readers share, as "
            "'redis://host:6379/0'"
        )
