"""The records of pools, shares and groups: one row each, written by compare-and-set."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from jobcore import CorruptRecord
from jobcore.lifecycle import (
    GroupTally,
    Json,
    PoolState,
    ShareUsage,
    decode_pool,
    decode_share,
    decode_tally,
    encode_pool,
    encode_share,
    encode_tally,
    readable,
)

from ._schema import Value, to_text

__all__ = ["GROUP", "KINDS", "POOL", "SHARE", "Kind", "decoded", "save", "select"]

R = TypeVar("R", PoolState, ShareUsage, GroupTally)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind(Generic[R]):
    """
    One kind of record.

    Args:
        name: the kind's name in errors.
        table, keys: the table, and its key columns.
        key_of: returns the values of *keys* for a record.
        index_columns: returns further columns, which an index needs.
    """

    name: str
    table: str
    keys: tuple[str, ...]
    key_of: Callable[[R], tuple[str, ...]]
    encode: Callable[[R], Mapping[str, Json]]
    decode: Callable[..., R]
    index_columns: Callable[[R], Mapping[str, Value]] = lambda record: {}


POOL: Kind[PoolState] = Kind(
    name="pool",
    table="pool",
    keys=("name",),
    key_of=lambda state: (state.name,),
    encode=encode_pool,
    decode=decode_pool,
)
SHARE: Kind[ShareUsage] = Kind(
    name="share",
    table="share",
    keys=("name",),
    key_of=lambda usage: (usage.share,),
    encode=encode_share,
    decode=decode_share,
)
GROUP: Kind[GroupTally] = Kind(
    name="group",
    table="tally",
    keys=("job_group", "owner"),
    key_of=lambda tally: tuple(tally.key),
    encode=encode_tally,
    decode=decode_tally,
    index_columns=lambda tally: {"pausing": 1 if tally.pausing else None},
)
KINDS: Sequence[Kind[Any]] = (POOL, SHARE, GROUP)


def select(kind: Kind[Any], where: str = "TRUE") -> str:
    """
    Make the query whose rows `decoded` reads.

    Texts are read as bytes: SQLite fails a whole query if one text is not valid UTF-8.
    """
    keys = ", ".join(f"CAST({key} AS BLOB)" for key in kind.keys)
    return f"SELECT {keys}, version, CAST(body AS BLOB) FROM {kind.table} WHERE {where}"


def decoded(
    kind: Kind[R], rows: Iterable[Sequence[Any]], on_corrupt: Callable[[CorruptRecord], None]
) -> Iterator[R]:
    """Decode rows; one that cannot be read is reported and left out."""
    for row in rows:
        try:
            record = _decode(kind, row)
        except CorruptRecord as error:
            on_corrupt(error)
        else:
            yield record


def _decode(kind: Kind[R], row: Sequence[Any]) -> R:
    *keys, version, body = row
    name = "/".join(bytes(key).decode("utf-8", "backslashreplace") for key in keys)

    def read() -> R:
        texts = [bytes(key).decode() for key in keys]
        return kind.decode(*texts, json.loads(body or b""), version=version)

    return readable(kind.name, name, read)


def save(db: sqlite3.Connection, kind: Kind[R], record: R) -> bool:
    """
    Write a record over the version it was read at, inside the caller's transaction.

    Returns:
        False if the stored version is another one.
    """
    key: tuple[str, ...] = kind.key_of(record)
    columns: dict[str, Value] = {
        **kind.index_columns(record),
        "body": to_text(dict(kind.encode(record))),
    }
    is_it = " AND ".join(f"{name} = ?" for name in kind.keys)
    if record.version == 0:
        names = (*kind.keys, *columns, "version")
        marks = ", ".join("?" * len(names))
        sql = (
            f"INSERT INTO {kind.table} ({', '.join(names)}) VALUES ({marks}) ON CONFLICT DO NOTHING"
        )
        if db.execute(sql, (*key, *columns.values(), 1)).rowcount == 1:
            return True
        if list(decoded(kind, db.execute(select(kind, is_it), key), _ignore)):
            return False
        # A record that cannot be read counts as absent: replace it.
        sets, is_old = "version = 1", is_it
    else:
        sets, is_old = "version = version + 1", f"{is_it} AND version = {record.version:d}"
    sets = ", ".join((sets, *(f"{name} = ?" for name in columns)))
    sql = f"UPDATE {kind.table} SET {sets} WHERE {is_old}"
    return db.execute(sql, (*columns.values(), *key)).rowcount == 1


def _ignore(error: CorruptRecord) -> None:
    """Report nothing: the record is about to be replaced."""
