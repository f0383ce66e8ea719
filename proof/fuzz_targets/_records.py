"""Targets: stored jobs, and the records of pools, shares and groups."""

from __future__ import annotations

import json
from typing import Any

import jobcore
from jobcore import CorruptRecord, Job
from jobcore.lifecycle import GroupTally, PoolState, ShareUsage
from jobcore_aws._dynamodb import _items, _records
from jobcore_aws._dynamodb._specs import Specs
from jobcore_sqlite import _store as sqlite_store
from proof._source import Source

from ._values import T0, check_job, jobs

__all__ = ["item_dynamodb", "record_sqlite", "side_records"]


def record_sqlite(data: bytes) -> None:
    source = Source(data)
    job = source.one_of(jobs())
    record: Any = source.changed(jobcore.lifecycle.encode_job(job))
    spec: Any = source.changed(jobcore.lifecycle.encode_spec(job.spec))
    texts = [json.dumps(d).encode() for d in (record, spec)]
    if source.below(8) == 0:
        texts[source.below(2)] = source.rest()
    try:
        found = sqlite_store._decode(job.job_id, 1, *texts)
    except CorruptRecord as error:
        assert error.job_id == job.job_id
        return
    check_job(found)


def item_dynamodb(data: bytes) -> None:
    source = Source(data)
    job = source.one_of(jobs())
    specs = Specs(None, "bucket" if source.flag() else None, 1)
    item = source.changed(_items.job_item(job, 4)) if source.flag() else _encoded(source, job)
    spec_item = source.changed(specs.item(job))
    for document, key in (
        (item, _items.job_key(job.job_id)),
        (spec_item, _items.spec_key(job.job_id)),
    ):
        if not isinstance(document, dict):
            return  # DynamoDB gives tables
        document.update(key)
    spec_item.pop("JobArgsAt", None)  # S3 is no parser
    try:
        found = _items.job_of(item, specs.read(job.job_id, spec_item))
    except CorruptRecord as error:
        assert error.job_id == job.job_id
        return
    check_job(found)


def _encoded(source: Source, job: Job) -> dict[str, Any]:
    """Make an item whose attribute values are well formed."""
    record = source.changed(jobcore.lifecycle.encode_job(job))
    item = _items.job_item(job, 4)
    if isinstance(record, dict):
        own = {k: v for k, v in item.items() if k.startswith("_")}
        try:
            return own | {str(k): _items.value_of(v) for k, v in record.items()}
        except RecursionError:  # DynamoDB itself takes 32 levels
            return item
    return item


def side_records(data: bytes) -> None:
    source = Source(data)
    kind, record = source.one_of(
        (
            (_records._POOL, PoolState(name="cpu", refused_at=T0, refusal="no capacity")),
            (_records._SHARE, ShareUsage(share="ada", hours=2.5, at=T0)),
            (_records._GROUP, GroupTally(group="sweep", owner="ada", at=T0, failed=2, cause="x")),
        )
    )
    state = source.changed(kind.encode(record))
    try:
        item = {"state": _items.value_of(state), "_version": {"N": "2"}}
        item = source.changed(item) if source.flag() else item
    except RecursionError:  # DynamoDB itself takes 32 levels
        return
    if not isinstance(item, dict):
        return  # DynamoDB gives tables
    key = kind.key_of(record)
    try:
        found = kind.read(item | key)
    except CorruptRecord:
        return
    assert kind.key_of(found) == key
