"""A DynamoDB that processes share: a number for each item, in a file. It never lags."""

import os
from pathlib import Path
from typing import Any

_WIDTH = 8

ITEMS = 40
"""Items of the table `t`, whose keys are "0" and so on. With fewer, writes of two
processes would meet, and hold off fills for seconds."""


class FileDynamoDB:
    """Answers GetItem, Query and PutItem. An item without a number is absent.

    path: of the file, which is made if it is missing.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        if os.fstat(self._file).st_size < _WIDTH * ITEMS:
            os.pwrite(self._file, bytes(_WIDTH), _WIDTH * (ITEMS - 1))

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def answer(self, operation: str, body: dict[str, Any]) -> dict[str, Any]:
        """Carry a request out, and return its answer as on the wire."""
        if operation == "PutItem":
            item = body["Item"]
            self.write(item["pk"]["S"], int(item["n"]["N"]))
            return {}
        if operation == "GetItem":
            item = self._read(body["Key"]["pk"]["S"])
            return {"Item": item} if item else {}
        (value,) = body["ExpressionAttributeValues"].values()
        item = self._read(value["S"])
        items = [item] if item else []
        return {"Items": items, "Count": len(items), "ScannedCount": len(items)}

    def write(self, pk: str, n: int) -> None:
        """Write an item, around every cache."""
        os.pwrite(self._file, n.to_bytes(_WIDTH, "little"), _WIDTH * int(pk))

    def _read(self, pk: str) -> dict[str, Any] | None:
        n = int.from_bytes(os.pread(self._file, _WIDTH, _WIDTH * int(pk)), "little")
        return {"pk": {"S": pk}, "n": {"N": str(n)}} if n else None
