"""The account of a set of keys: one text for all keys of an account."""

from types import SimpleNamespace
from typing import Any

import pytest
from botocore.credentials import Credentials, RefreshableCredentials

from botocache._botocore.accounts import account_at_hand, account_of
from tests.support.key_ids import key_id

ACCOUNT, OLD = "029608264753", "AKIAIOSFODNN7EXAMPLE"
KEY = key_id("AKIA", int(ACCOUNT), 1)


def keys(account: object = None) -> Any:
    return SimpleNamespace(account_id=account)


@pytest.mark.parametrize(
    ("found", "key", "account"),
    [
        (keys(), KEY, ACCOUNT),
        (keys(ACCOUNT), KEY, ACCOUNT),
        (keys(), key_id("ASIA", int(ACCOUNT), 2), ACCOUNT),
        (keys(ACCOUNT), OLD, ACCOUNT),
        (keys(), OLD, ""),
        (keys(7), OLD, ""),
        (SimpleNamespace(), OLD, ""),
        (keys(), "testing", ""),
        (keys(), "", ""),
    ],
)
def test_each_way_to_keys_of_an_account_gives_the_same(
    found: object, key: str, account: str
) -> None:
    assert account_of(found, key) == account


def test_the_keys_at_hand_name_the_account_and_nothing_is_refreshed() -> None:
    def refresh() -> Any:
        raise AssertionError("nothing may be refreshed")

    never: Any = None
    refreshable = RefreshableCredentials(KEY, "s", "t", never, refresh, "sso")
    assert account_at_hand(refreshable) == ACCOUNT
    assert account_at_hand(Credentials(KEY, "secret")) == ACCOUNT
    assert account_at_hand(Credentials("testing", "secret")) == ""
    assert account_at_hand(None) == account_at_hand(object()) == ""
