"""The run of a server: what tells it from one that may have lost data."""

from redis.exceptions import NoPermissionError

from botocache._errors import StoreError
from botocache.stores.redis.commands import pack, require_no_errors
from botocache.stores.redis.connections import exchange
from botocache.stores.redis.types import Connection

_LONGEST_RUN = 256
"""Bytes of a run's id. Redis and Valkey have 81."""


def run_id_of(connection: Connection) -> bytes | None:
    """Return an id of a server that lasts as long as it is the primary without a break.

    Returns None without permission for INFO. A replica that becomes the primary takes a
    new replication id. A server that restarts, also from a file, has a new run id.
    """
    sections = (b"server", b"replication")
    packed = b"".join(pack((b"INFO", section)) for section in sections)
    infos = exchange(connection, packed, len(sections))
    if any(isinstance(info, NoPermissionError) for info in infos):
        return None
    require_no_errors(infos)
    fields = dict(
        line.split(b":", 1) for line in b"".join(infos).split() if b":" in line
    )
    if fields.get(b"role") != b"master":
        raise StoreError("it is a replica, or its INFO names no role")
    try:
        run = fields[b"run_id"] + b":" + fields[b"master_replid"]
    except KeyError as error:
        raise StoreError(f"INFO names no {error}") from None
    if len(run) > _LONGEST_RUN:
        raise StoreError("INFO has a run_id that is none")
    return run
