"""The git commit of a folder, what git tracks against its own rules, and that nothing of a repository is run."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from jobcore_code import git_state, scan

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


def git(root: Path, *words: str) -> str:
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(root), *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q")
    (tmp_path / "job").mkdir()
    (tmp_path / "job" / "a.py").write_text("a")
    (tmp_path / "other").write_text("a")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "x")
    return tmp_path


def test_commit_and_whether_the_folder_differs(root: Path) -> None:
    commit = git(root, "rev-parse", "HEAD")
    assert git_state(root / "job") == (commit, False)
    (root / "other").write_text("b")  # outside of the folder
    assert git_state(root / "job") == (commit, False)
    (root / "job" / "new").write_text("")
    assert git_state(root / "job") == (commit, True)
    (root / "job" / "new").unlink()
    (root / "job" / "a.py").write_text("b")
    assert git_state(root / "job") == (commit, True)


def test_no_repository_no_commit_no_git(tmp_path: Path, monkeypatch) -> None:
    assert git_state(tmp_path) is None
    git(tmp_path, "init", "-q")
    assert git_state(tmp_path) is None
    monkeypatch.setenv("PATH", "/nowhere")
    assert git_state(tmp_path) is None


def test_the_environment_of_a_hook_does_not_name_another_repository(
    root: Path, tmp_path_factory, monkeypatch
) -> None:
    other = tmp_path_factory.mktemp("other")
    git(other, "init", "-q")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    assert git_state(root) is not None


def test_no_program_of_the_repository_is_run(root: Path) -> None:
    spy = root / "spy.sh"
    spy.write_text(f"#!/bin/sh\ntouch {root}/ran\n")
    spy.chmod(0o755)
    git(root, "config", "core.fsmonitor", str(spy))
    assert git_state(root / "job") is not None
    assert not (root / "ran").exists()


def test_what_git_tracks_is_taken_though_a_gitignore_matches_it(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("*.csv\ndata/\n")
    for name in ("a.csv", "data/x.npy", "data/deep/y", "data/other/z", "job/b.csv", "job/train.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "--force", "data/deep/y", "job/b.csv", "job/train.py")
    tree = scan(tmp_path)
    assert [file.path for file in tree.files] == [
        ".gitignore", "data/deep/y", "job/b.csv", "job/train.py"
    ]  # fmt: skip
    assert dict(tree.left_out) == {
        ".git/": "version control",
        "a.csv": ".gitignore line 1",
        "data/other/": ".gitignore line 2",
        "data/x.npy": ".gitignore line 2",
    }
    assert [file.path for file in scan(tmp_path / "job").files] == ["b.csv", "train.py"]


def test_jobcoreignore_and_secrets_go_over_what_git_tracks(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("*.csv\n.env\n")
    (tmp_path / ".jobcoreignore").write_text("big.csv\n")
    for name in ("big.csv", "small.csv", ".env"):
        (tmp_path / name).write_text("")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "--force", ".")
    files = [file.path for file in scan(tmp_path).files]
    assert files == [".gitignore", ".jobcoreignore", "small.csv"]


def test_a_repository_inside_has_rules_of_its_own(tmp_path: Path) -> None:
    inside = tmp_path / "lib" / "sub"
    inside.mkdir(parents=True)
    (tmp_path / ".gitignore").write_text("*.csv\n")
    (inside / ".gitignore").write_text("*.txt\n")
    for name in ("a.csv", "a.txt", "b.txt"):
        (inside / name).write_text("")
    git(tmp_path, "init", "-q")
    git(inside, "init", "-q")
    git(inside, "add", "--force", "a.txt")
    files = [file.path for file in scan(tmp_path).files]
    assert files == [".gitignore", "lib/sub/.gitignore", "lib/sub/a.csv", "lib/sub/a.txt"]
