"""SQLite's errors as errors of the port, with instructions for the user."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jobcore import Unavailable

__all__ = ["NoSpace", "StoreUnusable", "translated"]

_TRANSIENT = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_ACCESS = frozenset({sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM})
_BROKEN = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


class StoreUnusable(Unavailable):
    """
    The file cannot be used as a store, and waiting does not help.

    It is an `Unavailable`: nothing was read or written, and the state of every job is unknown. A
    caller that can do more than try again catches this class first.
    """


class NoSpace(Unavailable):
    """The disk or a quota on it is full. The call may be repeated once there is space."""


@contextmanager
def translated(path: Path, busy_seconds: float) -> Iterator[None]:
    """
    Turn SQLite's errors into those of the port.

    Raises:
        Unavailable: the store is busy, and nothing was read or written; or the disk is full or has an
            I/O error, and the write has no effect. If the process or the machine dies after that,
            the whole write may be there when the file is opened again (a commit whose sync failed).
        StoreUnusable: the file is damaged or not a database.
        ValueError: a text cannot be stored as UTF-8.
    """
    try:
        yield
    except sqlite3.Error as error:
        found = _translate(error, path, busy_seconds)
        if found is None:
            raise
        raise found from error
    except UnicodeEncodeError as error:
        msg = (
            f"name, owner, group or share: {error.object!r} holds characters that are not valid "
            "Unicode text (lone surrogates); use plain text"
        )
        raise ValueError(msg) from error


def _translate(error: sqlite3.Error, path: Path, busy_seconds: float) -> Unavailable | None:
    exact = getattr(error, "sqlite_errorcode", 0)
    code = exact & 0xFF  # SQLite's primary code; the higher bits refine it
    if code in _TRANSIENT:
        return Unavailable(
            f"the store {path} is busy: another process has been writing for more than "
            f"{busy_seconds:g} s; nothing was written, try again"
        )
    if code == sqlite3.SQLITE_FULL or exact == sqlite3.SQLITE_IOERR_SHMSIZE:
        return NoSpace(
            f"no space left on the disk (or quota) of {path}: nothing was written; "
            "free some space there and try again"
        )
    if code == sqlite3.SQLITE_IOERR:
        # A failed write may be a quota's limit: SQLite has one code for both.
        return (NoSpace if exact == sqlite3.SQLITE_IOERR_WRITE else Unavailable)(
            f"the disk of {path} reports an I/O error ({error}); the write may be there or not, but "
            "never in part; check that the disk is mounted, healthy and not full, then look at the "
            "jobs and try again"
        )
    if code in _ACCESS:
        return Unavailable(
            f"the store {path} cannot be opened for writing ({error}); check the permissions of "
            "the file and its folder, and that the disk is not mounted read-only"
        )
    if code in _BROKEN:
        return StoreUnusable(
            f"{path} is damaged or not a jobcore store ({error}); it was left as it is. Restore a "
            "backup over it, or name another file"
        )
    return None
