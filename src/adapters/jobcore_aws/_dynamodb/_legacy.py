"""
The shared item of the previous release, from which shares and tallies without an own item are read.

The previous release kept usage of shares and tallies of groups in the pool item "*". This release
never writes it. Without the item, the cost is one key in one read per store object. With it, the cost
is its size in each read of shares and tallies until it is a day old. Older usage has no weight, and
older tallies have expired.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from jobcore import CorruptRecord
from jobcore.lifecycle import readable
from jobcore.scheduling.legacy import SHARED_RECORD, SharedRecord, split_shared_record

from ._items import Item, plain, pool_key

__all__ = ["SharedItem", "is_shared"]

_LIFETIME = timedelta(days=1)
_NOTHING = SharedRecord(shares={}, tallies={})


def is_shared(item: Mapping[str, Any]) -> bool:
    """Check whether an item with the keys of a pool is the shared one."""
    return bool(item["sk"]["S"] == SHARED_RECORD)


class SharedItem:
    """The shared item of one table, until it is too old."""

    def __init__(self, on_corrupt: Callable[[CorruptRecord], None]) -> None:
        self._on_corrupt = on_corrupt
        self._is_over = False
        self._has_reported = False

    def keys(self) -> list[Item]:
        """Return the key to add to a read; none if the item is known to be absent or too old."""
        return [] if self._is_over else [pool_key(SHARED_RECORD)]

    def extract(self, items: Iterable[Item]) -> tuple[SharedRecord, list[Item]]:
        """Separate the shared record from the other *items* that were read."""
        found, others = None, []
        for item in items:
            if item["pk"]["S"] == pool_key(SHARED_RECORD)["pk"]["S"]:
                found = item
            else:
                others.append(item)
        if self._is_over:
            return _NOTHING, others
        record = _NOTHING if found is None else self._record(found)
        if record.newest is None or now() - record.newest > _LIFETIME:
            self._is_over = True
            return _NOTHING, others
        return record, others

    def _record(self, item: Item) -> SharedRecord:
        try:
            record = readable("pool", SHARED_RECORD, partial(_split, item))
            damaged = record.damaged
        except CorruptRecord as error:
            record, damaged = _NOTHING, (error,)
        if not self._has_reported:  # it is read many times
            self._has_reported = True
            for entry in damaged:
                self._on_corrupt(entry)
        return record


def _split(item: Item) -> SharedRecord:
    return split_shared_record(plain(item["state"]))


def now() -> datetime:
    """Return the time by which the item's age is measured; tests replace it."""
    return datetime.now(UTC)
