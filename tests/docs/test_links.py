"""The link checker of the documentation finds dead links, dead anchors and requests to other hosts."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs_tools import load

links = load("check_links")

GOOD = """<html><body><h1 id="top">T</h1>
<a href="b.html">file</a> <a href="#top">here</a> <a href="b.html#there">there</a>
<a href="https://example.org/whatever">elsewhere</a> <a href="mailto:a@example.org">mail</a>
<img src="p.png"><script src="s.js"></script></body></html>"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "a.html").write_text(GOOD)
    (tmp_path / "b.html").write_text('<p id="there">x</p>')
    (tmp_path / "p.png").write_bytes(b"")
    (tmp_path / "s.js").write_text("")
    return tmp_path


def test_a_site_without_dead_links_passes(site: Path) -> None:
    assert links.check_site(site) == []


@pytest.mark.parametrize(
    ("was", "becomes", "told"),
    [
        ('"b.html"', '"c.html"', "c.html does not exist"),
        ('"#top"', '"#bottom"', "#bottom has no such anchor"),
        ('"b.html#there"', '"b.html#where"', "b.html#where has no such anchor"),
        ('"b.html"', '"../../secret.html"', "../../secret.html does not exist"),
        ('"p.png"', '"q.png"', "q.png does not exist"),
        ('"s.js"', '"https://cdn.example.org/s.js"', "loads https://cdn.example.org/s.js"),
        ('<img src="p.png">', '<link rel="stylesheet" href="//f.example.org/x">', "loads //f."),
    ],
)
def test_what_is_wrong_is_found(site: Path, was: str, becomes: str, told: str) -> None:
    assert was in GOOD
    (site / "a.html").write_text(GOOD.replace(was, becomes))
    (found,) = links.check_site(site)
    assert told in found


def test_a_folder_without_pages_is_no_site(tmp_path: Path) -> None:
    assert links.check_site(tmp_path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[a](docs/a.md) [b](docs/) [c](docs/a.md#a-title) [d](https://example.org)", None),
        ("```\n[a](docs/missing.md)\n```", None),
        ("[a](docs/missing.md)", "docs/missing.md does not exist"),
        ("[a](docs/a.md#no-title)", "docs/a.md#no-title has no such anchor"),
    ],
)
def test_links_of_the_files_beside_docs(tmp_path: Path, text: str, told: str | None) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("# A title\n")
    (tmp_path / "README.md").write_text(text)
    found = links.check_files(tmp_path)
    assert found == [] if told is None else told in found[0]


def test_the_readme_and_its_neighbours_have_no_dead_link() -> None:
    assert links.check_files(links.ROOT) == []
