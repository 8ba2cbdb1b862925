"""What a follower is made of: the region and the credentials of an install's target."""

import boto3
import pytest
from botocore.session import Session, get_session

from botocache._botocore.following import new_follower, session_of
from botocache._errors import ConfigError
from tests.support.followers import FollowedTable


def keys_of(session: Session) -> str | None:
    credentials = session.get_credentials()
    return None if credentials is None else credentials.access_key


def test_a_session_is_taken_as_it_is() -> None:
    session = get_session()
    assert session_of(session) is session
    of_boto3 = boto3.Session(botocore_session=session)
    assert session_of(of_boto3) is session


def test_a_client_and_what_is_made_of_it_lend_their_region_and_credentials() -> None:
    maker = boto3.Session("AKIA7", "s3cret", region_name="eu-west-3")
    table = maker.resource("dynamodb").Table("users")
    for target in (maker.client("dynamodb"), maker.resource("dynamodb"), table):
        session = session_of(target)
        assert session.get_config_variable("region") == "eu-west-3"
        assert keys_of(session) == "AKIA7"


def test_each_region_has_a_client_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    table = FollowedTable()
    arn = "arn:aws:dynamodb:eu-west-1:1:table/orders"
    made = new_follower(["users", "books", arn], table.services, table.store)
    sources = [each._source for each in made.tables]
    assert sources[0] is sources[1] is not sources[2]
    assert [each.table for each in made.tables] == ["users", "books", "orders"]


class Boardless:
    """A store of the user's, without a board."""


def test_a_store_without_a_board_is_refused() -> None:
    services = FollowedTable().services
    with pytest.raises(ConfigError, match="keeps no records"):
        new_follower(["users"], services, Boardless())  # type: ignore[arg-type]  # it has no verbs
