"""Making a follower: its clients, one for each region, and its tables."""

import os
import platform
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from botocore.session import Session, get_session

from botocache._botocore.streams import BotocoreSource, new_streams_client, region_of
from botocache._cache.services import CacheServices
from botocache._errors import ConfigError
from botocache._streams.follower import MOST_THREADS, Fetch, Follower, fetch_in_turn
from botocache._streams.ledger import MOST_FOLLOWERS
from botocache._streams.table_follower import Identity, TableFollower
from botocache.stores.boards import board_of
from botocache.stores.protocol import Store

if TYPE_CHECKING:
    from botocache._streams.source import StreamSource


def new_follower(  # noqa: PLR0913 - a follower consists of these
    tables: Sequence[str],
    services: CacheServices,
    store: Store,
    *,
    session: Session | None = None,
    most: int = MOST_FOLLOWERS,
    fetch: Fetch = fetch_in_turn,
) -> Follower:
    """Return a follower of tables, which has done nothing yet.

    tables: names or ARNs; an ARN has a region of its own.
    services: of the cache whose store it evicts in.
    store: of that cache, without keyed names.
    session: whose credentials and region it has; a new one by default.
    most: see TableFollower.

    Raises ConfigError.
    """
    board = board_of(store)
    if board is None:
        raise ConfigError(
            "streams: this store keeps no records for several processes; expected "
            "disk:, redis:// or valkey://"
        )
    identity = Identity(os.urandom(8).hex(), platform.node(), os.getpid())
    sources: dict[str, tuple[str, StreamSource]] = {}
    followers: dict[tuple[str, str], TableFollower] = {}
    for table in tables:
        wanted = region_of(table)
        if wanted not in sources:
            client = new_streams_client(
                session, region=wanted or None, connections=MOST_THREADS
            )
            sources[wanted] = client.meta.region_name, BotocoreSource(client)
        region, source = sources[wanted]
        follower = TableFollower(
            table,
            region,
            source,
            services=services,
            board=board,
            identity=identity,
            most=most,
            wall_clock=time.time,
        )
        # Two of one table, by its name and its ARN, would each take the other's shards
        # for their own.
        followers.setdefault((region, follower.table), follower)
    return Follower([*followers.values()], fetch)


def session_of(target: object) -> Session:
    """Return a session with the region and the credentials of an install's target.

    target: a session of boto3 or botocore, or a client, resource or Table.
    """
    found = getattr(target, "_session", target)  # boto3's session wraps botocore's
    if isinstance(found, Session):
        return found
    client = getattr(getattr(target, "meta", None), "client", target)
    session = get_session()
    region = getattr(getattr(client, "meta", None), "region_name", None)
    if region:
        session.set_config_variable("region", region)
    credentials = getattr(
        getattr(client, "_request_signer", None), "_credentials", None
    )
    if credentials is not None:
        # As botocore does it itself. Its setter takes keys, which are not refreshed.
        vars(session)["_credentials"] = credentials
    return session
