"""Threads that miss the same item send one request, through either door."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
import urllib3.exceptions
from botocore.config import Config
from botocore.exceptions import ClientError

import botocache
from botocache import Cache
from botocache._cache import coalescing
from botocache.stores.disk.store import DiskStore
from botocache.stores.memory import MemoryStore
from tests.support.clock import FakeClock
from tests.support.dynamodb import REGION, new_botocore_session
from tests.support.network import intercepted
from tests.support.processes import TIMEOUT, eventually
from tests.support.refusing_server import Refusal, RefusingServer

KEY_ID = "AKIAAPPLICATION00000"
GET = (KEY_ID, "GetItem")

each_door = pytest.mark.parametrize("near", ["on", "off"])


@pytest.fixture
def server(refusing: RefusingServer) -> RefusingServer:
    return refusing


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait as long as a busy machine may take."""
    monkeypatch.setattr(coalescing, "PATIENCE", float(TIMEOUT))


class Readers:
    """Threads of one application that read one item at once.

    outcomes: what each has got: the header of a hit, "miss", or the code of an error.
    errors: what has interrupted them.
    """

    def __init__(
        self,
        server: RefusingServer,
        near: Any,
        clock: Callable[[], float] = time.time,
        store: Any = None,
        **settings: Any,
    ) -> None:
        core = new_botocore_session()
        session = boto3.Session(
            KEY_ID, "secret", region_name=REGION, botocore_session=core
        )
        # With a scope: handlers that are not known might tell callers apart.
        self.session = session
        self.cache: Cache = botocache.install(
            session,
            url=store or MemoryStore(clock=clock),
            near=near,
            scope="readers",
            **settings,
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


# --- with stale answers ---------------------------------------------------------------

TTL, STALE = 60.0, 30.0
THROTTLED = Refusal("ProvisionedThroughputExceededException")
UNAVAILABLE = Refusal("ServiceUnavailable", 503)


def _stale_readers(server: RefusingServer, near: Any, clock: FakeClock) -> Readers:
    """Return readers of an item that the cache has, and whose TTL is over."""
    readers = Readers(server, near, clock, ttl=TTL, stale_if_throttled=STALE, settle=0)
    readers.get()
    clock.advance(TTL + 1)
    server.asked.clear()
    return readers


def _count(readers: Readers, name: str) -> int:
    return sum(getattr(each, name) for each in readers.cache.stats().tables)


@each_door
@pytest.mark.parametrize("refusal", [THROTTLED, UNAVAILABLE])
def test_those_who_wait_for_a_refused_read_are_answered_stale_and_ask_nothing(
    near: str, refusal: Refusal, server: RefusingServer, clock: FakeClock
) -> None:
    readers = _stale_readers(server, near, clock)
    server.refuse(KEY_ID, refusal=refusal)
    server.before_answer = _once(lambda: eventually(lambda: readers.waiting() == 49))
    seen: list[tuple[int, Any]] = []
    readers.client.meta.events.register(
        "after-call.dynamodb.GetItem",
        lambda http_response, parsed, **_: seen.append(
            (http_response.status_code, parsed["ResponseMetadata"]["HTTPHeaders"])
        ),
    )
    readers.run(50)
    assert readers.outcomes == {"stale": 50}
    assert server.asked[GET] == 1
    assert seen == [(200, {"x-botocache": "stale", "age": "61"})] * 50
    names = ("answered_stale", "misses", "hits", "fills", "coalesced")
    assert [_count(readers, name) for name in names] == [50, 51, 0, 1, 0]
    assert readers.cache.stats().failures == {}
    # Nobody remembers a stale answer.
    server.refuse()
    server.before_answer = lambda _what: None
    readers.run(1)
    assert readers.outcomes == {"stale": 50, "miss": 1}


@each_door
def test_a_waiter_whose_own_look_has_no_stale_answer_asks(
    near: str, server: RefusingServer, clock: FakeClock
) -> None:
    readers = _stale_readers(server, near, clock)
    server.refuse(KEY_ID, refusal=THROTTLED)

    def end_them() -> None:
        eventually(lambda: readers.waiting() == 4)
        clock.advance(STALE)  # since the first one looked

    server.before_answer = _once(end_them)
    readers.run(5)
    assert readers.outcomes == {THROTTLED.code: 5}
    assert (server.asked[GET], _count(readers, "answered_stale")) == (5, 0)


@each_door
@pytest.mark.parametrize("code", ["AccessDeniedException", "ValidationException"])
def test_after_an_error_of_another_kind_waiters_ask(
    near: str, code: str, server: RefusingServer, clock: FakeClock
) -> None:
    readers = _stale_readers(server, near, clock)
    server.refuse(KEY_ID, refusal=Refusal(code))
    server.before_answer = _once(lambda: eventually(lambda: readers.waiting() == 4))
    readers.run(5)
    assert readers.outcomes == {code: 5}
    assert (server.asked[GET], _count(readers, "answered_stale")) == (5, 0)


@each_door
def test_a_waiter_that_takes_no_retries_gives_none_back(
    near: str, server: RefusingServer, clock: FakeClock
) -> None:
    readers = _stale_readers(server, near, clock)
    server.refuse(KEY_ID, refusal=THROTTLED)
    server.before_answer = _once(lambda: eventually(lambda: readers.waiting() == 1))
    contexts: list[Any] = []
    readers.client.meta.events.register(
        "after-call.dynamodb.GetItem", lambda context, **_: contexts.append(context)
    )
    readers.run(2)
    assert [each["retry_quota_capacity"] for each in contexts] == [0, 0]


def test_without_an_answer_in_time_those_who_wait_are_answered_stale(
    server: RefusingServer, clock: FakeClock
) -> None:
    readers = _stale_readers(server, "on", clock)

    lost = urllib3.exceptions.ProtocolError("lost", ConnectionResetError())
    sent: list[None] = []

    def fail(**_: Any) -> None:
        sent.append(None)
        eventually(lambda: readers.waiting() == 9)
        raise lost

    with intercepted(readers.client, "before-send", fail):
        readers.run(10)
    assert readers.outcomes == {"stale": 10}
    assert len(sent) == 1


@each_door
def test_readers_that_wait_while_the_cache_is_uninstalled_ask_for_themselves(
    near: str, server: RefusingServer
) -> None:
    """No later write of this process evicts, so what is answered then is not filled."""
    readers = Readers(server, near)

    def uninstall() -> None:
        eventually(lambda: readers.waiting() == 9)
        botocache.uninstall(readers.session)

    server.before_answer = _once(uninstall)
    readers.run(10)
    assert readers.outcomes == {"miss": 10}
    assert server.asked[GET] == 10
    assert not len(readers.cache.coalescing)
    assert readers.cache.stats().fills == 0


@each_door
def test_a_call_that_is_interrupted_keeps_no_lease_though_its_traceback_is_kept(
    near: str, server: RefusingServer, tmp_path: Path
) -> None:
    store = DiskStore(tmp_path / "here")
    readers = Readers(server, near, store=store, miss_leases=True)

    def interrupt(**_: Any) -> None:
        raise KeyboardInterrupt

    readers.client.meta.events.register("before-send.dynamodb.*", interrupt)
    readers.run(1)
    assert readers.outcomes == {"interrupted": 1}
    assert len(readers.errors) == (near == "on")
    assert not store._leases.held
