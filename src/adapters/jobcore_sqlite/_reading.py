"""Reads of jobs by id, and listings."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Sequence
from heapq import merge
from typing import Any

from jobcore import Status
from jobcore.ports import JobQuery

from ._schema import LISTINGS

__all__ = ["IDS_PER_QUERY", "newest", "position_of", "read_rows", "read_statement"]

IDS_PER_QUERY = 500
_CURSOR = re.compile(r"(-?[0-9]{1,18})/([!-~]{1,64})")
_ABOVE_ALL_IDS = "~"  # sorts after every character of an id

# Texts are read as bytes: SQLite fails a whole query if one text is not valid UTF-8.
_READ = """
SELECT job.job_id, job.version, CAST(job.record AS BLOB), CAST(spec.body AS BLOB)
FROM job LEFT JOIN spec USING (n) WHERE job.job_id IN ({})
"""


def read_statement(count: int) -> str:
    """Make the statement that reads *count* jobs by id: id, version, record, spec."""
    return _READ.format(",".join("?" * count))


def read_rows(db: sqlite3.Connection, job_ids: Sequence[str]) -> list[Any]:
    """Read id, version, record and spec of jobs."""
    rows: list[Any] = []
    for start in range(0, len(job_ids), IDS_PER_QUERY):
        part = job_ids[start : start + IDS_PER_QUERY]
        rows += db.execute(read_statement(len(part)), part)
    return rows


def position_of(text: str) -> tuple[int, str]:
    """
    Decode a cursor: the submission time and the id of the last job of the page before.

    Raises:
        ValueError: it is not a cursor of this store.
    """
    match = _CURSOR.fullmatch(text)
    if match is None:
        msg = f"cursor: {text!r} is not one that a page gave; start again without a cursor"
        raise ValueError(msg)
    return int(match[1]), match[2]


def newest(
    db: sqlite3.Connection, query: JobQuery, after: tuple[int, str] | None
) -> Iterator[tuple[int, str]]:
    """Iterate over (submitted_at, job_id) of the jobs that match *query*, newest first."""
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
        # Few jobs share a prefix: read them by id and sort them.
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
    found = [db.execute(sql, (status.value, *values)) for status in sorted(statuses)]
    return merge(*found, reverse=True)
