"""Migration of a file from an earlier format to the current one, in one transaction."""

from __future__ import annotations

import json
import sqlite3
from functools import partial

from jobcore import CorruptRecord
from jobcore.lifecycle import readable
from jobcore.scheduling.legacy import SHARED_RECORD, SharedRecord, split_shared_record

from ._records import GROUP, SHARE, save
from ._schema import ADDED_IN_2, VERSION

__all__ = ["migrate"]


def migrate(db: sqlite3.Connection, version: int) -> list[CorruptRecord]:
    """
    Migrate the file from format *version* to the current one, inside the caller's transaction.

    Returns:
        The entries that could not be read and were dropped. They hold learned state only, which
        the ticks learn again.
    """
    damaged = _to_2(db) if version < 2 else []
    db.execute(f"PRAGMA user_version = {VERSION}")
    return damaged


def _to_2(db: sqlite3.Connection) -> list[CorruptRecord]:
    """Create the tables of shares and groups, and move the content of the shared record there."""
    for statement in ADDED_IN_2.split(";"):
        db.execute(statement)
    row = db.execute(
        "SELECT CAST(body AS BLOB) FROM pool WHERE name = ?", (SHARED_RECORD,)
    ).fetchone()
    if row is None:
        return []
    db.execute("DELETE FROM pool WHERE name = ?", (SHARED_RECORD,))
    try:
        shared = readable("pool", SHARED_RECORD, partial(_shared, row[0]))
    except CorruptRecord as error:
        return [error]
    for usage in shared.shares.values():
        save(db, SHARE, usage)
    for tally in shared.tallies.values():
        save(db, GROUP, tally)
    return list(shared.damaged)


def _shared(body: bytes | None) -> SharedRecord:
    return split_shared_record(json.loads(body or b""))
