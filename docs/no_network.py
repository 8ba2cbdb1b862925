"""A hook of the site's build: no page may load anything from another host.

A link that a reader clicks may lead anywhere; scripts, styles and images may not.
"""

import re
from typing import Any

from mkdocs.exceptions import PluginError

_LOADED = re.compile(
    r"""<(?:script|img|iframe|source)\b[^>]*\bsrc=["']?(?:https?:)?//[^"'\s>]+"""
    r"""|<link\b[^>]*\brel=["']?(?:stylesheet|preconnect|preload|icon)\b[^>]*"""
    r"""\bhref=["']?(?:https?:)?//[^"'\s>]+"""
)


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """Fail the build if a page loads something from another host."""
    found = _LOADED.search(output)
    if found is not None:
        raise PluginError(f"{page.file.src_uri} loads from the network: {found[0]}")
    return output
