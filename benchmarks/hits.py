"""Hits on each store, beside botocache 0.0.6 and caching by hand.

A hit of botocache is a fresh object each time, and so is one by hand; botocache 0.0.6
hands out one shared object. The transport of a client counts what is no hit.
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
    client,
    reading,
    reading_plainly,
    resource,
    session,
)
from benchmarks.measure import (
    Contender,
    Group,
    time_rounds,
    timed,
    timed_group,
)
from benchmarks.places import TTL, Places
from benchmarks.scale import Scale
from benchmarks.work import GET, GET_LARGE, QUERY_20, QUERY_200, Work
from botocache._near import answers
from tests.support.dynamodb import DynamoDB
from tests.support.processes import eventually

CLIENT = (GET, GET_LARGE, QUERY_20, QUERY_200)
RESOURCE = (GET, QUERY_20)
MOST_PUTS = 25
"""Items that DynamoDB accepts in one batch."""

Contenders: TypeAlias = dict[str, Callable[[], object] | Contender]


@dataclass(frozen=True)
class Made:
    """A client or resource, and its transport."""

    it: Any
    transport: Transport


def measure(scale: Scale, places: Places) -> Iterator[Group]:
    """Compare hits with each other, then with calls to a server."""
    clients = _all(places, client)
    for work in CLIENT:
        contenders = _by_client(scale, places, clients, work)
        name, title = f"hit-{work.name}-client", f"Hit: {work.title}, client"
        yield timed_group(name, title, names.HANDLER, contenders, scale)
    for work in CLIENT:
        yield _beside_server(scale, places, clients, work)
    yield _looked_up_early(scale, places)
    resources = _all(places, resource)
    for work in RESOURCE:
        contenders = _by_resource(scale, places, resources, work)
        name, title = f"hit-{work.name}-resource", f"Hit: {work.title}, resource"
        yield timed_group(name, title, names.HANDLER, contenders, scale)


def _all(places: Places, make: Callable[..., Any]) -> dict[str, Made]:
    """Make a client or resource with the settings of each variant."""
    made = {}
    for name, settings in places.variants().items():
        transport = Transport()
        made[name] = Made(make(transport, **settings), transport)
    return made


def always_hit(call: Callable[[], object], transport: Transport) -> Contender:
    """Return a contender that fails unless each of its calls is a hit."""

    def is_hit() -> bool:
        sent = transport.sent
        call()
        return transport.sent == sent

    eventually(is_hit)  # the disk store opens its database in the background

    def run(calls: int) -> float:
        sent = transport.sent
        seconds = timed(call).run(calls)
        if transport.sent != sent:
            raise AssertionError(f"{transport.sent - sent} of {calls} were no hits")
        return seconds

    return Contender(run)


# --- a client ----------------------------------------------------------------------


def _by_client(
    scale: Scale, places: Places, clients: Mapping[str, Made], work: Work
) -> Contenders:
    floor = client(Transport())
    answer_in_handler(floor, work.answer)
    return {
        names.HANDLER: reading(floor, work),
        **_hits(clients, work),
        **_rival(scale, places, "client", work),
        **by_hand(places.bare, work),
    }


def _hits(clients: Mapping[str, Made], work: Work) -> Contenders:
    contenders: Contenders = {}
    for name, made in clients.items():
        made.transport.answer(work.answer)
        contenders[name] = always_hit(reading(made.it, work), made.transport)
    return contenders


def _looked_up_early(scale: Scale, places: Places) -> Group:
    """Compare hits that the near cache does not remember, so that it looks them up."""
    floor, variants = client(Transport()), places.variants()
    answer_in_handler(floor, GET.answer)
    contenders: Contenders = {names.HANDLER: reading(floor, GET)}
    for name in (names.MEMORY, names.DISK, names.REDIS, names.NEAR_OFF):
        transport = Transport(GET.answer)
        with patch.object(answers, "SIZE_LIMIT", 0):
            made = client(transport, **variants[name])
        title = name if name == names.NEAR_OFF else names.EARLY.format(name)
        contenders[title] = always_hit(reading(made, GET), transport)
    title = f"Hit: {GET.title}, client, nothing remembered"
    note = "The store has the item, and this process has not read it before."
    return timed_group(
        "hit-early-client", title, names.HANDLER, contenders, scale, note=note
    )


def _beside_server(
    scale: Scale, places: Places, clients: Mapping[str, Made], work: Work
) -> Group:
    sent = reading(places.moto.client(session()), work, stored_on(places.moto, work))
    contenders = {names.MOTO: sent, **_hits(clients, work)}
    times = time_rounds(contenders, rounds=scale.server_rounds, seconds=scale.seconds)
    title = f"Server: {work.title}, client"
    return Group(f"server-{work.name}", title, names.MOTO, times)


def stored_on(moto: DynamoDB, work: Work) -> str:
    """Put the items of a read on a server; return the table's name."""
    name = moto.create_table("pk:S", "sk:S", client=moto.client(session()))
    made = moto.client(session())
    items = [work.answer["Item"]] if "Item" in work.answer else work.answer["Items"]
    for at in range(0, len(items), MOST_PUTS):
        puts = [{"PutRequest": {"Item": item}} for item in items[at : at + MOST_PUTS]]
        made.batch_write_item(RequestItems={name: puts})
    return name


def _rival(scale: Scale, places: Places, kind: str, work: Work) -> Contenders:
    """Return botocache 0.0.6's hit, if this scale has it."""
    return {names.RIVAL: places.rival.contender(kind, work)} if scale.has_rival else {}


# --- a resource --------------------------------------------------------------------


def _by_resource(
    scale: Scale, places: Places, resources: Mapping[str, Made], work: Work
) -> Contenders:
    floor = resource(Transport()).Table(work.name)
    answer_in_handler(floor.meta.client, work.answer)
    contenders: Contenders = {names.HANDLER: reading_plainly(floor, work)}
    for name, made in resources.items():
        made.transport.answer(work.answer)
        call = reading_plainly(made.it.Table(work.name), work)
        contenders[name] = always_hit(call, made.transport)
    contenders |= _rival(scale, places, "resource", work)
    cache: Any = cachetools.TTLCache(maxsize=100_000, ttl=TTL)
    cache[work.name] = reading_plainly(floor, work)()
    contenders[names.BY_HAND_TTL] = lambda: copy.deepcopy(cache[work.name])
    return contenders
