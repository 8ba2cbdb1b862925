"""Wherever a URL holds a password, the password is not shown."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from botocache.stores.memory import MemoryStore
from botocache.stores.urls import scheme_of, without_secrets


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("", ""),
        ("memory:", "memory:"),
        ("disk:", "disk:"),
        ("disk:///a/b@c?d", "disk:///a/b@c?d"),
        ("memory://", "memory://"),
        ("memory:?size_limit=64MiB", "memory:?size_limit=64MiB"),
        ("disk:?size_limit=1GiB", "disk:?size_limit=1GiB"),
        ("disk://?size_limit=1GiB", "disk://?size_limit=1GiB"),
        ("memory:?password=s3cret", "memory:?***"),
        ("disk:?size_limit=1&password=s3cret", "disk:?***"),
        ("disk://:s3cret@host/x?size_limit=1GiB", "disk://***@host/x?***"),
        ("memory://:s3cret@host", "memory://***@host"),
        ("disk://user:s3cret@host/x", "disk://***@host/x"),
        ("redis://host", "redis://host"),
        ("redis://host:6379/0", "redis://host:6379/0"),
        ("redis+cluster://a:1,b:2", "redis+cluster://a:1,b:2"),
        ("unix:///run/redis.sock", "unix:///run/redis.sock"),
        ("redis://s3cret@host:6379/0", "redis://***@host:6379/0"),
        ("redis://:s3cret@host/0", "redis://***@host/0"),
        ("rediss://user:s3cret@host", "rediss://***@host"),
        ("REDIS://user:s3cret@host", "redis://***@host"),
        ("unix://user:s3cret@/run/redis.sock", "unix://***@/run/redis.sock"),
        ("redis://user:a@s3cret@host", "redis://***@host"),
        ("redis://user:a/s3cret@host", "redis://***@host"),
        ("redis://user:a?s3cret@host/0", "redis://***"),
        ("redis://user:a#s3cret@host/0", "redis://***"),
        ("redis://host/0?password=s3cret", "redis://host/0?***"),
        ("redis://host/0?password=a@s3cret", "redis://***"),
        ("redis://user:s3cret@host/0?db=1", "redis://***@host/0?***"),
        ("redis://host/0#s3cret", "redis://host/0?***"),
        ("redis:user:s3cret@host", "redis:***@host"),
        ("redi://user:s3cret@host", "redi://***@host"),
        ("s3cret@host", "***"),
        (":s3cret@host", "***"),
        ("user s3cret:x@host", "***"),
        ("s3cret", "***"),
        (MemoryStore(), "MemoryStore"),
        (None, "NoneType"),
    ],
)
def test_a_url_is_shown_without_its_secrets(url: Any, shown: str) -> None:
    assert without_secrets(url).lower() == shown.lower()


_parts = st.text(alphabet="ab:/?#@[]%. ", max_size=6)


@given(_parts, _parts, st.sampled_from(["redis", "rediss", "nosql", "unix"]))
def test_no_password_is_shown_whatever_is_in_it(
    before: str, after: str, scheme: str
) -> None:
    url = f"{scheme}://user:{before}S3CRET{after}@host:6379/0"
    assert "S3CRET" not in without_secrets(url)


@given(_parts, _parts)
def test_no_query_is_shown_whatever_is_in_it(before: str, after: str) -> None:
    url = f"redis://host:6379/0?password={before}S3CRET{after}"
    assert "S3CRET" not in without_secrets(url)


@pytest.mark.parametrize(
    ("url", "scheme"),
    [
        ("redis://host", "redis"),
        ("Redis+Cluster://host", "redis+cluster"),
        ("memory:", "memory"),
        ("memory", None),
        ("", None),
        (":x", None),
        ("pass word://x", None),
        ("p@ss://x", None),
        ("1a://x", None),
    ],
)
def test_a_scheme_is_recognised_by_its_form(url: str, scheme: str | None) -> None:
    assert scheme_of(url) == scheme
