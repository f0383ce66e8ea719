"""
The shared record of earlier releases: usage of shares and tallies of groups, in one pool state.

Releases up to format 1 of the stores kept both in the pool state named "*", which every launch and
monitor tick rewrote. Stores read it once more, to carry its content over, and never write it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from operator import index
from typing import Any

from jobcore.errors import CorruptRecord
from jobcore.lifecycle.codec import decode_share, decode_tally, readable
from jobcore.lifecycle.records import GroupKey, GroupTally, ShareUsage

__all__ = ["SHARED_RECORD", "SharedRecord", "split_shared_record"]

#: The name of the pool state that held the shared record.
SHARED_RECORD = "*"

_MICROS_PER_SECOND = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedRecord:
    """
    The content of a shared record, as records of the present format.

    Args:
        shares, tallies: each with version 0, so that saving one creates it.
        damaged: the entries that could not be read.
    """

    shares: Mapping[str, ShareUsage]
    tallies: Mapping[GroupKey, GroupTally]
    damaged: tuple[CorruptRecord, ...] = ()

    @property
    def newest(self) -> datetime | None:
        """When the record last changed; None if it holds nothing."""
        times = [usage.at for usage in self.shares.values()]
        times += [tally.at for tally in self.tallies.values()]
        return max(times, default=None)


def split_shared_record(document: Mapping[str, Any]) -> SharedRecord:
    """
    Read a shared record; an entry that cannot be read is left out and listed as damaged.

    Tallies without an owner are left out: only an earlier release wrote them, and a tally expires
    after a day.

    Raises:
        AttributeError, KeyError, TypeError, ValueError: the document is not one that a release wrote.
    """
    shares: dict[str, ShareUsage] = {}
    tallies: dict[GroupKey, GroupTally] = {}
    damaged: list[CorruptRecord] = []
    at = document.get("served_at")
    for name, hours in (document.get("served") or {}).items():
        try:
            shares[name] = readable("share", name, partial(_share, name, hours, at))
        except CorruptRecord as error:
            damaged.append(error)
    for text, entry in (document.get("groups") or {}).items():
        group, line, owner = text.partition("\n")
        if not line:
            continue
        try:
            tally = readable("group", f"{group}/{owner}", partial(_tally, group, owner, entry))
        except CorruptRecord as error:
            damaged.append(error)
        else:
            tallies[tally.key] = tally
    return SharedRecord(shares=shares, tallies=tallies, damaged=tuple(damaged))


def _share(name: str, hours: Any, at: Any) -> ShareUsage:
    return decode_share(name, {"hours": hours, "at": at}, version=0)


def _tally(group: str, owner: str, entry: Mapping[str, Any]) -> GroupTally:
    """Read a tally; its time was in whole seconds, and defaults were left out."""
    document = {
        "at": index(entry["at"]) * _MICROS_PER_SECOND,
        "failed": entry.get("failed", 0),
        "cause": entry.get("cause", ""),
        "reason": entry.get("why", ""),
        "sound": entry.get("sound", False),
        "pausing": entry.get("pausing", False),
    }
    return decode_tally(group, owner, document, version=0)
