"""What of a URL may be shown: never a password, wherever somebody has put it. Pure.

A URL that is wrong is shown most of all, so nothing here relies on its being right.
"""

import re

_LOCAL = ("disk", "memory")
"""They have no secrets, but for those that are meant for another scheme."""

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")


def scheme_of(url: str) -> str | None:
    """Return a URL's scheme, in lower case; None where there is nothing like one."""
    scheme, separator, _ = url.partition(":")
    return scheme.lower() if separator and _SCHEME.fullmatch(scheme) else None


def without_secrets(url: object) -> str:
    """Return what may be shown of a URL, or of the object in its place.

    User and password are between the scheme and the last `@`, unless they hold what
    ends a URL's authority: then nobody knows where they end, and nothing is shown. A
    query may hold them too.
    """
    if not isinstance(url, str):
        return type(url).__name__
    scheme = scheme_of(url)
    if scheme is None:
        return "***" if url else ""
    head, rest = url[: len(scheme) + 1], url[len(scheme) + 1 :]
    if scheme in _LOCAL and (rest in ("", "//") or rest.startswith("///")):
        return url
    if rest.startswith("//"):
        head, rest = head + "//", rest[2:]
    place, *more = re.split(r"[?#]", rest, maxsplit=1)
    if "@" in "".join(more):
        return f"{head}***"
    _, at, place = place.rpartition("@")
    return f"{head}{'***@' if at else ''}{place}{'?***' if more else ''}"
