"""The walk of a source folder: what a snapshot of it takes, and what is left out and why."""

from __future__ import annotations

import errno
import os
import stat
from collections import Counter
from collections.abc import Collection
from typing import NamedTuple

from ._errors import CodeError, printable
from ._git import tracked_but_ignored
from ._rules import Reason, Rules

__all__ = ["BYTES_MAX", "FILES_MAX", "File", "Link", "Tree", "scan"]

#: The most files of a snapshot: each attempt gets a copy of every one. Data belongs into channels.
FILES_MAX = 20_000
#: The most bytes of a snapshot, for the same reason.
BYTES_MAX = 1 << 30
_COUNTED_MAX = (
    200_000  # entries that are counted for the error; a walk of them takes about a second
)
_ENVIRONMENT_MARKS = ("pyvenv.cfg", "conda-meta")
_SPECIAL = {stat.S_IFSOCK: "a socket", stat.S_IFIFO: "a pipe"}


class File(NamedTuple):
    """A regular file, and what identifies its content as long as nothing writes to it."""

    path: str  # relative to the tree
    executable: bool
    size: int
    identity: tuple[int, int, int, int]  # device, inode, time of content, time of inode


class Link(NamedTuple):
    """A symbolic link to an entry of the tree."""

    path: str
    target: str  # relative to the link's folder, whatever the source folder has


class Tree(NamedTuple):
    """What a snapshot of a folder takes; each list is sorted."""

    root: str
    folders: tuple[str, ...]
    files: tuple[File, ...]
    links: tuple[Link, ...]
    left_out: tuple[tuple[str, str], ...]  # path and reason

    @property
    def size(self) -> int:
        """The bytes of all files."""
        return sum(file.size for file in self.files)


def scan(
    root: str | os.PathLike[str],
    *,
    without: Collection[str | os.PathLike[str]] = (),
    files_max: int = FILES_MAX,
    bytes_max: int = BYTES_MAX,
) -> Tree:
    """
    List what a snapshot of a folder takes; no file but the ignore files is read.

    Args:
        without: folders that are never taken, such as the home of jobcore.
        files_max: the most files that are taken.
        bytes_max: the most bytes that they may have.

    Raises:
        CodeError: there is too much of it, a link leads out of it, or a folder cannot be read.
    """
    walk = _Walk(os.path.realpath(root), without)
    walk.run()
    if walk.count > files_max:
        raise _too_many(walk, files_max)
    files = tuple(sorted(walk.files))
    if (size := sum(file.size for file in files)) > bytes_max:
        raise _too_large(walk.root, files, size, bytes_max)
    links = _kept_links(walk)
    return Tree(walk.root, tuple(sorted(walk.folders)), files, links, tuple(sorted(walk.left_out)))


class _Place(NamedTuple):
    """A folder to walk."""

    folder: str  # relative to the tree; "" is the tree
    rules: Rules  # of the folder above it
    repository: str  # the innermost folder of the tree that is the top of a git repository, or ""
    ignored: Reason | None  # a rule of .gitignore matches it: take only what git tracks in it


class _Walk:
    """The state of one walk."""

    def __init__(self, root: str, without: Collection[str | os.PathLike[str]]) -> None:
        self.root = root
        self.without = {os.path.realpath(folder) for folder in without}
        self.folders: list[str] = []
        self.files: list[File] = []
        self.links: list[str] = []
        self.left_out: list[tuple[str, str]] = []
        self.count = 0
        self._tracked: dict[
            str, frozenset[str]
        ] = {}  # by repository: what its rules do not hold for

    def run(self) -> None:
        """Walk until there is nothing more, or far too much."""
        todo = [_Place("", Rules.above(self.root), "", None)]
        while todo and self.count < _COUNTED_MAX:
            place = todo.pop()
            entries = self._entries(place.folder)
            names = [entry.name for entry in entries]
            rules = place.rules.inside(self.root, place.folder, names)
            repository = place.folder if ".git" in names else place.repository
            here = place._replace(rules=rules, repository=repository)
            for entry in entries:
                path = f"{place.folder}/{entry.name}" if place.folder else entry.name
                try:
                    if below := self._take(path, entry, here):
                        todo.append(below)
                except FileNotFoundError:  # removed since; the second walk of a snapshot compares
                    continue
                except OSError as error:
                    raise CodeError.of(os.path.join(self.root, path), error) from None

    def _entries(self, folder: str) -> list[os.DirEntry[str]]:
        path = os.path.join(self.root, folder)
        try:
            with os.scandir(path) as entries:
                return list(entries)
        except FileNotFoundError:
            if folder:
                return []
            msg = f"{printable(path)}: there is no such folder"
            raise CodeError(msg) from None
        except OSError as error:
            raise CodeError.of(path, error) from None

    def _take(self, path: str, entry: os.DirEntry[str], place: _Place) -> _Place | None:
        """Take or leave out an entry of a place; a folder to walk is returned."""
        is_folder = entry.is_dir(follow_symlinks=False)
        reason = place.rules.reason(path, is_folder=is_folder) or place.ignored
        is_kept = reason is not None and reason.of_git and self._is_tracked(path, place.repository)
        text = "" if reason is None or is_kept else reason.text
        text = text or (self._special(path) if is_folder else "")
        if text:
            self.left_out.append((path + "/" * is_folder, text))
            return None
        self.count += 1
        if is_folder:
            self.folders.append(path)
            return place._replace(folder=path, ignored=reason if is_kept else None)
        if entry.is_symlink():
            self.links.append(path)
            return None
        found = entry.stat(follow_symlinks=False)
        if not stat.S_ISREG(found.st_mode):
            kind = _SPECIAL.get(stat.S_IFMT(found.st_mode), "a device")
            self.left_out.append((path, f"{kind}, not a file"))
        else:
            self.files.append(file_of(path, found))
        return None

    def _is_tracked(self, path: str, repository: str) -> bool:
        """Tell whether git tracks an entry that its rules match, or for a folder something in it."""
        tracked = self._tracked.get(repository)
        if tracked is None:
            files = tracked_but_ignored(os.path.join(self.root, repository))
            above = {file[:at] for file in files for at in _slashes(file)}
            tracked = self._tracked[repository] = files | above
        return path[len(repository) + 1 if repository else 0 :] in tracked

    def _special(self, path: str) -> str:
        """Return why a folder is left out whatever its name is; "" if it is taken."""
        place = os.path.join(self.root, path)
        if place in self.without:
            return "of jobcore"
        # Environments of venv and of conda, whatever their names are.
        if any(os.path.lexists(os.path.join(place, mark)) for mark in _ENVIRONMENT_MARKS):
            return "made by tools"
        return ""


def _slashes(path: str) -> list[int]:
    return [at for at, char in enumerate(path) if char == "/"]


def file_of(path: str, found: os.stat_result) -> File:
    """Make the entry of a regular file."""
    identity = (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns)
    return File(path, bool(found.st_mode & 0o111), found.st_size, identity)


def _kept_links(walk: _Walk) -> tuple[Link, ...]:
    """
    Decide about the links: those to what is taken are kept, others are left out.

    Raises:
        CodeError: one leads out of the tree, so the content it stands for would not be frozen.
    """
    taken = {"", *walk.folders, *walk.links, *(file.path for file in walk.files)}
    kept = []
    for path in sorted(walk.links):
        place = os.path.join(walk.root, path)
        try:
            real = os.path.realpath(place, strict=True)
        except OSError as error:
            what = "goes in a circle" if error.errno == errno.ELOOP else "is broken"
            walk.left_out.append((path, f"a link that {what}"))
            continue
        inside = os.path.relpath(real, walk.root)
        if inside == ".." or inside.startswith("../"):
            msg = (
                f"{printable(path)}: a link to {printable(real)}, outside of the source folder, so it "
                "cannot be frozen; name that folder as a channel, or list the link in .jobcoreignore"
            )
            raise CodeError(msg)
        if ("" if inside == "." else inside) not in taken:
            walk.left_out.append((path, "a link to what is left out"))
            continue
        kept.append(Link(path, os.path.relpath(real, os.path.dirname(place))))
    return tuple(kept)


_LESS = (
    "list what the job does not need in .jobcoreignore, and name folders of data as channels; or put "
    "the script and what it needs into a folder of its own"
)


def _too_many(walk: _Walk, files_max: int) -> CodeError:
    places = Counter(file.path.partition("/")[0] for file in walk.files)
    place, most = places.most_common(1)[0] if places else ("?", 0)
    count = f"{walk.count:,}" + (" or more" if walk.count >= _COUNTED_MAX else "")
    return CodeError(
        f"{printable(walk.root)}: {count} files and folders; a snapshot takes {files_max:,} at most "
        f"({most:,} are in {printable(place)}): {_LESS}"
    )


def _too_large(root: str, files: tuple[File, ...], size: int, bytes_max: int) -> CodeError:
    largest = max(files, key=lambda file: file.size)
    return CodeError(
        f"{printable(root)}: {size >> 20:,} MB; a snapshot takes {bytes_max >> 20:,} MB at most "
        f"(the largest file is {printable(largest.path)}, {largest.size >> 20:,} MB): {_LESS}"
    )
