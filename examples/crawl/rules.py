"""What a tenant may have crawled: its rules applied to one URL. Pure.

A rule is an item of the `rules` table; `kind` says how to read the others:

    hosts    `values`: the hosts that may be visited
    depth    `limit`: the most links from the start
    blocked  `values`: path prefixes that must not be visited
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import SplitResult, urlsplit

Rule = Mapping[str, Any]


def refusal(rules: Iterable[Rule], url: str, depth: int) -> str | None:
    """Return the id of the first rule that forbids the URL, or None if none does."""
    parts = urlsplit(url)
    for rule in rules:
        if _FORBIDS[rule["kind"]](rule, parts, depth):
            return str(rule["rule_id"])
    return None


def _foreign_host(rule: Rule, parts: SplitResult, _: int) -> bool:
    return parts.hostname not in rule["values"]


def _too_deep(rule: Rule, _: SplitResult, depth: int) -> bool:
    return bool(depth > rule["limit"])


def _blocked_path(rule: Rule, parts: SplitResult, _: int) -> bool:
    return parts.path.startswith(tuple(rule["values"]))


_FORBIDS: Mapping[str, Callable[[Rule, SplitResult, int], bool]] = {
    "hosts": _foreign_host,
    "depth": _too_deep,
    "blocked": _blocked_path,
}
