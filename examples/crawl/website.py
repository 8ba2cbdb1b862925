"""The site that is crawled: some hundred linked pages, always the same for a seed.

`build` is pure; the rest serves what it built. Among the ordinary pages there is what
a crawler meets: links to other hosts, links into a shop's cart and private corners,
and a calendar whose next month always exists.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Mapping
from html import escape
from http import HTTPStatus

from process import serve_until_parent_ends
from web import WebHandler, WebServer

SECTIONS = ("articles", "guides", "notes", "projects", "people")
WORDS = ("graph", "index", "river", "signal", "harbour", "margin", "field", "lantern")
CALENDAR = "/calendar/"
MOST_CHILDREN = 4
CROSS_LINKS = 2


def build(pages: int, seed: int) -> dict[str, str]:
    """Return path -> HTML: a tree of pages from "/", with cross links between them."""
    # Reproducible, and nothing secret about it.
    rng = random.Random(seed)
    paths = ["/", *(_path(number, rng) for number in range(1, pages))]
    links: dict[str, list[str]] = {path: [] for path in paths}
    links["/"].append(f"{CALENDAR}1")
    for number in range(1, pages):
        parent = paths[(number - 1) // MOST_CHILDREN]
        links[parent].append(paths[number])
    for number, path in enumerate(paths):
        links[path] += [*rng.sample(paths, k=CROSS_LINKS), *_unwelcome(number, rng)]
    return {path: _page(path, targets) for path, targets in links.items()}


def calendar(path: str) -> str:
    """Return one month, which links to the next: without end."""
    month = int(path.removeprefix(CALENDAR)) + 1
    return _page(path, [f"{CALENDAR}{month}"])


def _path(number: int, rng: random.Random) -> str:
    return f"/{rng.choice(SECTIONS)}/{rng.choice(WORDS)}-{rng.choice(WORDS)}-{number}"


def _unwelcome(number: int, rng: random.Random) -> list[str]:
    """Return a link that the rules forbid, for about a third of the pages."""
    forbidden = (
        f"/private/drafts/{number}",
        f"/cart/add?article={number}",
        f"/search/?similar={number}",
        f"https://elsewhere.example/{number}",
    )
    return [rng.choice(forbidden)] if rng.random() < 1 / 3 else []


def _page(path: str, targets: list[str]) -> str:
    title = escape(path.strip("/").replace("/", " - ") or "Welcome")
    items = "\n".join(
        f'<li><a href="{escape(target)}">{escape(target)}</a></li>'
        for target in targets
    )
    return (
        f"<!doctype html>\n<html><head><title>{title}</title></head>\n"
        f"<body><h1>{title}</h1>\n<ul>\n{items}\n</ul></body></html>\n"
    )


class Handler(WebHandler):
    """Serves the built pages and the calendar."""

    server: SiteServer

    def do_GET(self) -> None:
        """Send one page, or 404."""
        path = self.path.partition("?")[0]
        if path.startswith(CALENDAR) and path.removeprefix(CALENDAR).isdecimal():
            page: str | None = calendar(path)
        else:
            page = self.server.pages.get(path)
        status = HTTPStatus.NOT_FOUND if page is None else HTTPStatus.OK
        data = (page or "not found").encode()
        self.send(status, "text/html; charset=utf-8", data)


class SiteServer(WebServer):
    """The HTTP server with the pages it serves."""

    def __init__(self, pages: Mapping[str, str]) -> None:
        super().__init__(Handler)
        self.pages = pages


def main() -> None:
    """Serve the site on a free port of this machine until the parent process ends."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pages", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    arguments = parser.parse_args()
    serve_until_parent_ends(SiteServer(build(arguments.pages, arguments.seed)))


if __name__ == "__main__":
    main()
