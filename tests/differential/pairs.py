"""The two sides of a program, and the comparison of what they come to.

One side has the cache: two applications, as two processes would be, on one store. The
other has none. Each has tables of its own, with names of equal length.
"""

import copy
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

import botocache
from botocache import Cache
from botocache.stores.protocol import Store
from tests.differential.calls import Call, Parameters, make
from tests.differential.tables import NAME, Shape, Traits, table_name
from tests.support.clock import FakeClock
from tests.support.dynamodb import DynamoDB
from tests.support.network import intercept

READS = {
    "BatchGetItem",
    "GetItem",
    "Query",
    "Scan",
    "TransactGetItems",
}
"""Operations that read and never write."""

NEAR = {"GetItem", "Query", "Scan"}
"""Those that the near cache answers."""

_NO_RETRIES = Config(retries={"max_attempts": 0, "mode": "standard"})
_OWN_WRITE_WINDOW = {"write_hold_off": 4.0}
"""What makes the other application's cache another object: see `botocache.install`."""


_TIMES = 3
"""How often a call is made that is a hit: the last time the near cache answers it."""


_serials = count(1)
"""Of programs: one that fails may leave a table behind."""


class DifferenceError(AssertionError):
    """The cache showed. Its message is the program."""


class Application:
    """A client and a resource of one session, and what they sent to the server."""

    def __init__(self, server: DynamoDB) -> None:
        self._session = server.session()
        self._server = server
        self.requests: Counter[str] = Counter()
        self.cache: Cache | None = None

    def with_cache(self, store: Store, settings: Mapping[str, Any]) -> "Application":
        """Install the cache on it."""
        self.cache = botocache.install(self._session, url=store, **settings)
        return self

    def connect(self) -> "Application":
        """Make client and resource."""
        self.client = self._server.client(self._session, config=_NO_RETRIES)
        self.resource = self._server.resource(self._session, config=_NO_RETRIES)
        for client in (self.client, self.resource.meta.client):
            intercept(client, "before-send.dynamodb", self._count)
        return self

    def close(self) -> None:
        """Take the cache off, and close the connections."""
        botocache.uninstall(self._session)
        self.client.close()
        self.resource.meta.client.close()

    def _count(self, *, event_name: str, **_: Any) -> None:
        self.requests[event_name.rpartition(".")[2]] += 1

    @property
    def reads(self) -> int:
        """How many requests that read have reached the server."""
        return sum(self.requests[operation] for operation in READS)


@dataclass(frozen=True)
class Side:
    """Its applications, and how its tables are called."""

    applications: tuple[Application, ...]
    prefix: str

    def make(self, call: Call, serial: int) -> "Outcome":
        """Make a call of a program on this side's tables.

        serial: of the program, so that each has tables of its own.
        """
        number = call.application % len(self.applications)
        application = self.applications[number]
        own = f"{self.prefix}{serial}-"
        outcome = _outcome(
            lambda: make(
                _renamed_call(call, own), application.client, application.resource
            )
        )
        return Outcome(outcome.kind, _renamed(outcome.value, own, NAME), outcome.raw)

    @property
    def reads(self) -> int:
        """How many requests that read have reached the server."""
        return sum(application.reads for application in self.applications)


@dataclass(frozen=True)
class Outcome:
    """The parts of a call's outcome that are compared. raw: the answer itself."""

    kind: str
    value: Any
    raw: Any = field(compare=False, repr=False)


@dataclass
class Pair:
    """Both sides, on one server.

    calls: how many were made and compared. answered: how many of them with an answer.
    """

    cached: Side
    direct: Side
    clock: FakeClock
    traits: Traits
    calls: int = 0
    answered: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    _serial: int = 0
    _program: list[str] = field(default_factory=list)
    _created: set[int] = field(default_factory=set)

    def begin(self) -> None:
        """Begin a program: its tables are new."""
        self._serial = next(_serials)
        self._program.clear()
        self._created.clear()

    def end(self) -> None:
        """Delete the tables of the program, without a look at the cache."""
        for side in (self.cached, self.direct):
            client = side.applications[0].client
            for number in self._created:
                name = f"{side.prefix}{self._serial}-{number}"
                client.delete_table(TableName=name)
        self._created.clear()

    def compare(self, call: Call) -> Outcome:
        """Make a call on both sides. Raises DifferenceError, with the whole program."""
        self._program.append(str(call))
        direct = self.direct.make(call, self._serial)
        for _ in range(_TIMES if call.operation in NEAR else 1):
            reads = self.cached.reads
            cached = self.cached.make(call, self._serial)
            if cached != direct:
                raise DifferenceError(self._report(cached, direct))
            scribble(cached.raw)
            self.calls += 1
            if self.cached.reads > reads:
                break
        counts = self.answered if direct.kind == "answer" else self.refused
        counts[call.operation] += 1
        return direct

    def pass_time(self, seconds: float) -> None:
        """Let time pass for the stores."""
        if not seconds:
            return
        self._program.append(f"clock.advance({seconds})")
        self.clock.advance(seconds)

    def create(self, number: int, shape: Shape) -> None:
        """Create a table of the program."""
        parameters = {"TableName": table_name(number), **shape.creation()}
        self.compare(Call("CreateTable", parameters))
        self._created.add(number)

    def drop(self, number: int) -> None:
        """Delete a table of the program."""
        self.compare(Call("DeleteTable", {"TableName": table_name(number)}))
        self._created.discard(number)

    def close(self) -> None:
        """Take the cache off, and close the connections."""
        for side in (self.cached, self.direct):
            for application in side.applications:
                application.close()

    @property
    def hits(self) -> int:
        """How many reads the caches have answered."""
        caches = (application.cache for application in self.cached.applications)
        return sum(cache.stats().hits for cache in caches if cache is not None)

    @property
    def near_hits(self) -> int:
        """How many of them out of a process's own memory."""
        caches = (application.cache for application in self.cached.applications)
        return sum(cache.stats().near_hits for cache in caches if cache is not None)

    @property
    def failures(self) -> Counter[str]:
        """What went wrong inside the caches, by kind."""
        total: Counter[str] = Counter()
        for application in self.cached.applications:
            if application.cache is not None:
                total.update(application.cache.stats().failures)
        return total

    def _report(self, cached: Outcome, direct: Outcome) -> str:
        return "\n".join(
            [
                "the cache shows; the program:",
                *(f"  {line}" for line in self._program),
                f"with the cache    {cached.kind}: {cached.value!r}",
                f"without the cache {direct.kind}: {direct.value!r}",
            ]
        )


def pair_of(
    server: DynamoDB,
    stores: Iterable[Store],
    clock: FakeClock,
    settings: Mapping[str, Any],
    traits: Traits,
) -> Pair:
    """Return both sides. stores: how each application of the one reaches its store."""
    own: tuple[Mapping[str, Any], ...] = ({}, _OWN_WRITE_WINDOW)
    applications = tuple(
        Application(server).with_cache(store, {**settings, **more}).connect()
        for store, more in zip(stores, own, strict=True)
    )
    return Pair(
        Side(applications, "cached"),
        Side((Application(server).connect(),), "direct"),
        clock,
        traits,
    )


# --- outcomes ----------------------------------------------------------------------

_ANSWER = "answer"
_VOLATILE = {"CreationDateTime", "IndexArn", "TableArn", "TableId", "DeletionDateTime"}
"""What describes a table and no other."""


def _outcome(call: Callable[[], Any]) -> Outcome:
    try:
        answer = call()
    except ClientError as error:
        response = {**error.response}
        response.pop("ResponseMetadata", None)
        return Outcome(f"error {type(error).__name__}", response, None)
    except (BotoCoreError, TypeError, ValueError) as error:  # of the parameters
        return Outcome(f"error {type(error).__name__}", str(error), None)
    return Outcome(_ANSWER, _comparable(answer), answer)


def _comparable(answer: Any) -> Any:
    """Return what of an answer must be equal, as a copy."""
    if isinstance(answer, list):
        return [_comparable(page) for page in answer]
    comparable = copy.deepcopy(answer)
    metadata = comparable.pop("ResponseMetadata", {})
    _require_metadata(metadata)
    consumed = comparable.pop("ConsumedCapacity", [])
    if not isinstance(consumed, list):
        # In a batch moto returns it unrequested, and ministack never.
        comparable["ConsumedCapacity"] = _capacity(consumed)
    if isinstance(comparable.get("Responses"), dict):
        # DynamoDB promises no order of a batch. botocache and these servers keep the
        # request's, unless a projection leaves out to which key an item belongs.
        for items in comparable["Responses"].values():
            items.sort(key=repr)
    return _lasting(comparable)


def _require_metadata(metadata: Mapping[str, Any]) -> None:
    assert metadata["HTTPStatusCode"] == 200
    assert metadata["RequestId"]
    assert metadata["RetryAttempts"] == 0
    assert isinstance(metadata["HTTPHeaders"], dict)


def _capacity(consumed: Mapping[str, Any]) -> Any:
    """Return the tables and indexes that consumed capacity, without the numbers."""
    assert consumed["CapacityUnits"] >= 0.0
    return consumed["TableName"]


def _lasting(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: _lasting(member)
            for name, member in value.items()
            if name not in _VOLATILE
        }
    if isinstance(value, list):
        return [_lasting(member) for member in value]
    return value


def scribble(answer: Any) -> None:
    """Spoil an answer all through, as its owner may."""
    if isinstance(answer, dict):
        members = list(answer.values())
        answer.clear()
        answer["spoilt"] = {"S": "spoilt"}
    elif isinstance(answer, list):
        members = list(answer)
        answer[:] = ["spoilt"]
    elif isinstance(answer, set):
        members = []
        answer.clear()
    else:
        return
    for member in members:
        scribble(member)


# --- names of tables ---------------------------------------------------------------


def _renamed_call(call: Call, own: str) -> Call:
    parameters: Parameters = _renamed(call.parameters, NAME, own)
    return Call(call.operation, parameters, call.paging, call.door, call.application)


def _renamed(value: Any, old: str, new: str) -> Any:
    """Return a value with the names of tables in it replaced."""
    if isinstance(value, str):
        return value.replace(old, new)
    if isinstance(value, dict):
        return {
            _renamed(name, old, new): _renamed(member, old, new)
            for name, member in value.items()
        }
    if isinstance(value, list):
        return [_renamed(member, old, new) for member in value]
    return value
