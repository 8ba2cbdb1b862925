"""Let writes of items evict other tags than they must, for tests that find it out."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytest

from botocache._dynamodb.tags import ItemTagMaker, Tag, tag_digest

_tags = ItemTagMaker.tags


def evicting(
    choose: Callable[[str, Mapping[str, Any]], Iterable[Tag]],
) -> Callable[[pytest.MonkeyPatch], None]:
    """Return the patch by which a write of one item evicts the tags that are chosen.

    choose: returns them for a table and a key. `item_tags` has them all, also in here.
    """
    is_choosing = False

    def tags(maker: ItemTagMaker, key: Mapping[str, Any]) -> dict[bytes, Tag]:
        nonlocal is_choosing
        if is_choosing:
            return _tags(maker, key)
        is_choosing = True
        try:
            return {tag_digest(tag): tag for tag in choose(maker.table, key)}
        finally:
            is_choosing = False

    return lambda patch: patch.setattr(ItemTagMaker, "tags", tags)
