"""URLs of stores: their parts, and their text without secrets. Pure.

Messages show wrong URLs more often than right ones. So no function here relies on a URL
that is well formed.
"""

import re
from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from botocache._errors import ConfigError, pass_on

_LOCAL = {
    "memory": "'memory:'",
    "disk": "'disk:' or 'disk:///path' with an absolute path",
}
"""The stores on this machine by scheme, each with its valid URLs, for messages."""

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_SIZE_LIMIT = re.compile(r"\?size_limit=[0-9]+[A-Za-z]*\Z")
_LEAST_SIZE_LIMIT = 1024**2


def scheme_of(url: str) -> str | None:
    """Return a URL's scheme in lower case; None if the URL has none."""
    scheme, separator, _ = url.partition(":")
    return scheme.lower() if separator and _SCHEME.fullmatch(scheme) else None


# --- stores on this machine --------------------------------------------------------


class LocalPlace(NamedTuple):
    """The place of a store on this machine.

    scheme: "memory" or "disk".
    path: an absolute directory; "" is the default one.
    size_limit: of all entries, in bytes; None is the store's default.
    """

    scheme: str
    path: str
    size_limit: int | None


def local_place(url: str) -> LocalPlace | None:
    """Return the place that a URL names; None if its scheme is not a local one.

    Raises ConfigError for a wrong URL of a local scheme.
    """
    scheme = scheme_of(url)
    if scheme is None or scheme not in _LOCAL:
        return None
    try:
        parts = urlsplit(url)
    # `disk://[x]`: no valid IPv6 address in brackets.
    except ValueError:
        raise _wrong_url(scheme) from None
    path = unquote(parts.path)
    options = parse_qs(parts.query, keep_blank_values=True)
    limits = options.pop("size_limit", [])
    is_path = path == "" or (scheme == "disk" and path.startswith("/"))
    if not is_path or parts.netloc or parts.fragment or options or limits[1:]:
        raise _wrong_url(scheme)
    try:
        size_limits = [parse_size(each, least=_LEAST_SIZE_LIMIT) for each in limits]
    except ValueError as error:
        raise ConfigError(f"url '{scheme}:...': size_limit: {error}") from None
    return LocalPlace(scheme, path, size_limits[0] if size_limits else None)


def _wrong_url(scheme: str) -> ConfigError:
    # Show only the scheme: the URL may be meant for a server, and hold a password.
    return ConfigError(
        f"url '{scheme}:...' cannot be read; expected {_LOCAL[scheme]}, optionally "
        "with '?size_limit=1GiB' at its end"
    )


_SIZE = re.compile(r"([0-9]+)\s*(|K|M|G)(?:i?B)?", re.IGNORECASE | re.ASCII)
_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3}


def parse_size(value: object, *, least: int = 0) -> int:
    """Return a size in bytes. Raises ValueError.

    value: a number, or text such as `64MiB`.
    least: the smallest size that is accepted, in bytes.
    """
    is_size = isinstance(value, (int, str)) and not isinstance(value, bool)
    match = _SIZE.fullmatch(str(value).strip()) if is_size else None
    if match is not None:
        number = int(match[1]) * _UNITS[match[2].upper()]
        if number >= least:
            return number
    at_least = f", at least {least}" if least else ""
    raise ValueError(
        f"expected bytes as 65536 or '64KiB'{at_least}, not {shown(value)}"
    )


# --- secrets -----------------------------------------------------------------------


_LONGEST_SHOWN = 100
"""Characters of a wrong value in a message."""


def shown(value: object) -> str:
    """Return a wrong value for a message.

    It may be a URL that stands in the wrong place, and hold a password. So text with
    what a URL has is shown as one, and other values with it by their type alone.
    """
    try:
        text = repr(value)
    except Exception as error:  # noqa: BLE001 - of an object of the user's, or too deep
        pass_on(error)
        text = "//"
    if "@" in text or "//" in text:
        text = (
            repr(without_secrets(value))
            if isinstance(value, str)
            else f"a {type(value).__name__}"
        )
    if len(text) > _LONGEST_SHOWN:
        return f"{text[:_LONGEST_SHOWN]}..."
    return text


def without_secrets(url: object) -> str:
    """Return a URL for messages, or the type of an object given instead of a URL.

    `***` replaces user and password, and the query of a server's URL.
    """
    if not isinstance(url, str):
        return type(url).__name__
    scheme = scheme_of(url)
    if scheme is None:
        return "***" if url else ""
    head, rest = url[: len(scheme) + 1], url[len(scheme) + 1 :]
    if scheme in _LOCAL:
        place = _SIZE_LIMIT.sub("", rest)
        if place in ("", "//") or place.startswith("///"):
            return url
    if rest.startswith("//"):
        head, rest = head + "//", rest[2:]
    place, *more = re.split(r"[?#]", rest, maxsplit=1)
    # `redis://user:pass?word@host`: a `?` or `#` in a password ends a URL's authority,
    # so the password's own end is not certain. Show nothing behind the scheme.
    if "@" in "".join(more):
        return f"{head}***"
    # The last `@`: a password that is not encoded may hold one.
    _, at, place = place.rpartition("@")
    return f"{head}{'***@' if at else ''}{place}{'?***' if more else ''}"
