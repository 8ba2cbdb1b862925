"""stub"""

from typing import Any


class Projection:
    attributes: frozenset[str]
    paths: Any


def read_projection(body: Any) -> Projection | None:
    return None


def project(item: Any, projection: Projection) -> Any:
    return None
