"""Scopes: one for each principal, without its secrets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from botocache._botocore.accounts import account_of_key
from botocache._botocore.credentials import ANONYMOUS_SCOPE, named_scope
from botocache._botocore.principals import role_principal, session_of
from botocache._digests import DIGEST_SIZE

_KEY_ID = "ASIAQNZGKIQY56JQ7WML"

SCOPES = [
    ANONYMOUS_SCOPE,
    named_scope("x"),
    named_scope("y"),
    session_of("x", "s", ""),
    session_of("y", "s", ""),
    session_of("", "x", "s"),
    session_of("x", "s", "t"),
    session_of("x", "t", "s"),
    role_principal("x", "", ""),
    role_principal("iam-role", "1", ""),
    role_principal("container-role", "1", ""),
    role_principal("iam-role", "2", ""),
    role_principal("iam-role", "1", "r"),
    role_principal("iam-role1", "", "r"),
]


def test_no_two_principals_share_a_scope() -> None:
    assert len(set(SCOPES)) == len(SCOPES)


def test_no_key_is_in_a_scope() -> None:
    scope = session_of(_KEY_ID, _KEY_ID[4:], _KEY_ID[8:])
    assert len(scope) == DIGEST_SIZE
    for at in range(len(_KEY_ID) - 4):
        assert _KEY_ID.encode()[at : at + 4] not in scope


def test_an_access_key_id_names_its_account() -> None:
    assert account_of_key(_KEY_ID) == "029608264753"


def test_an_account_stays_when_its_keys_rotate() -> None:
    assert account_of_key(_KEY_ID) == account_of_key("AKIA" + _KEY_ID[4:13] + "A" * 7)


@pytest.mark.parametrize(
    "key_id",
    [
        "",
        "AKIA",
        "AKIATEST",
        "AKIAQNZGKIQY",
        "AKIA0189018901890189",
        "akiaqnzgkiqy56jq7wml",
        "AKIA" + "=" * 16,
        "AKIA" + "ü" * 16,
        "AKIAIOSFODNN7EXAMPLE",  # of the older form
        "AKIAPOSFODNN7EXAMPLE",
        "AKIA8OSFODNN7EXAMPLE",
    ],
)
def test_what_is_no_access_key_id_names_no_account(key_id: str) -> None:
    assert account_of_key(key_id) == ""


@given(st.text(max_size=24))
def test_any_text_names_an_account_or_none(key_id: str) -> None:
    bits = account_of_key(key_id)
    assert bits == "" or (bits.isdigit() and len(bits) == 12)
