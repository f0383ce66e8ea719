"""
The keys of all items, and the items of jobs.

A job's item has the attributes of `jobcore.lifecycle.encode_job` and those that the indexes need.
The names of the latter begin with an underscore, so that the two sets never overlap. The spec is
an item of its own, written once. `JobArgs` and the rest of the spec are JSON text: a DynamoDB
number does not distinguish 1 and 1.0, which would change the hash of the spec. So are metrics, which
may be numbers that DynamoDB does not have.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import jobcore
from jobcore import CorruptRecord, Job, Placement, Spec
from jobcore.lifecycle import (
    UNREADABLE,
    GroupKey,
    Held,
    New,
    Tick,
    decode_job,
    encode_job,
    from_micros,
    readable,
    to_micros,
)

__all__ = [
    "ID_AT",
    "ITEM_BYTES_MAX",
    "LANE_DIGITS",
    "SPARSE",
    "UNREADABLE",
    "Item",
    "check_fields",
    "item_size",
    "job_item",
    "job_key",
    "job_of",
    "lane_of",
    "plain",
    "pool_key",
    "prefix_partitions",
    "prefix_sort_key",
    "shard_of",
    "share_key",
    "sort_key",
    "spec_key",
    "state_attributes",
    "tally_key",
    "time_key",
    "time_of",
    "value_of",
]

Item = dict[str, Any]
"""An item as it goes over the wire: attribute name -> {type: value}."""

ITEM_BYTES_MAX = 400 * 1024
_KEY_BYTES_MAX = 1000  # DynamoDB: 2,048 for a partition key, 1,024 for a sort key
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_TIME_OFFSET = 10**17  # microseconds; makes every datetime of Python positive

ID_AT = 18
"""The position of the id in a sort key, after the digits of the time."""

LANE_DIGITS = 16
"""The length of a lane's digest in hexadecimal, with which the sort keys of its rows begin."""

_JSON_TYPES = frozenset({"S", "N", "BOOL", "NULL", "L", "M"})

# Attributes that a job has in some states only: a transition sets or removes them.
SPARSE = (
    "charges",
    "attempts",
    "outbox",
    "stop",
    "hold_next",
    "metrics",
    "_waiting",
    "_lane",
    "_not_before",
    "_pool",
    "_due",
    "_share",
    "_slots",
    "_deadline",
    "_notify",
    "_over",
)

# --- keys -------------------------------------------------------------------------------


def job_key(job_id: str) -> Item:
    """Make the key of a job's item."""
    return {"pk": {"S": job_id[:2]}, "sk": {"S": f"job#{job_id}"}}


def spec_key(job_id: str) -> Item:
    """Make the key of a spec's item."""
    return {"pk": {"S": job_id[:2]}, "sk": {"S": f"spec#{job_id}"}}


def pool_key(name: str) -> Item:
    """Make the key of a pool's item."""
    return {"pk": {"S": "#pools"}, "sk": {"S": name}}


def share_key(name: str) -> Item:
    """Make the key of a share's item."""
    return {"pk": {"S": "#shares"}, "sk": {"S": name}}


def tally_key(key: GroupKey) -> Item:
    """Make the key of a group's item; each of the two names may have the full length of a key."""
    return {"pk": {"S": f"#group/{key.group}"}, "sk": {"S": f"tally#{key.owner}"}}


def prefix_partitions(prefix: str) -> list[str]:
    """List the partitions of the jobs whose id begins with *prefix* (one character or more)."""
    return [prefix[:2]] if len(prefix) > 1 else [prefix + c for c in _ALPHABET]


def prefix_sort_key(prefix: str) -> str:
    """Return the beginning of their sort keys."""
    return f"job#{prefix}"


def shard_of(job_id: str, shards: int) -> int:
    """Calculate the shard of a job, the same in every index."""
    return zlib.crc32(job_id.encode("ascii")) % shards


def time_key(at: datetime) -> str:
    """Write a time in 18 digits, so that texts sort as times do."""
    return f"{to_micros(at) + _TIME_OFFSET:0{ID_AT}d}"


def sort_key(at: datetime, job_id: str) -> str:
    """Write a time and an id so that texts sort by time, then id."""
    return time_key(at) + job_id


def time_of(key: str) -> datetime:
    """Read the time at the beginning of a key."""
    return from_micros(int(key[:ID_AT]) - _TIME_OFFSET)


# --- attribute values -------------------------------------------------------------------


def value_of(value: Any) -> Item:
    """Turn JSON data into an attribute value; lone surrogates become '?'."""
    match value:
        case None:
            return {"NULL": True}
        case bool():
            return {"BOOL": value}
        case int() | float():
            return {"N": repr(value)}
        case str():
            return {"S": value.encode("utf-8", "replace").decode("utf-8")}
        case list() | tuple():
            return {"L": [value_of(v) for v in value]}
        case _:
            return {"M": {str(k): value_of(v) for k, v in value.items()}}


def plain(value: Mapping[str, Any]) -> Any:
    """
    Turn an attribute value into JSON data.

    Raises:
        ValueError: it is binary or a set; no release writes these.
    """
    ((kind, content),) = value.items()
    match kind:
        case "S" | "BOOL":
            return content
        case "N":
            return float(content) if {".", "e", "E"} & set(content) else int(content)
        case "NULL":
            return None
        case "L":
            return [plain(v) for v in content]
        case "M":
            return {name: plain(v) for name, v in content.items()}
    msg = f"an attribute of type {kind}"
    raise ValueError(msg)


def item_size(item: Mapping[str, Any]) -> int:
    """Calculate an item's size in bytes by DynamoDB's rules: names, values, 1 to 3 bytes of structure."""
    return sum(len(name.encode()) + _value_size(value) for name, value in item.items())


def _value_size(value: Mapping[str, Any]) -> int:
    ((kind, content),) = value.items()
    match kind:
        case "S":
            return len(str(content).encode())
        case "N":
            digits = str(content).lstrip("-").replace(".", "").strip("0")
            return (len(digits) + 1) // 2 + 1 + str(content).startswith("-")
        case "L":
            return 3 + sum(1 + _value_size(v) for v in content)
        case "M":
            return 3 + sum(1 + len(k.encode()) + _value_size(v) for k, v in content.items())
        case _:
            return 1


# --- jobs -------------------------------------------------------------------------------


def check_fields(spec: Spec) -> None:
    """
    Refuse a spec with texts that cannot be keys.

    Raises:
        ValueError: the message names the field.
    """
    fields = {
        "name": spec.name,
        "owner": spec.owner,
        "group": spec.group or "",
        "share": spec.share,
    }
    fields |= {f"pools[{n}]": place.pool for n, place in enumerate(spec.placements)}
    for field, text in fields.items():
        try:
            size = len(text.encode())
        except UnicodeEncodeError:
            msg = f"{field}: {text!r} holds characters that are not valid Unicode text; use plain text"
            raise ValueError(msg) from None
        if size > _KEY_BYTES_MAX:
            msg = f"{field}: expected at most {_KEY_BYTES_MAX} bytes, got {size}"
            raise ValueError(msg)


def job_item(job: Job, shards: int) -> Item:
    """Make the whole item of a new job."""
    spec, shard = job.spec, shard_of(job.job_id, shards)
    item = job_key(job.job_id) | state_attributes(job, shards)
    item |= {
        "_version": {"N": str(job.version)},
        "_shard": {"N": str(shard)},
        "_sort": {"S": sort_key(job.submitted_at, job.job_id)},
        "_name": {"S": spec.name},
        "_owner": {"S": f"{shard}/{spec.owner}"},
    }
    if spec.group is not None:
        item["_group"] = {"S": f"{shard}/{spec.group}"}
    return item


def state_attributes(job: Job, shards: int) -> Item:
    """Make the attributes that a transition writes: the record, and the keys of the indexes."""
    record = encode_job(job)
    metrics = record.pop("metrics", None)
    item = {name: value_of(value) for name, value in record.items()}
    if metrics is not None:  # a number of DynamoDB has 38 digits, and ends at 1e126
        item["metrics"] = {"S": json.dumps(metrics, separators=(",", ":"))}
    if any(name in {"pk", "sk"} or name.startswith("_") for name in job.extra):
        msg = f"extra: the names of attributes may not begin with '_' here, got {sorted(job.extra)}"
        raise ValueError(msg)
    item["_attempt"] = {"N": str(job.attempt_number)}
    item |= _unfinished_attributes(job)
    if job.status.is_terminal:
        item["_over"] = {"S": f"{job.status}/{shard_of(job.job_id, shards)}"}
    if (at := jobcore.lifecycle.due_at(job, Tick.NOTIFY)) is not None:
        item["_notify"] = {"S": sort_key(at, job.job_id)}
    return item


def _unfinished_attributes(job: Job) -> Item:
    """Make the keys of the indexes of unfinished jobs: active, waiting (or held), or none."""
    item: Item = {}
    current = job.current
    if current is not None:
        place = current.placement
        tick = Tick.LAUNCH
        at = jobcore.lifecycle.due_at(job, tick)
        if at is None:
            tick = Tick.MONITOR
            at = jobcore.lifecycle.due_at(job, tick)
        assert at is not None  # an active job always has one of the two
        item["_pool"] = {"S": place.pool}
        item["_slots"] = {"N": str(place.count)}
        item["_share"] = {"S": job.spec.share}
        item["_due"] = {"S": f"{tick}/{time_key(at)}"}
        return item
    if isinstance(job.state, New | Held):
        key = sort_key(job.submitted_at, job.job_id)
        if isinstance(job.state, Held):
            item["_waiting"] = {"S": f"~{key}"}
        else:
            spec = job.spec
            digest, text = _lane(spec.share, int(spec.priority), spec.placements)
            item["_waiting"] = {"S": digest + key}
            item["_lane"] = {"S": text}
            if job.state.not_before is not None:
                item["_not_before"] = {"N": str(to_micros(job.state.not_before))}
        if (at := jobcore.lifecycle.due_at(job, Tick.MONITOR)) is not None:
            item["_deadline"] = {"S": sort_key(at, job.job_id)}
    return item


@lru_cache(maxsize=4096)  # the jobs of a sweep have the same lane
def _lane(share: str, priority: int, placements: tuple[Placement, ...]) -> tuple[str, str]:
    text = json.dumps(
        [share, priority, [[p.pool, p.count] for p in placements]], separators=(",", ":")
    )
    return blake2b(text.encode(), digest_size=LANE_DIGITS // 2).hexdigest(), text


@lru_cache(maxsize=4096)
def lane_of(text: str) -> tuple[str, int, tuple[Placement, ...]]:
    """
    Decode a lane: share, priority, placements.

    Raises:
        ValueError: no release writes such a text. Lanes are sorted and compared, so a value of the
            wrong type would make the reading of all lanes fail.
    """
    share, priority, places = json.loads(text)
    placements = tuple(Placement(pool, count) for pool, count in places)
    names = [share, *(place.pool for place in placements)]
    numbers = [priority, *(place.count for place in placements)]
    if (
        not placements
        or not all(type(name) is str for name in names)
        or not all(type(number) is int for number in numbers)
    ):
        msg = f"_lane: expected [share, priority, [[pool, count], ...]], got {text}"
        raise ValueError(msg)
    return share, priority, placements


def job_of(item: Mapping[str, Any], spec: Spec) -> Job:
    """
    Decode a job.

    Raises:
        CorruptRecord: neither this schema nor the one before it writes such an item.
    """
    job_id = item["sk"]["S"].partition("#")[2]
    job = readable("job", job_id, lambda: decode_job(_record(item), spec, version=_version(item)))
    if job.job_id != job_id:
        raise CorruptRecord(job_id, f"it is the record of job {job.job_id}")
    return job


def _record(item: Mapping[str, Any]) -> dict[str, Any]:
    record = {
        name: plain(value)
        for name, value in item.items()
        if name not in {"pk", "sk"} and not name.startswith("_") and value.keys() <= _JSON_TYPES
    }
    if "metrics" in record:
        record["metrics"] = json.loads(record["metrics"])
    return record


def _version(item: Mapping[str, Any]) -> int:
    return int(item["_version"]["N"])
