"""What DynamoDB writes into a stream when an item is put, updated or deleted."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from typing import Any, TypeAlias

Item: TypeAlias = Mapping[str, Any]
"""As botocore has it: `{"id": {"S": "7"}}`."""

_IMAGES = {
    "KEYS_ONLY": (),
    "NEW_IMAGE": ("NewImage",),
    "OLD_IMAGE": ("OldImage",),
    "NEW_AND_OLD_IMAGES": ("NewImage", "OldImage"),
}


def stream_record(  # noqa: PLR0913 - what a record has
    old: Item | None,
    new: Item | None,
    *,
    view: str = "NEW_AND_OLD_IMAGES",
    keys: Iterable[str] = ("id",),
    sequence_number: str = "1",
    created_at: float = 0.0,
    region: str = "us-east-1",
) -> dict[str, Any]:
    """Return the record of a write, as botocore returns it.

    old: the item before the write; None if there was none.
    new: the item after the write; None if it was deleted.
    view: what the stream shows.
    keys: the names of the table's key attributes.
    created_at: seconds since the epoch. Streams know it to the second.
    """
    either = new if old is None else old
    if either is None:
        raise ValueError("a write that changes nothing has no record")
    images = {"NewImage": new, "OldImage": old}
    shown = {name: images[name] for name in _IMAGES[view] if images[name] is not None}
    event = "INSERT" if old is None else "REMOVE" if new is None else "MODIFY"
    return {
        "eventID": f"{int(sequence_number):032x}",
        "eventName": event,
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": region,
        "dynamodb": {
            "ApproximateCreationDateTime": datetime.fromtimestamp(
                int(created_at), timezone.utc
            ),
            "Keys": {name: either[name] for name in keys},
            **shown,
            "SequenceNumber": sequence_number,
            "SizeBytes": 100 * (1 + len(shown)),
            "StreamViewType": view,
        },
    }
