"""The check of revocation: after a credential is revoked nobody may be served by it.

Uses each temporary credential several times, so that any cache would have it; revokes
it; and looks at what the very next request with it gets.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from client import GraphClient
from tables import ADMIN_KEY

USES = 4
TRIES = 40
PAUSE = 0.25


@dataclass(frozen=True, slots=True)
class Revocation:
    """What was seen with one credential. `decided`: no step remained unanswered."""

    decided: bool
    served_before: bool
    served_after: bool


def revoke_and_check(graph: GraphClient, api_key: str, url: str) -> Revocation:
    """Use, revoke and use again one credential, by storing the page `url`."""
    node = {"url": url, "title": "Welcome", "depth": 0}
    before = [_decided(graph, "/nodes", api_key, node) for _ in range(USES)]
    revoked = _decided(graph, "/revoke", ADMIN_KEY, {"api_key": api_key})
    after = _decided(graph, "/nodes", api_key, node)
    return Revocation(
        decided=None not in (*before, after) and revoked == HTTPStatus.OK,
        served_before=all(status == HTTPStatus.OK for status in before),
        served_after=after == HTTPStatus.OK,
    )


def summary(outcomes: Sequence[Revocation]) -> dict[str, int]:
    """Count the outcomes: all but the first should be none."""
    decided = [outcome for outcome in outcomes if outcome.decided]
    return {
        "revoked": len(decided),
        "undecided": len(outcomes) - len(decided),
        "refused_before": sum(not outcome.served_before for outcome in decided),
        "served_after": sum(outcome.served_after for outcome in outcomes),
    }


def _decided(
    graph: GraphClient, path: str, api_key: str, body: dict[str, Any]
) -> int | None:
    """Post until the service does decide: while DynamoDB throttles it, it cannot."""
    for _ in range(TRIES):
        status, _answer = graph.post(path, api_key, body)
        if status in (HTTPStatus.OK, HTTPStatus.FORBIDDEN):
            return status
        time.sleep(PAUSE)  # real: the service has a clock of its own
    return None
