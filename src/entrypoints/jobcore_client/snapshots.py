"""Snapshots of code as the commands use them: in the arguments of jobs, and in words."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import jobcore
from jobcore_code import CodeStore, Tree, environment_id, git_state, snapshot_id

from .errors import Refused
from .words import left_out_words, plain, size_words

if TYPE_CHECKING:
    from .session import Session

WARN_BYTES = 50 << 20
#: Reasons that are not printed: such files are never part of the code of a job.
_PLAIN_REASONS = ("version control", "made by tools", "of jobcore")


class Taken(NamedTuple):
    """What was taken of one source folder, or would be."""

    tree: Tree
    #: The job's argument ``code``: snapshot, folder, and the git commit if there is one.
    facts: Mapping[str, Any]


def code_store(session: Session) -> CodeStore:
    """Return the code store of this machine's home."""
    from jobcore_local import code_path

    return CodeStore(code_path(session.home_path))


def code_facts(folder: str, snapshot: str) -> dict[str, Any]:
    """Make the argument ``code`` of a job: its snapshot, and for people folder and git commit."""
    state = git_state(folder)
    facts: dict[str, Any] = {"snapshot": snapshot, "folder": folder}
    return facts if state is None else {**facts, "commit": state.commit, "dirty": state.dirty}


def describe_code(args: Mapping[str, Any]) -> str:
    """Write the argument ``code`` of a job in one line; "" if the job has no snapshot."""
    snapshot = snapshot_id(args)
    return "" if snapshot is None else f"snapshot {snapshot[:12]}{_commit(args['code'])}"


def describe_packages(session: Session, args: Mapping[str, Any]) -> str | None:
    """Name the environment that has a job's requirements.txt; None if it has none."""
    environment = environment_id(args)
    if environment is None or session.is_aws:
        return None
    from jobcore_local import environments_path

    return f"requirements.txt in {environments_path(session.home_path) / environment}"


def with_known_code(spec: jobcore.Spec, known: jobcore.Spec | None) -> jobcore.Spec:
    """
    Take over what is only shown of the code from a job with the same code.

    So a repeated submission is the same job although its folder was committed or moved meanwhile.
    """
    if known is None or snapshot_id(known.args) in (None, ""):
        return spec
    if snapshot_id(spec.args) != snapshot_id(known.args):
        return spec
    shown = {name: known.args[name] for name in ("code", "source_dir") if name in known.args}
    return replace(spec, args={**spec.args, **shown})


@contextlib.contextmanager
def kept_snapshots(session: Session, jobs: Sequence[jobcore.Job]) -> Iterator[None]:
    """
    Keep the snapshots and the data of jobs from a prune, while the jobs are submitted again.

    Raises:
        RequestError: one was removed before.
    """
    needed = {snapshot_id(job.spec.args): job for job in jobs}
    needed.pop(None, None)
    if session.is_aws or not needed:
        yield
        return
    from .data_fetch import FetchedData, data_ids

    store = code_store(session)
    with store.in_use():
        for snapshot, job in needed.items():
            if not store.has(snapshot or ""):
                msg = (
                    f"job {job.job_id[:8]} {plain(job.spec.name)}: its code (snapshot "
                    f"{str(snapshot)[:12]}) was removed by jobcore prune; submit its job file again"
                )
                raise Refused(msg)
        data = FetchedData(session.home_path)
        for job in jobs:
            if not all(map(data.has, data_ids(job.spec.args))):
                msg = (
                    f"job {job.job_id[:8]} {plain(job.spec.name)}: the data that it had fetched was "
                    "removed by jobcore prune; submit its job file again"
                )
                raise Refused(msg)
        yield


def summary(taken: Taken) -> str:
    """Write what was taken of a folder, and what was left out, in one line."""
    tree = taken.tree
    files = f"{len(tree.files):,} file{'s' if len(tree.files) != 1 else ''}"
    text = f"{files}, {size_words(tree.size)} of {plain(str(taken.facts['folder']))}{_commit(taken.facts)}"
    shown = [f"{plain(p)} ({why})" for p, why in tree.left_out if why not in _PLAIN_REASONS]
    return text + left_out_words(shown)


def _commit(facts: Mapping[str, Any]) -> str:
    commit = facts.get("commit")
    if not isinstance(commit, str):
        return ""
    return f" (commit {plain(commit[:10])}{', with changes' if facts.get('dirty') else ''})"


def warning(tree: Tree) -> str:
    """Write the warning about a large folder."""
    largest = max(tree.files, key=lambda file: file.size)
    return (
        f"{size_words(tree.size)} are copied for each attempt (the largest: {plain(largest.path)}, "
        f"{size_words(largest.size)}); list what the job does not need in .jobcoreignore, and name "
        "folders of data as channels"
    )
