"""Ignore files mean what they mean to git: each case is put to `git check-ignore` too."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobcore_code import scan
from jobcore_code._ignore import parse

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git as the oracle")

PATHS = (
    "a", "b", "ab", "a.py", "b.pyc", "foo", "foo bar", "foo ", "foo]", "#a", "!a", "a-c", "é", "A",
    "d/a", "d/b", "d/foo", "d/e/a", "d/e/foo", "d/e/f/a", "build/a", "d/build/a", "foo/a", "foo/d/a",
    "x*y", "x\\y", "a\nb", "d/.x", ".x", "d/a b",
)  # fmt: skip
PATTERNS = (
    "a", "/a", "*.py", "*.py[co]", "foo/", "/foo/", "d/a", "d/*", "d/**", "**/a", "**/e/a", "d/**/a",
    "**", "*", "!a", "!d/a", "\\!a", "\\#a", "#a", "foo ", "foo\\ ", "foo bar", "[a-c]", "[!a]*",
    "[^a]*", "[]a]oo", "foo[]]", "[[:alpha:]]", "[[:digit:]]*", "[[:nonsense:]]", "[c-a]", "a[-]c",
    "a[a-]c", "[", "a\\", "?", "??", "a?", "x\\*y", "x\\\\y", "x*y", "d/**e/a", "**foo", "foo**",
    "d/e/", "d/e/**/a", "/*", "!/d", "build/", "**/build/", "/**/a", "d/[a-b]", "d[/]a", "d?a", "\\a",
    "[\\a]", "[a\\-c]*", "", " ", "!", "/", "//", "a//b", "d/", ".*", "a*b", "[[:alpha:]-z]", "[a",
    "[[:alpha:]", "d/*/a", "*/a", "!*/", "!foo/", "é", "\r", "a\r", "[é]*", "***", "a/***/b",
)  # fmt: skip


def ignored_by_git(root: Path, paths: list[str]) -> set[str]:
    """Ask git; a path is given without the folder's slash, as git looks at the disk itself."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    done = subprocess.run(
        ["git", "-c", "core.excludesFile=/dev/null", "-c", "core.ignoreCase=false", "-C", str(root),
         "check-ignore", "--no-index", "--stdin", "-z"],
        input=b"\0".join(map(os.fsencode, paths)) + b"\0",
        env=environment | {"HOME": str(root)},
        capture_output=True,
        check=False,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr
    return {os.fsdecode(path) for path in done.stdout.split(b"\0") if path}


def taken(root: Path) -> set[str]:
    return {file.path for file in scan(root).files}


def make(root: Path) -> Path:
    subprocess.run(["git", "init", "-q", str(root)], check=True, capture_output=True)
    for path in PATHS:
        if path.startswith("foo/"):
            continue
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text("")
    return root


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    return make(tmp_path_factory.mktemp("tree"))


def agree(root: Path) -> None:
    """Compare what is taken with what git does not ignore; ignore files count as well."""
    files = [
        str(path.relative_to(root))
        for path in root.rglob("*")
        if path.is_file() and ".git" not in path.relative_to(root).parts
    ]
    assert taken(root) == set(files) - ignored_by_git(root, files)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_each_pattern_means_what_it_means_to_git(tree: Path, pattern: str) -> None:
    (tree / ".gitignore").write_text(f"{pattern}\n")
    agree(tree)


@given(
    top=st.lists(st.sampled_from(PATTERNS), max_size=5),
    nested=st.lists(st.sampled_from(PATTERNS), max_size=4),
)
@settings(max_examples=60)
def test_patterns_and_nested_files_together(tree: Path, top: list[str], nested: list[str]) -> None:
    (tree / ".gitignore").write_text("\n".join(top))
    (tree / "d" / ".gitignore").write_text("\n".join(nested))
    try:
        agree(tree)
    finally:
        (tree / "d" / ".gitignore").unlink()


@given(st.text(alphabet="ab/*?[]!-^\\#. \r", max_size=9))
@settings(max_examples=150)
def test_any_text_is_a_pattern_as_git_reads_it(tree: Path, pattern: str) -> None:
    (tree / ".gitignore").write_text(pattern, newline="")
    agree(tree)


def test_a_byte_order_mark_and_line_ends_of_windows(tree: Path) -> None:
    (tree / ".gitignore").write_bytes(b"\xef\xbb\xbfa\r\nd/\r\n")
    agree(tree)
    assert "a" not in taken(tree)


def test_the_files_of_the_repository_above_hold_too(tree: Path) -> None:
    (tree / ".gitignore").write_text("/d/e/a\nfoo\n!d/foo\n")
    below = {file.path for file in scan(tree / "d").files}
    files = [str(p.relative_to(tree)) for p in (tree / "d").rglob("*") if p.is_file()]
    assert {f"d/{path}" for path in below} == set(files) - ignored_by_git(tree, files)
    assert "e/a" not in below
    assert "foo" in below


def test_jobcoreignore_goes_over_every_gitignore(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "x.csv").write_text("")
    (tmp_path / "data" / ".gitignore").write_text("*\n")
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / ".jobcoreignore").write_text("!data/*.csv\nnotes.txt\n")
    assert taken(tmp_path) == {".jobcoreignore", "data/x.csv"}
    assert dict(scan(tmp_path).left_out)["notes.txt"] == ".jobcoreignore line 2"


def test_the_pattern_that_decides_is_named() -> None:
    file = parse(".gitignore", b"# no\n*.x\n!a.x\n")
    found = file.decide(b"d/b.x", is_folder=False)
    assert found is not None
    assert (found.line, found.includes) == (2, False)
    again = file.decide(b"d/a.x", is_folder=False)
    assert again is not None
    assert again.includes
    assert file.decide(b"d/c", is_folder=False) is None
