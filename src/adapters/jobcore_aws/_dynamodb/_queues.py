"""Reads of indexes by the ticks: all shards are queried, and the answers merged; finished jobs are not read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from heapq import nsmallest
from itertools import islice
from typing import TypeVar

import jobcore
from jobcore import CorruptRecord, Status
from jobcore.lifecycle import Tick, to_micros
from jobcore.ports import Due, Usage, Waiting

from ._calls import Calls
from ._items import LANE_DIGITS, UNREADABLE, Item, lane_of, time_key, time_of

__all__ = ["AFTER_LANES", "Queues", "id_of"]

T = TypeVar("T")

AFTER_LANES = "g"  # sorts after every lane (hexadecimal digits) and before the Held jobs ("~")
_AFTER_IDS = "~"  # sorts after every character of an id
_LANE_PAGE_MIN = 25


def id_of(row: Item) -> str:
    """Return the job id of an index's row."""
    job_id: str = row["sk"]["S"].partition("#")[2]
    return job_id


class Queues:
    """The indexes of unfinished jobs and of messages to send."""

    def __init__(
        self, calls: Calls, shards: range, on_corrupt: Callable[[CorruptRecord], None]
    ) -> None:
        self.calls = calls
        self.shards = shards
        self._on_corrupt = on_corrupt

    def parsed(self, rows: Iterable[Item], parse: Callable[[Item], T]) -> Iterator[T]:
        """Parse rows; one that cannot be parsed is reported and left out."""
        for row in rows:
            try:
                value = parse(row)
            except UNREADABLE as error:
                why = f"its row in an index: {type(error).__name__}: {error}"
                self._on_corrupt(CorruptRecord(id_of(row), why))
            else:
                yield value

    def due(self, tick: Tick, before: datetime, limit: int) -> Sequence[Due]:
        """List the jobs that are due for *tick*, oldest first."""
        found: list[Due] = []
        if tick is not Tick.NOTIFY:
            active = self.parsed(self.active(), _active_due)
            found += [due for kind, due in active if kind == tick]
        if tick is not Tick.LAUNCH:
            index = "notify" if tick is Tick.NOTIFY else "deadline"
            parts = self.calls.map(
                lambda shard: self._first(index, shard, before, limit), self.shards
            )
            rows = (row for part in parts for row in part)
            found += self.parsed(rows, lambda row: _due(row, row[f"_{index}"]["S"]))
        in_time = (due for due in found if due.at <= before)
        return nsmallest(limit, in_time, key=lambda due: (due.at, due.job_id))

    def _first(self, index: str, shard: int, before: datetime, limit: int) -> list[Item]:
        """Read the first rows of one shard of an index that is sorted by time."""
        rows = self.calls.query(
            "#s = :s AND #k < :end",
            {":s": {"N": str(shard)}, ":end": {"S": time_key(before) + _AFTER_IDS}},
            names={"#s": "_shard", "#k": f"_{index}"},
            page=limit,
            IndexName=index,
        )
        return list(islice(rows, limit))

    def active(self) -> list[Item]:
        """Read the rows of all jobs that have, or may have, a training."""

        def read(shard: int) -> list[Item]:
            rows = self.calls.query(
                "#s = :s",
                {":s": {"N": str(shard)}},
                names={"#s": "_shard"},
                IndexName="active",
            )
            return list(rows)

        return [row for rows in self.calls.map(read, self.shards) for row in rows]

    def usage(self) -> Sequence[Usage]:
        """Count the slots of active jobs by pool and share."""
        slots: Counter[tuple[str, str]] = Counter()
        running: Counter[tuple[str, str]] = Counter()
        for use in self.parsed(self.active(), _usage):
            slots[use.pool, use.share] += use.slots
            running[use.pool, use.share] += use.running
        return [Usage(*key, count, running[key]) for key, count in sorted(slots.items())]

    def waiting(self, now: datetime, depth: int) -> Sequence[Waiting]:
        """List the first *depth* waiting jobs of every lane."""
        parts = self.calls.map(
            lambda shard: list(self._lane_heads(shard, to_micros(now), depth)), self.shards
        )
        lanes: dict[object, list[Waiting]] = {}
        for part in parts:
            for job in part:
                lanes.setdefault(job.lane, []).append(job)
        key = jobcore.ports.order_key
        return [job for lane in lanes.values() for job in nsmallest(depth, lane, key=key)]

    def _lane_heads(self, shard: int, now: int, depth: int) -> Iterator[Waiting]:
        """
        Iterate over the heads of the lanes of one shard.

        Rows are sorted by lane, then age. If a page ends in a lane of which *depth* jobs were found,
        the next page begins at the next lane.
        """
        found: Counter[str] = Counter()
        start = ""
        while True:
            rows = self._waiting_page(shard, start, max(depth, _LANE_PAGE_MIN))
            lane = ""
            for row in rows:
                lane = row["_waiting"]["S"][:LANE_DIGITS]
                if found[lane] < depth:
                    for not_before, job in self.parsed([row], _waiting):
                        if not_before is None or not_before <= now:
                            found[lane] += 1
                            yield job
            if len(rows) < max(depth, _LANE_PAGE_MIN):
                return
            start = lane + "~" if found[lane] >= depth else rows[-1]["_waiting"]["S"] + "!"

    def _waiting_page(self, shard: int, start: str, size: int) -> list[Item]:
        rows = self.calls.query(
            "#s = :s AND #k BETWEEN :start AND :end",
            {
                ":s": {"N": str(shard)},
                ":start": {"S": start or "0"},
                ":end": {"S": AFTER_LANES},
            },
            names={"#s": "_shard", "#k": "_waiting"},
            page=size,
            IndexName="waiting",
        )
        return list(islice(rows, size))


def _due(row: Item, at: str) -> Due:
    return Due(id_of(row), time_of(at), Status(row["JobStatus"]["S"]), int(row["_attempt"]["N"]))


def _active_due(row: Item) -> tuple[str, Due]:
    kind, _, at = row["_due"]["S"].partition("/")
    return kind, _due(row, at)


def _usage(row: Item) -> Usage:
    slots = int(row["_slots"]["N"])
    running = slots if Status(row["JobStatus"]["S"]).runs else 0
    return Usage(row["_pool"]["S"], row["_share"]["S"], slots, running)


def _waiting(row: Item) -> tuple[int | None, Waiting]:
    """Parse a waiting job, and the time (in microseconds) before which it does not start, if any."""
    share, priority, placements = lane_of(row["_lane"]["S"])
    not_before = int(row["_not_before"]["N"]) if "_not_before" in row else None
    return not_before, Waiting(
        job_id=id_of(row),
        priority=priority,
        share=share,
        placements=placements,
        submitted_at=time_of(row["_waiting"]["S"][LANE_DIGITS:]),
        attempt=int(row["_attempt"]["N"]),
    )
