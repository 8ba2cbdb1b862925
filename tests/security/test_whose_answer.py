"""Whose answers a caller is served, for each way in which botocore gets its keys.

Each way is driven for real: botocore's own providers get keys from a server that stands
in the place of AWS. An item says which access key id asked DynamoDB for it. So what a
caller of other authority filled shows in the answer.
"""

import json
import os
import subprocess
import sys
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from datetime import datetime, timedelta, timezone
from functools import partial
from hashlib import sha1
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import boto3
import pytest
from botocore import UNSIGNED
from botocore.auth import AUTH_TYPE_MAPS, SigV4Auth
from botocore.config import Config
from botocore.credentials import (
    Credentials,
    ReadOnlyCredentials,
    RefreshableCredentials,
    SSOProvider,
    create_assume_role_refresher,
)
from botocore.exceptions import InvalidEndpointConfigurationError
from botocore.signers import RequestSigner
from botocore.tokens import FrozenAuthToken

import botocache
from botocache import _log
from botocache._botocore import principals, started
from botocache._botocore.credentials import AUTO, caller_of
from botocache._botocore.principals import Principals, session_of
from botocache._botocore.principals import principals as known
from botocache._near.client_state import emitter_of, state_of
from botocache.stores.memory import MemoryStore
from botocache.stores.protocol import Store
from tests.security.aws import ACCOUNT, AWS, FAR, key_id, running_aws
from tests.support.clock import FakeClock
from tests.support.dynamodb import REGION, new_botocore_session
from tests.support.places import ROOT
from tests.support.processes import TIMEOUT
from tests.support.stores import opened_store

_PAST = datetime(2000, 1, 1, tzinfo=timezone.utc)
_FUTURE = datetime(2099, 1, 1, tzinfo=timezone.utc)
_numbers = count()

ONE = f"arn:aws:iam::{ACCOUNT}:role/one"


@pytest.fixture(scope="module")
def server() -> Iterator[AWS]:
    with running_aws() as made:
        yield made


@pytest.fixture
def aws(server: AWS) -> AWS:
    """Return the server, to which nothing has happened yet."""
    known.clear()
    server.roles.clear()
    server.expiry = FAR
    return server


class Application:
    """Makes sessions and clients in one environment, with the cache on.

    aws: what it reaches.
    store: of the cache.
    directory: for its files.
    """

    def __init__(
        self,
        aws: AWS,
        store: Store,
        directory: Path,
        patch: pytest.MonkeyPatch,
        near: Any = "on",
    ) -> None:
        self.aws, self.store, self.directory = aws, store, directory
        self.patch, self.near = patch, near
        self.cache: botocache.Cache | None = None
        self.table = f"table{next(_numbers)}"
        self.set(
            AWS_ENDPOINT_URL_STS=aws.url,
            AWS_ENDPOINT_URL_SSO=aws.url,
            AWS_DEFAULT_REGION=REGION,
            AWS_EC2_METADATA_SERVICE_NUM_ATTEMPTS="1",
        )

    def set(self, **variables: str) -> None:
        """Set variables of the environment."""
        for name, value in variables.items():
            self.patch.setenv(name, value)

    def unset(self, name: str) -> None:
        """Take a variable out of the environment."""
        self.patch.delenv(name, raising=False)

    def write(self, name: str, text: str) -> str:
        """Write a file, and return its path."""
        path = self.directory / name
        path.write_text(text)
        return str(path)

    def session(
        self, credentials: Any = None, *, profile: str | None = None
    ) -> boto3.Session:
        """Return a session of botocore's own providers, or with these credentials."""
        inner: Any = new_botocore_session()
        if credentials is not None:
            inner._credentials = credentials
        session = boto3.Session(
            botocore_session=inner, region_name=REGION, profile_name=profile
        )
        self.cache = botocache.install(session, url=self.store, near=self.near)
        return session

    def client(
        self, credentials: Any = None, *, profile: str | None = None, **options: Any
    ) -> Any:
        """Return a client of a new session."""
        return self.of(self.session(credentials, profile=profile), **options)

    def of(self, session: boto3.Session, **options: Any) -> Any:
        """Return a client of a session."""
        return session.client("dynamodb", endpoint_url=self.aws.url, **options)

    def sts(self, credentials: Any = None, **options: Any) -> Any:
        """Return a client of AWS STS."""
        session = self.session(credentials or static("AKIASOURCE"))
        return session.client("sts", **options)

    def read(self, client: Any, pk: str = "a") -> str:
        """Return the id of the key that asked DynamoDB for an item."""
        answer = client.get_item(TableName=self.table, Key={"pk": {"S": pk}})
        of: str = answer["Item"]["of"]["S"]
        return of


@pytest.fixture(params=["on", "off"])
def near(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["memory"])
def application(
    request: pytest.FixtureRequest,
    aws: AWS,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    near: str,
) -> Iterator[Application]:
    with opened_store(request.param, request) as store:
        yield Application(aws, store, tmp_path, monkeypatch, near)


every_store = pytest.mark.parametrize(
    "application", ["memory", "disk", "redis"], indirect=True
)


def static(key: str, secret: str = "secret", token: str | None = None) -> Credentials:
    return Credentials(key, secret, token)


def credentials_of(client: Any) -> Any:
    return client._request_signer._credentials


def key_of(client: Any) -> str:
    key: str = credentials_of(client).get_frozen_credentials().access_key
    return key


def expire(client: Any) -> None:
    """Let the keys of a client expire, so that its next request needs new ones."""
    credentials = credentials_of(client)
    credentials._expiry_time = _PAST
    fetcher = getattr(credentials._refresh_using, "__self__", None)
    cache = getattr(fetcher, "_cache", None)  # of keys that were assumed
    if isinstance(cache, dict):
        cache.clear()


# --- ways to get keys --------------------------------------------------------------


def container(a: Application, name: str = "one") -> Any:
    """Get keys as a container does; `pod...` is one whose endpoint names no role."""
    a.set(AWS_CONTAINER_CREDENTIALS_FULL_URI=f"{a.aws.url}/container/{name}")
    return a.client()


def instance(a: Application, name: str = "one") -> Any:
    a.unset("AWS_CONTAINER_CREDENTIALS_FULL_URI")
    a.set(
        AWS_EC2_METADATA_DISABLED="false",
        AWS_EC2_METADATA_SERVICE_ENDPOINT=f"{a.aws.url}/instance/{name}/",
    )
    return a.client()


def environment(a: Application, key: str = "AKIA1", secret: str = "s") -> Any:
    a.set(AWS_ACCESS_KEY_ID=key, AWS_SECRET_ACCESS_KEY=secret)
    return a.client()


def shared_file(a: Application, key: str = "AKIA1") -> Any:
    text = f"[default]\naws_access_key_id = {key}\naws_secret_access_key = s\n"
    a.set(AWS_SHARED_CREDENTIALS_FILE=a.write("credentials", text))
    return a.client()


def _profile(a: Application, text: str) -> Any:
    a.set(AWS_CONFIG_FILE=a.write("config", f"[profile p]\nregion = x\n{text}"))
    return a.client(profile="p")


def role_of_profile(
    a: Application, role: str = "one", source: str = "AKIASOURCE", more: str = ""
) -> Any:
    return _profile(
        a,
        f"role_arn = arn:aws:iam::{ACCOUNT}:role/{role}\nsource_profile = source\n"
        f"{more}[profile source]\naws_access_key_id = {source}\n"
        "aws_secret_access_key = s\n",
    )


def later(a: Application) -> Application:
    """Let botocore make up another name for the sessions that it begins."""
    moment = SimpleNamespace(time=lambda: time.time() + 3600)
    a.patch.setattr("botocore.credentials.time", moment)
    return a


def process(a: Application, key: str = "AKIA1") -> Any:
    answer = {"Version": 1, "AccessKeyId": key, "SecretAccessKey": "s"}
    path = a.write("answer", json.dumps(answer))
    return _profile(a, f"credential_process = cat {path}\n")


def sso(a: Application, role: str = "one", token: str = "of ann") -> Any:
    cache = a.directory / "home" / ".aws" / "sso" / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    a.set(HOME=str(a.directory / "home"))
    a.patch.setattr(SSOProvider, "_SSO_TOKEN_CACHE_DIR", str(cache))
    # botocore names the file by a digest of the URL.
    name = sha1(b"https://start", usedforsecurity=False).hexdigest()
    login = {"accessToken": token, "expiresAt": "2099-01-01T00:00:00Z"}
    (cache / f"{name}.json").write_text(json.dumps(login))
    return _profile(
        a,
        f"sso_start_url = https://start\nsso_region = {REGION}\n"
        f"sso_account_id = {ACCOUNT}\nsso_role_name = {role}\n",
    )


def token_of(volatile: Any = 0, **claims: Any) -> str:
    """Return a token of a service account, as Kubernetes makes them for each pod."""
    payload = {
        "aud": ["sts.amazonaws.com"],
        "exp": 10**9 + volatile,
        "iat": volatile,
        "jti": f"token {volatile}",
        "iss": "https://cluster",
        "kubernetes.io": {
            "namespace": "shop",
            "pod": {"name": f"pod-{volatile}", "uid": str(volatile)},
            "serviceaccount": {"name": "orders", "uid": "1"},
            "warnafter": volatile,
        },
        "sub": "system:serviceaccount:shop:orders",
        **claims,
    }
    parts = [{"alg": "RS256", "kid": str(volatile)}, payload]
    encoded = [urlsafe_b64encode(json.dumps(each).encode()) for each in parts]
    return ".".join([*(each.decode().rstrip("=") for each in encoded), "signature"])


def _token_with(payload: str) -> str:
    return f"header.{urlsafe_b64encode(payload.encode()).decode()}.signature"


def _token_of_two(name: str) -> str:
    """Return a token with two subjects, of which a reader may take either."""
    return _token_with(f'{{"iss": "x", "sub": "{name}", "sub": "tenant"}}')


def web_identity(
    a: Application, role: str = "one", token: str = "", name: str = ""
) -> Any:
    path = a.write(f"token{next(_numbers)}", token or token_of())
    a.set(
        AWS_ROLE_ARN=f"arn:aws:iam::{ACCOUNT}:role/{role}",
        AWS_WEB_IDENTITY_TOKEN_FILE=path,
    )
    if name:
        a.set(AWS_ROLE_SESSION_NAME=name)
    return a.client()


def explicit(a: Application, answer: Mapping[str, Any]) -> Any:
    """Pass keys that AWS STS has answered with."""
    keys = answer["Credentials"]
    return a.client(
        Credentials(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"])
    )


def assume(a: Application, source: Any = None, **parameters: Any) -> Any:
    stated = {
        "RoleArn": ONE,
        "RoleSessionName": "orders",
        **parameters,
    }
    return explicit(a, a.sts(source).assume_role(**stated))


def assume_from_assumed(a: Application, **first: Any) -> Any:
    """Assume a role by another one, whose session may have tags."""
    return assume(a, credentials_of(assume(a, **first)), RoleSessionName="second")


def assume_by_token(a: Application, token: str = "", **parameters: Any) -> Any:
    stated = {
        "RoleArn": ONE,
        "RoleSessionName": "orders",
        "WebIdentityToken": token or token_of(),
        **parameters,
    }
    sts = a.sts(config=Config(signature_version=UNSIGNED))
    return explicit(a, sts.assume_role_with_web_identity(**stated))


def refreshing_session(a: Application, **parameters: Any) -> Any:
    """Refresh by calls of AWS STS, as boto3-refresh-session does."""
    sts = a.sts()
    stated = {
        "RoleArn": ONE,
        "RoleSessionName": "orders",
        **parameters,
    }
    refresh = create_assume_role_refresher(sts, stated)
    return a.client(
        RefreshableCredentials.create_from_metadata(refresh(), refresh, "sts-assume")
    )


def federated(a: Application, **parameters: Any) -> Any:
    return explicit(a, a.sts().get_federation_token(Name="ann", **parameters))


def session_token(a: Application, source: str = "AKIASOURCE") -> Any:
    return explicit(a, a.sts(static(source)).get_session_token())


POLICY = json.dumps({"Version": "2012-10-17", "Statement": []})
OTHER_POLICY = json.dumps({"Version": "2012-10-17", "Statement": [{}]})
TAGS = [{"Key": "tenant", "Value": "one"}]
OTHER_TAGS = [{"Key": "tenant", "Value": "two"}]
TAGS_CLAIM = "https://aws.amazon.com/tags"

Way = Callable[[Application], Any]


class Two(NamedTuple):
    """Two clients, made one after the other."""

    a: Way
    b: Way


def twice(way: Way) -> Two:
    return Two(way, way)


SHARE: dict[str, Two] = {
    "containers of one role": twice(container),
    "instances of one role": twice(instance),
    "one key in the environment": twice(environment),
    "one key in a shared file": twice(shared_file),
    "one key of a process": twice(process),
    "a key in the environment and the same in a file": Two(
        lambda a: environment(a, "AKIA1"), lambda a: a.client(static("AKIA1", "s"))
    ),
    "one role of a profile": twice(role_of_profile),
    "one role of a profile, an hour later": Two(
        role_of_profile, lambda a: role_of_profile(later(a))
    ),
    "one role and user of the identity center": twice(sso),
    "one service account's role, in two pods": Two(
        web_identity, lambda a: web_identity(a, token=token_of(7))
    ),
    "one role, assumed twice": twice(assume),
    "one role, assumed for another time": Two(
        assume, lambda a: assume(a, DurationSeconds=3600)
    ),
    "one role with one session policy": twice(lambda a: assume(a, Policy=POLICY)),
    "one role by another one": twice(lambda a: assume_from_assumed(a, Tags=TAGS)),
    "one role that refreshes by calls of AWS STS": twice(refreshing_session),
    "a role that refreshes, and the same assumed": Two(refreshing_session, assume),
    "one federated user": twice(lambda a: federated(a, Policy=POLICY)),
    "session tokens of one user": twice(session_token),
}
"""Ways in which two clients have one authority, with other keys for most of them."""

NEVER: dict[str, Two] = {
    "two container roles": Two(container, lambda a: container(a, "two")),
    "two containers whose roles are not known": Two(
        lambda a: container(a, "pod"), lambda a: container(a, "pod")
    ),
    "two instance roles": Two(instance, lambda a: instance(a, "two")),
    "a container's role and an instance's": Two(container, instance),
    "two keys in the environment": Two(environment, lambda a: environment(a, "AKIA2")),
    "one key with two secrets": Two(
        environment, lambda a: environment(a, "AKIA1", "t")
    ),
    "two keys in a shared file": Two(shared_file, lambda a: shared_file(a, "AKIA2")),
    "two keys of a process": Two(process, lambda a: process(a, "AKIA2")),
    "two roles of profiles": Two(role_of_profile, lambda a: role_of_profile(a, "two")),
    "a role of a profile by two users": Two(
        role_of_profile, lambda a: role_of_profile(a, source="AKIAOTHER")
    ),
    "a role of a profile with two names of sessions": Two(
        lambda a: role_of_profile(a, more="role_session_name = ann\n"),
        lambda a: role_of_profile(a, more="role_session_name = bob\n"),
    ),
    "two roles of the identity center": Two(sso, lambda a: sso(a, "two")),
    "two users of the identity center": Two(sso, lambda a: sso(a, token="of bob")),
    "two service accounts": Two(
        web_identity, lambda a: web_identity(a, token=token_of(sub="another"))
    ),
    "two roles of a service account": Two(
        web_identity, lambda a: web_identity(a, "two")
    ),
    "a service account with two names of sessions": Two(
        lambda a: web_identity(a, name="ann"), lambda a: web_identity(a, name="bob")
    ),
    "two tokens that are none of ours": Two(
        lambda a: web_identity(a, token="opaque one"),
        lambda a: web_identity(a, token="opaque two"),
    ),
    "two tokens whose last subject is one": Two(
        lambda a: assume_by_token(a, _token_of_two("ann")),
        lambda a: assume_by_token(a, _token_of_two("bob")),
    ),
    "two tokens with numbers of other texts": Two(
        lambda a: assume_by_token(a, _token_with('{"n": 0.1}')),
        lambda a: assume_by_token(a, _token_with('{"n": 0.10}')),
    ),
    "two tokens with other tags": Two(
        lambda a: assume_by_token(a, token_of(**{TAGS_CLAIM: {"tenant": ["one"]}})),
        lambda a: assume_by_token(a, token_of(**{TAGS_CLAIM: {"tenant": ["two"]}})),
    ),
    "two tokens of other issuers": Two(
        assume_by_token, lambda a: assume_by_token(a, token_of(iss="https://other"))
    ),
    "one token with two session policies": Two(
        lambda a: assume_by_token(a, Policy=POLICY),
        lambda a: assume_by_token(a, Policy=OTHER_POLICY),
    ),
    "two roles": Two(
        assume, lambda a: assume(a, RoleArn=f"arn:aws:iam::{ACCOUNT}:role/x")
    ),
    "a role with and without a session policy": Two(
        assume, lambda a: assume(a, Policy=POLICY)
    ),
    "a role with two session policies": Two(
        lambda a: assume(a, Policy=POLICY), lambda a: assume(a, Policy=OTHER_POLICY)
    ),
    "a role with two managed session policies": Two(
        lambda a: assume(a, PolicyArns=[{"arn": "arn:aws:iam::aws:policy/AAAAAAA"}]),
        lambda a: assume(a, PolicyArns=[{"arn": "arn:aws:iam::aws:policy/BBBBBBB"}]),
    ),
    "a role with two session tags": Two(
        lambda a: assume(a, Tags=TAGS), lambda a: assume(a, Tags=OTHER_TAGS)
    ),
    "a role with two source identities": Two(
        lambda a: assume(a, SourceIdentity="ann"),
        lambda a: assume(a, SourceIdentity="bob"),
    ),
    "a role with two names of sessions": Two(
        assume, lambda a: assume(a, RoleSessionName="other")
    ),
    "a role with two names like those that botocore makes up": Two(
        lambda a: assume(a, RoleSessionName="botocore-session-1"),
        lambda a: assume(a, RoleSessionName="botocore-session-2"),
    ),
    "a role by two users": Two(assume, lambda a: assume(a, static("AKIAOTHER"))),
    "a role by sessions with other tags": Two(
        lambda a: assume_from_assumed(a, Tags=TAGS, TransitiveTagKeys=["tenant"]),
        lambda a: assume_from_assumed(a, Tags=OTHER_TAGS, TransitiveTagKeys=["tenant"]),
    ),
    "a role that refreshes, with two policies": Two(
        refreshing_session, lambda a: refreshing_session(a, Policy=POLICY)
    ),
    "two federated users": Two(federated, lambda a: federated(a, Policy=POLICY)),
    "session tokens of two users": Two(
        session_token, lambda a: session_token(a, "AKIAOTHER")
    ),
    "a user and its session token": Two(
        lambda a: a.client(static("AKIASOURCE")), session_token
    ),
    "keys and none": Two(
        environment,
        lambda a: a.client(config=Config(signature_version=UNSIGNED)),
    ),
}
"""Ways in which two clients have, or may have, other authorities."""


def _check_sharing(two: Two, application: Application) -> None:
    first, aws = two.a(application), application.aws
    key = application.read(first)
    assert key == key_of(first)
    application.near = "off"  # each serves in one of the two ways
    second = two.b(application)
    reads = aws.reads
    for client in (first, second) * 2:
        assert application.read(client) == key
    assert aws.reads == reads, "a replica is not served what another one read"


def _check_never(two: Two, application: Application) -> None:
    first, aws = two.a(application), application.aws
    for _ in range(3):
        key = application.read(first)
    application.near = "off"
    second = two.b(application)
    reads = aws.reads
    other = application.read(second)
    assert aws.reads == reads + 1, "served an answer of another principal"
    for _ in range(3):
        assert (application.read(first), application.read(second)) == (key, other)
    assert aws.reads == reads + 1


near_first = pytest.mark.parametrize("near", ["on"], indirect=True)


@near_first
@pytest.mark.parametrize("two", SHARE.values(), ids=SHARE)
def test_callers_of_one_authority_share(two: Two, application: Application) -> None:
    _check_sharing(two, application)


@near_first
@pytest.mark.parametrize("two", NEVER.values(), ids=NEVER)
def test_callers_of_two_authorities_never_share(
    two: Two, application: Application
) -> None:
    _check_never(two, application)


@pytest.mark.parametrize("application", ["disk", "redis"], indirect=True)
@near_first
def test_it_is_the_same_on_a_store_that_processes_share(
    application: Application,
) -> None:
    _check_sharing(SHARE["containers of one role"], application)
    application.table = "another"
    _check_never(NEVER["two container roles"], application)


@pytest.mark.long("with each store; `make test` runs one way with each")
@pytest.mark.parametrize("application", ["disk", "redis"], indirect=True)
@pytest.mark.parametrize(
    "two", [*SHARE.values(), *NEVER.values()], ids=[*SHARE, *NEVER]
)
def test_each_way_is_the_same_on_each_store(two: Two, application: Application) -> None:
    check = _check_sharing if two in SHARE.values() else _check_never
    check(two, application)


# --- rotation ----------------------------------------------------------------------

ROTATING: dict[str, Way] = {
    "a container": container,
    "an instance": instance,
    "a profile": role_of_profile,
    "the identity center": sso,
    "a service account": web_identity,
    "calls of AWS STS": refreshing_session,
}


@pytest.mark.parametrize("way", ROTATING.values(), ids=ROTATING)
def test_new_keys_of_a_role_empty_nothing(way: Way, application: Application) -> None:
    client, aws = way(application), application.aws
    key = application.read(client)
    reads = aws.reads
    for _ in range(3):
        expire(client)
        assert application.read(client) == key
        assert application.read(client) == key
        assert key_of(client) != key, "the keys are still the old ones"
    assert aws.reads == reads


def test_a_token_file_that_rotates_empties_nothing(application: Application) -> None:
    path = application.write("token", token_of(1))
    client = web_identity(application)
    application.set(AWS_WEB_IDENTITY_TOKEN_FILE=path)
    client = application.client()
    key = application.read(client)
    application.write("token", token_of(2))
    expire(client)
    assert application.read(client) == key
    application.write("token", token_of(3, sub="another"))
    expire(client)
    assert application.read(client) == key_of(client) != key


@pytest.mark.parametrize("way", [container, instance])
def test_a_refresh_that_brings_another_role_is_another_principal(
    way: Way, application: Application
) -> None:
    client = way(application)
    for _ in range(3):
        old = application.read(client)
    application.aws.roles["one"] = "two"
    expire(client)
    for _ in range(3):
        new = application.read(client)
    assert new == key_of(client) != old
    application.aws.roles.clear()
    expire(client)
    assert application.read(client) == old  # the first role's answer is there still


# --- keys that expire --------------------------------------------------------------


def test_keys_that_have_expired_are_served_nothing_that_newer_ones_fill(
    aws: AWS,
    clock: FakeClock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    near: str,
) -> None:
    """DynamoDB refuses what they sign, and the role's other sessions go on filling."""
    a = Application(aws, MemoryStore(clock=clock), tmp_path, monkeypatch, near)
    aws.expiry = (datetime.now(timezone.utc) + timedelta(seconds=600)).isoformat()
    old = assume(a)
    aws.expiry = FAR
    new = assume(a)
    for _ in range(3):
        assert a.read(new) == a.read(old) == key_of(new)
    clock.advance(601)
    monkeypatch.setattr(known, "clock", lambda: time.time() + 601)
    for _ in range(3):
        assert a.read(old) == key_of(old)
        assert a.read(new) == key_of(new)


# --- keys that change under a client -----------------------------------------------

TENANT: ContextVar[str] = ContextVar("TENANT", default="AKIA1")


def _frozen(key: str) -> ReadOnlyCredentials:
    return ReadOnlyCredentials(key, "secret", None)


class OfTenant(Credentials):
    """Chooses the keys of the tenant of the current context."""

    def __init__(self) -> None:
        super().__init__("AKIA1", "secret")

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        """Return them."""
        return _frozen(TENANT.get())


class RefreshableOfTenant(RefreshableCredentials):
    """Does the same."""

    def __init__(self) -> None:
        super().__init__("AKIA1", "secret", "", _FUTURE, dict, "own")

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        """Return them."""
        return _frozen(TENANT.get())


def refreshable() -> RefreshableCredentials:
    return RefreshableCredentials("AKIA1", "secret", "", _FUTURE, dict, "own")


Change = Callable[[Any, str], object]
"""Lets a client sign with the key of this id from now on."""


def _by_attributes(client: Any, key: str) -> None:
    credentials_of(client).access_key = key


def _by_a_new_object(client: Any, key: str) -> None:
    client._request_signer._credentials = static(key)


def _by_a_new_dict(client: Any, key: str) -> None:
    credentials_of(client).__dict__ = vars(static(key))


def _by_the_context(_client: Any, key: str) -> None:
    TENANT.set(key)


def _by_a_refresh(client: Any, key: str) -> None:
    def refresh() -> dict[str, str]:
        expiry = _FUTURE.isoformat()
        return {
            "access_key": key,
            "secret_key": "secret",
            "token": "",
            "expiry_time": expiry,
        }

    credentials = credentials_of(client)
    credentials._refresh_using = refresh
    credentials._expiry_time = _PAST


def _by_published_keys(client: Any, key: str) -> None:
    credentials_of(client)._frozen_credentials = _frozen(key)


def _by_a_method_of_its_own(client: Any, key: str) -> None:
    vars(credentials_of(client))["get_frozen_credentials"] = lambda: _frozen(key)


def _by_another_class(client: Any, key: str) -> None:
    TENANT.set(key)
    credentials_of(client).__class__ = OfTenant


class RefreshedOfTenant(RefreshableCredentials):
    """Looks for new keys at each call, and finds those of the current tenant."""

    def _refresh(self) -> None:
        self._frozen_credentials = _frozen(TENANT.get())


def _by_another_refreshing_class(client: Any, key: str) -> None:
    TENANT.set(key)
    credentials_of(client).__class__ = RefreshedOfTenant


def _by_a_refresh_of_its_own(client: Any, key: str) -> None:
    TENANT.set(key)
    credentials = credentials_of(client)
    vars(credentials)["_refresh"] = lambda: RefreshedOfTenant._refresh(credentials)


def _by_the_environment(_client: Any, key: str) -> None:
    os.environ["AWS_ACCESS_KEY_ID"] = key


def _by_expiring_environment(client: Any, key: str) -> None:
    os.environ["AWS_ACCESS_KEY_ID"] = key
    expire(client)


def _of_expiring_environment(a: Application) -> Any:
    a.set(AWS_CREDENTIAL_EXPIRATION=_FUTURE.isoformat())
    return environment(a, "AKIA1")


def _on(event: str, swap: Callable[..., object]) -> Way:
    """Return what makes a client that has a handler of an event."""

    def make(a: Application) -> Any:
        client = a.client(static("AKIA1"))

        def handler(**event: Any) -> None:
            swap(client, event, TENANT.get())

        client.meta.events.register(event, handler)
        return client

    return make


def _swap_signer(client: Any, _event: Any, key: str) -> None:
    client._request_signer._credentials = static(key)


def _swap_of_call(_client: Any, event: Any, key: str) -> None:
    context = event.get("context") or event["request"].context
    context["signing"] = {"request_credentials": static(key)}


def _put_header(_client: Any, event: Any, key: str) -> None:
    headers = (
        event["params"]["headers"] if "params" in event else event["request"].headers
    )
    headers["X-Tenant"] = key


CHANGES: dict[str, tuple[Way, Change]] = {
    "its attributes": (lambda a: a.client(static("AKIA1")), _by_attributes),
    "another object": (lambda a: a.client(static("AKIA1")), _by_a_new_object),
    "another dict": (lambda a: a.client(static("AKIA1")), _by_a_new_dict),
    "a method of its own": (
        lambda a: a.client(static("AKIA1")),
        _by_a_method_of_its_own,
    ),
    "another class": (lambda a: a.client(static("AKIA1")), _by_another_class),
    "refreshable, another object": (
        lambda a: a.client(refreshable()),
        _by_a_new_object,
    ),
    "refreshable, a refresh": (lambda a: a.client(refreshable()), _by_a_refresh),
    "refreshable, published keys": (
        lambda a: a.client(refreshable()),
        _by_published_keys,
    ),
    "refreshable, a method of its own": (
        lambda a: a.client(refreshable()),
        _by_a_method_of_its_own,
    ),
    "refreshable, another class": (
        lambda a: a.client(refreshable()),
        _by_another_refreshing_class,
    ),
    "refreshable, a refresh of its own": (
        lambda a: a.client(refreshable()),
        _by_a_refresh_of_its_own,
    ),
    "the context's tenant": (lambda a: a.client(OfTenant()), _by_the_context),
    "refreshable, the context's tenant": (
        lambda a: a.client(RefreshableOfTenant()),
        _by_the_context,
    ),
    "an environment that expires": (_of_expiring_environment, _by_expiring_environment),
    "credentials of a call": (_on("before-call", _swap_of_call), _by_the_context),
    "credentials of a call, early": (
        _on("provide-client-params", _swap_of_call),
        _by_the_context,
    ),
    "choose-signer": (_on("choose-signer", _swap_signer), _by_the_context),
    "choose-signer, of a call": (_on("choose-signer", _swap_of_call), _by_the_context),
    "before-sign": (_on("before-sign", _swap_signer), _by_the_context),
    "request-created": (
        _on("request-created.dynamodb.GetItem", _swap_signer),
        _by_the_context,
    ),
    "before-call": (_on("before-call", _swap_signer), _by_the_context),
    "before-parameter-build": (
        _on("before-parameter-build", _swap_signer),
        _by_the_context,
    ),
}
"""How a client's keys change: what makes the client, and what changes its keys."""


@pytest.fixture(autouse=True)
def _no_tenant() -> Iterator[None]:
    token = TENANT.set("AKIA1")
    yield
    TENANT.reset(token)


@pytest.mark.parametrize(("make", "change"), CHANGES.values(), ids=CHANGES)
def test_a_client_is_served_for_the_keys_that_would_sign_now(
    make: Way, change: Change, application: Application
) -> None:
    client = make(application)
    for _ in range(3):
        assert application.read(client) == "AKIA1"
    for key in ("AKIA2", "AKIA1", "AKIA3"):
        change(client, key)
        for _ in range(3):
            assert application.read(client) == key


@pytest.mark.parametrize("event", ["before-call", "before-sign", "before-send"])
def test_callers_with_other_headers_do_not_share(
    event: str, application: Application
) -> None:
    client, aws = _on(event, _put_header)(application), application.aws
    for tenant in ("one", "two"):
        TENANT.set(tenant)
        reads = aws.reads
        application.read(client)
        assert aws.reads == reads + 1


class OwnAuth(SigV4Auth):
    """Signs by keys of the application's own."""

    def __init__(self, credentials: Any, service_name: str, region_name: str) -> None:
        super().__init__(static("AKIA2"), service_name, region_name)


def _with_own_auth(a: Application) -> Any:
    a.patch.setitem(AUTH_TYPE_MAPS, "own", OwnAuth)
    return a.client(static("AKIA1"), config=Config(signature_version="own"))


def _with_own_v4(a: Application) -> Any:
    a.patch.setitem(AUTH_TYPE_MAPS, "v4", OwnAuth)
    return a.client(static("AKIA1"))


def _with_bearer(a: Application) -> Any:
    client = a.client(static("AKIA1"), config=Config(signature_version="bearer"))
    client._request_signer._auth_token = FrozenAuthToken("token")
    return client


def _with_auth_type(a: Application, auth_type: Any) -> Any:
    client = a.client(static("AKIA1"))
    if auth_type == "bearer":
        client._request_signer._auth_token = FrozenAuthToken("token")

    def choose(context: Any, **_: Any) -> None:
        context["auth_type"] = auth_type

    client.meta.events.register("before-parameter-build.dynamodb", choose)
    return client


def _get_own_auth(
    _signer: Any, signing_name: str, region_name: str, *_: Any, **__: Any
) -> Any:
    return OwnAuth(None, signing_name, region_name)


def _with_own_method(a: Application) -> Any:
    client = a.client(static("AKIA1"))
    signer = client._request_signer
    signer.get_auth_instance = partial(_get_own_auth, signer)
    return client


def _with_method_of_all(a: Application) -> Any:
    a.patch.setattr(RequestSigner, "get_auth_instance", _get_own_auth)
    return a.client(static("AKIA1"))


SIGNERS: dict[str, tuple[Way, str]] = {
    "a version of the application's": (_with_own_auth, "AKIA2"),
    "a class in botocore's place": (_with_own_v4, "AKIA2"),
    "a token": (_with_bearer, ""),
    "a token for one call": (lambda a: _with_auth_type(a, "bearer"), ""),
    "nothing for one call": (lambda a: _with_auth_type(a, "none"), "anonymous"),
    "a method of the signer": (_with_own_method, "AKIA2"),
    "a method of all signers": (_with_method_of_all, "AKIA2"),
}
"""What else than its keys may sign a client's calls, and who asks then.

"" for a token: botocore sends none to a server without TLS.
"""


@pytest.mark.parametrize(("make", "who"), SIGNERS.values(), ids=SIGNERS)
def test_a_client_that_signs_by_something_else_is_served_nothing_of_its_keys(
    make: Way, who: str, application: Application
) -> None:
    plain = application.client(static("AKIA1"))
    for _ in range(3):
        assert application.read(plain) == "AKIA1"
    client = make(application)
    for _ in range(3):
        if who:
            assert application.read(client) == who
        else:
            with pytest.raises(InvalidEndpointConfigurationError):
                application.read(client)


@near_first
def test_what_is_remembered_of_a_client_is_of_the_keys_that_it_is_compared_with(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = application.client(static("AKIA1"))

    def swap(credentials: Any) -> float:
        """A thread that comes in between."""
        credentials.access_key = "AKIA2"
        return 1000.0

    monkeypatch.setattr("botocache._near.client_state.seconds_valid", swap)
    emitter = emitter_of(client)
    assert emitter is not None
    state = state_of(client, emitter)
    assert state.values is not None
    assert state.values["access_key"] == "AKIA1"
    assert state.scope == caller_of(static("AKIA1"), AUTO).scope


def test_a_client_that_signs_nothing_is_served_nothing_that_its_credentials_may_read(
    application: Application,
) -> None:
    signed = application.client(static("AKIA1"))
    assert application.read(signed) == "AKIA1"
    client = application.client(config=Config(signature_version=UNSIGNED))
    client._request_signer._credentials = static("AKIA1")
    for _ in range(3):
        assert application.read(client) == "anonymous"


@pytest.mark.parametrize("method", ["get_frozen_credentials", "_refresh"])
def test_a_class_whose_method_is_replaced_is_asked_at_each_call(
    method: str, application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    clients = [application.client(each) for each in (static("AKIA1"), refreshable())]
    for client in clients:
        for _ in range(3):
            assert application.read(client) == "AKIA1"
    if method == "_refresh":
        clients = clients[1:]  # static ones have none
        monkeypatch.setattr(RefreshableCredentials, method, RefreshedOfTenant._refresh)
    else:
        for kind in (Credentials, RefreshableCredentials):
            monkeypatch.setattr(kind, method, OfTenant.get_frozen_credentials)
    for key in ("AKIA2", "AKIA3", "AKIA2"):
        TENANT.set(key)
        for client in clients * 2:
            assert application.read(client) == key


@pytest.mark.parametrize("change", ["secret_key", "token"])
def test_all_of_a_key_counts(change: str, application: Application) -> None:
    """The id of a key is known to many."""
    client, aws = application.client(static("AKIA1")), application.aws
    for _ in range(3):
        application.read(client)
    setattr(credentials_of(client), change, "guess")
    reads = aws.reads
    application.read(client)
    assert aws.reads == reads + 1


def test_another_tenants_keys_in_the_environment_are_another_principal(
    application: Application,
) -> None:
    for key in ("AKIA1", "AKIA2"):
        os.environ["AWS_SECRET_ACCESS_KEY"] = "s"
        os.environ["AWS_ACCESS_KEY_ID"] = key
        client = application.client()
        for _ in range(3):
            assert application.read(client) == key


@near_first
@pytest.mark.parametrize(
    "make",
    [lambda a: environment(a, "AKIA1", "of ann"), container],
    ids=["static", "role"],
)
def test_what_is_remembered_of_a_client_shows_no_key(
    make: Way, application: Application
) -> None:
    """Tools that report errors print the local variables of all frames."""
    client = make(application)
    for _ in range(3):
        application.read(client)
    state = vars(client)["_botocache_state"]
    secret = credentials_of(client).get_frozen_credentials().secret_key
    assert secret in (state.values or {}).values() or state.keys.secret_key == secret
    for shown in (state, application.cache, known):
        assert secret not in repr(shown)
        assert key_of(client) not in repr(shown)


# --- the request that is really signed ---------------------------------------------


class SwappingStore(MemoryStore):
    """Lets a client sign with other keys once a call has been looked up.

    swap: does it.
    """

    swap: Callable[[], object] | None = None

    def _swap(self) -> None:
        swap, self.swap = self.swap, None
        if swap is not None:
            swap()

    def load(self, *arguments: Any) -> Any:
        """Load, and swap."""
        loaded = super().load(*arguments)
        self._swap()
        return loaded

    def load_many(self, *arguments: Any) -> Any:
        """Load, and swap."""
        loaded = super().load_many(*arguments)
        self._swap()
        return loaded

    def evict(self, *arguments: Any) -> Any:
        """Evict, and swap."""
        evicted = super().evict(*arguments)
        self._swap()
        return evicted


@pytest.fixture
def swapping(
    aws: AWS,
    clock: FakeClock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    near: str,
) -> Application:
    return Application(aws, SwappingStore(clock=clock), tmp_path, monkeypatch, near)


def _swapped(application: Application, client: Any, call: Callable[[], Any]) -> Any:
    """Make a call whose keys change after it was looked up; then change them back."""
    store: Any = application.store
    mine = credentials_of(client)
    store.swap = lambda: _by_a_new_object(client, "AKIA2")
    try:
        return call()
    finally:
        assert store.swap is None, "the call was not looked up"
        client._request_signer._credentials = mine


def test_an_answer_that_other_keys_have_signed_for_is_not_filled(
    swapping: Application,
) -> None:
    client = swapping.client(static("AKIA1"))
    swapping.read(client, "warm")
    answer = _swapped(swapping, client, lambda: swapping.read(client))
    assert answer == "AKIA2"
    for _ in range(2):
        assert swapping.read(client) == "AKIA1"


@pytest.mark.parametrize("mode", ["legacy", "standard", "adaptive"])
def test_a_batch_that_other_keys_sign_has_none_of_the_first_ones_answers(
    mode: Any, swapping: Application
) -> None:
    """It is sent again as a whole, also where botocore retries nothing."""
    config = Config(retries={"mode": mode, "total_max_attempts": 1})
    client = swapping.client(static("AKIA1"), config=config)
    swapping.read(client, "a")
    keys = [{"pk": {"S": pk}} for pk in "ab"]
    items = {swapping.table: {"Keys": keys}}

    def read() -> list[str]:
        answer = client.batch_get_item(RequestItems=items)
        return [each["of"]["S"] for each in answer["Responses"][swapping.table]]

    assert _swapped(swapping, client, read) == ["AKIA2", "AKIA2"]
    assert read() == ["AKIA1", "AKIA1"]


def test_an_item_that_other_keys_have_put_is_not_filled(swapping: Application) -> None:
    client = swapping.client(static("AKIA1"))

    def put(of: str) -> None:
        item = {"pk": {"S": "a"}, "of": {"S": of}}
        client.put_item(TableName=swapping.table, Item=item)

    swapping.read(client, "warm")  # shows the table's key attributes
    put("the first")
    assert swapping.read(client) == "the first"  # what a put leaves is filled
    _swapped(swapping, client, lambda: put("another tenant"))
    assert swapping.read(client) == "AKIA1"


def test_a_role_counts_only_if_the_keys_of_its_caller_have_assumed_it(
    application: Application,
) -> None:
    sts = application.sts()
    stated = {
        "RoleArn": ONE,
        "RoleSessionName": "orders",
    }
    mine = explicit(application, sts.assume_role(**stated))
    key = application.read(mine)

    def swap(**_: Any) -> None:
        sts._request_signer._credentials = static("AKIAOTHER")

    sts.meta.events.register("before-sign", swap)
    other = explicit(application, sts.assume_role(**stated))
    assert application.read(other) == key_of(other) != key


def test_a_client_of_sts_that_was_there_before_the_cache_is_observed_too(
    application: Application,
) -> None:
    inner: Any = new_botocore_session()
    inner._credentials = static("AKIASOURCE")
    sts = boto3.Session(botocore_session=inner, region_name=REGION).client("sts")
    botocache.install(url=application.store)
    parameters = {"RoleArn": ONE, "RoleSessionName": "orders"}
    for _ in range(2):
        sts.assume_role(**parameters)
    assert len(known) == 2
    botocache.uninstall()
    sts.assume_role(**parameters)
    assert len(known) == 2


def test_a_call_of_sts_that_is_refused_hands_out_nothing(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(application.aws, "sts", lambda _: "<ErrorResponse/>")
    sts = application.sts()
    with pytest.raises(Exception):  # noqa: B017, PT011 - whatever botocore makes of it
        explicit(application, sts.get_session_token())
    assert len(known) == 0


@pytest.mark.parametrize("field", ["SessionToken", "Expiration"])
def test_keys_in_a_form_that_is_not_known_are_handed_out_all_the_same(
    field: str, application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = application.aws.sts

    def without(form: dict[str, str]) -> str:
        before, _, rest = answer(form).partition(f"<{field}>")
        return before + rest.partition(f"</{field}>")[2]

    monkeypatch.setattr(application.aws, "sts", without)
    keys = application.sts().get_session_token()["Credentials"]
    assert keys["AccessKeyId"].startswith("ASIA")
    assert field not in keys
    assert len(known) == 0


def test_a_header_of_another_service_hides_no_parameter(
    application: Application,
) -> None:
    """By this header a call of IAM Identity Center has its caller."""

    def assumed(role: str) -> Any:
        sts = application.sts()

        def put(request: Any, **_: Any) -> None:
            request.headers["x-amz-sso_bearer_token"] = "token"

        sts.meta.events.register("before-sign", put)
        keys = sts.assume_role(RoleArn=role, RoleSessionName="orders")
        return explicit(application, keys)

    one, two = assumed(ONE), assumed(f"{ONE}-two")
    assert application.read(one) == key_of(one)
    assert application.read(two) == key_of(two)


# --- programs that stand in for the endpoint of instances --------------------------


def test_roles_that_programs_on_two_machines_name_are_two_principals(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    """IAM Roles Anywhere has one role for certificates with other tags."""
    here, there = (("boot", "net:[1]"), ("boot", "net:[2]"))
    places = iter([here, here, there])
    monkeypatch.setattr(principals, "_this_network", lambda: next(places))
    first, second, third = (instance(application) for _ in range(3))
    key = application.read(first)
    assert application.read(second) == key
    assert application.read(third) == key_of(third) != key


def test_instances_of_aws_share_by_their_role(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(principals, "_OF_INSTANCES", {"127.0.0.1"})
    places = count()
    monkeypatch.setattr(principals, "_this_network", lambda: (str(next(places)), ""))
    key = application.read(instance(application))
    assert application.read(instance(application)) == key


# --- what is remembered ------------------------------------------------------------


def test_the_memory_of_principals_is_bounded_and_keeps_what_is_used() -> None:
    memory = Principals(most=100)
    memory.note(b"used", b"principal", _FUTURE)
    for number in range(10_000):
        memory.note(b"%d" % number, b"another", _FUTURE)
        assert memory.of(b"used") == (b"principal", _FUTURE.timestamp())
        assert len(memory) <= 100
    assert memory.of(b"0") is None


@pytest.mark.parametrize(
    "expiry", [_FUTURE, "2099-01-01T00:00:00Z", 4070908800, 4070908800.0]
)
def test_the_expiry_of_keys_is_read_in_each_form(expiry: object) -> None:
    now = [0.0]
    memory = Principals(clock=lambda: now[0])
    memory.note(b"session", b"principal", expiry)
    now[0] = _FUTURE.timestamp() - 1
    assert memory.of(b"session") == (b"principal", _FUTURE.timestamp())
    now[0] += 1
    assert memory.of(b"session") is None


def test_what_is_forgotten_costs_hits_and_shares_nothing(
    application: Application,
) -> None:
    first = container(application)
    key = application.read(first)
    known.clear()
    second = container(application)
    assert application.read(second) in (key_of(second), key)
    known.clear()
    keys = credentials_of(second).get_frozen_credentials()
    third = application.client(Credentials(*keys[:3]))
    assert application.read(third) == key_of(second)


# --- the near cache ----------------------------------------------------------------


def _near_hits(application: Application) -> int:
    assert application.cache is not None
    return application.cache.stats().near_hits


@near_first
@pytest.mark.parametrize(
    "make", [lambda a: a.client(static("AKIA1")), container], ids=["static", "role"]
)
def test_the_near_cache_serves_botocores_own_credentials(
    make: Way, application: Application
) -> None:
    client = make(application)
    for _ in range(3):
        application.read(client)
    before = _near_hits(application)
    for _ in range(5):
        application.read(client)
    assert _near_hits(application) == before + 5


@near_first
@pytest.mark.parametrize("make", [OfTenant, RefreshableOfTenant])
def test_the_near_cache_steps_aside_for_a_class_of_the_application(
    make: Callable[[], Any], application: Application
) -> None:
    client = application.client(make())
    before = _near_hits(application)
    for _ in range(5):
        application.read(client)
    assert _near_hits(application) == before


@near_first
def test_the_near_cache_serves_no_longer_than_the_keys_are_good(
    application: Application, clock: FakeClock
) -> None:
    client = container(application)
    credentials = credentials_of(client)
    now = datetime.now(timezone.utc)
    # Ten minutes before the end botocore must refresh them, and here not before that.
    credentials._expiry_time = now + timedelta(seconds=600 + 30)
    credentials._advisory_refresh_timeout = 600
    for _ in range(3):
        application.read(client)
    before = _near_hits(application)
    application.read(client)
    assert _near_hits(application) == before + 1
    clock.advance(31)
    application.read(client)
    assert _near_hits(application) == before + 1


@pytest.mark.parametrize(("seconds", "count"), [(30, 0), (-30, 1)])
def test_botocache_refreshes_only_what_cannot_sign_any_more(
    seconds: int, count: int
) -> None:
    """An endpoint that does not answer would delay each call twice."""
    made: list[int] = []

    def refresh() -> dict[str, str]:
        made.append(1)
        return {
            "access_key": "AKIA2",
            "secret_key": "secret",
            "token": "",
            "expiry_time": _FUTURE.isoformat(),
        }

    now = datetime.now(timezone.utc)
    # Ten minutes before the end botocore must refresh; before that it may.
    expiry = now + timedelta(seconds=600 + seconds)
    credentials = RefreshableCredentials("AKIA1", "s", "", expiry, refresh, "own")
    caller = caller_of(credentials, AUTO)
    assert caller.access_key_id == ("AKIA2" if count else "AKIA1")
    assert len(made) == count


@pytest.mark.parametrize("how", ["by the clock", "at once"])
def test_who_calls_is_remembered_until_the_keys_must_be_refreshed(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = count(2)

    def refresh() -> dict[str, str]:
        return {
            "access_key": f"AKIA{next(numbers)}",
            "secret_key": "secret",
            "token": "",
            "expiry_time": _FUTURE.isoformat(),
        }

    now = datetime.now(timezone.utc)
    expiry = now + timedelta(seconds=600 + 300)
    credentials: Any = RefreshableCredentials("AKIA1", "s", "", expiry, refresh, "own")
    for _ in range(2):
        assert caller_of(credentials, AUTO).access_key_id == "AKIA1"
    if how == "at once":
        for number in (2, 3, 4):
            credentials._expiry_time = now  # one object each time
            for _ in range(2):
                caller = caller_of(credentials, AUTO)
                assert caller.access_key_id == f"AKIA{number}"
    else:
        later = now + timedelta(seconds=301)
        watch = SimpleNamespace(now=later.astimezone)
        botocores = SimpleNamespace(datetime=watch, timedelta=timedelta)
        monkeypatch.setattr("botocore.credentials.datetime", botocores)
        monkeypatch.setattr("botocache._botocore.credentials.time", later.timestamp)
        assert caller_of(credentials, AUTO).access_key_id == "AKIA2"


# --- Lambda functions --------------------------------------------------------------


def _started_with(key: str, **more: str) -> dict[str, str]:
    return {
        "AWS_LAMBDA_FUNCTION_NAME": "crawl",
        "AWS_LAMBDA_FUNCTION_VERSION": "1",
        "AWS_REGION": REGION,
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": "s",
        "AWS_SESSION_TOKEN": "t",
        **more,
    }


def _principal(*environments: dict[str, str]) -> bytes | None:
    """Return the principal of a process, given its own start and its parents'."""
    waiting = iter(environments)
    found = started.function_started(
        lambda _pid: next(waiting, {}), lambda pid: pid - 1, len(environments)
    )
    return None if found is None else found[1]


def test_a_function_is_of_one_account_region_and_version() -> None:
    own = _started_with(key_id())
    principals = [
        _principal(own),
        _principal({**own, "AWS_LAMBDA_FUNCTION_NAME": "graph"}),
        _principal({**own, "AWS_LAMBDA_FUNCTION_VERSION": "2"}),
        _principal({**own, "AWS_REGION": "eu-west-1"}),
        _principal({**own, "AWS_ACCESS_KEY_ID": key_id(account=444455556666)}),
    ]
    assert None not in principals
    assert len(set(principals)) == len(principals)
    assert _principal(_started_with(key_id())) == principals[0]


_KEY = key_id()

NO_FUNCTION: dict[str, list[dict[str, str]]] = {
    "it is none": [{"AWS_ACCESS_KEY_ID": _KEY, "AWS_SECRET_ACCESS_KEY": "s"}],
    "its account is not known": [_started_with("ASIA1")],
    "it was started without keys": [_started_with("")],
    "its parent has other keys": [_started_with(_KEY), _started_with(key_id())],
    "a parent above has other keys": [
        _started_with(_KEY),
        {"PATH": ""},
        _started_with(key_id()),
    ],
    "its parent has another secret": [
        _started_with(_KEY),
        _started_with(_KEY, AWS_SECRET_ACCESS_KEY="u"),
    ],
    "its parent has another token": [
        _started_with(_KEY),
        _started_with(_KEY, AWS_SECURITY_TOKEN="u"),
    ],
}


@pytest.mark.parametrize("environments", NO_FUNCTION.values(), ids=NO_FUNCTION)
def test_keys_that_may_be_another_tenants_are_not_a_functions(
    environments: list[dict[str, str]],
) -> None:
    assert _principal(*environments) is None


def test_a_child_with_its_functions_keys_is_the_function() -> None:
    own = _started_with(_KEY)
    assert _principal(own, {"PATH": ""}, own) == _principal(own) is not None


def test_the_start_of_this_process_can_be_read() -> None:
    assert started.environment_of(os.getpid())["PATH"]
    assert started.environment_of(0) == {}
    assert started.parent_of(os.getpid()) == os.getppid()
    assert started.parent_of(0) == 0


PROGRAM = """
import os, subprocess, sys
import botocore.session
from botocache._botocore.credentials import AUTO, caller_of

def say():
    credentials = botocore.session.Session().get_credentials()
    print(caller_of(credentials, AUTO).scope.hex(), flush=True)

say()
if "TENANT" in os.environ:
    os.environ["AWS_ACCESS_KEY_ID"] = os.environ.pop("TENANT")
    say()
    subprocess.run([sys.executable, *sys.orig_argv[1:]], check=True)
"""
"""Says its scope; then that of a tenant's keys, in it and in a child of it."""


def test_a_lambda_function_shares_its_own_answers_and_those_of_no_tenant(
    tmp_path: Path,
) -> None:
    def run(key: str, **more: str) -> list[str]:
        environment = _started_with(
            key,
            PATH=os.environ["PATH"],
            PYTHONPATH=str(ROOT),
            # Of this test alone: processes above it may name a function, too.
            AWS_LAMBDA_FUNCTION_NAME=tmp_path.name,
            **more,
        )
        printed: str = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env=environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=True,
        ).stdout
        return printed.split()

    tenant = key_id()
    (one,) = run(key_id())
    # In another sandbox the function has other keys.
    own, in_it, in_its_child = run(key_id(), TENANT=tenant)
    assert own == one
    assert in_it == in_its_child == session_of(tenant, "s", "t").hex()


# --- the log -----------------------------------------------------------------------


@near_first
@pytest.mark.parametrize(
    ("make", "is_said"),
    [(lambda a: container(a, "pod"), True), (container, False), (environment, False)],
    ids=["a pod", "a container", "an environment"],
)
def test_a_role_that_is_not_known_is_said(
    make: Way,
    is_said: bool,
    application: Application,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_log, "_logged", set())
    with caplog.at_level("INFO", "botocache"):
        client = make(application)
        for _ in range(2):
            application.read(client)
    lines = [each for each in caplog.messages if "role_not_known" in each]
    assert len(lines) == is_said
    assert all("name a `scope`" in each for each in lines)
