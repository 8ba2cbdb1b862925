"""What a hit costs, for each store, and beside it what people use instead.

A hit through us is a fresh object each time, and so are those by hand; botocache 0.0.6
hands out one object. That each of ours is a hit is seen by its transport.
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias
from unittest.mock import patch

import cachetools

from benchmarks import names
from benchmarks.byhand import by_hand
from benchmarks.clients import (
    Transport,
    answer_in_handler,
    asking,
    asking_plainly,
    client,
    resource,
    session,
)
from benchmarks.measure import Contender, Group, time_rounds, timed
from benchmarks.places import TTL, Places
from benchmarks.scale import Scale
from benchmarks.work import GET, GET_LARGE, QUERY_20, QUERY_200, Work
from botocache._near import answers
from tests.support.dynamodb import DynamoDB
from tests.support.processes import eventually

CLIENT = (GET, GET_LARGE, QUERY_20, QUERY_200)
RESOURCE = (GET, QUERY_20)
MOST_PUTS = 25
"""Items that DynamoDB takes in one batch."""

Contenders: TypeAlias = dict[str, Callable[[], object] | Contender]


@dataclass(frozen=True)
class Made:
    """A client or resource, and its transport."""

    it: Any
    transport: Transport


def measure(scale: Scale, places: Places) -> Iterator[Group]:
    """Compare hits with hits, for each read; then with calls to a server."""
    clients = _all(places, client)
    for work in CLIENT:
        contenders = _by_client(places, clients, work)
        times = time_rounds(contenders, rounds=scale.rounds, seconds=scale.seconds)
        title = f"Hit: {work.title}, client"
        yield Group(f"hit-{work.name}-client", title, names.HANDLER, times)
    for work in CLIENT:
        yield _beside_server(scale, places, clients, work)
    yield _asked_ahead(scale, places)
    resources = _all(places, resource)
    for work in RESOURCE:
        contenders = _by_resource(places, resources, work)
        times = time_rounds(contenders, rounds=scale.rounds, seconds=scale.seconds)
        title = f"Hit: {work.title}, resource"
        yield Group(f"hit-{work.name}-resource", title, names.HANDLER, times)


def _all(places: Places, make: Callable[..., Any]) -> dict[str, Made]:
    """Return what is made with each way to have a cache."""
    made = {}
    for name, settings in places.variants().items():
        transport = Transport()
        made[name] = Made(make(transport, **settings), transport)
    return made


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


# --- a client ----------------------------------------------------------------------


def _by_client(places: Places, clients: Mapping[str, Made], work: Work) -> Contenders:
    floor = client(Transport())
    answer_in_handler(floor, work.answer)
    return {
        names.HANDLER: asking(floor, work),
        **_hits(clients, work),
        names.RIVAL: places.rival.contender("client", work),
        **by_hand(places.bare, work),
    }


def _hits(clients: Mapping[str, Made], work: Work) -> Contenders:
    contenders: Contenders = {}
    for name, made in clients.items():
        made.transport.answer(work.answer)
        contenders[name] = always_hit(asking(made.it, work), made.transport)
    return contenders


def _asked_ahead(scale: Scale, places: Places) -> Group:
    """Compare hits where nothing is remembered: as of another item each time."""
    floor, variants = client(Transport()), places.variants()
    answer_in_handler(floor, GET.answer)
    contenders: Contenders = {names.HANDLER: asking(floor, GET)}
    for name in (names.MEMORY, names.DISK, names.REDIS, names.NEAR_OFF):
        transport = Transport(GET.answer)
        with patch.object(answers, "SIZE_LIMIT", 0):
            made = client(transport, **variants[name])
        title = name if name == names.NEAR_OFF else names.AHEAD.format(name)
        contenders[title] = always_hit(asking(made, GET), transport)
    times = time_rounds(contenders, rounds=scale.rounds, seconds=scale.seconds)
    title = f"Hit: {GET.title}, client, nothing remembered"
    note = "As of an item that this process has not read before, and the store has."
    return Group("hit-ahead-client", title, names.HANDLER, times, note=note)


def _beside_server(
    scale: Scale, places: Places, clients: Mapping[str, Made], work: Work
) -> Group:
    asked = asking(places.moto.client(session()), work, stored_on(places.moto, work))
    contenders = {names.MOTO: asked, **_hits(clients, work)}
    times = time_rounds(contenders, rounds=scale.server_rounds, seconds=scale.seconds)
    title = f"Server: {work.title}, client"
    return Group(f"server-{work.name}", title, names.MOTO, times)


def stored_on(moto: DynamoDB, work: Work) -> str:
    """Put what is asked for on a server; return the table's name."""
    name = moto.create_table("pk:S", "sk:S", client=moto.client(session()))
    made = moto.client(session())
    items = [work.answer["Item"]] if "Item" in work.answer else work.answer["Items"]
    for at in range(0, len(items), MOST_PUTS):
        puts = [{"PutRequest": {"Item": item}} for item in items[at : at + MOST_PUTS]]
        made.batch_write_item(RequestItems={name: puts})
    return name


# --- a resource --------------------------------------------------------------------


def _by_resource(
    places: Places, resources: Mapping[str, Made], work: Work
) -> Contenders:
    floor = resource(Transport()).Table(work.name)
    answer_in_handler(floor.meta.client, work.answer)
    contenders: Contenders = {names.HANDLER: asking_plainly(floor, work)}
    for name, made in resources.items():
        made.transport.answer(work.answer)
        call = asking_plainly(made.it.Table(work.name), work)
        contenders[name] = always_hit(call, made.transport)
    contenders[names.RIVAL] = places.rival.contender("resource", work)
    cache: Any = cachetools.TTLCache(maxsize=100_000, ttl=TTL)
    cache[work.name] = asking_plainly(floor, work)()
    contenders[names.BY_HAND_TTL] = lambda: copy.deepcopy(cache[work.name])
    return contenders
