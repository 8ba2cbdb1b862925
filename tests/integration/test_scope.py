"""Which principals share answers."""

import json
import logging
import os
from base64 import b32encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.credentials import (
    ContainerProvider,
    Credentials,
    InstanceMetadataProvider,
    RefreshableCredentials,
)
from botocore.exceptions import ClientError, NoCredentialsError
from botocore.utils import ContainerMetadataFetcher, InstanceMetadataFetcher

import botocache
from botocache import _log
from botocache._botocore import started
from botocache._botocore.principals import principals as known
from botocache._botocore.principals import watch_endpoints
from botocache.stores.disk.store import DiskStore
from botocache.stores.memory import MemoryStore
from botocache.stores.protocol import Store
from tests.integration.app import (
    World,
    get,
    put,
    query,
    set_n,
)
from tests.support.clients import credentials_for_clients
from tests.support.clock import FakeClock
from tests.support.dynamodb import REGION, new_botocore_session


@pytest.fixture
def store(clock: FakeClock) -> Store:
    """Return the one store that these tests need, save those of secrets."""
    return MemoryStore(clock=clock)


@pytest.fixture(autouse=True)
def _no_principal_is_known() -> None:
    """Forget: the keys of these tests are not unique, as those of AWS are."""
    known.clear()


START = datetime(2025, 1, 1, tzinfo=timezone.utc)


def key_id(prefix: str, account: int, number: int) -> str:
    """Return an access key id as AWS makes them for an account."""
    return prefix + b32encode(
        ((account << 7) | 1 << 47).to_bytes(6, "big") + number.to_bytes(4, "big")
    ).decode().rstrip("=")


class Rotation:
    """Hands out temporary credentials, a new set when the old one expires.

    Each set lives for an hour of `now`.
    """

    def __init__(self, account: int = 111122223333, first: int = 0) -> None:
        self.now = START
        self._account = account
        self._count = first
        self.key_ids: list[str] = []

    def metadata(self) -> dict[str, str]:
        """Return a new set."""
        self._count += 1
        self.key_ids.append(key_id("ASIA", self._account, self._count))
        return {
            "access_key": self.key_ids[-1],
            "secret_key": f"secret{self._count}",
            "token": f"token{self._count}",
            "expiry_time": (self.now + timedelta(hours=1)).isoformat(),
            "account_id": str(self._account),
        }

    def credentials(self, method: str, **changes: Any) -> RefreshableCredentials:
        """Return credentials that refresh themselves by this rotation."""
        first = {**self.metadata(), **changes}
        credentials = RefreshableCredentials(
            first["access_key"],
            first["secret_key"],
            first["token"],
            self.now + timedelta(hours=1),
            lambda: {**self.metadata(), **changes},
            method,
            time_fetcher=lambda: self.now,
        )
        credentials.account_id = first["account_id"]  # no argument of older botocores
        return credentials

    def expire(self) -> None:
        """Make the set that is in use expire."""
        self.now += timedelta(hours=2)


class Principals:
    """Makes clients of several principals, each with its own session."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.table = world.table("pk:S")
        put(world.outside, self.table, pk="a", n=1)

    def client(
        self, credentials: Any, config: Config | None = None, **settings: Any
    ) -> Any:
        """Return a client with the cache and these credentials."""
        inner: Any = new_botocore_session()
        inner._credentials = credentials_for_clients(credentials)
        session = boto3.Session(botocore_session=inner, region_name=REGION)
        botocache.install(session, url=self._world.store, **settings)
        return self._world.client(session, config=config)

    def are_served_the_same(self, *clients: Any) -> bool:
        """Return whether the second client gets what the first one filled.

        Fails if an answer is wrong, or if only some of the clients share.
        """
        return self.share(clients)

    def share(self, clients: Iterable[Any]) -> bool:
        """Do the same, and make each client after the calls of the one before it."""
        count = 0
        with self._world.counting() as reached:
            for client in clients:
                count += 1
                assert get(client, self.table, pk="a") == {"pk": "a", "n": 1}
                assert query(client, self.table, pk="a") == [{"pk": "a", "n": 1}]
        assert reached["GetItem"] == reached["Query"]
        assert reached["GetItem"] in (1, count)
        return bool(reached["GetItem"] == 1)


@pytest.fixture
def principals(world: World) -> Principals:
    """Return a maker of clients of several principals."""
    return Principals(world)


def static(key: str, **more: Any) -> Credentials:
    """Return explicit credentials."""
    return Credentials(key, "secret", **more)


# --- who shares --------------------------------------------------------------------


class Endpoint:
    """The endpoint of a container, as an HTTP session of botocore reaches it."""

    def __init__(self, answer: Mapping[str, str | None]) -> None:
        self.content = json.dumps(answer).encode()
        self.status_code = 200

    def send(self, _: object) -> "Endpoint":
        """Answer."""
        return self


def container(
    role: str | None, rotation: Rotation, *, names_account: bool = True
) -> RefreshableCredentials:
    """Return credentials that botocore got from a container's endpoint.

    role: the ARN that the endpoint names; EKS names none.
    """
    watch_endpoints()  # an installation does it
    got = rotation.metadata()
    answer = {
        "AccessKeyId": got["access_key"],
        "SecretAccessKey": got["secret_key"],
        "Token": got["token"],
        "Expiration": (datetime.now(timezone.utc) + timedelta(hours=1)).isoformat(),
        "AccountId": got["account_id"] if names_account else None,
        "RoleArn": role,
    }
    answer = {name: value for name, value in answer.items() if value is not None}
    environ = {ContainerProvider.ENV_VAR_FULL: "http://127.0.0.1/role"}
    fetcher: Any = ContainerMetadataFetcher(session=Endpoint(answer))
    found = ContainerProvider(environ, fetcher).load()
    assert isinstance(found, RefreshableCredentials)
    return found


class Instance(InstanceMetadataFetcher):
    """The endpoint of an instance."""

    def __init__(self, role: str, rotation: Rotation) -> None:
        super().__init__()
        self._role = role
        self._rotation = rotation

    def _fetch_metadata_token(self) -> str:
        return "token"

    def _get_iam_role(self, token: str | None = None) -> str:
        return self._role

    def _get_credentials(
        self, role_name: str, token: str | None = None
    ) -> dict[str, str]:
        got = self._rotation.metadata()
        expiration = datetime.now(timezone.utc) + timedelta(hours=1)
        return {
            "AccessKeyId": got["access_key"],
            "SecretAccessKey": got["secret_key"],
            "Token": got["token"],
            "Expiration": expiration.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }


def instance(role: str, rotation: Rotation) -> RefreshableCredentials:
    """Return credentials that botocore got from an instance's endpoint."""
    watch_endpoints()
    found = InstanceMetadataProvider(Instance(role, rotation)).load()
    assert isinstance(found, RefreshableCredentials)
    return found


ROLE = "arn:aws:iam::111122223333:role/"

SHARING: dict[str, Callable[[], tuple[Any, Any]]] = {
    "the same explicit key": lambda: (static("AKIA1"), static("AKIA1")),
    "a container's role, with other keys": lambda: (
        container(ROLE + "one", Rotation(first=10)),
        container(ROLE + "one", Rotation(first=20)),
    ),
    "a container's role, whose account no one names": lambda: (
        container(ROLE + "one", Rotation(first=10), names_account=False),
        container(ROLE + "one", Rotation(first=20), names_account=False),
    ),
    "a container of which only the first key is known": lambda: (
        container(None, Rotation(first=10)),
        container(None, Rotation(first=10)),
    ),
    "an instance's role, with other keys": lambda: (
        instance("one", Rotation(first=10)),
        instance("one", Rotation(first=20)),
    ),
}

NOT_SHARING: dict[str, Callable[[], tuple[Any, Any]]] = {
    "another explicit key": lambda: (static("AKIA1"), static("AKIA2")),
    "the same key, another session token": lambda: (
        static("AKIA1", token="one"),
        static("AKIA1", token="two"),
    ),
    "the same key, another secret": lambda: (
        static("AKIA1"),
        Credentials("AKIA1", "guess"),
    ),
    "a longer key": lambda: (static("AKIA1"), static("AKIA11")),
    "two container roles of one account": lambda: (
        container(ROLE + "one", Rotation(first=10)),
        container(ROLE + "two", Rotation(first=20)),
    ),
    "two containers of one account whose roles are not known": lambda: (
        container(None, Rotation(first=10)),
        container(None, Rotation(first=20)),
    ),
    "two instance roles of one account": lambda: (
        instance("one", Rotation(first=10)),
        instance("two", Rotation(first=20)),
    ),
    "an instance role's name in two accounts": lambda: (
        instance("one", Rotation(111122223333)),
        instance("one", Rotation(444455556666)),
    ),
    "credentials that were there before botocache": lambda: (
        Rotation(first=10).credentials("container-role"),
        Rotation(first=20).credentials("container-role"),
    ),
    "container roles of two accounts": lambda: (
        Rotation(111122223333).credentials("container-role"),
        Rotation(444455556666).credentials("container-role"),
    ),
    "container roles of two accounts, known by their keys": lambda: (
        Rotation(111122223333).credentials("container-role", account_id=None),
        Rotation(444455556666).credentials("container-role", account_id=None),
    ),
    "a container's role and an instance's": lambda: (
        Rotation(first=10).credentials("container-role"),
        Rotation(first=20).credentials("iam-role"),
    ),
    "two assumed roles of one account": lambda: (
        Rotation(first=10).credentials("assume-role"),
        Rotation(first=20).credentials("assume-role"),
    ),
    "two container roles of one name, in two accounts": lambda: (
        container(ROLE + "one", Rotation(111122223333)),
        container(ROLE + "one", Rotation(444455556666)),
    ),
    "a role's credentials and an explicit key": lambda: (
        Rotation().credentials("container-role"),
        static("AKIA1"),
    ),
    "credentials of a kind that we don't know": lambda: (
        Rotation(first=10).credentials("something-new"),
        Rotation(first=20).credentials("something-new"),
    ),
}


@pytest.mark.parametrize("make", SHARING.values(), ids=SHARING.keys())
def test_two_sessions_of_one_principal_share_answers(
    make: Callable[[], tuple[Any, Any]], principals: Principals
) -> None:
    clients = [principals.client(credentials) for credentials in make()]
    assert principals.are_served_the_same(*clients)


@pytest.mark.parametrize("make", NOT_SHARING.values(), ids=NOT_SHARING.keys())
def test_two_principals_never_see_each_others_answers(
    make: Callable[[], tuple[Any, Any]], principals: Principals
) -> None:
    clients = [principals.client(credentials) for credentials in make()]
    assert not principals.are_served_the_same(*clients)


def test_a_role_that_is_not_known_is_said_once(
    principals: Principals,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_log, "_logged", set())
    with caplog.at_level(logging.INFO, "botocache"):
        for first in (10, 20):
            client = principals.client(container(None, Rotation(first=first)))
            get(client, principals.table, pk="a")
    (line,) = (each for each in caplog.messages if "role_not_known" in each)
    assert line.startswith("botocache: role_not_known: ")
    assert "container-role" in line
    assert "name a `scope`" in line


OF_TWO_ACCOUNTS = {
    "an instance role's name in two accounts",
    "container roles of two accounts",
    "container roles of two accounts, known by their keys",
    "two container roles of one name, in two accounts",
    "a role's credentials and an explicit key",  # whose account is not known
}


@pytest.mark.parametrize("name", NOT_SHARING)
def test_callers_of_one_account_with_one_named_scope_share_answers(
    name: str, principals: Principals
) -> None:
    make = NOT_SHARING[name]
    clients = [principals.client(each, scope="team") for each in make()]
    assert principals.are_served_the_same(*clients) == (name not in OF_TWO_ACCOUNTS)


def test_two_named_scopes_do_not_share(principals: Principals) -> None:
    one, two, automatic = (
        principals.client(static("AKIA1"), scope=scope)
        for scope in ("one", "two", "auto")
    )
    assert not principals.are_served_the_same(one, two, automatic)


def test_a_write_by_either_principal_evicts_for_both(
    world: World, principals: Principals
) -> None:
    table = principals.table
    clients = [principals.client(static(key)) for key in ("AKIA1", "AKIA2")]
    for n, writer in enumerate(clients, start=10):
        set_n(writer, table, n, pk="a")
        world.settle()
        for reader in clients * 2:
            assert get(reader, table, pk="a") == {"pk": "a", "n": n}
            assert query(reader, table, pk="a") == [{"pk": "a", "n": n}]


def test_keys_given_to_a_client_count_before_those_of_its_session(world: World) -> None:
    table = world.table("pk:S")
    session = world.session("AKIASESSION")
    botocache.install(session, url=world.store)
    clients = [
        world.client(session, aws_access_key_id=key, aws_secret_access_key="secret")
        for key in ("AKIA1", "AKIA2", "AKIASESSION")
    ]
    with world.counting() as reached:
        for client in [*clients, world.client(session)]:
            get(client, table, pk="a")
            get(client, table, pk="a")
    assert reached == {"GetItem": 3}


# --- credentials of the environment ------------------------------------------------


def environment_client(world: World) -> Any:
    """Return a client of a session that finds its credentials itself."""
    session = boto3.Session(botocore_session=new_botocore_session(), region_name=REGION)
    botocache.install(session, url=world.store)
    return world.client(session)


def test_keys_of_the_environment_name_principals_as_explicit_ones_do(
    world: World, principals: Principals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    clients = []
    for key in ("AKIA1", "AKIA2"):
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
        clients.append(environment_client(world))
    assert not principals.are_served_the_same(*clients)
    again = principals.client(static("AKIA1"))
    with world.counting() as reached:
        get(again, principals.table, pk="a")
    assert reached == {}


def lambda_clients(
    world: World, monkeypatch: pytest.MonkeyPatch, *keys: str
) -> Iterator[Any]:
    """Yield clients in the environment that Lambda makes, with these keys."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token")
    monkeypatch.setattr(
        started,
        "_own_function",
        # As if this process, and those above it, had been started with them.
        lambda: started.function_started(
            lambda _: dict(os.environ), lambda _: 0, os.getpid()
        ),
    )
    for key in keys:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
        yield environment_client(world)


def test_the_scope_of_a_lambda_functions_role_outlives_its_keys(
    world: World, principals: Principals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "crawl")
    keys = [key_id("ASIA", 111122223333, number) for number in (1, 2)]
    clients = lambda_clients(world, monkeypatch, *keys)
    assert principals.share(clients)


def test_lambda_functions_of_two_accounts_do_not_share(
    world: World, principals: Principals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "crawl")
    keys = [key_id("ASIA", account, 1) for account in (111122223333, 444455556666)]
    clients = lambda_clients(world, monkeypatch, *keys)
    assert not principals.share(clients)


def test_two_lambda_functions_do_not_share(
    world: World, principals: Principals, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each has its own process in Lambda, and so its own client.
    counts = []
    for name in ("crawl", "graph"):
        monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", name)
        (client,) = lambda_clients(world, monkeypatch, key_id("ASIA", 111122223333, 1))
        with world.counting() as reached:
            get(client, principals.table, pk="a")
        counts.append(reached["GetItem"])
    assert counts == [1, 1]


def test_explicit_keys_in_a_lambda_function_name_principals(
    principals: Principals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "crawl")
    keys = [key_id("AKIA", 111122223333, number) for number in (1, 2)]
    clients = [principals.client(static(key)) for key in keys]
    assert not principals.are_served_the_same(*clients)


# --- rotation ----------------------------------------------------------------------


@pytest.mark.parametrize("method", ["assume-role", "custom-process", "sso"])
def test_new_keys_of_a_principal_that_is_not_known_begin_anew(
    method: str, world: World, principals: Principals
) -> None:
    """A refresh may bring another principal."""
    rotation = Rotation()
    client = principals.client(rotation.credentials(method))
    with world.counting() as reached:
        for _ in range(3):
            for _ in range(2):
                assert get(client, principals.table, pk="a") == {"pk": "a", "n": 1}
            rotation.expire()
    assert reached == {"GetItem": 3}
    assert len(rotation.key_ids) == 3


def test_credentials_that_cannot_be_refreshed_fail_the_call_as_without_a_cache(
    world: World, principals: Principals
) -> None:
    rotation = Rotation()
    credentials: Any = rotation.credentials("container-role")

    def refuse() -> dict[str, str]:
        raise RuntimeError("no credentials today")

    credentials._refresh_using = refuse
    rotation.expire()
    client = principals.client(credentials)
    for call in (get, query):
        with pytest.raises(RuntimeError, match="no credentials today"):
            call(client, principals.table, pk="a")
    with pytest.raises(RuntimeError, match="no credentials today"):
        set_n(client, principals.table, 2, pk="a")
    assert get(world.outside, principals.table, pk="a") == {"pk": "a", "n": 1}


# --- unsigned calls ----------------------------------------------------------------

UNSIGNED_CALLS = Config(signature_version=UNSIGNED)


def test_unsigned_calls_share_only_among_themselves(
    world: World, principals: Principals
) -> None:
    signed = principals.client(static("AKIA1"))
    unsigned = principals.client(static("AKIA1"), config=UNSIGNED_CALLS)
    unsigned_too = principals.client(None, config=UNSIGNED_CALLS)
    assert get(signed, principals.table, pk="a") == {"pk": "a", "n": 1}
    with world.counting() as reached:  # the server has no tables for unsigned calls
        assert get(unsigned, principals.table, pk="a") is None
        assert get(unsigned_too, principals.table, pk="a") is None
    assert reached == {"GetItem": 1}
    assert get(signed, principals.table, pk="a") == {"pk": "a", "n": 1}


@pytest.mark.parametrize("scope", ["auto", "team"])
def test_without_credentials_a_read_is_refused_and_not_served(
    scope: str, world: World, principals: Principals
) -> None:
    signed = principals.client(static("AKIA1"), scope=scope)
    get(signed, principals.table, pk="a")
    inner = new_botocore_session()
    inner.register_component("credential_provider", _NoProvider())
    session = boto3.Session(botocore_session=inner, region_name=REGION)
    botocache.install(session, url=world.store, scope=scope)
    client = world.client(session)
    for call in (get, query):
        with pytest.raises(NoCredentialsError):
            call(client, principals.table, pk="a")


class _NoProvider:
    def load_credentials(self) -> None:
        """Find none."""


# --- secrets -----------------------------------------------------------------------

SECRETS = ("AKIAVERYSECRETKEY000", "wJalrVERYSECRET", "tokenVERYSECRET")


def _everything_in(store: Store) -> Iterator[bytes]:
    if isinstance(store, MemoryStore):
        for key, entry in store._entries.items():
            yield key + entry
    if isinstance(store, DiskStore):
        for path in store.directory.rglob("*"):
            yield str(path).encode()
            if path.is_file():
                yield path.read_bytes()


@pytest.mark.parametrize("kind", ["memory", "disk"])
def test_no_credentials_get_into_the_store_or_the_log(
    kind: str,
    world: World,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.DEBUG, logger="botocache")
    if kind == "disk":
        world = replace(world, store=DiskStore(tmp_path, clock=world.clock))
    principals = Principals(world)
    client, table = principals.client(Credentials(*SECRETS)), principals.table
    get(client, table, pk="a")
    query(client, table, pk="a")
    set_n(client, table, 2, pk="a")
    with pytest.raises(ClientError):
        get(client, table, other="a")

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("on purpose")

    for verb in ("load", "evict", "fill"):
        monkeypatch.setattr(world.store, verb, fail)
        get(client, table, pk="b")
        set_n(client, table, 3, pk="b")
    assert "on purpose" in caplog.text
    kept = list(_everything_in(world.store))
    assert any(b"pk" in each for each in kept)  # the answers are there
    for hidden in SECRETS:
        assert not any(hidden.encode() in each for each in kept)
        assert hidden not in caplog.text
