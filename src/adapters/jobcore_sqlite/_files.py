"""Opening the file of a store, after checking that it can hold one; the reserve for a full disk."""

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

# SQLite's WAL needs shared memory between all processes that use the file, which these file systems
# do not have across machines, and working locks, which some of them only report.
_NETWORK = frozenset(
    {
        "afs", "beegfs", "ceph", "cifs", "coda", "fuse.gcsfuse", "fuse.glusterfs", "fuse.mount-s3",
        "fuse.s3fs", "fuse.sshfs", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "smb3",
        "smbfs",
    }
)  # fmt: skip
_RESERVE_PART = 128 * 1024  # bytes released at a time; recording a stop takes about a third
_RESERVES_FREE = 4  # the reserve is only made if this many times its size is free
_MOUNTS = Path("/proc/self/mountinfo")
_OCTAL = re.compile(r"\\([0-7]{3})")


def check_place(path: Path, mounts: Path = _MOUNTS) -> None:
    """
    Refuse a path that cannot hold a store: a folder, a device, a network file system.

    Args:
        path: the file, absolute, links resolved.
        mounts: the kernel's list of mounts. Without it (not Linux) file systems are not checked.

    Raises:
        StoreUnusable: with the reason, and what to do.
    """
    with suppress(OSError):  # if it is missing or not accessible, `create_private` reports it
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
        # Only create here. Closing a descriptor of an existing file would release the POSIX locks that
        # other connections of this process hold on it.
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        _sync_folder(path.parent)
        # The folders above may be as new as the file.
        for folder in path.parent.parents:
            with suppress(OSError):  # a folder of another user, not readable
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
    Reserve *size* bytes of disk in a file beside the store, to be released when the disk is full.

    While the disk has little space the reserve is not made: space that was just freed is needed
    elsewhere.
    """
    reserve = _reserve(path)
    with suppress(OSError):  # the store works without a reserve
        if reserve.exists() and reserve.stat().st_size >= size:
            return
        place = os.statvfs(path.parent)
        if place.f_bavail * place.f_frsize < _RESERVES_FREE * size:
            return
        fd = os.open(reserve, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            os.pwrite(
                fd, os.urandom(size), 0
            )  # random, so that a compressing file system stores it in full
        finally:
            os.close(fd)


def release_reserve(path: Path) -> bool:
    """
    Release a part of the reserve; False if there is none left.

    Only a part: if another program takes the released space first, there is another part.
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
    Open the file as a store of the current format; create or migrate it if needed.

    Args:
        on_corrupt: called with each entry of an older format that could not be read.

    Raises:
        StoreUnusable: it belongs to a newer release, or to another program.
        sqlite3.Error: it cannot be read or written. A file of an older format is unchanged.
    """
    db = sqlite3.connect(path, timeout=busy_seconds, isolation_level=None, check_same_thread=False)
    try:
        _check_version(db, path)  # before the first change, in case it is another program's file
        _use_wal(db, busy_seconds)
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA fullfsync = ON")  # macOS: fsync does not flush the disk's cache
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
    """Read the version of the store in the file; 0 for an empty file."""
    alone = not db.in_transaction
    if alone:  # one snapshot: another process may create the tables between two of these reads
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
    """Switch to the write-ahead log. SQLite's busy timeout does not apply here, so wait in a loop."""
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
    """Create or migrate the tables; return the entries of an older format that could not be read."""
    damaged: list[CorruptRecord] = []
    # Take the write lock first. If another process was doing the same, it has finished by then.
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
