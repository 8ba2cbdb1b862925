"""A program: a service whose table is followed, because others write around the cache.

It reads all the time, writes a little through the cache, and journals all of it.
Its argument is a Service, as JSON. It ends when its standard input does.
"""

import json
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

import botocache
from botocache._cache import heartbeats
from tests.soak.journal import Journal, Outcome
from tests.support.dynamodb import DynamoDB

_PAUSE = 0.004
_WRITES = 0.005


@dataclass(frozen=True, slots=True)
class Service:
    """What a worker does.

    trust: in place of TRUST, which is long for a short soak.
    mutant: "trusts for ever", or "".
    """

    name: str
    url: str
    table: str
    store: str
    journals: str
    items: int
    ttl_unfollowed: float
    trust: float
    ttl: float = 3600.0
    has_near: bool = True
    mutant: str = ""

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def work(service: Service, end: threading.Event) -> None:
    """Make calls until the end."""
    vars(heartbeats)["TRUST"] = service.trust
    if service.mutant:
        vars(heartbeats)["Heartbeats"].trusted_until = _trust_for_ever
    random = Random(service.name)
    journal = Journal(Path(service.journals, f"{service.name}.journal"))
    dynamodb = DynamoDB(service.url)
    session = dynamodb.session()
    botocache.install(
        session,
        url=service.store,
        ttl=service.ttl,
        ttl_unfollowed=service.ttl_unfollowed,
        settle=0.02,
        write_hold_off=0.5,
        near=service.has_near,
        stats_interval=0,
    )
    client = dynamodb.client(session)
    number = 0
    while not end.wait(random.uniform(0, _PAUSE)):
        number += 1
        name, item = f"{service.name}/{number}", str(random.randrange(service.items))
        try:
            if random.random() < _WRITES:
                _write(client, service.table, item, name, journal)
            else:
                _read(client, service.table, item, name, journal)
        except Exception as error:  # noqa: BLE001 - it is written down
            journal.error(f"{name}: {error!r}")
            time.sleep(0.1)  # real: not to fill the journal


def _trust_for_ever(*arguments: object) -> float:
    """Trust a heartbeat that no follower has posted. A mutant."""
    _, _, _, now, _ = arguments
    assert isinstance(now, float)
    return now + 3600.0


def _write(client: Any, table: str, item: str, name: str, journal: Journal) -> None:
    journal.started(name, "PutItem", {item: name}, ())
    client.put_item(TableName=table, Item={"id": {"S": item}, "v": {"S": name}})
    journal.ended(name, outcome=Outcome.APPLIED.value)


def _read(client: Any, table: str, item: str, name: str, journal: Journal) -> None:
    journal.started(name, "GetItem", {}, ())
    answer = client.get_item(TableName=table, Key={"id": {"S": item}})
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    seen = answer.get("Item", {}).get("v", {}).get("S")
    journal.ended(name, saw={item: seen}, hit=headers.get("x-botocache") == "hit")


def main() -> None:
    """Be a worker."""
    end = threading.Event()

    def wait_for_the_end() -> None:
        sys.stdin.read()
        end.set()

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    work(Service(**json.loads(sys.argv[1])), end)


if __name__ == "__main__":
    main()
