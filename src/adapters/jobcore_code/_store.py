"""The content-addressed store of code on one machine.

    objects/ab/<digest>   the content of a file, by its SHA-256; never changed
    trees/<id>.json       the manifest of a snapshot, by its own SHA-256
    cache/<name>.json     the digests of a source folder's files, so that unchanged ones are not read
    tmp/                  what a submit has not finished
    lock                  shared by submits, held alone by a prune

An object has its name only once its content is on the disk, and a manifest only once all of its
objects are. So a snapshot whose manifest exists is whole, unless the disk damages it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import NamedTuple, Self

from ._cache import Cache
from ._errors import CodeError, printable
from ._files import hash_file, make_private, new_name, remove_tree, sync, write_all
from ._manifest import Entry, Manifest, is_id, manifest_path, object_path, read_manifest
from ._scan import BYTES_MAX, FILES_MAX, File, Link, Tree, file_of, scan

__all__ = ["CodeStore", "Pruned", "Snapshot"]

_TRIES = 3
_PAUSE_SECONDS = 0.05  # before a folder that was changed meanwhile is read again
_SYNCS_TOGETHER = 16  # file systems write the journal once for syncs that wait at the same time
_IN_MEMORY_BYTES_MAX = 1 << 20  # of a file that is read in one piece
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)  # of a file that was there a moment before
_FULL = (errno.ENOSPC, errno.EDQUOT)


class Snapshot(NamedTuple):
    """A snapshot, and the folder that it was taken of."""

    id: str
    tree: Tree


class Pruned(NamedTuple):
    """What a prune removed, or would remove."""

    removed: int
    kept: int
    bytes: int


class _ChangedError(Exception):
    """A file was changed while it was read."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


class CodeStore:
    """
    Snapshots of source folders; several processes may use one store at the same time.

    Args:
        path: the folder of the store; created when the first snapshot is taken.
        durable: sync files before they get their names. Off for a store that is removed at once.
    """

    def __init__(self, path: str | os.PathLike[str], *, durable: bool = True) -> None:
        """Use *path*; nothing is read or written."""
        self.path = os.path.realpath(path)
        self._durable = durable

    # --- snapshots ------------------------------------------------------------------

    def take(
        self,
        folder: str | os.PathLike[str],
        *,
        without: Collection[str | os.PathLike[str]] = (),
        files_max: int = FILES_MAX,
        bytes_max: int = BYTES_MAX,
    ) -> Snapshot:
        """
        Take a snapshot of a folder as it is now; the same content has the same id.

        A prune may remove the snapshot until a job needs it, so call this inside `in_use`.

        Args:
            without: as for `scan`, as are the other limits.

        Raises:
            CodeError: the folder has too much, or something that cannot be read or frozen, or it
                changed again and again while it was read.
            OSError: the store cannot be written (a full disk); nothing half-done is left.
        """
        left_out = [*without, self.path]

        def look() -> Tree:
            return scan(folder, without=left_out, files_max=files_max, bytes_max=bytes_max)

        changed, root = "", os.path.realpath(folder)
        for number in range(_TRIES):
            if number:
                time.sleep(_PAUSE_SECONDS)
            tree = look()
            try:
                return Snapshot(self._take(tree, look), tree)
            except _ChangedError as error:
                changed = error.path
        msg = (
            f"{printable(os.path.join(root, changed))}: changes while it is read; stop what "
            "writes to it, or list it in .jobcoreignore"
        )
        raise CodeError(msg)

    def _take(self, tree: Tree, look: Callable[[], Tree]) -> str:
        with self._writing():
            cache = Cache.read(self.path, tree.root)
            # Unchanged since: it has the content that it had at one moment then.
            last = cache.snapshot(tree)
            if last is not None and self._is_readable(last):
                os.utime(manifest_path(self.path, last))  # a prune goes by the last use
                return last
            digests = [cache.digest(file) for file in tree.files]
            with _Batch(self.path, durable=self._durable) as batch:
                for number, file in enumerate(tree.files):
                    digest = digests[number]
                    if digest is None or not batch.has(digest, file.size):
                        digests[number] = self._read(tree.root, file, batch)
                batch.commit()
                _check_unchanged(tree, look())
                manifest, snapshot = _manifest(tree, digests)
                batch.add(manifest_path(self.path, snapshot), manifest)
                batch.commit()
            if self._durable:
                cache.write(tree, digests, snapshot)
        return snapshot

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Create the folders of the store, and name it in the errors of the disk."""
        try:
            for name in ("objects", "trees", "cache", "tmp"):
                make_private(os.path.join(self.path, name))
            yield
        except OSError as error:
            hint = "; free some space" if error.errno in _FULL else ""
            raise OSError(error.errno, f"{error.strerror}{hint}", self.path) from None

    def _read(self, root: str, file: File, batch: _Batch) -> str:
        path = os.path.join(root, file.path)
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            if error.errno in _GONE:
                raise _ChangedError(file.path) from None
            raise CodeError.of(path, error) from None
        try:
            if file_of(file.path, os.fstat(fd)) != file:
                raise _ChangedError(file.path)
            digest, size = batch.add_file(fd)
            if size != file.size or file_of(file.path, os.fstat(fd)) != file:
                raise _ChangedError(file.path)
        finally:
            os.close(fd)
        return digest

    def _is_readable(self, snapshot: str) -> bool:
        try:
            read_manifest(self.path, snapshot)
        except CodeError:
            return False
        return True

    def has(self, snapshot: str) -> bool:
        """Check whether a snapshot is in the store; its objects are not read."""
        return is_id(snapshot) and os.path.exists(manifest_path(self.path, snapshot))

    def snapshots(self) -> Sequence[str]:
        """List the ids of all snapshots."""
        try:
            names = os.listdir(os.path.join(self.path, "trees"))
        except FileNotFoundError:
            return []
        return sorted(n[:-5] for n in names if n.endswith(".json") and is_id(n[:-5]))

    def manifest(self, snapshot: str) -> Manifest:
        """
        Read the list of what a snapshot holds.

        Raises:
            CodeError: there is no such snapshot, or its manifest is damaged.
        """
        return read_manifest(self.path, snapshot)

    def read(self, entry: Entry) -> bytes:
        """
        Read a file of a snapshot, and check it against its hash.

        Raises:
            CodeError: it is damaged or missing.
        """
        content = b""
        place = object_path(self.path, entry.digest)
        with contextlib.suppress(FileNotFoundError), open(place, "rb") as file:
            content = file.read()
        if hashlib.sha256(content).hexdigest() != entry.digest:
            msg = (
                f"{printable(entry.path)} is damaged or missing in {self.path}; submit the job "
                "again from a folder that has it"
            )
            raise CodeError(msg)
        return content

    def check(self, snapshot: str) -> list[str]:
        """Read a snapshot in full; return a line for each file that is damaged or missing."""
        try:
            manifest = read_manifest(self.path, snapshot)
        except CodeError as error:
            return [str(error)]
        wrong = []
        for entry in manifest.files:
            try:
                fd = os.open(object_path(self.path, entry.digest), os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                wrong.append(f"{printable(entry.path)}: missing in snapshot {snapshot[:12]}")
                continue
            try:
                if hash_file(fd)[0] != entry.digest:
                    wrong.append(f"{printable(entry.path)}: damaged in snapshot {snapshot[:12]}")
            finally:
                os.close(fd)
        return wrong

    # --- removal --------------------------------------------------------------------

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """
        Keep prunes away, from before a snapshot is taken until the job that needs it is stored.

        Raises:
            OSError: the store cannot be written.
        """
        with self._lock(fcntl.LOCK_SH):
            yield

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Keep submits away, from before the jobs are listed until the prune is over."""
        with self._lock(fcntl.LOCK_EX):
            yield

    @contextlib.contextmanager
    def _lock(self, kind: int) -> Iterator[None]:
        with self._writing():
            place = os.path.join(self.path, "lock")
            fd = os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, kind)
            yield
        finally:
            os.close(fd)

    def prune(
        self, needed: Collection[str], *, used_before: float, dry_run: bool = False
    ) -> Pruned:
        """
        Remove the snapshots that no job needs, and objects and other files that are left over.

        Call it inside `alone`. It may be interrupted; the next one removes the rest.

        Args:
            needed: ids of snapshots that are kept.
            used_before: seconds since 1970; a snapshot that was taken later is kept too.
            dry_run: remove nothing.
        """
        gone = [
            snapshot
            for snapshot in self.snapshots()
            if snapshot not in needed
            and os.stat(manifest_path(self.path, snapshot)).st_mtime < used_before
        ]
        kept = [snapshot for snapshot in self.snapshots() if snapshot not in set(gone)]
        # A damaged manifest that is kept does not name its objects: then none is removed.
        digests = self._digests(kept)
        unused = [] if digests is None else list(self._unused(digests))
        size = sum(os.lstat(path).st_size for path in unused)
        size += sum(os.stat(manifest_path(self.path, s)).st_size for s in gone)
        if not dry_run:
            for snapshot in gone:  # before its objects: a snapshot that is there is whole
                os.unlink(manifest_path(self.path, snapshot))
            sync(os.path.join(self.path, "trees"))
            for path in unused:
                os.unlink(path)
            self._remove_leftovers(used_before)
        return Pruned(len(gone), len(kept), size)

    def _digests(self, snapshots: Sequence[str]) -> set[str] | None:
        digests: set[str] = set()
        for snapshot in snapshots:
            try:
                digests.update(e.digest for e in read_manifest(self.path, snapshot).files)
            except CodeError:
                return None
        return digests

    def _unused(self, digests: set[str]) -> Iterator[str]:
        for folder, _, names in os.walk(os.path.join(self.path, "objects")):
            yield from (os.path.join(folder, name) for name in names if name not in digests)

    def _remove_leftovers(self, used_before: float) -> None:
        parts = os.path.join(self.path, "tmp")
        for name in os.listdir(parts):  # of submits that were killed; none is at work now
            remove_tree(os.path.join(parts, name))
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(parts, name))
        caches = os.path.join(self.path, "cache")
        for name in os.listdir(caches):
            place = os.path.join(caches, name)
            if os.stat(place).st_mtime < used_before:
                os.unlink(place)


def _manifest(tree: Tree, digests: Sequence[str | None]) -> tuple[bytes, str]:
    """Write the manifest of a tree whose files have these digests; return it and its id."""
    entries = [
        Entry(file.path, file.executable, file.size, digest or "")
        for file, digest in zip(tree.files, digests, strict=True)
    ]
    content = Manifest(tree.folders, entries, tree.links).encode()
    return content, hashlib.sha256(content).hexdigest()


def _check_unchanged(before: Tree, after: Tree) -> None:
    """
    Check that two walks found the same, so that all files had their content at the moment between.

    Raises:
        _ChangedError: with the first file, link or folder in which they differ.
    """
    if before == after:
        return
    one: dict[str, File | Link] = {file.path: file for file in before.files}
    one |= {link.path: link for link in before.links}
    other: dict[str, File | Link] = {file.path: file for file in after.files}
    other |= {link.path: link for link in after.links}
    paths = sorted(path for path in {*one, *other} if one.get(path) != other.get(path))
    paths += sorted({*before.folders} ^ {*after.folders})
    raise _ChangedError(paths[0] if paths else "")


class _Batch:
    """Objects that get their names together, once all of them are on the disk."""

    def __init__(self, store: str, *, durable: bool) -> None:
        self._store = store
        self._durable = durable
        self._folder = os.path.join(store, "tmp", new_name())
        self._parts: list[tuple[str, str]] = []  # the temporary place and the final one
        self._known: set[str] = set()
        self._number = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Remove what has not got its name."""
        if self._number:
            remove_tree(self._folder)

    def has(self, digest: str, size: int) -> bool:
        """Check whether an object is in the store, or will be; its content is not read."""
        if digest in self._known:
            return True
        try:
            if os.lstat(object_path(self._store, digest)).st_size != size:
                return False
        except FileNotFoundError:
            return False
        self._known.add(digest)
        return True

    def add_file(self, fd: int) -> tuple[str, int]:
        """Read a file into the store; return its digest and size."""
        size = os.fstat(fd).st_size
        if size < _IN_MEMORY_BYTES_MAX:
            content = os.read(fd, size + 1)
            digest = hashlib.sha256(content).hexdigest()
            if not self.has(digest, len(content)):
                self.add(object_path(self._store, digest), content)
                self._known.add(digest)
            return digest, len(content)
        part, to = self._create()
        try:
            digest, size = hash_file(fd, lambda data: write_all(to, data))
        finally:
            os.close(to)
        if self.has(digest, size):
            os.unlink(part)
        else:
            self._parts.append((part, object_path(self._store, digest)))
            self._known.add(digest)
        return digest, size

    def add(self, place: str, content: bytes) -> None:
        """Write a file that gets its name with the next `commit`."""
        part, to = self._create()
        try:
            write_all(to, content)
        finally:
            os.close(to)
        self._parts.append((part, place))

    def _create(self) -> tuple[str, int]:
        if not self._number:
            os.mkdir(self._folder, 0o700)
        self._number += 1
        part = os.path.join(self._folder, str(self._number))
        return part, os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444)

    def commit(self) -> None:
        """Sync what was added, and give it its names."""
        parts, self._parts = self._parts, []
        folders = sorted({os.path.dirname(place) for _, place in parts})
        self._sync([part for part, _ in parts])
        for folder in folders:
            with contextlib.suppress(FileExistsError):
                os.mkdir(folder, 0o700)
        for part, place in parts:
            os.rename(part, place)
        self._sync(folders)
        if folders:
            self._sync([os.path.dirname(folders[0])])

    def _sync(self, paths: list[str]) -> None:
        if not self._durable:
            return
        if len(paths) < _SYNCS_TOGETHER:
            for path in paths:
                sync(path)
            return
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(_SYNCS_TOGETHER) as pool:
            list(pool.map(sync, paths))
