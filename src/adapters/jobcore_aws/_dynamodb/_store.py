"""The DynamoDB store: the calls of the port as requests for single items and small queries."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

import jobcore
from jobcore import CorruptRecord, Job, Status, Unavailable
from jobcore.lifecycle import GroupKey, GroupTally, PoolState, ShareUsage, Tick
from jobcore.ports import Added, Due, JobQuery, Page

from ._calls import Calls, is_refused, make_client
from ._items import (
    ITEM_BYTES_MAX,
    SPARSE,
    Item,
    check_fields,
    item_size,
    job_item,
    job_key,
    job_of,
    spec_key,
    state_attributes,
)
from ._queues import Queues
from ._records import Records
from ._specs import Specs
from ._writes import Writes, write_id

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client

__all__ = ["DynamoStore"]

_REFUSALS_MAX = 1000  # reported refusals that a store keeps, so as not to repeat a report
_SHARDS_KEY: Item = {"pk": {"S": "#table"}, "sk": {"S": "shards"}}
_SHARDS_MAX = 256


class UnwritableRecord(CorruptRecord):
    """The next version of a job cannot be stored; the stored version is unchanged."""

    def __init__(self, job_id: str, why: str) -> None:
        """Keep the job's id and the reason."""
        super().__init__(job_id, why)
        self.args = (f"job {job_id}: its change cannot be stored: {why}",)


class DynamoStore:
    """
    A `jobcore.JobStore` in one DynamoDB table.

    Reads of jobs by id are consistent. `due`, `waiting`, `usage`, `find` and `counts` read
    indexes, which lag behind by milliseconds, rarely more. A store may be shared by threads.

    `add` and `save` write job by job, several at a time. When they raise, some of the jobs may
    have been written: calling `add` again with the same ids completes it, and a tick that finds
    a job moved on reads it again.

    Args:
        table: the name of an existing table (see the template, or `create_table`).
        client: a boto3 client; the default makes a single attempt per call.
        s3, bucket: the place of specs of more than 300 KB; without a bucket they are refused.
        shards: the number of partitions over which the rows of an index are spread. The first
            store of a table writes its number into the table, and all later ones use that.
        threads: the number of requests in flight.
        on_corrupt: called with each record that was left out of an answer because it, or its row in
            an index, cannot be read, and with each job whose change cannot be stored. The default
            warns.
    """

    def __init__(
        self,
        table: str,
        *,
        client: DynamoDBClient | None = None,
        s3: S3Client | None = None,
        bucket: str | None = None,
        shards: int = 8,
        threads: int = 16,
        on_corrupt: Callable[[CorruptRecord], None] | None = None,
    ) -> None:
        if not 1 <= shards <= _SHARDS_MAX:
            msg = f"shards: expected 1 to {_SHARDS_MAX}, got {shards}"
            raise ValueError(msg)
        self._calls = Calls(table, client or make_client("dynamodb", threads), threads=threads)
        self._writes = Writes(self._calls)
        self._specs = Specs(s3, bucket, threads)
        self._on_corrupt = on_corrupt or _warn
        self._records = Records(self._calls, self._on_corrupt)
        self._refusals: set[tuple[str, int]] = set()  # (job, version), reported already
        self._shards_wanted = shards
        self._shards_known: int | None = None

    # --- writes -------------------------------------------------------------------------

    def add(self, jobs: Sequence[Job]) -> Sequence[Added]:
        """
        Register new jobs, each at most once (see `jobcore.JobStore.add`).

        The spec is written first; a job exists once its own item does. An id belongs to the
        first spec that was written under it, even if that call died before the job existed.

        Raises:
            ValueError: a job is too large, or a text of it cannot be stored; nothing was written.
                If only DynamoDB finds that, the other jobs of the call are written.
            Unavailable: some may have been created; the same call, repeated, completes it.
        """
        shards = self._shards(sure=True)
        items = []
        for job in jobs:
            check_fields(job.spec)
            item = job_item(job, shards)
            _check_size("pools", job, item)
            items.append((job, item, self._specs.item(job)))
        same_id: dict[str, list[int]] = {}
        for number, job in enumerate(jobs):
            same_id.setdefault(job.job_id, []).append(number)
        added = self._calls.map(
            lambda numbers: [self._add_one(*items[n]) for n in numbers], list(same_id.values())
        )
        result = [Added.CREATED] * len(jobs)
        for numbers, answers in zip(same_id.values(), added, strict=True):
            for number, answer in zip(numbers, answers, strict=True):
                if isinstance(answer, ValueError):
                    raise answer
                result[number] = answer
        return result

    def _add_one(self, job: Job, item: Item, spec: Item) -> Added | ValueError:
        """Add one job; return the error of one that DynamoDB refuses, so that the others are added."""
        self._specs.upload(job, spec)
        existing = self._writes.put_new(spec)
        if existing is not None and not self._specs.is_same(job, existing):
            return Added.CLASH
        try:
            existing = self._writes.put_new(item | {"_write": {"S": write_id()}})
        except Exception as error:
            if not is_refused(error):
                raise
            return ValueError(f"job {job.job_id}: DynamoDB refuses its record: {error}")
        return Added.CREATED if existing is None else Added.DUPLICATE

    def save(self, jobs: Sequence[Job]) -> Sequence[Job | None]:
        """
        Write each job over the version it was read at (see `jobcore.JobStore.save`).

        A job whose change cannot be stored (DynamoDB holds 400 KB an item) is not saved, as after a
        lost compare-and-set, and is reported to *on_corrupt*; the other jobs of the call are saved.

        Raises:
            Unavailable: some may have been saved; read again before deciding anything.
        """
        if not jobs:
            return []
        shards = self._shards()
        same_id: dict[str, list[int]] = {}
        for number, job in enumerate(jobs):
            same_id.setdefault(job.job_id, []).append(number)
        won = self._calls.map(
            lambda numbers: [self._save_one(jobs[n], shards) for n in numbers],
            list(same_id.values()),
        )
        result: list[Job | None] = [None] * len(jobs)
        for numbers, answers in zip(same_id.values(), won, strict=True):
            for number, mine in zip(numbers, answers, strict=True):
                if isinstance(mine, UnwritableRecord):
                    self._report_refusal(jobs[number], mine)
                elif mine:
                    result[number] = replace(jobs[number], version=jobs[number].version + 1)
        return result

    def _save_one(self, job: Job, shards: int) -> bool | UnwritableRecord:
        try:
            attributes = state_attributes(job, shards)
            _check_size("timeline", job, attributes)
            gone = [name for name in SPARSE if name not in attributes]
            return self._writes.compare_and_set(job_key(job.job_id), job.version, attributes, gone)
        except ValueError as error:
            return UnwritableRecord(job.job_id, str(error))
        except Exception as error:
            if not is_refused(error):
                raise
            return UnwritableRecord(job.job_id, f"DynamoDB refuses it: {error}")

    def _report_refusal(self, job: Job, refusal: UnwritableRecord) -> None:
        """Report a refusal once for each version: each tick reads, decides and is refused again."""
        if (job.job_id, job.version) in self._refusals:
            return
        if len(self._refusals) >= _REFUSALS_MAX:
            self._refusals.clear()
        self._refusals.add((job.job_id, job.version))
        self._on_corrupt(refusal)

    # --- consistent reads ---------------------------------------------------------------

    def get(self, job_ids: Sequence[str]) -> Mapping[str, Job]:
        """
        Read jobs, consistently (see `jobcore.JobStore.get`).

        Raises:
            CorruptRecord: one of the records, or its spec in S3, cannot be read. It is also an
                `Unavailable` if the same read may succeed later (S3 denies the object, or does
                not answer).
            Unavailable: DynamoDB did not answer, or denies the table; nothing was read.
        """
        items, specs = self._read(job_ids)
        return {job_id: self._decode(item, specs.get(job_id)) for job_id, item in items.items()}

    def _read(self, job_ids: Sequence[str]) -> tuple[dict[str, Item], dict[str, Item]]:
        """Read the items of jobs and of their specs."""
        ids = [job_id for job_id in job_ids if jobcore.lifecycle.is_job_id(job_id)]
        keys = [key(job_id) for job_id in ids for key in (job_key, spec_key)]
        found: tuple[dict[str, Item], dict[str, Item]] = ({}, {})
        for item in self._calls.read(keys, consistent=True):
            kind, _, job_id = item["sk"]["S"].partition("#")
            found[kind == "spec"][job_id] = item
        order = {job_id: found[0][job_id] for job_id in ids if job_id in found[0]}
        return order, found[1]

    def _decode(self, item: Item, spec: Item | None) -> Job:
        job_id = item["sk"]["S"].partition("#")[2]
        if spec is None:
            raise CorruptRecord(job_id, "its spec is missing")
        try:
            return job_of(item, self._specs.read(job_id, spec))
        except CorruptRecord:
            raise
        except Exception as error:  # any error concerns this job only
            raise CorruptRecord(job_id, f"{type(error).__name__}: {error}") from error

    # --- reads of indexes, by the ticks -------------------------------------------------

    def due(self, tick: Tick, *, before: datetime, limit: int) -> Sequence[Due]:
        """List the jobs that are due for *tick*, oldest first (see `jobcore.JobStore.due`)."""
        return self._queues().due(tick, before, limit) if limit > 0 else []

    def waiting(self, *, now: datetime, depth: int) -> Sequence[jobcore.ports.Waiting]:
        """
        List the heads of the lanes (see `jobcore.JobStore.waiting`).

        It seeks from lane to lane in the index, so its cost is the number of lanes times *depth* and
        does not depend on the number of waiting jobs. Jobs that back off are read and skipped.
        """
        return self._queues().waiting(now, depth) if depth > 0 else []

    def usage(self) -> Sequence[jobcore.ports.Usage]:
        """Count the slots of active jobs by pool and share."""
        return self._queues().usage()

    def next_wake(self, tick: Tick, *, after: datetime) -> datetime | None:
        """
        Return None: ticks on this store are called on a schedule.

        No index sorts back-offs by time. Deadlines are sorted, but the answer would cost a request
        per shard in every tick, which a schedule of one minute does not need.
        """
        return None

    # --- records beside jobs ------------------------------------------------------------

    def pools(self) -> Mapping[str, PoolState]:
        """Read the state of each pool, consistently."""
        return self._records.pools()

    def save_pool(self, state: PoolState) -> bool:
        """Write a pool's state over the version it was read at."""
        return self._records.save_pool(state)

    def shares(self, names: Collection[str]) -> Mapping[str, ShareUsage]:
        """Read the usage of shares, consistently (see `jobcore.JobStore.shares`)."""
        return self._records.shares(names)

    def save_shares(self, usages: Sequence[ShareUsage]) -> Sequence[bool]:
        """
        Write the usage of shares, each over the version it was read at.

        Raises:
            Unavailable: some may have been saved.
        """
        return self._records.save_shares(usages)

    def tallies(self, keys: Collection[GroupKey]) -> Mapping[GroupKey, GroupTally]:
        """Read the tallies of groups, consistently (see `jobcore.JobStore.tallies`)."""
        return self._records.tallies(keys)

    def tallies_to_pause(self) -> Sequence[GroupTally]:
        """Read the tallies of groups that are to be paused; one query if there are none."""
        return self._records.tallies_to_pause()

    def save_tally(self, tally: GroupTally) -> bool:
        """Write a group's tally over the version it was read at."""
        return self._records.save_tally(tally)

    # --- lists and counts, for people ---------------------------------------------------

    def find(self, query: JobQuery) -> Page:
        """
        List jobs, newest submission first.

        A job whose record cannot be read is left out and reported to *on_corrupt*.

        Raises:
            ValueError: *query* has a bad cursor.
        """
        from ._listing import Listing  # no tick needs it

        return Listing(self._queues()).find(query, self._read_leniently)

    def counts(self, *, group: str | None = None, owner: str | None = None) -> Mapping[Status, int]:
        """Count jobs by status; the cost grows with the number of jobs, so no tick calls it."""
        from ._listing import Listing  # no tick needs it

        return Listing(self._queues()).counts(group=group, owner=owner)

    def _read_leniently(self, job_ids: Sequence[str]) -> dict[str, Job]:
        items, specs = self._read(job_ids)
        jobs = {}
        for job_id, item in items.items():
            try:
                jobs[job_id] = self._decode(item, specs.get(job_id))
            except CorruptRecord as error:
                self._on_corrupt(error)
        return jobs

    # --- shards -------------------------------------------------------------------------

    def _queues(self) -> Queues:
        return Queues(self._calls, range(self._shards()), self._on_corrupt)

    def _shards(self, *, sure: bool = False) -> int:
        """
        Read the number of shards of the table, once per store object.

        Args:
            sure: fail if it cannot be read or written; otherwise use the constructor's number then.

        Raises:
            Unavailable: the item that holds the number is damaged; without it no job is found.
        """
        if self._shards_known is not None:
            return self._shards_known
        item = self._calls.call("get_item", Key=_SHARDS_KEY, ConsistentRead=True).get("Item")
        try:
            if item is None:
                item = self._calls.call(
                    "update_item",
                    Key=_SHARDS_KEY,
                    UpdateExpression="SET #s = if_not_exists(#s, :s)",
                    ExpressionAttributeNames={"#s": "shards"},
                    ExpressionAttributeValues={":s": {"N": str(self._shards_wanted)}},
                    ReturnValues="ALL_NEW",
                )["Attributes"]
        except Unavailable:  # no permission to write, and the table has no jobs yet
            if sure:
                raise
            return self._shards_wanted
        self._shards_known = self._read_shards(item)
        return self._shards_known

    def _read_shards(self, item: Item) -> int:
        value = item.get("shards")
        text = value.get("N", "") if isinstance(value, dict) else ""
        if text.isdecimal() and 1 <= int(text) <= _SHARDS_MAX:
            return int(text)
        msg = (
            f"DynamoDB table {self._calls.table}: the item pk=#table, sk=shards is damaged: expected "
            f"shards to be a number (N) from 1 to {_SHARDS_MAX}, got {value}. Set it to the number "
            "that the table began with: 8, unless its first store was made with another one; the "
            "_shard of every job is below it"
        )
        raise Unavailable(msg)


def _check_size(field: str, job: Job, item: Item) -> None:
    size = item_size(item)
    if size > ITEM_BYTES_MAX - 2048:  # the key and attributes that are written with the record
        msg = (
            f"{field}: the record of job {job.job_id} takes {size:,} bytes; "
            f"DynamoDB holds {ITEM_BYTES_MAX:,}"
        )
        raise ValueError(msg)


def _warn(error: CorruptRecord) -> None:
    warnings.warn(str(error), RuntimeWarning, stacklevel=4)
