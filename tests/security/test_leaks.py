"""Nothing leaks: what botocache prints, logs, raises and shows of its objects.

A program with marked secrets uses everything, and fails in every way. Then all that it
has said is searched for the marks, as they are and in the usual encodings.
"""

import base64
import contextlib
import gc
import io
import json
import logging
import sys
import time
import traceback
import urllib.parse
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import redis
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.config import Config
from botocore.exceptions import ClientError

import botocache
from botocache import ConfigError, EvictionError
from botocache.__main__ import main
from botocache._counting.counters import Counters
from botocache._errors import BotocacheError, StoreError, StoreLostError
from botocache._install import _store_for
from botocache._log import FailureLog
from botocache._settings.load import load_settings
from botocache.stores.opening import open_store
from botocache.stores.protocol import Store
from tests.support.flaky_store import FlakyStore
from tests.support.network import intercepted
from tests.support.valkey_server import ValkeyServer

ITEM, KEY, TENANT = "m4rk-item-value", "m4rk-key-value", "m4rk-tenant-header"
KEY_ID, SECRET, TOKEN = "AKIAM4RKED0000000001", "m4rk-secret-key", "m4rk-session-token"
PASSWORD, SCOPE_PASSWORD = "m4rk-url-password", "m4rk-other-password"

ENCRYPTION_KEY = "m4rk-encryption-key-of-32-bytes!"

OTHERS = (PASSWORD, SCOPE_PASSWORD, TENANT, ENCRYPTION_KEY)
CREDENTIALS = (KEY_ID, SECRET, TOKEN, *OTHERS)
MARKS = (*CREDENTIALS, ITEM, KEY)


def spellings(mark: str) -> Iterator[bytes]:
    """Yield a mark as it is, and in the usual encodings."""
    raw = mark.encode()
    yield raw
    yield raw.hex().encode()
    yield raw.hex().upper().encode()
    yield urllib.parse.quote(mark, safe="").encode()
    yield mark.encode("utf-16-le")
    for shift in range(3):
        # The middle of the text, wherever it stands in base64.
        encoded = base64.b64encode(b"\0" * shift + raw)
        yield encoded[4:-4]
        yield encoded[4:-4].translate(bytes.maketrans(b"+/", b"-_"))


def leaks(said: bytes, marks: tuple[str, ...] = MARKS) -> list[str]:
    """Return the marks that stand in a text."""
    return [mark for mark in marks if any(each in said for each in spellings(mark))]


# --- a DynamoDB that answers with marks ---------------------------------------------

_ITEM = {"id": {"S": KEY}, "value": {"S": ITEM}, "n": {"N": "1"}}


def _answer(operation: str) -> tuple[int, Any]:
    match operation:
        case "GetItem":
            return 200, {"Item": _ITEM}
        case "Query" | "Scan":
            last = {"LastEvaluatedKey": {"id": {"S": KEY}}}
            return 200, {"Items": [_ITEM], "Count": 1, "ScannedCount": 1, **last}
        case "BatchGetItem":
            return 200, {"Responses": {"t": [_ITEM]}, "UnprocessedKeys": {}}
        case "TransactGetItems":
            code = "com.amazon.coral.service#AccessDeniedException"
            return 400, {"__type": code, "message": f"{ITEM} {KEY}"}
        case "UpdateItem" | "PutItem":
            return 200, {"Attributes": _ITEM}
        case _:
            return 200, {}


def _send(*, request: Any, event_name: str) -> AWSResponse:
    status, answer = _answer(event_name.rpartition(".")[2])
    body = json.dumps(answer).encode()
    raw = type("Raw", (), {"stream": lambda *_, **__: (body,)})()
    return AWSResponse(request.url, status, HTTPHeaders(), raw)


# --- what a program does --------------------------------------------------------------


def _reads_and_writes(client: Any) -> None:
    key = {"id": {"S": KEY}}
    for _ in range(2):
        client.get_item(TableName="t", Key=key)
        client.get_item(TableName="t", Key=key, ProjectionExpression="n")
        client.query(
            TableName="t",
            KeyConditionExpression="id = :v",
            ExpressionAttributeValues={":v": {"S": KEY}},
        )
        client.query(
            TableName="t",
            IndexName="by_value",
            KeyConditionExpression="#v = :v",
            ExpressionAttributeNames={"#v": "value"},
            ExpressionAttributeValues={":v": {"S": ITEM}},
        )
        client.scan(TableName="t")
        client.batch_get_item(RequestItems={"t": {"Keys": [key]}})
    client.put_item(TableName="t", Item=_ITEM, ReturnValues="ALL_OLD")
    client.update_item(
        TableName="t",
        Key=key,
        UpdateExpression="SET #v = :v",
        ExpressionAttributeNames={"#v": "value"},
        ExpressionAttributeValues={":v": {"S": ITEM}},
        ReturnValues="ALL_NEW",
    )
    client.delete_item(TableName="t", Key=key)
    client.batch_write_item(RequestItems={"t": [{"PutRequest": {"Item": _ITEM}}]})
    statement = f"INSERT INTO t VALUE {{'id': '{KEY}', 'value': '{ITEM}'}}"
    client.execute_statement(Statement=statement)
    with botocache.bypass():
        client.get_item(TableName="t", Key=key)
    with botocache.refresh():
        client.get_item(TableName="t", Key=key)
    # What DynamoDB refuses.
    for name in (KEY, "\ud800", "x" * 2000):
        with contextlib.suppress(ClientError, UnicodeError):
            client.get_item(TableName="t", Key={"id": {"N": name}})
    with contextlib.suppress(ClientError):
        items = [{"Get": {"TableName": "t", "Key": key}}]
        client.transact_get_items(TransactItems=items)


ERRORS: dict[str, Callable[[], Exception]] = {
    "the store is down": lambda: StoreError("down"),
    "generations are lost": lambda: StoreLostError("lost"),
    "a bug that names a key": lambda: KeyError(KEY),
    "a bug that names an item": lambda: ValueError(f"invalid literal: {ITEM!r}"),
    "a bug of types": lambda: TypeError(f"unhashable: {ITEM}"),
}


def _wrong_settings() -> Iterator[dict[str, object]]:
    """Yield settings in which a URL with a password stands at the wrong place."""
    url = f"redis://user:{SCOPE_PASSWORD}@host:6379/0"
    for name in (
        *("ttl", "negative_ttl", "timeout", "namespace", "settle", "write_hold_off"),
        *("reads_after_write", "on_eviction_failure", "client_tracking", "near"),
        *("tables", "precise_index_eviction", "fast_parsing", "coalesce"),
    ):
        yield {name: url}
        yield {name: [url]}
        yield {name: {url: url}}
        yield {name: {"t": url}}
        yield {name: {"t": {"ttl": url}}}
        yield {name: {"t": {"operations": [url]}}}
        yield {name: {"t": {url: 1}}}
    yield {"url": f"reddis://user:{SCOPE_PASSWORD}@host"}
    yield {"url": f"redis://user:{SCOPE_PASSWORD}@host:port/0"}
    yield {"url": f"redis://user:{SCOPE_PASSWORD}@host/0?what={SCOPE_PASSWORD}"}
    yield {"url": f"redis+sentinel://user:{SCOPE_PASSWORD}@host"}
    yield {"url": f"memory:?size_limit={url}"}
    yield {"url": f"user:{SCOPE_PASSWORD}@host"}
    yield {"url": {"url": url}}


class _Said:
    """Everything that was logged, printed, raised and shown."""

    def __init__(self) -> None:
        self.stream = io.StringIO()

    def add(self, text: str) -> None:
        self.stream.write(text)

    def add_error(self, error: BaseException) -> None:
        """Add the traceback of an error of botocache's, with its causes."""
        self.add("".join(traceback.format_exception(error)))

    def places(self) -> str:
        """Return the lines with a leak, for the message of a test that fails."""
        lines = bytes(self).splitlines()
        return "\n".join(repr(line[:400]) for line in lines if leaks(line))

    def __bytes__(self) -> bytes:
        return self.stream.getvalue().encode("utf-8", "backslashreplace")


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> Iterator[_Said]:
    """What is said during the test. Calls fail at their end as well: logs show why."""
    made = _Said()
    handler = logging.StreamHandler(made.stream)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s %(exc_info)s"))
    logger = logging.getLogger("botocache")
    logger.addHandler(handler)
    before, level = logger.propagate, logger.level
    logger.propagate = False
    logger.setLevel(logging.DEBUG)
    monkeypatch.setattr("botocache._log.LOG_INTERVAL", 0.0)
    monkeypatch.setattr(
        sys, "unraisablehook", lambda hook: made.add_error(hook.exc_value)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        monkeypatch.setattr(
            warnings, "showwarning", lambda message, *_: made.add(str(message))
        )
        yield made
    logger.removeHandler(handler)
    logger.propagate = before
    logger.setLevel(level)


def _client(*, has_tenant: bool = True) -> Any:
    session = boto3.Session(KEY_ID, SECRET, TOKEN, region_name="us-east-1")
    client = session.client(
        "dynamodb",
        endpoint_url="http://127.0.0.1:1",
        config=Config(retries={"total_max_attempts": 1}),
    )
    if has_tenant:
        client.meta.events.register(
            "before-call.dynamodb",
            lambda params, **_: params["headers"].update({"X-Tenant": TENANT}),
        )
    return client


def _shown_objects() -> Iterator[str]:
    """Yield the repr of each object of ours that there is."""
    for each in gc.get_objects():
        kind = type(each)
        if kind.__module__.startswith("botocache"):
            yield repr(each)
    # Tuples of what cannot make cycles are not followed by the collector.


def _garbled(entry: bytes) -> bytes:
    return entry.replace(b"m4rk", b"m\xff\xffk")


URLS: dict[str, Callable[[Path, ValkeyServer], str]] = {
    "memory": lambda _directory, _valkey: "memory:",
    "disk": lambda directory, _valkey: f"disk://{directory}/cache",
    "redis": lambda _directory, valkey: f"redis://127.0.0.1:{valkey.port}/0",
}


def _opened(url: str, namespace: str) -> Store:
    given = {"url": url, "namespace": namespace, "timeout": 5.0, "settle": 0.0}
    return _store_for(load_settings(given, {}, "memory:"))


@pytest.mark.parametrize("kind", URLS)
def test_nothing_that_is_said_holds_a_secret(
    kind: str, said: _Said, tmp_path: Path, valkey: ValkeyServer, namespace: str
) -> None:
    store = FlakyStore(_opened(URLS[kind](tmp_path, valkey), f"leaks-{namespace}"))
    client, near = _client(), _client(has_tenant=False)
    settings: dict[str, Any] = {"url": store, "settle": 0.0, "write_hold_off": 0.0}
    settings["precise_index_eviction"] = True
    cache = botocache.install(client, **settings)
    assert botocache.install(near, **settings) is cache
    with (
        intercepted(client, "before-send", _send),
        intercepted(near, "before-send", _send),
    ):
        for each in (client, near):
            _reads_and_writes(each)
            for _ in range(3):
                each.get_item(TableName="t", Key={"id": {"S": KEY}})
            for damaged in (lambda entry: entry[:-3], _garbled):
                store.damage = damaged
                _reads_and_writes(each)
            store.damage = None
        for make in ERRORS.values() if kind == "memory" else ():
            for verbs in (["load", "load_many"], ["fill", "fill_many"], ["evict"]):
                with store.failing(make(), *verbs):
                    _reads_and_writes(client)
                    cache.invalidate("t", {"id": KEY})
            with store.failing(make(), "clear", "close"):
                cache.clear()
                cache.close()
        _reads_and_writes(near)
        for line in _shown_objects():
            said.add(line)
    said.add(f"{cache!r} {cache.stats()!r} {cache.invalidate('t', {'id': KEY})!r}")
    for key in ({KEY: ITEM}, {"id": {"S": [ITEM]}}, {"id": {"X": KEY}}):
        with contextlib.suppress(ValueError):
            try:
                cache.invalidate("t", key)
            except ValueError as error:
                # The application's own names of attributes may be shown.
                said.add(str(error).replace(f"{KEY!r}", ""))
                raise
    stats = cache.stats()
    assert stats.near_hits or kind == "redis"  # there a server must announce writes
    assert stats.failures["load_failed"]
    assert kind != "memory" or stats.failures["evict_failed"]
    assert b"load_failed" in bytes(said)
    assert leaks(bytes(said)) == [], said.places()
    if kind == "disk":
        stored = b"".join(
            path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()
        )
        assert leaks(stored, CREDENTIALS) == []


def _stored(directory: Path, valkey: ValkeyServer, namespace: str) -> bytes:
    """Return all that a store holds: names and contents of files, or of keys."""
    stored = [
        str(path).encode() + (path.read_bytes() if path.is_file() else b"")
        for path in directory.rglob("*")
    ]
    with redis.Redis(port=valkey.port) as server:
        for name in server.scan_iter(f"botocache:{namespace}:*"):
            is_text = server.type(name) == b"string"  # DUMP compresses
            stored += [name, server.get(name) if is_text else server.dump(name)]
    return b"\n".join(stored)


@pytest.mark.parametrize("is_encrypted", [False, True])
@pytest.mark.parametrize("kind", ["disk", "redis"])
def test_an_encrypted_store_holds_no_secret(
    kind: str, is_encrypted: bool, said: _Said, tmp_path: Path, valkey: ValkeyServer
) -> None:
    namespace = f"leaks-{kind}-{is_encrypted}"
    keys = base64.b64encode(ENCRYPTION_KEY.encode())
    client = _client()
    cache = botocache.install(
        client,
        url=URLS[kind](tmp_path, valkey),
        namespace=namespace,
        encryption_keys=keys.decode() if is_encrypted else None,
        settle=0.0,
        timeout=5.0,
    )
    with intercepted(client, "before-send", _send):
        _reads_and_writes(client)
        for _ in range(2):
            client.get_item(TableName="t", Key={"id": {"S": KEY}})
    for line in _shown_objects():
        said.add(line)
    assert cache.stats().hits
    stored = _stored(tmp_path, valkey, namespace)
    # In clear, an answer is there to be read. So the search would find one.
    assert sorted(leaks(stored)) == ([] if is_encrypted else sorted([ITEM, KEY]))
    assert leaks(bytes(said)) == [], said.places()


def test_the_log_does_not_repeat_what_a_server_repeats(said: _Said) -> None:
    error = StoreError(
        "ResponseError: unknown command 'HELLO', with args beginning with: '3' 'AUTH' "
        f"'default' '{PASSWORD}'"
    )
    FailureLog(Counters(), time.monotonic).report("load_failed", "a miss", error)
    assert b"(StoreError: ResponseError: unknown command 'HELLO')" in bytes(said)
    assert leaks(bytes(said)) == []


@pytest.mark.parametrize("name", ERRORS)
def test_a_write_that_is_refused_shows_no_secret(name: str, said: _Said) -> None:
    store = FlakyStore(_opened("memory:", "leaks-refused"))
    client = _client()
    botocache.install(client, url=store, on_eviction_failure="refuse")
    with (
        intercepted(client, "before-send", _send),
        store.failing(ERRORS[name](), "evict"),
        pytest.raises(EvictionError) as raised,
    ):
        client.put_item(TableName="t", Item=_ITEM)
    said.add(str(raised.value))
    assert leaks(bytes(said)) == [], said.places()


def test_a_wrong_setting_is_shown_without_a_secret(said: _Said) -> None:
    count = 0
    for arguments in _wrong_settings():
        with contextlib.suppress(BotocacheError):
            try:
                settings = load_settings(arguments, {}, "memory:")
                open_store(settings.store_options({}))
            except ConfigError as error:
                count += 1
                said.add_error(error)
    assert count > 60
    assert leaks(bytes(said)) == [], said.places()


def test_a_wrong_file_is_shown_without_a_secret(said: _Said, tmp_path: Path) -> None:
    url = f"redis://user:{SCOPE_PASSWORD}@host"
    file = tmp_path / "botocache.toml"
    for text in (
        f'url = "{url}',
        f'"{url}" = 1',
        f'ttl = "{url}"',
        f'[tables]\n"{url}" = 60',
        f'[tables.t]\n"{url}" = 60',
        f"{url}",
        f'url = "{url}"\nurl = "{url}"',
    ):
        file.write_text(text)
        with pytest.raises(ConfigError) as raised:
            load_settings({}, {"BOTOCACHE_CONFIG": str(file)}, "memory:")
        said.add(str(raised.value))
    assert leaks(bytes(said)) == [], said.places()


def test_the_command_line_shows_no_secret(
    said: _Said,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("BOTOCACHE_URL", f"redis://user:{PASSWORD}@127.0.0.1:1/0")
    key = {"id": {"S": KEY}}
    file = tmp_path / "parameters.json"
    for operation, parameters in {
        "GetItem": {"TableName": "t", "Key": key},
        "PutItem": {"TableName": "t", "Item": _ITEM},
        "DeleteItem": {"TableName": "t", "Key": {"id": KEY}},
        "BatchGetItem": {"RequestItems": {"t": {"Keys": [key]}}},
        "Query": {
            "TableName": "t",
            "KeyConditionExpression": "id = :v",
            "ExpressionAttributeValues": {":v": {"S": KEY}},
        },
        "ExecuteStatement": {"Statement": f"UPDATE t SET a='{ITEM}'"},
    }.items():
        for more in ([], ["--keys", "id"]):
            file.write_text(json.dumps(parameters))
            assert main(["explain", operation, str(file), *more]) == 0
            assert main(["explain", operation, json.dumps(parameters), *more]) == 2
    file.write_text(f'{{"Key": {ITEM}}}')
    assert main(["explain", "GetItem", str(file)]) == 2
    said.add("".join(capfd.readouterr()))
    assert b"item(t, id S)" in bytes(said)
    assert leaks(bytes(said)) == [], said.places()


@pytest.mark.parametrize("mark", MARKS)
def test_a_leak_would_be_found(mark: str) -> None:
    for said in spellings(mark):
        assert leaks(b"x" + said + b"y") == [mark]
    assert leaks(b"nothing of that kind") == []
