"""Inputs of a great size, each for a target: by the size, what is made of it."""

import json
from collections.abc import Callable, Mapping
from typing import NamedTuple

import zstandard

from botocache.stores.redis.compression import UNPACKED_LIMIT

SIZE = 100_000
"""Of the greatest: characters, parentheses, keys, or whatever an input has many of."""


class Giant(NamedTuple):
    """An input that can be of any size.

    target: its name.
    make: makes it, of a size.
    memory: bytes that it may take, whatever its size.
    """

    target: str
    make: Callable[[int], object]
    memory: int = 1_500_000


_HEADER = b"\x02\x00" + bytes(16)
"""Of an entry."""


def _request(operation: str, body: object) -> object:
    return {"operation": operation, "body": body, "answer": {}}


def _read(**more: object) -> object:
    return _request("Query", {"TableName": "t", **more})


def _get(value: object) -> object:
    return _request("GetItem", {"TableName": "t", "Key": {"id": value}})


def _names(size: int) -> dict[str, str]:
    return {f"#n{number}": f"name{number}" for number in range(size)}


def _values(size: int) -> dict[str, object]:
    return {f":v{number}": {"S": "x"} for number in range(size)}


def _deep(size: int, value: object = None) -> object:
    for _ in range(min(size, 900)):  # what a client's own `json.dumps` takes
        value = {"M": {"a": value}}
    return value


def _tuples(size: int) -> object:
    value: object = ()
    for _ in range(size):
        value = (value,)
    return value


GIANTS: Mapping[str, Giant] = {
    "nested parentheses": Giant(
        "expression", lambda n: b"(" * n + b"id = :v" + b")" * n
    ),
    "opened parentheses": Giant("expression", lambda n: b"(" * n),
    "blanks": Giant("expression", lambda n: b"a" + b" " * n + b"b"),
    "a long name": Giant("expression", lambda n: b"a" * n),
    "many terms": Giant(
        "expression", lambda n: b" AND ".join([b"id = :v"] * (n // 10))
    ),
    "many paths": Giant("expression", lambda n: b",".join([b"a"] * (n // 2))),
    "a long path": Giant("expression", lambda n: b".".join([b"a"] * (n // 2))),
    "many indexes": Giant("expression", lambda n: b"a" + b"[0]" * (n // 3)),
    "a long index": Giant("expression", lambda n: b"a[" + b"1" * n + b"]"),
    "many actions": Giant(
        "expression", lambda n: b"SET " + b",".join([b"a = b + :w"] * (n // 10))
    ),
    "nested functions": Giant(
        "expression", lambda n: b"SET a = " + b"if_not_exists(a," * (n // 16)
    ),
    "nested operands": Giant("expression", lambda n: b"SET a = " + b"(" * n + b"b"),
    "names that no expression uses": Giant(
        "request",
        lambda n: _read(
            KeyConditionExpression="id = :v",
            ExpressionAttributeNames=_names(n),
            ExpressionAttributeValues={":v": {"S": "x"}},
        ),
    ),
    "names in a projection": Giant(
        "request",
        lambda n: _request(
            "GetItem",
            {
                "TableName": "t",
                "Key": {"id": {"S": "7"}},
                "ProjectionExpression": ",".join(_names(n)),
                "ExpressionAttributeNames": _names(n),
            },
        ),
    ),
    "values in a filter": Giant(
        "request",
        lambda n: _read(
            KeyConditionExpression="id = :v1",
            FilterExpression=f"a IN ({','.join(_values(n))})",
            ExpressionAttributeValues=_values(n),
        ),
    ),
    "conditions of old": Giant(
        "request",
        lambda n: _read(
            KeyConditions={
                f"a{number}": {
                    "ComparisonOperator": "EQ",
                    "AttributeValueList": [{"S": "x"}],
                }
                for number in range(n // 10)
            }
        ),
    ),
    "attributes of old": Giant(
        "request",
        lambda n: _request(
            "GetItem",
            {
                "TableName": "t",
                "Key": {"id": {"S": "7"}},
                "AttributesToGet": [*_names(n).values()],
            },
        ),
    ),
    "a long text": Giant("request", lambda n: _get({"S": "x" * n * 4})),
    "a long number": Giant("request", lambda n: _get({"N": "9" * n * 4})),
    "a long number with a point": Giant(
        "request", lambda n: _get({"N": "9" * n + "." + "9" * n})
    ),
    "a long exponent": Giant("request", lambda n: _get({"N": "1e" + "9" * n})),
    "a long number in a condition": Giant(
        "request",
        lambda n: _read(
            KeyConditionExpression="id = :v",
            ExpressionAttributeValues={":v": {"N": "0" * n + "9" * n}},
        ),
    ),
    "a long binary value": Giant("request", lambda n: _get({"B": "YWFh" * n})),
    "many attributes of a key": Giant(
        "request",
        lambda n: _request(
            "DeleteItem",
            {
                "TableName": "t",
                "Key": {name: {"S": "x"} for name in _names(n // 10).values()},
            },
        ),
        memory=5_000_000,  # a write evicts 10,000 tags at most, 500 bytes each
    ),
    "many keys": Giant(
        "request",
        lambda n: _request(
            "BatchGetItem",
            {
                "RequestItems": {
                    "t": {"Keys": [{"id": {"S": str(at)}} for at in range(n // 10)]}
                }
            },
        ),
    ),
    "many tables": Giant(
        "request",
        lambda n: _request(
            "BatchGetItem",
            {
                "RequestItems": {
                    f"t{at}": {"Keys": [{"id": {"S": "7"}}]} for at in range(n // 10)
                }
            },
        ),
    ),
    "many puts": Giant(
        "request",
        lambda n: _request(
            "BatchWriteItem",
            {
                "RequestItems": {
                    "t": [
                        {"PutRequest": {"Item": {"id": {"S": str(at)}}}}
                        for at in range(n // 100)
                    ]
                }
            },
        ),
    ),
    "a long name of a table": Giant(
        "request",
        lambda n: _request(
            "GetItem", {"TableName": "t" * n * 4, "Key": {"id": {"S": "7"}}}
        ),
    ),
    "a deep item": Giant(
        "request",
        lambda n: _request(
            "PutItem",
            {"TableName": "t", "Item": {"id": {"S": "7"}, "a": _deep(n, {"S": "x"})}},
        ),
    ),
    "a wide item": Giant(
        "request",
        lambda n: _request(
            "PutItem",
            {
                "TableName": "t",
                "Item": {
                    "id": {"S": "7"},
                    **{name: {"S": "x"} for name in _names(n // 5).values()},
                },
            },
        ),
    ),
    "a deep request that nothing knows": Giant(
        "request", lambda n: _request("SomethingNew", {"Deep": _deep(n, {})})
    ),
    "many statements": Giant(
        "request",
        lambda n: _request(
            "BatchExecuteStatement",
            {"Statements": [{"Statement": 'UPDATE "t" SET a=1'}] * (n // 5)},
        ),
    ),
    "blanks in a statement": Giant("statement", lambda n: b" " * n * 4 + b"x"),
    "blanks behind a verb": Giant("statement", lambda n: b"UPDATE" + b" " * n * 4),
    "blanks within a verb": Giant("statement", lambda n: b"INSERT" + b" " * n * 4),
    "a statement's long name": Giant(
        "statement", lambda n: b"UPDATE " + b"a-" * n * 2 + b"!"
    ),
    "a quote that does not end": Giant("statement", lambda n: b'UPDATE "' + b"a" * n),
    "parameters for explain": Giant(
        "explain", lambda n: _request("GetItem", {"TableName": ["x"] * n})
    ),
    "nested arrays of an entry": Giant(
        "entry", lambda n: _HEADER + b"\x81\xa1a" + b"\x91" * n
    ),
    "an entry that announces a list": Giant(
        "entry", lambda n: _HEADER + b"\x81\xa1a\xdd\xff\xff\xff\xff" + b"\x01" * n
    ),
    "an entry that announces a map": Giant(
        "entry", lambda n: _HEADER + b"\xdf\xff\xff\xff\xff" + b"\xa1a\x01" * n
    ),
    "an entry that announces bytes": Giant(
        "entry", lambda n: _HEADER + b"\x81\xa1a\xc6\xff\xff\xff\xff" + b"\x01" * n
    ),
    "nested messages": Giant("messages", lambda n: b"\xff" + b"*1\r\n" * n),
    "a message that does not end": Giant(
        "messages", lambda n: b"\xff*999999999\r\n" + b":1\r\n" * n
    ),
    "a message in small pieces": Giant(
        "messages", lambda n: b"\x01*%d\r\n" % (n // 20) + b":1\r\n" * (n // 20)
    ),
    "a long number in a message": Giant(
        "messages", lambda n: b"\xff*" + b"9" * n + b"\r\n"
    ),
    "a frame of zeros": Giant(
        "frame", lambda n: _bomb(n * 100), memory=UNPACKED_LIMIT + 1024**2
    ),
    "schemas of many origins": Giant(
        "schemas",
        lambda n: {
            "origins": {f"o{at}": [900.0, {"id": "S"}] for at in range(n // 10)}
        },
    ),
    "many arguments": Giant(
        "arguments",
        lambda n: _request("GetItem", {f"a{at}": {"S": "x"} for at in range(n // 4)}),
    ),
    "deep arguments": Giant("arguments", _tuples),
    "a long number as an argument": Giant(
        "arguments", lambda n: _request("GetItem", {"Key": {"id": 10**n}})
    ),
    "a long URL": Giant("url", lambda n: b"redis://" + b"@" * n + b"h"),
    "a URL of many servers": Giant(
        "url", lambda n: b"redis+cluster://" + b"h:1," * (n // 40) + b"h"
    ),
    "options of a URL": Giant("url", lambda n: b"memory:?" + b"a=1&" * (n // 4)),
    "a long size": Giant("url", lambda n: b"memory:?size_limit=" + b"9" * n),
    "many tables in a variable": Giant(
        "variables",
        lambda n: b"TABLES=" + b",".join(b"t%d=60" % at for at in range(n // 10)),
    ),
    "a long misspelt choice": Giant(
        "variables", lambda n: b"READS_AFTER_WRITE=" + b"consistend" * (n // 10)
    ),
    "a misspelt variable that is long": Giant(
        "variables", lambda n: b"NEGATIVE_TTL" * (n // 12) + b"=5"
    ),
    "nested arrays of TOML": Giant("toml", lambda n: b"ttl = " + b"[" * n),
    "nested keys of TOML": Giant("toml", lambda n: b".".join([b"a"] * (n // 20))),
    "many tables of TOML": Giant(
        "toml",
        lambda n: b"[tables]\n" + b"".join(b"t%d = 60\n" % at for at in range(n // 20)),
    ),
    "a deep argument of install": Giant(
        "given", lambda n: {"tables": {"t": _tuples(n)}}
    ),
}
"""By what they are."""


def _bomb(size: int) -> bytes:
    return b"\xc1\1" + zstandard.ZstdCompressor().compress(bytes(size))


def bytes_of(given: object) -> int:
    """Return about how large an input is."""
    if isinstance(given, bytes):
        return len(given)
    try:
        return len(json.dumps(given))
    except (RecursionError, TypeError, ValueError):
        return SIZE
