"""The code of jobs at submit: frozen in a snapshot here, or in an archive on AWS."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import jobcore
from jobcore.errors import Problem
from jobcore_code import CodeStore, Tree, scan

from .errors import RequestError
from .packages import Packages, note_on_aws, note_on_script
from .snapshots import WARN_BYTES, Taken, code_facts, code_store, summary, warning
from .words import plain

if TYPE_CHECKING:
    from .aws_code import Archive, Packed
    from .session import Session


_Source = tuple[str, str, str]  # folder, script, interpreter


class Sources:
    """
    The source folders of one command's jobs.

    Locally a snapshot is taken when the jobs are known to be valid. For AWS the folder is packed first,
    because a job is checked with the place of its archive, and uploaded when the jobs are valid.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._archives: dict[str, Archive] = {}
        self._packed: Packed = {}  # of this submission: a later one takes the folder as it is then
        self.taken: list[Taken] = []
        self.packages = Packages(session)
        self.notes: list[str] = []

    def place(self, document: dict[str, Any]) -> dict[str, Any]:
        """
        Name the place of the code in a job file's data; nothing is uploaded.

        Raises:
            RequestError: the folder cannot be taken, or the script is not in it.
        """
        if not self._session.is_aws:
            return document
        from .aws_code import archive_of

        archive = archive_of(document, self._session, self._packed)
        if archive is None:
            return document
        self._archives[archive.uri] = archive
        script = document["script"]
        if isinstance(script, str) and "\0" not in script:  # else the check of the job refuses it
            script = _script_inside(archive.taken.tree, script)
            self._note(note_on_aws(self._session, document, script, archive.taken.tree))
        return {**document, "source_dir": archive.uri, "script": script}

    def look(self, specs: Sequence[jobcore.Spec]) -> None:
        """
        List what would be taken, for a dry run.

        Raises:
            RequestError: the folder cannot be taken, or the script is not in it.
        """
        for folder, script, python in dict.fromkeys(self._local_sources(specs)):
            tree = scan(folder, without=[self._session.home_path])
            inside = _script_inside(tree, script)
            self.packages.look(tree, inside, python)
            self._note(note_on_script(tree, inside))
            if all(taken.tree.root != tree.root for taken in self.taken):
                self.taken.append(Taken(tree, {"folder": folder}))
        for archive in self._archives.values():
            self.taken.append(archive.taken)

    @contextlib.contextmanager
    def frozen(self, specs: Sequence[jobcore.Spec]) -> Iterator[list[jobcore.Spec]]:
        """
        Freeze the code of jobs; submit the jobs that this yields inside the block.

        Raises:
            RequestError: the folder cannot be taken, or the script is not in it.
            OSError: the code store cannot be written.
            Unavailable: S3 did not accept an archive.
        """
        if self._archives:
            from .aws_code import upload

            for archive in self._archives.values():
                upload(archive)
                self.taken.append(archive.taken)
            yield [self._with_archive(spec) for spec in specs]
        elif any(True for _ in self._local_sources(specs)):
            store = code_store(self._session)
            with store.in_use():
                known: dict[_Source, dict[str, Any]] = {}
                for source in dict.fromkeys(self._local_sources(specs)):
                    known[source] = self._take(store, *source)
                yield [_with_code(spec, known) for spec in specs]
        else:
            yield list(specs)

    def _take(self, store: CodeStore, folder: str, script: str, python: str) -> dict[str, Any]:
        """
        Take a snapshot of a source folder, and install its requirements.txt.

        Returns:
            The arguments that name both.
        """
        taken = next((t for t in self.taken if t.facts["folder"] == folder), None)
        if taken is None:
            snapshot = store.take(folder, without=[self._session.home_path])
            taken = Taken(snapshot.tree, code_facts(folder, snapshot.id))
            self.taken.append(taken)
        inside = _script_inside(taken.tree, script)
        self._note(note_on_script(taken.tree, inside))
        code = self.packages.add(taken.facts, inside, python)
        return {"code": code, "script": inside}

    def _note(self, note: str | None) -> None:
        if note is not None and note not in self.notes:
            self.notes.append(note)

    def _with_archive(self, spec: jobcore.Spec) -> jobcore.Spec:
        archive = self._archives.get(str(spec.args.get("source_dir")))
        if archive is None:
            return spec
        return replace(spec, args={**spec.args, "code": dict(archive.taken.facts)})

    def _local_sources(self, specs: Sequence[jobcore.Spec]) -> Iterator[_Source]:
        if self._session.is_aws:
            return
        for spec in specs:
            if (source := _source_of(spec.args)) is not None:
                yield source

    # --- words ----------------------------------------------------------------------

    def lines(self) -> list[str]:
        """Write one line for each folder, and a warning if it is large."""
        lines = []
        for taken in self.taken:
            lines.append(f"code: {summary(taken)}")
            if taken.tree.size > WARN_BYTES:
                lines.append(f"code: warning: {warning(taken.tree)}")
        return lines

    def documents(self) -> list[dict[str, Any]]:
        """Write the same as JSON data."""
        return [
            {
                **taken.facts,
                "files": len(taken.tree.files),
                "bytes": taken.tree.size,
                "left_out": [{"path": plain(p), "reason": why} for p, why in taken.tree.left_out],
                "warning": warning(taken.tree) if taken.tree.size > WARN_BYTES else None,
            }
            for taken in self.taken
        ]


def _source_of(args: Mapping[str, Any]) -> _Source | None:
    """Return a job's local source folder, script and interpreter; None if it has none to freeze."""
    folder, script = args.get("source_dir"), args.get("script")
    if not isinstance(folder, str) or not isinstance(script, str) or "://" in folder:
        return None
    return folder, script, str(args.get("python") or sys.executable)


def _with_code(spec: jobcore.Spec, known: Mapping[_Source, Mapping[str, Any]]) -> jobcore.Spec:
    source = _source_of(spec.args)
    return spec if source is None else replace(spec, args={**spec.args, **known[source]})


def _script_inside(tree: Tree, script: str) -> str:
    """
    Return the script's path in the tree.

    Raises:
        RequestError: it is outside of the folder, or left out.
    """
    place = os.path.normpath(os.path.join(tree.root, script))
    inside = os.path.relpath(place, tree.root)
    if inside.startswith("../") and os.path.isabs(script):  # through a link to the source folder
        inside = os.path.relpath(os.path.realpath(place), tree.root)
    taken = {*(file.path for file in tree.files), *(link.path for link in tree.links)}
    if inside in taken:
        return inside
    if "setup.py" in taken and not script.endswith((".py", ".sh")):
        return script  # a module of a package, which may be installed
    if inside.startswith("../"):
        msg = f"outside of the source folder {tree.root}; name a source_dir that contains it"
    else:
        reasons = [why for path, why in tree.left_out if inside == path or inside.startswith(path)]
        why = f" ({reasons[0]})" if reasons else ""
        msg = (
            f"not taken into the snapshot{why}; include it with a line !{inside} in .jobcoreignore"
        )
    raise RequestError(str(Problem("script", f"{script} is {msg}")))
