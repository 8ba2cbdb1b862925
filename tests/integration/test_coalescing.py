"""Threads that miss the same item send one request, through either door."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

import botocache
from botocache import Cache
from botocache._cache import coalescing
from botocache.stores.memory import MemoryStore
from tests.support.dynamodb import REGION, new_botocore_session
from tests.support.processes import TIMEOUT, eventually
from tests.support.refusing_server import Refusal, RefusingServer, refusing_server

KEY_ID = "AKIAAPPLICATION00000"
GET = (KEY_ID, "GetItem")

each_door = pytest.mark.parametrize("near", ["on", "off"])


@pytest.fixture(scope="module")
def running() -> Iterator[RefusingServer]:
    with refusing_server() as made:
        yield made


@pytest.fixture
def server(running: RefusingServer) -> RefusingServer:
    running.refuse()
    running.before_answer = lambda _what: None
    running.asked.clear()
    return running


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait as long as a busy machine may take."""
    monkeypatch.setattr(coalescing, "PATIENCE", float(TIMEOUT))


class Readers:
    """Threads of one application that read one item at once.

    outcomes: what each has got: the header of a hit, "miss", or the code of an error.
    errors: what has interrupted them.
    """

    def __init__(self, server: RefusingServer, near: Any) -> None:
        core = new_botocore_session()
        session = boto3.Session(
            KEY_ID, "secret", region_name=REGION, botocore_session=core
        )
        # With a scope: handlers that are not known might tell callers apart.
        self.cache: Cache = botocache.install(
            session, url=MemoryStore(), near=near, scope="readers"
        )
        config = Config(retries={"max_attempts": 0}, max_pool_connections=50)
        self.client = session.client("dynamodb", endpoint_url=server.url, config=config)
        self.outcomes: Counter[str] = Counter()
        self.errors: list[BaseException] = []
        self.keeps = near == "on"

    def get(self, pk: str = "a") -> dict[str, Any]:
        """Read an item."""
        answer: dict[str, Any] = self.client.get_item(
            TableName="ttt", Key={"pk": {"S": pk}}
        )
        return answer

    def waiting(self) -> int:
        """Return how many threads wait."""
        return sum(len(each.wakers) for each in self.cache.coalescing._open.values())

    def run(self, number: int, pk: str = "a") -> None:
        """Let so many threads read an item, and wait for their end."""
        threads = [
            threading.Thread(target=self._read, args=(pk,)) for _ in range(number)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(TIMEOUT)

    def _read(self, pk: str) -> None:
        try:
            answer = self.get(pk)
        except ClientError as error:
            self.outcomes[error.response["Error"]["Code"]] += 1
        except KeyboardInterrupt as error:
            if self.keeps:
                self.errors.append(error)  # with its traceback, as gevent does
            self.outcomes["interrupted"] += 1
        else:
            headers = answer["ResponseMetadata"]["HTTPHeaders"]
            assert answer["Item"]["n"] == {"N": "0"}
            self.outcomes[headers.get("x-botocache", "miss")] += 1


def _once(act: Callable[[], object]) -> Callable[[str], None]:
    """Return what does something at the first answer only."""
    left = [act]

    def before(_what: str) -> None:
        if left:
            left.pop()()

    return before


@each_door
def test_two_hundred_readers_of_a_cold_key_send_one_request(
    near: str, server: RefusingServer
) -> None:
    readers = Readers(server, near)
    server.before_answer = lambda _: eventually(lambda: readers.waiting() == 199)
    readers.run(200)
    assert server.asked[GET] == 1
    assert readers.outcomes == {"hit": 199, "miss": 1}
    stats = readers.cache.stats()
    assert (stats.misses, stats.hits, stats.failures) == (1, 199, {})
    assert sum(each.coalesced for each in stats.tables) == 199

    # Once more: the near cache knows by now which request such a call becomes.
    server.before_answer = lambda _: eventually(lambda: readers.waiting() == 9)
    readers.run(10, "b")
    assert server.asked[GET] == 2
    assert readers.outcomes == {"hit": 208, "miss": 2}


@each_door
def test_an_error_goes_to_the_one_who_asked_and_the_next_one_asks(
    near: str, server: RefusingServer
) -> None:
    readers = Readers(server, near)

    def be_well() -> None:
        eventually(lambda: readers.waiting() == 9)
        server.refuse()

    server.refuse(KEY_ID, refusal=Refusal("ProvisionedThroughputExceededException"))
    server.before_answer = _once(be_well)
    readers.run(10)
    assert server.asked[GET] == 2
    assert readers.outcomes == {
        "ProvisionedThroughputExceededException": 1,
        "miss": 1,
        "hit": 8,
    }


@each_door
def test_if_the_one_who_asks_is_interrupted_the_next_one_asks(
    near: str, server: RefusingServer
) -> None:
    readers = Readers(server, near)
    interruptions = [KeyboardInterrupt]

    def interrupt(**_: Any) -> None:
        if interruptions:
            eventually(lambda: readers.waiting() == 9)
            raise interruptions.pop()

    readers.client.meta.events.register("before-send.dynamodb.*", interrupt)
    readers.run(10)
    assert server.asked[GET] == 1
    assert readers.outcomes == {"interrupted": 1, "miss": 1, "hit": 8}


@each_door
def test_a_handler_that_reads_what_its_call_reads_does_not_wait(
    near: str, server: RefusingServer
) -> None:
    readers = Readers(server, near)
    within: list[Any] = []

    def read(**_: Any) -> None:
        if not within:
            within.append(None)
            within[0] = readers.get()

    readers.client.meta.events.register("before-send.dynamodb.*", read)
    assert readers.get()["Item"] == within[0]["Item"]
    assert server.asked[GET] == 2
    assert len(readers.cache.coalescing) == 0


@each_door
def test_who_waits_too_long_asks(
    near: str, server: RefusingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coalescing, "PATIENCE", 0.01)
    readers = Readers(server, near)
    server.before_answer = _once(lambda: eventually(lambda: server.asked[GET] == 2))
    readers.run(2)
    assert server.asked[GET] == 2
    assert readers.outcomes == {"miss": 2}
