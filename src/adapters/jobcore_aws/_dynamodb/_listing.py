"""
Lists and counts for people, newest first, from the index with the fewest rows to read.

The keys (submission time and id) of every source are read in descending order, page by page, and
merged. An index may lag behind. So each job is read, and must match the query as it is now.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from heapq import merge
from itertools import chain, islice
from typing import Any

from jobcore import Job, Status
from jobcore.ports import JobQuery, Page

from ._items import ID_AT, LANE_DIGITS, Item, job_key, prefix_partitions, prefix_sort_key
from ._queues import AFTER_LANES, Queues, id_of

__all__ = ["Listing"]

_CURSOR = re.compile(r"([0-9]{18})/([!-~]{1,64})")
_FIRST = "0"  # sorts before every key
_LAST = "9~"  # sorts after every key
_HELD = "~"
_PAGE_MIN = 25
_ACTIVE = frozenset(status for status in Status if status.is_active)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """
    A partition of an index, or a part of it, that holds jobs in order of submission.

    Args:
        partition: the name and the value of the partition's attribute.
        sort: the attribute that it is sorted by.
        lead: the beginning of the sort attribute, before the key (a lane).
        conditions, names, values: a filter on its rows, as filter expressions.
    """

    index: str
    partition: tuple[str, Item]
    sort: str = "_sort"
    lead: str = ""
    conditions: tuple[str, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Item] = field(default_factory=dict)


class Listing:
    """`find` and `counts` of one table."""

    def __init__(self, queues: Queues) -> None:
        self._calls = queues.calls
        self._shards = queues.shards
        self._queues = queues

    # --- find ---------------------------------------------------------------------------

    def find(self, query: JobQuery, read: Callable[[Sequence[str]], Mapping[str, Job]]) -> Page:
        """
        List jobs, newest submission first.

        Args:
            read: reads jobs by id; those that cannot be read are absent.

        Raises:
            ValueError: *query* has a bad cursor.
        """
        before = _LAST if query.cursor is None else _key(query.cursor)
        keys = _unique(merge(*self._key_streams(query, before), reverse=True))
        found: list[tuple[str, Job]] = []
        # One job more than the limit shows that there is another page.
        while len(found) <= query.limit:
            part = list(islice(keys, max(query.limit + 1 - len(found), _PAGE_MIN)))
            if not part:
                break
            jobs = read([key[ID_AT:] for key in part])
            for key in part:
                job = jobs.get(key[ID_AT:])
                if job is not None and _matches(job, query):
                    found.append((key, job))
        page = found[: query.limit]
        cursor = None
        if len(found) > query.limit:
            last, _ = page[-1]
            cursor = f"{last[:ID_AT]}/{last[ID_AT:]}"
        return Page(jobs=tuple(job for _, job in page), cursor=cursor)

    def _key_streams(self, query: JobQuery, before: str) -> list[Iterator[str]]:
        """Choose the sources with the fewest rows to read, and start to read them."""
        if query.id_prefix:
            return [self._by_prefix(query.id_prefix, before)]
        if query.group is not None:
            return self._start(self._in_all_shards("group", query.group), query, before)
        if query.owner is not None:
            sources = self._in_all_shards("owner", query.owner)
            return self._start([_with_statuses(s, query.statuses) for s in sources], query, before)
        # In the order in which a job passes through the indexes, so that a job that moves while they
        # are read is seen twice (and listed once) rather than missed.
        statuses = query.statuses or frozenset(Status)
        streams: list[Iterator[str]] = []
        if Status.NEW in statuses:
            lanes = [s for part in self._calls.map(self._lanes, self._shards) for s in part]
            streams += self._start(lanes, query, before)
        if Status.HELD in statuses:
            held = [_waiting(shard, _HELD) for shard in self._shards]
            streams += self._start(held, query, before)
        if statuses & _ACTIVE:
            streams.append(self._sorted(self._queues.active(), before))
        over = [
            _Source(index="over", partition=("_over", {"S": f"{status}/{shard}"}))
            for status in sorted(statuses)
            if status.is_terminal
            for shard in self._shards
        ]
        return streams + self._start(over, query, before)

    def _in_all_shards(self, index: str, value: str) -> list[_Source]:
        return [
            _Source(index=index, partition=(f"_{index}", {"S": f"{shard}/{value}"}))
            for shard in self._shards
        ]

    def _lanes(self, shard: int) -> list[_Source]:
        """Find the lanes of one shard, by seeking from each to the next."""
        found: list[_Source] = []
        start = _FIRST
        while True:
            source = _waiting(shard, "")
            row = next(self._rows(source, start, AFTER_LANES, 1, forward=True), None)
            if row is None:
                return found
            lane = row["_waiting"]["S"][:LANE_DIGITS]
            found.append(_waiting(shard, lane))
            start = lane + "~"

    def _by_prefix(self, prefix: str, before: str) -> Iterator[str]:
        """Find the jobs whose id begins with *prefix*, in the table itself."""

        def read(partition: str) -> list[Item]:
            rows = self._calls.query(
                "#pk = :pk AND begins_with(#sk, :sk)",
                {":pk": {"S": partition}, ":sk": {"S": prefix_sort_key(prefix)}},
                names={"#pk": "pk", "#sk": "sk", "#sort": "_sort"},
                ProjectionExpression="#sk,#sort",
            )
            return list(rows)

        parts = self._calls.map(read, prefix_partitions(prefix))
        return self._sorted((row for part in parts for row in part), before)

    def _sorted(self, rows: Iterable[Item], before: str) -> Iterator[str]:
        keys = self._queues.parsed(rows, _sort_key)
        return iter(sorted((key for key in keys if key < before), reverse=True))

    def _start(
        self, sources: Sequence[_Source], query: JobQuery, before: str
    ) -> list[Iterator[str]]:
        """Fetch the first page of each source, several at a time."""
        size = max(query.limit + 1, _PAGE_MIN)

        def start(source: _Source) -> Iterator[str]:
            stream = self._keys(_with_name(source, query.name), before, size)
            return chain(list(islice(stream, 1)), stream)

        return self._calls.map(start, sources)

    def _keys(self, source: _Source, before: str, size: int) -> Iterator[str]:
        low, high = source.lead + _FIRST, source.lead + before
        for row in self._rows(source, low, high, size, forward=False):
            key: str = row[source.sort]["S"][len(source.lead) :]
            if key < before:
                yield key

    def _rows(
        self, source: _Source, low: str, high: str, size: int | None, *, forward: bool
    ) -> Iterator[Item]:
        name, value = source.partition
        arguments: dict[str, Any] = {"IndexName": source.index, "ScanIndexForward": forward}
        if source.conditions:
            arguments["FilterExpression"] = " AND ".join(source.conditions)
            size = None  # DynamoDB's Limit counts rows before the filter; read full pages
        return self._calls.query(
            "#p = :p AND #k BETWEEN :low AND :high",
            {":p": value, ":low": {"S": low}, ":high": {"S": high}, **source.values},
            names={"#p": name, "#k": source.sort, **source.names},
            page=size,
            **arguments,
        )

    # --- counts -------------------------------------------------------------------------

    def counts(self, *, group: str | None, owner: str | None) -> Mapping[Status, int]:
        """Count jobs by status."""
        if group is not None:
            return self._counts_of_group(group, owner)
        return self._counts_of_all() if owner is None else self._counts_of_owner(owner)

    def _counts_of_all(self) -> Mapping[Status, int]:
        found = Counter(self._queues.parsed(self._queues.active(), _status))
        sources = [
            (status, source)
            for shard in self._shards
            for status, source in (
                (Status.NEW, _waiting(shard, "")),
                (Status.HELD, _waiting(shard, _HELD)),
            )
        ]
        sources += [
            (status, _Source(index="over", partition=("_over", {"S": f"{status}/{shard}"})))
            for status in Status
            if status.is_terminal
            for shard in self._shards
        ]

        def count(pair: tuple[Status, _Source]) -> int:
            status, source = pair
            end = AFTER_LANES if status is Status.NEW else source.lead + _LAST
            return self._calls.count(
                "#p = :p AND #k BETWEEN :low AND :high",
                {
                    ":p": source.partition[1],
                    ":low": {"S": source.lead + _FIRST},
                    ":high": {"S": end},
                },
                names={"#p": source.partition[0], "#k": source.sort},
                index=source.index,
            )

        for (status, _), number in zip(sources, self._calls.map(count, sources), strict=True):
            found[status] += number
        return +found

    def _counts_of_owner(self, owner: str) -> Mapping[Status, int]:
        """Count by the index, which has the status of finished jobs; unfinished ones are read."""
        rows = self._all_rows(self._in_all_shards("owner", owner))
        over = (row for row in rows if "_over" in row)
        live = [id_of(row) for row in rows if "_over" not in row]
        found = Counter(self._queues.parsed(over, _final_status))
        found.update(self._queues.parsed(self._read_statuses(live), _status))
        return found

    def _counts_of_group(self, group: str, owner: str | None) -> Mapping[Status, int]:
        rows = self._all_rows(self._in_all_shards("group", group))
        items = self._read_statuses([id_of(row) for row in rows])
        found = self._queues.parsed(items, _owner_and_status)
        return Counter(status for found_owner, status in found if owner in {None, found_owner})

    def _all_rows(self, sources: Sequence[_Source]) -> list[Item]:
        def read(source: _Source) -> list[Item]:
            return list(self._rows(source, _FIRST, _LAST, None, forward=False))

        return [row for part in self._calls.map(read, sources) for row in part]

    def _read_statuses(self, job_ids: Sequence[str]) -> list[Item]:
        keys = [job_key(job_id) for job_id in job_ids]
        return self._calls.read(keys, consistent=False, only=("pk", "sk", "JobStatus", "_owner"))


def _sort_key(row: Item) -> str:
    key: str = row["_sort"]["S"]
    return key


def _owner_and_status(row: Item) -> tuple[str, Status]:
    return row["_owner"]["S"].partition("/")[2], _status(row)


def _status(row: Item) -> Status:
    return Status(row["JobStatus"]["S"])


def _final_status(row: Item) -> Status:
    return Status(row["_over"]["S"].partition("/")[0])


def _waiting(shard: int, lead: str) -> _Source:
    partition = ("_shard", {"N": str(shard)})
    return _Source(index="waiting", partition=partition, sort="_waiting", lead=lead)


def _with_name(source: _Source, name: str | None) -> _Source:
    """Add a filter by name."""
    if name is None:
        return source
    return replace(
        source,
        conditions=(*source.conditions, "#name = :name"),
        names={**source.names, "#name": "_name"},
        values={**source.values, ":name": {"S": name}},
    )


def _with_statuses(source: _Source, statuses: frozenset[Status]) -> _Source:
    """Add a filter by status to a source of the owner's index, which has the status of finished jobs only."""
    if not statuses:
        return source
    shard = source.partition[1]["S"].partition("/")[0]
    wanted = {
        f":over{number}": {"S": f"{status}/{shard}"}
        for number, status in enumerate(sorted(statuses))
        if status.is_terminal
    }
    tests = [f"#over IN ({','.join(wanted)})"] if wanted else []
    if any(not status.is_terminal for status in statuses):
        tests.append("attribute_not_exists(#over)")
    return replace(
        source,
        conditions=(*source.conditions, f"({' OR '.join(tests)})"),
        names={**source.names, "#over": "_over"},
        values={**source.values, **wanted},
    )


def _unique(keys: Iterator[str]) -> Iterator[str]:
    """Drop repetitions: jobs that moved while the indexes were read."""
    last = None
    for key in keys:
        if key != last:
            yield key
        last = key


def _key(cursor: str) -> str:
    match = _CURSOR.fullmatch(cursor)
    if match is None:
        msg = f"cursor: {cursor!r} is not one that a page gave; start again without a cursor"
        raise ValueError(msg)
    return match[1] + match[2]


def _matches(job: Job, query: JobQuery) -> bool:
    return (
        (not query.statuses or job.status in query.statuses)
        and query.owner in {None, job.spec.owner}
        and query.group in {None, job.spec.group}
        and query.name in {None, job.spec.name}
        and job.job_id.startswith(query.id_prefix or "")
    )
