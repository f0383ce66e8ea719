"""Check the built site: every internal link leads somewhere, and no page loads anything from another host.

    python docs/check_links.py SITE

Links to other hosts are not followed. Links of the Markdown files beside docs/ (README and the like) are
checked on the files, as they are read on the hosting platform.
"""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).parent.parent
#: Attributes whose target a browser loads by itself, unlike that of a link to follow.
LOADED = {("script", "src"), ("img", "src"), ("link", "href"), ("iframe", "src"), ("source", "src")}
_FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)


class Page(HTMLParser):
    """The anchors of a page, and the targets of its links."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors = {"", "__skip", "__drawer", "__search"}
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if value is None:
                continue
            if name == "id" or (tag, name) == ("a", "name"):
                self.anchors.add(value)
            elif (tag, name) in LOADED and ("rel", "canonical") not in attrs:
                self.loaded.append(value)
            elif name == "href":
                self.links.append(value)


def check_site(site: Path) -> list[str]:
    """List what is wrong with the pages of *site*."""
    site = site.resolve()
    pages = {file: Page(file.read_text(encoding="utf-8")) for file in sorted(site.rglob("*.html"))}
    found = [] if pages else [f"{site}: no pages; build the site first"]
    for file, page in pages.items():
        where = file.relative_to(site)
        found += [f"{where}: loads {url}" for url in page.loaded if urlsplit(url).netloc]
        for link in page.links + page.loaded:
            target = _target(file, link, site)
            if target is None:
                continue
            path, anchor = target
            if not path.is_relative_to(site) or not path.is_file():
                found.append(f"{where}: {link} does not exist")
            elif path in pages and anchor not in pages[path].anchors:
                found.append(f"{where}: {link} has no such anchor")
    return found


def _target(file: Path, link: str, site: Path) -> tuple[Path, str] | None:
    """Give the file and the anchor that *link* leads to; None for another host or scheme."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return None
    path = unquote(parts.path)
    start = site if path.startswith("/") else file.parent
    to = (start / path.lstrip("/")).resolve() if path else file
    return (to / "index.html" if to.is_dir() else to), unquote(parts.fragment)


def check_files(root: Path) -> list[str]:
    """List the dead links of the Markdown files in *root*, its folders not included."""
    found = []
    for file in sorted(root.glob("*.md")):
        for link in _LINK.findall(_FENCE.sub("", file.read_text(encoding="utf-8"))):
            target = _target(file, link, root)
            if target is None:
                continue
            path, anchor = target
            if not path.exists() and path.name == "index.html":
                path = path.parent  # a folder, which the hosting platform lists
            if not path.exists():
                found.append(f"{file.name}: {link} does not exist")
            elif anchor and path.suffix == ".md" and anchor not in anchors_of(path):
                found.append(f"{file.name}: {link} has no such anchor")
    return found


def anchors_of(file: Path) -> set[str]:
    """Give the anchors of a Markdown file's headings."""
    text = _FENCE.sub("", file.read_text(encoding="utf-8"))
    plain = (re.sub(r"[^\w\- ]", "", heading).strip().lower() for heading in _HEADING.findall(text))
    return {heading.replace(" ", "-") for heading in plain}


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print("usage: check_links.py SITE", file=sys.stderr)
        return 2
    found = [*check_site(Path(arguments[0])), *check_files(ROOT)]
    print(*found, sep="\n", end="\n" if found else "", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
