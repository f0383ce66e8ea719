"""Targets: stored jobs and pool states."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import jobcore
from jobcore import CorruptRecord, Job
from jobcore_aws._dynamodb import _items
from jobcore_aws._dynamodb._specs import Specs
from jobcore_sqlite import _store as sqlite_store
from proof._source import Source

from ._values import check_job, jobs

__all__ = ["item_dynamodb", "pool_state", "record_sqlite"]


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
    """Give an item whose attribute values are well formed, whatever they say."""
    record = source.changed(jobcore.lifecycle.encode_job(job))
    item = _items.job_item(job, 4)
    if isinstance(record, dict):
        own = {k: v for k, v in item.items() if k.startswith("_")}
        try:
            return own | {str(k): _items.value_of(v) for k, v in record.items()}
        except RecursionError:  # DynamoDB itself takes 32 levels
            return item
    return item


def pool_state(data: bytes) -> None:
    """A stored pool state of any form is read, or refused as a value that cannot be read."""
    source = Source(data)
    state = jobcore.lifecycle.PoolState(name="cpu", version=2)
    changed = source.changed(jobcore.lifecycle.encode_pool(state))
    with suppress(*jobcore.lifecycle.UNREADABLE):
        assert jobcore.lifecycle.decode_pool("cpu", changed, version=2).name == "cpu"
