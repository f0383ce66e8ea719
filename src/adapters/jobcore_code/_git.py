"""What git knows of a source folder: the commit, changes since, and files that it tracks against its rules."""

from __future__ import annotations

import os
from typing import NamedTuple

__all__ = ["GitState", "git_state", "tracked_but_ignored"]

_SECONDS_MAX = 5.0


class GitState(NamedTuple):
    """The commit that is checked out, and whether the folder has anything that is not in it."""

    commit: str
    dirty: bool


def git_state(folder: str | os.PathLike[str]) -> GitState | None:
    """
    Ask git about a folder; None where there is no git, no repository, no commit, or no answer in 5 s.

    Nothing is written, and no program that the repository's settings name is run for it.
    """
    done = _run(
        folder, "status", "--porcelain=v2", "--branch", "--untracked-files=normal", "--", "."
    )
    if done is None:
        return None
    lines = done.split(b"\n")
    oid = next((line[13:] for line in lines if line.startswith(b"# branch.oid ")), b"")
    if not oid or oid.startswith(b"("):  # "(initial)": no commit yet
        return None
    dirty = any(line and not line.startswith(b"#") for line in lines)
    return GitState(oid.decode("ascii", "replace"), dirty)


def tracked_but_ignored(folder: str | os.PathLike[str]) -> frozenset[str]:
    """
    Return the files below a folder that a rule of .gitignore matches and git tracks all the same.

    They are relative to the folder. For git a rule holds for untracked files only; one that was added
    with ``git add --force``, or before the rule was written, is in the repository as any other.
    The set is empty where git gives no answer, for the reasons of `git_state`.
    """
    done = _run(folder, "ls-files", "-z", "--cached", "--ignored", "--exclude-standard", "--", ".")
    return frozenset(os.fsdecode(path) for path in (done or b"").split(b"\0") if path)


def _run(folder: str | os.PathLike[str], *words: str) -> bytes | None:
    """Run git in a folder and return its output; None if it failed or took too long."""
    import subprocess  # not at the top: the shims of trainings import this package

    command = ["git", "-c", "core.fsmonitor=false", "-C", os.fspath(folder), *words]
    kept = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    try:
        done = subprocess.run(
            command,
            env={**kept, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS_MAX,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return None if done.returncode else done.stdout
