"""The git commit of a folder: known if there is one, and nothing of the repository is run or written."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from jobcore_code import git_state

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
