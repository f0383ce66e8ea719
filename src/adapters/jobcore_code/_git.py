"""The git commit of a source folder, for people: which commit, and whether the folder differs from it."""

from __future__ import annotations

import os
from typing import NamedTuple

__all__ = ["GitState", "git_state"]

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
    import subprocess  # not at the top: the shims of trainings import this package

    command = [
        "git", "-c", "core.fsmonitor=false", "-C", os.fspath(folder),
        "status", "--porcelain=v2", "--branch", "--untracked-files=normal", "--", ".",
    ]  # fmt: skip
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
    lines = done.stdout.split(b"\n")
    oid = next((line[13:] for line in lines if line.startswith(b"# branch.oid ")), b"")
    if done.returncode or not oid or oid.startswith(b"("):  # "(initial)": no commit yet
        return None
    dirty = any(line and not line.startswith(b"#") for line in lines)
    return GitState(oid.decode("ascii", "replace"), dirty)
