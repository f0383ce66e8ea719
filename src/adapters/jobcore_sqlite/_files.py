"""Opening the file of a store: is it a place and a file that a store can live in?"""

from __future__ import annotations

import os
import re
import sqlite3
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from jobcore import CorruptRecord

from ._errors import StoreUnusable
from ._schema import APPLICATION_ID, CREATE, VERSION

__all__ = ["check_place", "connect", "create_private", "keep_reserve", "release_reserve"]

# SQLite's WAL needs memory shared by all who use the file, which these cannot give across
# machines, and locks, which some of them only pretend to have.
_NETWORK = frozenset(
    {
        "afs", "beegfs", "ceph", "cifs", "coda", "fuse.gcsfuse", "fuse.glusterfs", "fuse.mount-s3",
        "fuse.s3fs", "fuse.sshfs", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "smb3",
        "smbfs",
    }
)  # fmt: skip
_RESERVE_PART = 128 * 1024  # bytes; a stop takes about a third of it
_RESERVES_FREE = 4  # times the reserve must be free for it to be laid aside
_MOUNTS = Path("/proc/self/mountinfo")
_OCTAL = re.compile(r"\\([0-7]{3})")


def check_place(path: Path, mounts: Path = _MOUNTS) -> None:
    """
    Refuse a path that is no place for a store: a folder, a device, a network file system.

    Args:
        path: the file, absolute, links resolved.
        mounts: the kernel's list of mounts; where there is none (not Linux), nothing is known.

    Raises:
        StoreUnusable: it says why, and what to do.
    """
    with suppress(OSError):  # not there yet, or out of reach: creating it will tell
        if not stat.S_ISREG(path.stat().st_mode):
            msg = f"path: {path} is not a regular file; name a file for the store"
            raise StoreUnusable(msg)
    kind = _file_system(path, mounts)
    if kind in _NETWORK:
        msg = (
            f"path: {path} is on a network file system ({kind}), where SQLite can lose data; "
            "put the store on a local disk"
        )
        raise StoreUnusable(msg)


def _file_system(path: Path, mounts: Path) -> str:
    try:
        lines = mounts.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return ""
    folders = {path, *path.parents}
    best, kind = -1, ""
    for line in lines:
        fields, _, rest = line.partition(" - ")
        point = Path(_OCTAL.sub(lambda code: chr(int(code[1], 8)), fields.split(" ")[4]))
        # >=, because a later mount hides an earlier one at the same point
        if point in folders and len(point.parts) >= best:
            best, kind = len(point.parts), rest.split(" ", 1)[0]
    return kind


def create_private(path: Path) -> None:
    """
    Create the file, and its folder, for their owner alone, unless they are there.

    SQLite gives its -wal and -shm files the mode of the main file, so this decides for all three.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Only ever create here: to close a descriptor of a file that is there would drop
        # the locks that other connections of this process hold on it.
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        _sync_folder(path.parent)
        # The folders above may be as new as the file, whoever made them.
        for folder in path.parent.parents:
            with suppress(OSError):  # another's, who keeps it for himself
                _sync_folder(folder)
    except FileExistsError:
        if not path.is_file():
            msg = f"path: {path.parent} is not a folder; name another place for the store"
            raise StoreUnusable(msg) from None
    except OSError as error:
        msg = f"path: cannot create {path}: {error.strerror}; check the folder and its permissions"
        raise StoreUnusable(msg) from error


def keep_reserve(path: Path, size: int) -> None:
    """
    Lay *size* bytes aside in a file beside the store, to be given back when the disk is full.

    Nothing is done while the disk has little room: what was just freed is for those who need it.
    """
    reserve = _reserve(path)
    with suppress(OSError):  # the store is as good without, until the disk is full
        if reserve.exists() and reserve.stat().st_size >= size:
            return
        place = os.statvfs(path.parent)
        if place.f_bavail * place.f_frsize < _RESERVES_FREE * size:
            return
        fd = os.open(reserve, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            os.pwrite(fd, os.urandom(size), 0)  # a file system that compresses must keep it as well
        finally:
            os.close(fd)


def release_reserve(path: Path) -> bool:
    """
    Give a part of the reserve back to the disk; tell whether there was one.

    Only a part, because whoever fills the disk may be faster than we are: then there is another try.
    """
    reserve = _reserve(path)
    try:
        size = reserve.stat().st_size
        if size > _RESERVE_PART:
            os.truncate(reserve, size - _RESERVE_PART)
        else:
            reserve.unlink()
    except OSError:
        return False
    return True


def _reserve(path: Path) -> Path:
    return path.with_name(f"{path.name}-reserve")


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def connect(
    path: Path, busy_seconds: float, on_corrupt: Callable[[CorruptRecord], None]
) -> sqlite3.Connection:
    """
    Open the file and make sure that it is a store of this format, new, as it was, or migrated.

    Args:
        on_corrupt: called with each entry of an older format that could not be read.

    Raises:
        StoreUnusable: it belongs to a newer release, or to something else.
        sqlite3.Error: it cannot be read or written. A file of an older format is as it was.
    """
    db = sqlite3.connect(path, timeout=busy_seconds, isolation_level=None, check_same_thread=False)
    try:
        _check_version(db, path)  # before anything is changed in somebody else's file
        _use_wal(db, busy_seconds)
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA fullfsync = ON")  # macOS: fsync alone stops at the cache
        db.execute("PRAGMA foreign_keys = ON")
        db.execute("PRAGMA cache_size = -32768")  # KiB; a bulk of 10,000 jobs fits without spilling
        if _check_version(db, path) < VERSION:
            for error in _create_or_migrate(db, path):
                on_corrupt(error)
    except BaseException:
        db.close()
        raise
    return db


def _check_version(db: sqlite3.Connection, path: Path) -> int:
    """Give the version of the store in the file; 0 for an empty file."""
    alone = not db.in_transaction
    if alone:  # else another process could create the tables between two of these reads
        db.execute("BEGIN")
    application = db.execute("PRAGMA application_id").fetchone()[0]
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if alone:
        db.execute("COMMIT")
    if application != APPLICATION_ID and (application or version or tables):
        msg = f"path: {path} is a database of another program; name another file for the store"
        raise StoreUnusable(msg)
    if version > VERSION:
        msg = (
            f"the store {path} has format {version}; this release of jobcore reads up to {VERSION}. "
            "Upgrade jobcore, or name another file"
        )
        raise StoreUnusable(msg)
    return version


def _use_wal(db: sqlite3.Connection, busy_seconds: float) -> None:
    """Switch to the write-ahead log. SQLite does not wait for others here, so this does."""
    deadline = time.monotonic() + busy_seconds
    while True:
        try:
            (mode,) = db.execute("PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
            continue
        if mode != "wal":
            msg = f"the file system does not support SQLite's write-ahead log (journal is {mode})"
            raise StoreUnusable(msg)
        return


def _create_or_migrate(db: sqlite3.Connection, path: Path) -> list[CorruptRecord]:
    """Bring the file to today's format; give the entries of an older one that could not be read."""
    damaged: list[CorruptRecord] = []
    # The write lock comes first: another process may do the same, and is done when this one has it.
    db.execute("BEGIN IMMEDIATE")
    try:
        version = _check_version(db, path)
        if version == 0:
            for statement in CREATE.split(";"):
                db.execute(statement)
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {VERSION}")
        elif version < VERSION:
            from ._migration import migrate  # rarely needed

            damaged = migrate(db, version)
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
    return damaged
