"""The records of pools, shares and groups: one item each, written by compare-and-set."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from jobcore import CorruptRecord
from jobcore.lifecycle import (
    SCHEMA,
    GroupKey,
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

from ._calls import Calls
from ._items import Item, plain, pool_key, share_key, tally_key, time_key, value_of
from ._legacy import SharedItem, is_shared
from ._writes import Writes

__all__ = ["Records"]

R = TypeVar("R", PoolState, ShareUsage, GroupTally)

# Tallies to pause are in the index "waiting", in a partition that no shard of jobs has.
_TO_PAUSE = {"N": "-1"}
_IN_INDEX = ("_shard", "_waiting")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind(Generic[R]):
    """
    One kind of record.

    Args:
        name: the kind's name in errors.
        key_of: makes the key of a record's item.
        names_of: reads the names of a record from the keys of its item.
        index: makes the attributes by which the item is in an index.
    """

    name: str
    key_of: Callable[[R], Item]
    names_of: Callable[[Item], tuple[str, ...]]
    encode: Callable[[R], Mapping[str, Json]]
    decode: Callable[..., R]
    index: Callable[[R], Item] = lambda record: {}

    def read(self, item: Item) -> R:
        """
        Decode a record.

        Raises:
            CorruptRecord: no release writes such an item.
        """
        names = self.names_of(item)
        return readable(self.name, "/".join(names), lambda: self._decoded(names, item))

    def _decoded(self, names: tuple[str, ...], item: Item) -> R:
        return self.decode(*names, plain(item["state"]), version=int(item["_version"]["N"]))


_POOL: _Kind[PoolState] = _Kind(
    name="pool",
    key_of=lambda state: pool_key(state.name),
    names_of=lambda item: (item["sk"]["S"],),
    encode=encode_pool,
    decode=decode_pool,
)
_SHARE: _Kind[ShareUsage] = _Kind(
    name="share",
    key_of=lambda usage: share_key(usage.share),
    names_of=lambda item: (item["sk"]["S"],),
    encode=encode_share,
    decode=decode_share,
)
_GROUP: _Kind[GroupTally] = _Kind(
    name="group",
    key_of=lambda tally: tally_key(tally.key),
    names_of=lambda item: (
        item["pk"]["S"].partition("/")[2],
        item["sk"]["S"].partition("#")[2],
    ),
    encode=encode_tally,
    decode=decode_tally,
    index=lambda tally: (
        {"_shard": _TO_PAUSE, "_waiting": {"S": time_key(tally.at)}} if tally.pausing else {}
    ),
)


class Records:
    """The records of pools, shares and groups in one table."""

    def __init__(self, calls: Calls, on_corrupt: Callable[[CorruptRecord], None]) -> None:
        self._calls = calls
        self._writes = Writes(calls)
        self._on_corrupt = on_corrupt
        self._shared = SharedItem(on_corrupt)

    def pools(self) -> Mapping[str, PoolState]:
        """Read the state of each pool, by one query."""
        rows = self._calls.query(
            "#pk = :pk", {":pk": pool_key("")["pk"]}, names={"#pk": "pk"}, ConsistentRead=True
        )
        states = self._decoded(_POOL, (row for row in rows if not is_shared(row)))
        return {state.name: state for state in states}

    def save_pool(self, state: PoolState) -> bool:
        """Write a pool's state over the version it was read at."""
        return self._save(_POOL, state)

    def shares(self, names: Collection[str]) -> Mapping[str, ShareUsage]:
        """Read the usage of shares by their keys."""
        if not names:
            return {}
        keys = [share_key(name) for name in names]
        shared, items = self._shared.extract(
            self._calls.read(keys + self._shared.keys(), consistent=True)
        )
        old = {name: usage for name, usage in shared.shares.items() if name in names}
        return old | {usage.share: usage for usage in self._decoded(_SHARE, items)}

    def save_shares(self, usages: Sequence[ShareUsage]) -> Sequence[bool]:
        """Write the usage of shares, several at a time, each over the version it was read at."""
        return self._calls.map(lambda usage: self._save(_SHARE, usage), usages)

    def tallies(self, keys: Collection[GroupKey]) -> Mapping[GroupKey, GroupTally]:
        """Read the tallies of groups by their keys."""
        if not keys:
            return {}
        wanted = [tally_key(key) for key in keys]
        shared, items = self._shared.extract(
            self._calls.read(wanted + self._shared.keys(), consistent=True)
        )
        old = {key: tally for key, tally in shared.tallies.items() if key in keys}
        return old | {tally.key: tally for tally in self._decoded(_GROUP, items)}

    def tallies_to_pause(self) -> Sequence[GroupTally]:
        """Read the tallies of groups that are to be paused, by an index that holds only these."""
        rows = self._calls.query(
            "#s = :s", {":s": _TO_PAUSE}, names={"#s": "_shard"}, IndexName="waiting"
        )
        keys = [{"pk": row["pk"], "sk": row["sk"]} for row in rows]
        shared, _ = self._shared.extract(self._calls.read(self._shared.keys(), consistent=True))
        old = {key: tally for key, tally in shared.tallies.items() if tally.pausing}
        items = self._calls.read([*keys, *map(tally_key, old)], consistent=True)
        # A group's own item is newer than the shared one.
        found = old | {tally.key: tally for tally in self._decoded(_GROUP, items)}
        return [tally for tally in found.values() if tally.pausing]

    def save_tally(self, tally: GroupTally) -> bool:
        """Write a group's tally over the version it was read at."""
        return self._save(_GROUP, tally)

    def _decoded(self, kind: _Kind[R], items: Iterable[Item]) -> Iterator[R]:
        """Read records; one that cannot be read is reported and left out."""
        for item in items:
            try:
                record = kind.read(item)
            except CorruptRecord as error:
                self._on_corrupt(error)
            else:
                yield record

    def _save(self, kind: _Kind[R], record: R) -> bool:
        key, index = kind.key_of(record), kind.index(record)
        attributes: dict[str, Any] = {
            "schema": {"N": str(SCHEMA)},
            "state": value_of(kind.encode(record)),
            **index,
        }
        if record.version:
            gone = [name for name in _IN_INDEX if name not in index]
            return self._writes.compare_and_set(key, record.version, attributes, gone)
        item = key | attributes
        existing = self._writes.put_first(item)
        if existing is None:
            return True
        try:
            kind.read(existing)
        except CorruptRecord:  # it counts as absent
            return self._writes.put_over(item, existing)
        return False
