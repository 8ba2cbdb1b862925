"""The graph service, and a count of the stale answers that its reads got, by age.

For throttled.py. The service's own code is that of graph.py. At the end the counts are
in the file that CRAWL_AGES names, as JSON: `{"3": 17}`, by whole seconds.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

from graph import GraphServer
from process import serve_until_parent_ends


class WatchedGraphServer(GraphServer):
    """A server that looks at the answers. ages: of those that were stale."""

    def __init__(self) -> None:
        super().__init__()
        self.ages: Counter[int] = Counter()
        self._session.events.register("after-call.dynamodb", self._look)

    def _look(self, parsed: dict[str, Any], **_: object) -> None:
        headers = parsed.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        if headers.get("x-botocache") == "stale":
            # Not exact: two threads may come at once.
            self.ages[int(headers["age"])] += 1


if __name__ == "__main__":
    server = WatchedGraphServer()
    serve_until_parent_ends(server)
    Path(os.environ["CRAWL_AGES"]).write_text(json.dumps(server.ages), encoding="utf-8")
