"""The code of jobs at submit: frozen in a snapshot, and what is printed about it."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import jobcore
from jobcore.errors import Problem
from jobcore_code import CodeStore, Tree, git_state, scan
from jobcore_local import code_path

from ._errors import CONFLICT, CliError
from ._render import plain

if TYPE_CHECKING:
    from ._aws_code import Archive
    from ._session import Session

_WARN_BYTES = 50 << 20
_SHOWN_MAX = 5  # of what is left out, by name
#: Reasons that are not printed: nobody expects such files to be taken.
_PLAIN_REASONS = ("version control", "made by tools", "of jobcore")


class Taken(NamedTuple):
    """What was taken of one source folder, or would be."""

    tree: Tree
    #: The job's argument ``code``: snapshot, folder, and the git commit if there is one.
    facts: Mapping[str, Any]


class Sources:
    """
    The source folders of one command's jobs.

    Locally a snapshot is taken when the jobs are known to be valid. For AWS the folder is packed first,
    because a job is checked with the place of its archive, and uploaded when the jobs are valid.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._archives: dict[str, Archive] = {}
        self.taken: list[Taken] = []

    def place(self, document: dict[str, Any]) -> dict[str, Any]:
        """
        Name the place of the code in a job file's data; nothing is uploaded.

        Raises:
            CliError: the folder cannot be taken.
        """
        if not self._session.is_aws:
            return document
        from ._aws_code import archive_of

        archive = archive_of(document, self._session)
        if archive is None:
            return document
        self._archives[archive.uri] = archive
        return {**document, "source_dir": archive.uri}

    def look(self, specs: Sequence[jobcore.Spec]) -> None:
        """
        List what would be taken, for a dry run.

        Raises:
            CliError: the folder cannot be taken, or the script is not in it.
        """
        for folder, script in self._local_sources(specs):
            tree = scan(folder, without=[self._session.home_path])
            _script_inside(tree, script)
            if all(taken.tree.root != tree.root for taken in self.taken):
                self.taken.append(Taken(tree, {"folder": folder}))
        for archive in self._archives.values():
            self.taken.append(archive.taken)

    @contextlib.contextmanager
    def frozen(self, specs: Sequence[jobcore.Spec]) -> Iterator[list[jobcore.Spec]]:
        """
        Freeze the code of jobs; submit the jobs that this yields inside the block.

        Raises:
            CliError: the folder cannot be taken, or the script is not in it.
            OSError: the code store cannot be written.
            Unavailable: S3 did not accept an archive.
        """
        if self._archives:
            from ._aws_code import upload

            for archive in self._archives.values():
                upload(archive)
                self.taken.append(archive.taken)
            yield [self._with_archive(spec) for spec in specs]
        elif any(True for _ in self._local_sources(specs)):
            store = code_store(self._session)
            with store.in_use():
                known: dict[tuple[str, str], dict[str, Any]] = {}
                for source in dict.fromkeys(self._local_sources(specs)):
                    known[source] = self._take(store, *source)
                yield [_with_code(spec, known) for spec in specs]
        else:
            yield list(specs)

    def _take(self, store: CodeStore, folder: str, script: str) -> dict[str, Any]:
        """Take a snapshot of a source folder; return the arguments that name it."""
        taken = next((t for t in self.taken if t.facts["folder"] == folder), None)
        if taken is None:
            snapshot = store.take(folder, without=[self._session.home_path])
            taken = Taken(snapshot.tree, code_facts(folder, snapshot.id))
            self.taken.append(taken)
        return {"code": dict(taken.facts), "script": _script_inside(taken.tree, script)}

    def _with_archive(self, spec: jobcore.Spec) -> jobcore.Spec:
        archive = self._archives.get(str(spec.args.get("source_dir")))
        if archive is None:
            return spec
        return replace(spec, args={**spec.args, "code": dict(archive.taken.facts)})

    def _local_sources(self, specs: Sequence[jobcore.Spec]) -> Iterator[tuple[str, str]]:
        if self._session.is_aws:
            return
        for spec in specs:
            if (source := _source_of(spec.args)) is not None:
                yield source

    # --- words ----------------------------------------------------------------------

    def say(self) -> None:
        """Print one line for each folder on standard error, and a warning if it is large."""
        for taken in self.taken:
            print(f"code: {_summary(taken)}", file=sys.stderr)
            if taken.tree.size > _WARN_BYTES:
                print(f"code: warning: {_warning(taken.tree)}", file=sys.stderr)

    def documents(self) -> list[dict[str, Any]]:
        """Write the same as JSON data."""
        return [
            {
                **taken.facts,
                "files": len(taken.tree.files),
                "bytes": taken.tree.size,
                "left_out": [{"path": plain(p), "reason": why} for p, why in taken.tree.left_out],
                "warning": _warning(taken.tree) if taken.tree.size > _WARN_BYTES else None,
            }
            for taken in self.taken
        ]


def code_store(session: Session) -> CodeStore:
    """Return the code store of this machine's home."""
    return CodeStore(code_path(session.home_path))


def code_facts(folder: str, snapshot: str) -> dict[str, Any]:
    """Make the argument ``code`` of a job: its snapshot, and for people folder and git commit."""
    state = git_state(folder)
    facts: dict[str, Any] = {"snapshot": snapshot, "folder": folder}
    return facts if state is None else {**facts, "commit": state.commit, "dirty": state.dirty}


def describe_code(args: Mapping[str, Any]) -> str:
    """Write the argument ``code`` of a job in one line; "" if the job has no snapshot."""
    code = args.get("code")
    if not isinstance(code, Mapping) or not isinstance(code.get("snapshot"), str):
        return ""
    return f"snapshot {code['snapshot'][:12]}{_commit(code)}"


def snapshot_of(args: Mapping[str, Any]) -> str | None:
    """Return the id of the snapshot that a job runs from; None if it has none."""
    code = args.get("code")
    snapshot = code.get("snapshot") if isinstance(code, Mapping) else None
    return snapshot if isinstance(snapshot, str) else None


def with_known_code(spec: jobcore.Spec, known: jobcore.Spec | None) -> jobcore.Spec:
    """
    Take over what is only shown of the code from a job with the same code.

    So a repeated submission is the same job although its folder was committed or moved meanwhile.
    """
    if known is None or snapshot_of(known.args) in (None, ""):
        return spec
    if snapshot_of(spec.args) != snapshot_of(known.args):
        return spec
    shown = {name: known.args[name] for name in ("code", "source_dir") if name in known.args}
    return replace(spec, args={**spec.args, **shown})


@contextlib.contextmanager
def kept_snapshots(session: Session, jobs: Sequence[jobcore.Job]) -> Iterator[None]:
    """
    Keep the snapshots of jobs from a prune, while the jobs are submitted again.

    Raises:
        CliError: one was removed before.
    """
    needed = {snapshot_of(job.spec.args): job for job in jobs}
    needed.pop(None, None)
    if session.is_aws or not needed:
        yield
        return
    store = code_store(session)
    with store.in_use():
        for snapshot, job in needed.items():
            if not store.has(snapshot or ""):
                msg = (
                    f"job {job.job_id[:8]} {plain(job.spec.name)}: its code (snapshot "
                    f"{str(snapshot)[:12]}) was removed by jobcore prune; submit its job file again"
                )
                raise CliError(msg, CONFLICT)
        yield


def _source_of(args: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the local source folder and the script of a job; None if it has none to freeze."""
    folder, script = args.get("source_dir"), args.get("script")
    if not isinstance(folder, str) or not isinstance(script, str) or "://" in folder:
        return None
    return folder, script


def _with_code(
    spec: jobcore.Spec, known: Mapping[tuple[str, str], Mapping[str, Any]]
) -> jobcore.Spec:
    source = _source_of(spec.args)
    return spec if source is None else replace(spec, args={**spec.args, **known[source]})


def _script_inside(tree: Tree, script: str) -> str:
    """
    Return the script's path in the tree.

    Raises:
        CliError: it is outside of the folder, or left out.
    """
    place = os.path.normpath(os.path.join(tree.root, script))
    inside = os.path.relpath(place, tree.root)
    if inside.startswith("../") and os.path.isabs(script):  # through a link to the source folder
        inside = os.path.relpath(os.path.realpath(place), tree.root)
    if inside in {*(file.path for file in tree.files), *(link.path for link in tree.links)}:
        return inside
    if inside.startswith("../"):
        msg = f"outside of the source folder {tree.root}; name a source_dir that contains it"
    else:
        reasons = [why for path, why in tree.left_out if inside == path or inside.startswith(path)]
        why = f" ({reasons[0]})" if reasons else ""
        msg = (
            f"not taken into the snapshot{why}; include it with a line !{inside} in .jobcoreignore"
        )
    raise CliError(str(Problem("script", f"{script} is {msg}")))


def _summary(taken: Taken) -> str:
    tree = taken.tree
    files = f"{len(tree.files):,} file{'s' if len(tree.files) != 1 else ''}"
    text = (
        f"{files}, {_size(tree.size)} of {plain(str(taken.facts['folder']))}{_commit(taken.facts)}"
    )
    shown = [f"{plain(p)} ({why})" for p, why in tree.left_out if why not in _PLAIN_REASONS]
    if shown:
        more = f" and {len(shown) - _SHOWN_MAX} more" if len(shown) > _SHOWN_MAX else ""
        text += f"; left out: {', '.join(shown[:_SHOWN_MAX])}{more}"
    return text


def _commit(facts: Mapping[str, Any]) -> str:
    commit = facts.get("commit")
    if not isinstance(commit, str):
        return ""
    return f" (commit {plain(commit[:10])}{', with changes' if facts.get('dirty') else ''})"


def _warning(tree: Tree) -> str:
    largest = max(tree.files, key=lambda file: file.size)
    return (
        f"{_size(tree.size)} are copied for each attempt (the largest: {plain(largest.path)}, "
        f"{_size(largest.size)}); list what the job does not need in .jobcoreignore, and name "
        "folders of data as channels"
    )


def _size(count: int) -> str:
    if count < 1000:
        return f"{count} bytes"
    return f"{count / 1e3:.0f} kB" if count < 1e6 else f"{count / 1e6:,.0f} MB"
