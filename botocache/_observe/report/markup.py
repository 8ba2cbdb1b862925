"""HTML in which each text is escaped: an element takes texts, and other elements.

Whatever a report shows comes from a store that other programs may write to. A string is
always text. Only `element` and `raw` make markup, and `raw` takes what stands in our
code.
"""

from html import escape
from typing import TYPE_CHECKING, Final, TypeAlias
from unicodedata import category

if TYPE_CHECKING:
    from collections.abc import Iterable


class Html(str):
    """Markup. It is not escaped again."""

    __slots__ = ()


Content: TypeAlias = "str | Iterable[Content] | None"
"""What an element holds: texts, markup, several of both, or nothing."""

_EMPTY: Final = frozenset({"meta", "br", "path", "line", "rect", "circle"})
"""Elements that hold nothing, of HTML and SVG."""

LONGEST_TEXT: Final = 2000
"""Characters of one text. A key may hold more."""


def element(
    tag: str, attributes: dict[str, object] | None = None, *content: Content
) -> Html:
    """Return an element.

    tag: its name.
    attributes: their values; None or False leaves one out, True gives it no value.
    content: texts, which are escaped, and elements.
    """
    parts = [tag]
    for name, value in (attributes or {}).items():
        if value is True:
            parts.append(name)
        elif value is not None and value is not False:
            text = value if isinstance(value, Html) else escape(visible(str(value)))
            parts.append(f'{name}="{text}"')
    opened = " ".join(parts)
    if tag in _EMPTY:
        return Html(f"<{opened}/>")
    return Html(f"<{opened}>{join(content)}</{tag}>")


def join(content: Content) -> Html:
    """Return texts and elements, one after the other."""
    if content is None:
        return Html()
    if isinstance(content, Html):
        return content
    # After Html, which is a string as well.
    if isinstance(content, str):
        return Html(escape(visible(content)))
    return Html("".join(join(each) for each in content))


def raw(markup: str) -> Html:
    """Return markup that stands in our own code. Never call it with a value."""
    return Html(markup)


def visible(text: str) -> str:
    """Return a text whose control characters are escapes, cut off if it is very long.

    Among them are marks that turn the direction of what follows, and characters that
    no encoding takes.
    """
    if len(text) > LONGEST_TEXT:
        text = f"{text[:LONGEST_TEXT]}\N{HORIZONTAL ELLIPSIS}"
    if text.isprintable():
        return text
    return "".join(
        each if each in " \n" or category(each)[0] != "C" else _escape_of(each)
        for each in text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    )


def _escape_of(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
