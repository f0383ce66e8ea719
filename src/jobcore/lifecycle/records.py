"""
The records that a store keeps beside jobs: learned pools, usage of shares, tallies of groups.

They refuse invalid fields on construction, with a ValueError that names the field. Each record has a
version for compare-and-set. None of them holds facts about a job: if one is lost, its statistics are
learned again, and no job is affected.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar, NamedTuple

from jobcore import checks

__all__ = ["GroupKey", "GroupTally", "PoolState", "ShareUsage"]

#: Of one share: a million slots for a hundred years. Larger sums are a fault of their writer.
HOURS_MAX = 1e12


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolState:
    """
    Learned values about the capacity of a pool. Slots are instances, or local slots.

    A *bet* is a speculative launch: one beyond the level.

    Args:
        name: the pool's name.
        version: counts the saves; a store writes only over the version that was read.
        level: slots seen to run at once since the last shortage.
        level_at: when an end or a start last confirmed the level.
        before: the level before the last shortage; *fade* (1 to 0) is how much it is trusted.
        growth: slots to bet above the level; None before the first answer.
        bets: slots launched as bets and not answered yet.
        bet_at, rounds: when the last bets were made, and how many rounds there were.
        refusals: rounds refused since the last success; the back-off doubles with each.
        refused_at: the time of the last refusal; refusals of launches begun before it belong to the
            same shortage and do not count again.
        shrunk: whether *before* holds the level from before this shortage.
        overdue: slots launched longer than `jobcore.scheduling.LATE` ago that do not run.
        peak, peak_at: most slots in flight, without those overdue, since the last shortage, and the
            time since which it counts. Without a refusal for a while, all of them have had their
            instances at once, while the number that runs leaves out launches that still start.
        queue_granted: whether a launch that waited in the provider's queue has got instances. Then
            the launches that wait there now get the instances that become free, and no further launch
            is needed.
        closed_until: no bet before this.
        limit: the quota, as the last refusal stated it; None while unknown.
        external: slots in use by others, from the same refusal.
        limit_at: the time of that refusal. *external* is used for two minutes only.
        refusal: the headline of the last refusal.
    """

    TIMES: ClassVar = ("level_at", "bet_at", "refused_at", "peak_at", "closed_until", "limit_at")
    COUNTS: ClassVar = (
        "version", "level", "before", "bets", "rounds", "refusals", "overdue", "peak", "external",
    )  # fmt: skip

    name: str
    version: int = 0
    level: int = 0
    level_at: datetime | None = None
    before: int = 0
    fade: float = 1.0
    growth: int | None = None
    bets: int = 0
    bet_at: datetime | None = None
    rounds: int = 0
    refusals: int = 0
    refused_at: datetime | None = None
    shrunk: bool = False
    overdue: int = 0
    peak: int = 0
    peak_at: datetime | None = None
    queue_granted: bool = False
    closed_until: datetime | None = None
    limit: int | None = None
    external: int = 0
    limit_at: datetime | None = None
    refusal: str = ""

    def __post_init__(self) -> None:
        """Refuse numbers below 0, fields of another kind, and times that are not in UTC."""
        # Learning makes several states a tick: messages are only made when they are needed.
        for field in self.COUNTS:
            if type(count := getattr(self, field)) is not int or count < 0:
                checks.refuse(**{field: checks.wrong_whole(count, 0)})
        for field in self.TIMES:
            if (at := getattr(self, field)) is not None and getattr(at, "tzinfo", None) is not UTC:
                checks.refuse(**{field: checks.wrong_time(at)})
        checks.refuse(
            name=checks.wrong_string(self.name),
            fade=checks.wrong_number(self.fade, 0, 1),
            growth=checks.if_given(checks.wrong_whole, self.growth, 0),
            limit=checks.if_given(checks.wrong_whole, self.limit, 0),
            shrunk=checks.wrong_flag(self.shrunk),
            queue_granted=checks.wrong_flag(self.queue_granted),
            refusal=checks.wrong_string(self.refusal),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareUsage:
    """
    The recent usage of a share, for fair share.

    Args:
        share: the share's name.
        version: counts the saves; a store writes only over the version that was read.
        hours: slot hours as of *at*; they lose half their weight each two hours.
        at: when *hours* was last brought up to date.
    """

    share: str
    hours: float
    at: datetime
    version: int = 0

    def __post_init__(self) -> None:
        """Refuse hours that are not a number from 0, and a time that is not in UTC."""
        checks.refuse(
            share=checks.wrong_string(self.share),
            hours=checks.wrong_number(self.hours, 0, HOURS_MAX),
            at=checks.wrong_time(self.at),
            version=checks.wrong_whole(self.version, 0),
        )


class GroupKey(NamedTuple):
    """A group of one owner: two owners may use the same name for groups of their own."""

    group: str
    owner: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupTally:
    """
    The recent ends of the jobs of a group, for the group breaker.

    Args:
        group, owner: the group, and the owner of its jobs.
        version: counts the saves; a store writes only over the version that was read.
        at: when the last end was counted.
        failed: consecutive ends with the failure *cause*.
        cause: identifies that failure (`jobcore.failures.cause_of`).
        reason: its headline.
        sound: a job of the group completed; failures are not counted any more.
        pausing: the group's waiting jobs are to be held.
    """

    group: str
    owner: str
    at: datetime
    version: int = 0
    failed: int = 0
    cause: str = ""
    reason: str = ""
    sound: bool = False
    pausing: bool = False

    def __post_init__(self) -> None:
        """Refuse numbers below 0, fields of another kind, and a time that is not in UTC."""
        checks.refuse(
            group=checks.wrong_string(self.group),
            owner=checks.wrong_string(self.owner),
            at=checks.wrong_time(self.at),
            version=checks.wrong_whole(self.version, 0),
            failed=checks.wrong_whole(self.failed, 0),
            cause=checks.wrong_string(self.cause),
            reason=checks.wrong_string(self.reason),
            sound=checks.wrong_flag(self.sound),
            pausing=checks.wrong_flag(self.pausing),
        )

    @property
    def key(self) -> GroupKey:
        """The group and its owner."""
        return GroupKey(self.group, self.owner)
