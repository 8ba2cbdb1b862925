"""A DynamoDB to test against: moto's, in a process of its own, over HTTP."""

import json
import shutil
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any
from weakref import WeakSet

import boto3
import botocore.session
import pytest
from botocore.handlers import BUILTIN_HANDLERS
from botocore.loaders import Loader

from tests.support.clients import AIOBOTOCORE, real_client

REGION = "us-east-1"
_ROOT = Path(__file__).parents[2]
_numbers = count()

_SESSION: type[boto3.Session] = boto3.Session
_NEW_SESSION: type[botocore.session.Session] = botocore.session.Session
if AIOBOTOCORE:
    from aiobotocore.session import AioSession

    from tests.support import aio

    aio.use_aiobotocore()
    _SESSION, _NEW_SESSION = aio.session_class(), AioSession


MADE: WeakSet[Any] = WeakSet()
"""The sessions and clients of botocore that were made here and are still in use."""

_loader = Loader()
"""botocore's models, read from disk once for all sessions."""


def new_botocore_session() -> botocore.session.Session:
    """Return a session that knows neither region nor credentials.

    Registering its handlers is most of the cost of a session, so it gets a copy of
    what others have: as each of its own clients does.
    """
    if _handlers.get("registered") != BUILTIN_HANDLERS:  # a cache came or went there
        first = _NEW_SESSION()
        emitter = first.get_component("event_emitter")._emitter
        _handlers.update(registered=list(BUILTIN_HANDLERS), emitter=emitter)
    session = _NEW_SESSION(
        event_hooks=copy(_handlers["emitter"]), include_builtin_handlers=False
    )
    session.register_component("data_loader", _loader)
    return session


_handlers: dict[str, Any] = {}


class DynamoDB:
    """The server. `url` is its endpoint."""

    def __init__(self, url: str) -> None:
        self.url = url

    def counts(self) -> Counter[str]:
        """Return how often each operation reached the server."""
        with urllib.request.urlopen(f"{self.url}/_counts", timeout=10) as answer:
            return Counter(json.load(answer))

    @contextmanager
    def counting(self) -> Iterator[Counter[str]]:
        """Count what reaches the server inside; complete when it is left."""
        before = self.counts()
        counted: Counter[str] = Counter()
        yield counted
        counted.update(self.counts() - before)

    def session(self, key: str = "AKIATEST", **options: Any) -> boto3.Session:
        """Return a new session with static credentials."""
        if "botocore_session" not in options:
            options["botocore_session"] = new_botocore_session()
        session = _SESSION(
            aws_access_key_id=key,
            aws_secret_access_key="secret",
            region_name=REGION,
            **options,
        )
        MADE.add(session._session)
        return session

    def client(self, session: boto3.Session | None = None, **options: Any) -> Any:
        """Return a client of this server, of a session or of a new one."""
        session = session or self.session()
        client = session.client("dynamodb", endpoint_url=self.url, **options)
        MADE.add(real_client(client))
        return client

    def resource(self, session: boto3.Session | None = None, **options: Any) -> Any:
        """Return a resource of this server, of a session or of a new one."""
        session = session or self.session()
        resource = session.resource("dynamodb", endpoint_url=self.url, **options)
        MADE.add(real_client(resource.meta.client))
        return resource

    def create_table(
        self, *keys: str, name: str = "", client: Any = None, **parameters: Any
    ) -> str:
        """Create a table with these key attributes, `name:type`; return its name.

        The client is one without a cache, unless one is given.
        """
        name = name or f"table{next(_numbers)}"
        pairs = [key.split(":") for key in keys or ("pk:S",)]
        definitions = parameters.pop("AttributeDefinitions", [])
        (client or self.client()).create_table(
            TableName=name,
            KeySchema=[
                {"AttributeName": attribute, "KeyType": kind}
                for (attribute, _), kind in zip(pairs, ("HASH", "RANGE"), strict=False)
            ],
            AttributeDefinitions=[
                *(
                    {"AttributeName": attribute, "AttributeType": kind}
                    for attribute, kind in pairs
                ),
                *definitions,
            ],
            BillingMode="PAY_PER_REQUEST",
            **parameters,
        )
        return name


@contextmanager
def running_dynamodb(
    program: str = "tests.support.moto_server", python: str = ""
) -> Iterator[DynamoDB]:
    """Run a server for as long as the context lasts.

    program: a module of the tests. python: of the environment that it runs in, if that
        is not this one. Those of aiobotocore have no moto.
    """
    if not python:
        has_moto = find_spec("moto") is not None
        python = sys.executable if has_moto else str(_ROOT / ".venv/bin/python")
    with _running([python, "-m", program]) as server:
        yield server


@contextmanager
def running_dynalite() -> Iterator[DynamoDB]:
    """Run dynalite, which computes read units, for as long as the context lasts.

    It has no transactions and no PartiQL, and does not count what reaches it. Skips the
    test if dynalite is not installed: on a fresh machine npm's registry may be out of
    reach, and PyPI's is all that the other tests need.
    """
    if not (_ROOT / ".venv-dynalite/node_modules/dynalite").is_dir():
        pytest.skip("`make environments` found no dynalite in npm's registry")
    with _running([_node(), "tests/support/dynalite/server.js"]) as server:
        yield server


def _node() -> str:
    """Return the program that `make environments` installed dynalite with."""
    installed = _ROOT / ".venv-dynalite/bin/node"
    node = str(installed) if installed.exists() else shutil.which("node")
    assert node, "`make environments` installs dynalite"
    return node


@contextmanager
def _running(command: list[str]) -> Iterator[DynamoDB]:
    """Run a server that prints its port, and that ends when its input does."""
    with subprocess.Popen(
        command,
        cwd=_ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            port = json.loads(process.stdout.readline())["port"]
            yield DynamoDB(f"http://127.0.0.1:{port}")
        finally:
            process.stdin.close()
            process.wait(timeout=30)
