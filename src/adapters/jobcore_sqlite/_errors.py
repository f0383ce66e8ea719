"""What SQLite's errors mean to the user of a store, and what to do about them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jobcore import Unavailable

__all__ = ["NoSpace", "StoreUnusable", "translated"]

_PASSING = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_ACCESS = frozenset({sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM})
_BROKEN = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


class StoreUnusable(Unavailable):
    """
    The file cannot be used as a store, and waiting does not help.

    It is an `Unavailable`, because nothing was read or written and no job may be
    judged by it; who can do better than to try again catches this one first.
    """


class NoSpace(Unavailable):
    """The disk, or a quota on it, takes no more; room may be made, and the same tried again."""


@contextmanager
def translated(path: Path, busy_seconds: float) -> Iterator[None]:
    """
    Turn SQLite's errors into those of the port.

    Raises:
        Unavailable: busy: nothing was read or written. Full, or an I/O error: a write did not take
            effect, as the file stands; if this process or the machine dies now, it may still have,
            as a whole, when the file is opened again (a commit whose sync failed).
        StoreUnusable: the file is damaged or is no database.
        ValueError: a text cannot be stored as UTF-8.
    """
    try:
        yield
    except sqlite3.Error as error:
        found = _meaning(error, path, busy_seconds)
        if found is None:
            raise
        raise found from error
    except UnicodeEncodeError as error:
        msg = (
            f"name, owner, group or share: {error.object!r} holds characters that are not valid "
            "Unicode text (lone surrogates); use plain text"
        )
        raise ValueError(msg) from error


def _meaning(error: sqlite3.Error, path: Path, busy_seconds: float) -> Unavailable | None:
    exact = getattr(error, "sqlite_errorcode", 0)
    code = exact & 0xFF  # the high bits only refine it
    if code in _PASSING:
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
        # A failed write may be a quota's limit, which SQLite does not tell from other troubles.
        return (NoSpace if exact == sqlite3.SQLITE_IOERR_WRITE else Unavailable)(
            f"the disk of {path} reports an I/O error ({error}); what was to be written may be "
            "there or not, but not in part; check that the disk is mounted, healthy and not full, "
            "then look, and try again"
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
