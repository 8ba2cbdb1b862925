"""What a hit costs, for each store, and beside it what people use instead.

A hit through us is a fresh object each time, and so are those by hand; botocache 0.0.6
hands out one object. That each of ours is a hit is seen by its transport.
"""

import copy
import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import cachetools
import msgspec

from benchmarks import names
from benchmarks.clients import (
    Transport,
    answer_in_handler,
    asking,
    asking_plainly,
    client,
    session,
    table,
)
from benchmarks.measure import Contender, Group, time_rounds, timed
from benchmarks.places import TTL, Places
from benchmarks.scale import Scale
from benchmarks.work import GET, GET_LARGE, QUERY_20, QUERY_200, Work
from tests.support.dynamodb import DynamoDB
from tests.support.processes import eventually

CLIENT = (GET, GET_LARGE, QUERY_20, QUERY_200)
RESOURCE = (GET, QUERY_20)
_MOST = 25
"""Items that DynamoDB takes in one batch."""


def measure(scale: Scale, places: Places) -> Iterator[Group]:
    """Compare hits with hits, for each read."""
    for work in CLIENT:
        yield _group(scale, work, "client", _by_client(places, work))
    for work in RESOURCE:
        yield _group(scale, work, "resource", _by_resource(places, work))


def _group(
    scale: Scale,
    work: Work,
    kind: str,
    contenders: dict[str, Callable[[], object] | Contender],
) -> Group:
    times = time_rounds(contenders, rounds=scale.rounds, seconds=scale.seconds)
    title = f"Hit: {work.title}, {kind}"
    return Group(f"hit-{work.name}-{kind}", title, names.HANDLER, times)


# --- a client ----------------------------------------------------------------------


def _by_client(
    places: Places, work: Work
) -> dict[str, Callable[[], object] | Contender]:
    floor = client(Transport(work.answer))
    answer_in_handler(floor, work.answer)
    contenders: dict[str, Callable[[], object] | Contender] = {
        names.HANDLER: asking(floor, work)
    }
    for name, settings in places.variants().items():
        transport = Transport(work.answer)
        contenders[name] = always_hit(
            asking(client(transport, **settings), work), transport
        )
    contenders[names.RIVAL] = places.rival.contender("client", work)
    contenders |= by_hand(places, work)
    contenders[names.MOTO] = asking(
        places.moto.client(session()), work, stored_on(places.moto, work)
    )
    return contenders


def always_hit(call: Callable[[], object], transport: Transport) -> Contender:
    """Return the contender that fails unless each call of it is a hit."""

    def is_hit() -> bool:
        sent = transport.sent
        call()
        return transport.sent == sent

    eventually(is_hit)  # SQLite may take its time to open

    def run(calls: int) -> float:
        sent = transport.sent
        seconds = timed(call).run(calls)
        if transport.sent != sent:
            raise AssertionError(f"{transport.sent - sent} of {calls} were no hits")
        return seconds

    return Contender(run)


def by_hand(places: Places, work: Work) -> dict[str, Callable[[], object] | Contender]:
    """Return the ways to do it by hand, and the physical limit."""
    key = f"by-hand:{work.name}"
    bare, text = places.bare, json.dumps(work.answer)
    bare.set(key, text)
    packed = msgspec.msgpack.encode(work.answer)
    mget = [f"mget:{work.name}:{number}" for number in range(4)]
    bare.mset(dict(zip(mget, (packed, *[b"0123456789abcdef"] * 3), strict=True)))
    cache: Any = cachetools.TTLCache(maxsize=100_000, ttl=TTL)
    cache[key] = work.answer
    entries, decode = {key: packed}, msgspec.msgpack.Decoder(dict[str, Any]).decode
    return {
        names.BY_HAND_REDIS: lambda: json.loads(bare.get(key)),
        names.BY_HAND_TTL: lambda: copy.deepcopy(cache[key]),
        names.LIMIT: lambda: decode(entries[key]),
        names.MGET: partial(bare.mget, mget),
    }


def stored_on(moto: DynamoDB, work: Work) -> str:
    """Put what is asked for on a server; return the table's name."""
    name = moto.create_table("pk:S", "sk:S")
    made = moto.client(session())
    items = [work.answer["Item"]] if "Item" in work.answer else work.answer["Items"]
    for at in range(0, len(items), _MOST):
        puts = [{"PutRequest": {"Item": item}} for item in items[at : at + _MOST]]
        made.batch_write_item(RequestItems={name: puts})
    return name


# --- a resource --------------------------------------------------------------------


def _by_resource(
    places: Places, work: Work
) -> dict[str, Callable[[], object] | Contender]:
    floor = table(work.name, Transport(work.answer))
    answer_in_handler(floor.meta.client, work.answer)
    contenders: dict[str, Callable[[], object] | Contender] = {
        names.HANDLER: asking_plainly(floor, work)
    }
    for name, settings in places.variants().items():
        transport = Transport(work.answer)
        made = table(work.name, transport, **settings)
        contenders[name] = always_hit(asking_plainly(made, work), transport)
    contenders[names.RIVAL] = places.rival.contender("resource", work)
    cache: Any = cachetools.TTLCache(maxsize=100_000, ttl=TTL)
    cache[work.name] = asking_plainly(floor, work)()
    contenders[names.BY_HAND_TTL] = lambda: copy.deepcopy(cache[work.name])
    stored = places.moto.resource(session()).Table(stored_on(places.moto, work))
    contenders[names.MOTO] = asking_plainly(stored, work)
    return contenders
