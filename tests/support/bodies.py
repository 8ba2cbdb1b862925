"""What boto3 and botocore make of a call's arguments: the body of its request."""

from typing import Any

import boto3
from botocore.exceptions import BotoCoreError

_SESSION = boto3.Session(
    aws_access_key_id="a", aws_secret_access_key="b", region_name="us-east-1"
)


class _BodyError(Exception):
    """It was not sent; args[0]: what would have been."""


def _stop(*, params: dict[str, Any], **_: Any) -> None:
    raise _BodyError(params["body"])


def _client(made: Any) -> Any:
    made.meta.events.register("before-call.dynamodb", _stop)
    return made


CLIENT = _client(_SESSION.client("dynamodb"))
OF_A_RESOURCE = _client(_SESSION.resource("dynamodb").meta.client)


def sent_body(client: Any, arguments: dict[str, Any]) -> Any:
    """Return the body that a call would send; how it is refused, if it is.

    client: one of the two above. A GetItem if there is a Key, else a Scan.
    """
    make = client.get_item if "Key" in arguments else client.scan
    try:
        make(**arguments)
    except _BodyError as stopped:
        return stopped.args[0]
    except (BotoCoreError, TypeError, ValueError, ArithmeticError) as error:
        return type(error)
    raise AssertionError("it was sent")
