"""Lists for people: newest first, from whichever index fits the query."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from heapq import merge

from jobcore import Status
from jobcore.ports import JobQuery

from ._schema import LISTINGS

__all__ = ["cursor_key", "newest"]

_CURSOR = re.compile(r"(-?[0-9]{1,18})/([!-~]{1,64})")
_ABOVE_ALL_IDS = "~"  # sorts after every character of an id


def cursor_key(text: str) -> tuple[int, str]:
    """
    Read back the (submitted_at, job_id) of a cursor.

    Raises:
        ValueError: it is not one that a page gave.
    """
    match = _CURSOR.fullmatch(text)
    if match is None:
        msg = f"cursor: {text!r} is not one that a page gave; start again without a cursor"
        raise ValueError(msg)
    return int(match[1]), match[2]


def newest(
    db: sqlite3.Connection, query: JobQuery, after: tuple[int, str] | None
) -> Iterator[tuple[int, str]]:
    """Walk the (submitted_at, job_id) of the jobs that *query* asks for, newest first."""
    given = {"name": query.name, "job_group": query.group, "owner": query.owner}
    values: list[str | int] = []
    tests = []
    for column in LISTINGS:
        value = given[column]
        if value is not None:
            tests.append(f"{column} = ?")
            values.append(value)
    if after is not None:
        tests.append("(submitted_at, job_id) < (?, ?)")
        values += after
    index = next((column for column in LISTINGS if given[column] is not None), "status")
    if query.id_prefix:
        # Few jobs share a prefix: find them by their ids, and sort them.
        tests.append("job_id >= ? AND job_id < ?")
        values += (query.id_prefix, query.id_prefix + _ABOVE_ALL_IDS)
        source = "job INDEXED BY sqlite_autoindex_job_1"
    else:
        source = f"job INDEXED BY by_{index}"
    where = " AND ".join(["status = ?", *tests])
    sql = (
        f"SELECT submitted_at, job_id FROM {source} WHERE {where} "
        f"ORDER BY submitted_at DESC, job_id DESC LIMIT {query.limit + 1}"
    )
    statuses = query.statuses or frozenset(Status)
    walks = [db.execute(sql, (status.value, *values)) for status in sorted(statuses)]
    return merge(*walks, reverse=True)
