"""A DynamoDB in memory whose eventually consistent reads may lag behind its writes."""

import threading
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

Item = dict[str, Any]


class LaggingDynamoDB:
    """One table, `t`, with the key attributes `pk` and `sk`, and an index by `g`.

    clock: when a write is carried out.
    lag: seconds for which a read that is not strongly consistent may show what was
        before a write; 0.0 for never.
    index_lag: the same for a Query of the index.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        lag: float = 0.0,
        *,
        index_lag: float | None = None,
        seed: int = 0,
    ) -> None:
        self._clock = clock
        self._lag = lag
        self._index_lag = lag if index_lag is None else index_lag
        self._random = Random(seed)
        self._lock = threading.Lock()
        self._history: dict[tuple[str, str], list[tuple[float, Item | None]]] = {}
        self.requests: list[tuple[str, Mapping[str, Any]]] = []
        self.always_lags = False

    def answer(self, operation: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Carry a request out, and return its answer as on the wire."""
        with self._lock:
            self.requests.append((operation, body))
            answer: dict[str, Any] = getattr(self, f"_{operation}")(body)
            return answer

    def put(self, item: Item) -> None:
        """Put an item, around every cache."""
        with self._lock:
            self._commit(item, item)

    def delete(self, key: Item) -> None:
        """Delete an item, around every cache."""
        with self._lock:
            self._commit(key, None)

    # --- reads ---------------------------------------------------------------------

    def _GetItem(self, body: Mapping[str, Any]) -> dict[str, Any]:  # noqa: N802
        key = _key_of(body["Key"])
        item = self._read(key, self._lag_of(body))
        return {} if item is None else {"Item": item}

    def _BatchGetItem(self, body: Mapping[str, Any]) -> dict[str, Any]:  # noqa: N802
        asked = body["RequestItems"]["t"]
        lag = self._lag_of(asked)
        found = [self._read(_key_of(key), lag) for key in asked["Keys"]]
        # In no particular order, as DynamoDB does.
        items = [item for item in reversed(found) if item is not None]
        return {"Responses": {"t": items}, "UnprocessedKeys": {}}

    def _Query(self, body: Mapping[str, Any]) -> dict[str, Any]:  # noqa: N802
        (value,) = body["ExpressionAttributeValues"].values()
        is_on_index = "IndexName" in body
        attribute = "g" if is_on_index else "pk"
        lag = self._index_lag if is_on_index else self._lag_of(body)
        return self._page(lag, lambda item: item.get(attribute) == value)

    def _Scan(self, body: Mapping[str, Any]) -> dict[str, Any]:  # noqa: N802
        return self._page(self._lag_of(body), lambda _: True)

    def _page(self, lag: float, belongs: Callable[[Item], bool]) -> dict[str, Any]:
        items = [self._read(key, lag) for key in sorted(self._history)]
        page = [item for item in items if item is not None and belongs(item)]
        return {"Items": page, "Count": len(page), "ScannedCount": len(page)}

    def _lag_of(self, body: Mapping[str, Any]) -> float:
        return 0.0 if body.get("ConsistentRead") else self._lag

    def _read(self, key: tuple[str, str], lag: float) -> Item | None:
        versions = self._history.get(key, [(0.0, None)])
        oldest = len(versions) - 1
        while oldest and self._clock() - versions[oldest][0] < lag:
            oldest -= 1
        shown = oldest
        if not self.always_lags:
            shown = self._random.randint(oldest, len(versions) - 1)
        return versions[shown][1]

    # --- writes --------------------------------------------------------------------

    def _PutItem(self, body: Mapping[str, Any]) -> dict[str, Any]:  # noqa: N802
        self._commit(body["Item"], dict(body["Item"]))
        return {}

    def _DeleteItem(self, body: Mapping[str, Any]) -> dict[str, Any]:  # noqa: N802
        self._commit(body["Key"], None)
        return {}

    def _UpdateItem(self, body: Mapping[str, Any]) -> dict[str, Any]:  # noqa: N802
        (value,) = body["ExpressionAttributeValues"].values()
        item = {**(self._last(body["Key"]) or body["Key"]), "n": value}
        self._commit(body["Key"], item)
        return {"Attributes": item} if body.get("ReturnValues") == "ALL_NEW" else {}

    def _BatchWriteItem(self, body: Mapping[str, Any]) -> dict[str, Any]:  # noqa: N802
        for request in body["RequestItems"]["t"]:
            self._commit(request["PutRequest"]["Item"], request["PutRequest"]["Item"])
        return {"UnprocessedItems": {}}

    def _TransactWriteItems(self, body: Mapping[str, Any]) -> dict[str, Any]:  # noqa: N802
        for action in body["TransactItems"]:
            self._commit(action["Put"]["Item"], action["Put"]["Item"])
        return {}

    def _commit(self, key: Item, item: Item | None) -> None:
        versions = self._history.setdefault(_key_of(key), [(0.0, None)])
        versions.append((self._clock(), item))

    def _last(self, key: Item) -> Item | None:
        return self._history.get(_key_of(key), [(0.0, None)])[-1][1]


def _key_of(item: Item) -> tuple[str, str]:
    return item["pk"]["S"], item["sk"]["S"]
