"""The targets: each reader of what others wrote, and the errors that it documents."""

import contextlib
import json
import math
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias, cast
from unittest import mock

import msgspec
from redis.exceptions import ConnectionError as LostError

from botocache._cache.cache import Cache, decode_body
from botocache._cache.call_store import CallStore
from botocache._cache.entries import CLOCK_SKEW, ClearEntries, decode_header
from botocache._cache.invalidation import check_against, checked_key, checked_table
from botocache._cache.key_schemas import KeySchemas, schema_key
from botocache._cache.prepare import Call
from botocache._cache.read_mode import Mode
from botocache._cache.tickets import Hit
from botocache._coherence import EvictionRequest, Held, Loaded
from botocache._dynamodb.expressions import canonical_expressions, read_key_condition
from botocache._dynamodb.items import partitions_of, stored_item
from botocache._dynamodb.operations import plan
from botocache._dynamodb.plans import BatchRead, Bypass, Describe, Read, Write
from botocache._dynamodb.projections import project, read_projection
from botocache._dynamodb.read_units import MOST_BLOCKS
from botocache._dynamodb.tags import tag_digest
from botocache._dynamodb.updates import apply, read_update
from botocache._errors import (
    CodecError,
    ConfigError,
    StoreError,
    StoreUnavailableError,
)
from botocache._explain import ExplainError, explain
from botocache._near import batch_arguments, call_keys, copies
from botocache._near.client_state import OPERATIONS as NEAR_OPERATIONS
from botocache._near.request_bodies import derive_body, resource_body, wire_body
from botocache._settings.load import Settings, load_settings
from botocache.stores.disk.generation_file import _checked
from botocache.stores.disk.slot_words import SLOT_COUNT
from botocache.stores.memory import MemoryStore
from botocache.stores.opening import open_store
from botocache.stores.options import identity_of
from botocache.stores.protocol import Fill
from botocache.stores.redis.compression import UNPACKED_LIMIT, unpack
from botocache.stores.redis.store import RedisStore
from botocache.stores.redis.tracking.messages import Listener
from botocache.stores.redis.types import Connection
from botocache.stores.redis.urls import connections_of_url
from botocache.stores.urls import without_secrets
from tests.fuzz.inputs import (
    JSON_LEAVES,
    OBJECT_LEAVES,
    Edit,
    HostileError,
    cases_of,
    edited_bytes,
    edited_document,
)
from tests.support.entries import decode_entry, encode_packed

Body: TypeAlias = dict[str, Any]

NAMES = {"#n": "name", "#k": "id", "#r": "size"}
VALUES = {":v": {"S": "x"}, ":w": {"N": "1.0"}, ":b": {"B": "YQ=="}}
ITEM: Body = {
    "id": {"S": "7"},
    "n": {"N": "41"},
    "a": {"M": {"b": {"L": [{"S": "x"}, {"M": {"c": {"N": "1"}}}]}}},
    "l": {"L": [{"S": "x"}]},
}


@dataclass(frozen=True)
class Target:
    """A reader of what others wrote.

    corpus: the file with its cases.
    run: gives it one input. Raises AssertionError if the result is wrong.
    errors: that it documents, and so may raise.
    leaves: make values of a document; none for a corpus of bytes.
    """

    corpus: str
    run: Callable[[Any], object]
    errors: tuple[type[Exception], ...] = ()
    leaves: Sequence[Callable[[], object]] = JSON_LEAVES

    def input_of(self, pick: int, edits: Sequence[Edit]) -> object:
        """Return an input. pick: of its case."""
        cases = cases_of(self.corpus)
        case = cases[pick % len(cases)]
        if isinstance(case, bytes):
            return edited_bytes(case, edits, cases)
        return edited_document(case, edits, cases, self.leaves)

    def try_out(self, given: object) -> None:
        """Give it an input. Raises what it must not raise."""
        with contextlib.suppress(*self.errors):
            self.run(given)


# --- decoders ----------------------------------------------------------------------


def _entry(raw: bytes) -> None:
    header = decode_header(raw)
    assert len(header.snapshot) <= 255
    assert -math.inf < header.stored_at <= header.expires_at < math.inf
    assert 0 < header.cost.blocks <= MOST_BLOCKS
    # An attacker knows how the checksum is made.
    sealed = encode_packed(raw[header.end :], *header[:3], cost=header.cost)
    entry, answer = decode_entry(sealed)
    assert type(answer) is dict
    assert entry.copier()() == answer
    assert entry.copier()() is not entry.copier()()
    with contextlib.suppress(CodecError):
        decode_entry(raw)


def _frame(value: bytes) -> None:
    entry = unpack(value)
    assert entry is None or len(entry) <= max(UNPACKED_LIMIT, len(value))


class _Socket:
    """Has some bytes, in pieces of a size, and then ends."""

    def __init__(self, data: bytes) -> None:
        self._data = data[1:]
        self._size = data[0] * 16 + 1 if data else 1
        self._file = _always_readable()

    def fileno(self) -> int:
        return self._file

    def settimeout(self, _: float) -> None:
        pass

    def recv(self, most: int) -> bytes:
        size = min(self._size, most)
        chunk, self._data = self._data[:size], self._data[size:]
        return chunk


@cache
def _always_readable() -> int:
    return os.open(os.devnull, os.O_RDONLY)


class _FakeConnection:
    """A connection of redis-py to a server that sends what it likes."""

    def __init__(self, data: bytes) -> None:
        self._sock = _Socket(data)


_MESSAGES = "botocache.stores.redis.tracking.messages."


def _messages(data: bytes) -> None:
    with mock.patch(_MESSAGES + "require_ours"), mock.patch(_MESSAGES + "set_deadline"):
        listener = Listener(cast("Connection", _FakeConnection(data)))
        while True:
            for _ in listener.read_messages(1.0):
                pass


def _header(raw: bytes) -> None:
    size = 64 + SLOT_COUNT * 16
    status = os.stat_result((0, 0, 0, 0, 0, 0, size, 0, 0, 0))
    assert _checked(raw[:48], status, b"b" * 16) > 0


class _Loads:
    """A store that has one entry."""

    def __init__(self, entry: bytes) -> None:
        self._entry = entry

    def load(self, _key: bytes, tags: Sequence[bytes]) -> Loaded:
        return Loaded(self._entry, (7,) * len(tags), Held.FREE)

    def now(self) -> float:
        return 1000.0


def _schemas(body: object) -> None:
    try:
        packed = msgspec.msgpack.encode(body)
    except (OverflowError, RecursionError, TypeError, UnicodeEncodeError):
        return  # MessagePack cannot hold it
    raw = encode_packed(packed, (7,), 900.0, 2000.0, schema_key("t"))
    # It uses nothing but the codec.
    schemas = KeySchemas(cast("Any", None), ClearEntries(), 60.0, lambda: 1000.0)
    shared = schemas._load_shared(CallStore(cast("Any", _Loads(raw))), "t")
    for origin, (confirmed_at, types) in shared.schemas.items():
        assert type(origin) is str
        assert 0.0 <= confirmed_at <= 1000.0 + CLOCK_SKEW
        assert all(type(each) is str for pair in types.items() for each in pair)
        with contextlib.suppress(ValueError):
            check_against("t", {"id": {"S": "7"}}, [types])
        schema = shared.schema((origin, "t"), b"tag")
        assert schema is not None
        assert isinstance(hash(schema), int)


# --- replies of a server -----------------------------------------------------------


def _as_reply(part: Any) -> Any:
    """Return a document as the reply of a server: text is bytes there."""
    if isinstance(part, str):
        if part.startswith("-"):
            return LostError(part)
        return part.encode("latin-1", "replace")
    if isinstance(part, (list, tuple)):
        return [_as_reply(each) for each in part]
    if isinstance(part, dict):
        return {_as_reply(k): _as_reply(v) for k, v in part.items()}
    return part


@cache
def _redis_store() -> RedisStore:
    options = Settings(url="redis://127.0.0.1:1").store_options({})
    name, make = connections_of_url(options.url, 0.01)
    return RedisStore(make, options, name=name)


_A, _B = b"a" * 16, b"b" * 16

_VERBS: Sequence[Callable[[RedisStore], object]] = [
    lambda store: store.load(_A, [_A, _B]),
    lambda store: store.load_many([(_A, [_A]), (_B, [_B, _A])]),
    lambda store: store.fill_many([Fill(_A, b"entry", 60.0, (_A, _B))]),
    lambda store: store.evict(EvictionRequest([_A, _B], 1.0, watch=[_B])),
    lambda store: store.evict(EvictionRequest([_A], 1.0)),
    lambda store: store.clear(),
]


def _replies(document: object) -> None:
    if not isinstance(document, dict):
        return
    store = _redis_store()
    answers = document.get("replies")
    given = iter(_as_reply(answers) if isinstance(answers, list) else [])

    def ask(_packed: bytes, count: int, *_: object, **__: object) -> list[Any]:
        replies = next(given, None)
        if not isinstance(replies, list):
            raise StoreError("the end")
        return (replies * count)[:count]

    with (
        mock.patch.object(store._connections, "ask", ask),
        mock.patch.object(store._breaker, "check"),
        mock.patch.object(store._breaker, "failed"),
    ):
        verb = document.get("verb")
        chosen = verb if type(verb) is int else 0
        loaded = _VERBS[chosen % len(_VERBS)](store)
    for each in loaded if isinstance(loaded, list) else [loaded]:
        if isinstance(each, Loaded):
            assert all(type(word) is int for word in each.snapshot)
            assert each.entry is None or type(each.entry) is bytes
    assert math.isfinite(store.now())


# --- expressions -------------------------------------------------------------------


def _expression(raw: bytes) -> None:
    text = raw.decode("utf-8", "surrogateescape")
    read_key_condition(text, NAMES, VALUES)
    body: Body = {
        "ExpressionAttributeNames": NAMES,
        "ExpressionAttributeValues": VALUES,
    }
    projection = read_projection({**body, "ProjectionExpression": text})
    bare = read_projection({"ProjectionExpression": text})
    for each in (projection, bare):
        if each is not None:
            assert len(each.paths) <= 4096
            project(ITEM, each)
    update = read_update({**body, "UpdateExpression": text})
    if update is not None:
        new = apply(update, ITEM, {"id": {"S": "7"}})
        assert new is None or all(type(name) is str for name in new)
    for parameter in ("KeyConditionExpression", "FilterExpression"):
        canonical_expressions({**body, parameter: text})


def _statement(raw: bytes) -> None:
    text = raw.decode("utf-8", "surrogateescape")
    planned = plan("ExecuteStatement", {"Statement": text}, lambda _: None)
    assert isinstance(planned, (Write, Bypass))


# --- requests ----------------------------------------------------------------------


_KEYS: Mapping[str, frozenset[str]] = {"t": frozenset({"id"})}


@cache
def _cache() -> Cache:
    settings = Settings(url="memory:", precise_index_eviction=True)
    return Cache(MemoryStore(size_limit=1024**2), settings)


def _request(document: object) -> None:
    """Plan a request, and take it through the cache, with any answer."""
    if not isinstance(document, dict):
        return
    operation: object = document.get("operation")
    body: Any = document.get("body")
    if not isinstance(operation, str):
        return
    planned = plan(operation, body, _KEYS.get)
    assert isinstance(planned, (Read, BatchRead, Write, Describe, Bypass))
    assert type(planned.why) is str
    tags = planned.tags if isinstance(planned, (Read, Write)) else ()
    assert all(len(tag_digest(tag)) == 16 for tag in tags)
    if type(body) is not dict:
        return
    cache = _cache()
    before = cache.stats().failures.get("begin_failed", 0)
    call = Call(operation, "aws/eu-west-1", b"scope", Mode.NORMAL)
    ticket = cache.begin(call, body)
    # A write whose beginning fails evicts everything.
    assert cache.stats().failures.get("begin_failed", 0) == before, "begin_failed"
    if ticket is None or isinstance(ticket, Hit):
        return
    if ticket.body is not None:
        decode_body(ticket.body)
    answer = document.get("answer")
    if isinstance(answer, dict):
        cache.finish(ticket, answer, succeeded=True, certain=True)
    else:
        cache.fail(ticket)
    assert len(cache._evictions.pending) <= 1
    cache._evictions.pending.attempt()


def _explained(document: object) -> None:
    if not isinstance(document, dict):
        return
    operation = document.get("operation")
    text = json.dumps(document.get("body"))
    lines = explain(str(operation), text, Settings(url="memory:"), frozenset({"id"}))
    assert lines[0] == ("operation", str(operation))


def _item(document: object) -> None:
    """What is derived of an item of a put."""
    if not isinstance(document, dict):
        return
    item = document.get("body", {})
    item = item.get("Item") if isinstance(item, dict) else None
    if isinstance(item, dict) and stored_item(item) is not None:
        list(partitions_of("t", item))


def _invalidated(document: object) -> None:
    if not isinstance(document, dict):
        return
    body = document.get("body", {})
    if isinstance(body, dict):
        checked_table(body.get("TableName"))
        wire = checked_key(body.get("Key"))
        assert all(len(value) == 1 for value in wire.values())


# --- arguments ---------------------------------------------------------------------


def _arguments(document: object) -> None:
    """The near cache's readers of a call's arguments: any object."""
    token = 1
    if type(document) is dict:
        operation, arguments = document.get("operation"), document.get("body")
    else:
        operation, arguments = "GetItem", document
    if type(operation) is not str or operation not in NEAR_OPERATIONS:
        operation = "GetItem"
    quick = call_keys.quick_key(token, arguments)
    exact = call_keys.exact_key(token, arguments, frozenset())
    for key in (quick, exact):
        if key is not None:
            assert isinstance(hash(key), int)
            assert call_keys.cost_of(key) > 0
    call_keys.table_of(arguments)
    if quick is not None:
        for body_of in (wire_body, resource_body):
            body = derive_body(operation, token, quick, arguments, body_of)
            if body is not None:
                plan(operation, body, _KEYS.get)
    with contextlib.suppress(ValueError):
        batch_arguments.read_arguments(arguments)
    if type(arguments) is dict:
        copier = copies.copier_for(arguments, frozenset())
        assert copier() is not arguments
        assert copies.cost_of(arguments) > 0


# --- configuration -----------------------------------------------------------------

_SECRET = "s3cr3t"

_HAS_LOGIN = re.compile(rf"[A-Za-z][a-z+]*://[^/@]*:{_SECRET}@").match


def _url(raw: bytes) -> None:
    text = raw.decode("utf-8", "surrogateescape")
    shown = without_secrets(text)
    # A URL whose login ends where it should: nothing of the password is shown.
    is_login = _HAS_LOGIN(text) is not None and text.count(_SECRET) == 1
    if is_login:
        assert _SECRET not in shown, shown
    try:
        settings = load_settings({"url": text}, {}, "memory:")
        options = settings.store_options({})
        identity_of(options)
        store = open_store(options)
    except (ConfigError, StoreUnavailableError) as error:
        told = str(error)
    else:
        told = repr((settings, options, store))
        store.close()
    assert not is_login or _SECRET not in told, told


def _variables(raw: bytes) -> None:
    text = raw.decode("utf-8", "surrogateescape").replace("\0", "")
    pairs = (part.partition("=") for part in text.split(";"))
    environ = {f"BOTOCACHE_{name}": value for name, _, value in pairs}
    environ.pop("BOTOCACHE_CONFIG", None)
    settings = load_settings({}, environ, "memory:")
    settings.policy("users")
    settings.store_options(environ)


@cache
def _file() -> Path:
    number, name = tempfile.mkstemp(suffix=".toml")
    os.close(number)
    return Path(name)


def _toml(raw: bytes) -> None:
    _file().write_bytes(raw)
    settings = load_settings({}, {"BOTOCACHE_CONFIG": str(_file())}, "memory:")
    settings.policy("users")
    repr(settings)


_SETTINGS = Settings.__dataclass_fields__


def _given(document: object) -> None:
    """Arguments of install()."""
    if type(document) is not dict:
        return
    arguments = {k: v for k, v in document.items() if k in _SETTINGS}
    settings = load_settings(arguments, {}, "memory:")
    settings.policy("users")
    hash(settings)


TARGETS: Mapping[str, Target] = {
    "entry": Target("entries.txt", _entry, (CodecError,)),
    "frame": Target("frames.txt", _frame),
    "messages": Target("messages.txt", _messages, (LostError, OSError)),
    "header": Target("headers.txt", _header, (StoreError,)),
    "schemas": Target("schemas.jsonl", _schemas, (CodecError,), OBJECT_LEAVES),
    "replies": Target("replies.jsonl", _replies, (StoreError,)),
    "expression": Target("expressions.txt", _expression, (ValueError,)),
    "statement": Target("statements.txt", _statement),
    "request": Target("requests.jsonl", _request),
    "explain": Target("requests.jsonl", _explained, (ExplainError,)),
    "item": Target("requests.jsonl", _item),
    "invalidate": Target("requests.jsonl", _invalidated, (ValueError, TypeError)),
    "arguments": Target(
        "requests.jsonl",
        _arguments,
        (HostileError, copies.NotCopyableError),
        OBJECT_LEAVES,
    ),
    "url": Target("urls.txt", _url, (ConfigError, StoreUnavailableError)),
    "variables": Target("variables.txt", _variables, (ConfigError,)),
    "toml": Target("toml.txt", _toml, (ConfigError,)),
    "given": Target("given.jsonl", _given, (ConfigError, HostileError), OBJECT_LEAVES),
}
"""By their names."""


def names() -> Iterator[str]:
    """Yield the names of the targets."""
    yield from TARGETS
