"""What an actor sees of the world: one object that is all its ports, and where faults strike."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Any, NoReturn

from jobcore import CorruptRecord, Job, Status, Unavailable
from jobcore.lifecycle import GroupKey, GroupTally, PoolState, ShareUsage, Tick
from jobcore.ports import (
    Added,
    Due,
    Evidence,
    JobQuery,
    LaunchReply,
    LaunchRequest,
    LaunchResult,
    Message,
    Page,
    Training,
    Usage,
    Waiting,
)

from ._trainer import SHORT, THROTTLED, over_quota

if TYPE_CHECKING:
    from ._world import World

__all__ = ["Crash", "Port"]

_UNCLEAR = LaunchReply(
    LaunchResult.UNCLEAR, Evidence(where="create", text="Read timeout on endpoint URL")
)
_ENOUGH = 4  # earlier answers kept, to be given again


class Crash(BaseException):
    """The process dies here; nothing may catch it."""


def _fail(call: str, kind: str = "lost") -> NoReturn:
    if kind == "crash_after":
        raise Crash
    msg = f"{call}: no answer"
    raise Unavailable(msg)


class Port:
    """Store, trainer, notifier and clock, as one actor has them; see `KINDS` for the faults."""

    __slots__ = ("asked", "calls", "hints", "number", "skew", "what", "world")

    def __init__(self, world: World, skew: timedelta = timedelta(0), number: int = 0) -> None:
        """Enter the world as actor *number*, with a clock that is wrong by *skew*."""
        self.world = world
        self.skew = skew
        self.number = number
        self.what = ""
        self.hints: Sequence[str] | None = None  # what the monitor is told to look at
        self.calls = 0
        self.asked: dict[str, int] = {}  # see `Oracle.asked`

    @property
    def name(self) -> str:
        """Name the actor in a record."""
        return f"{self.number}:{self.what}" if self.number else ""

    def now(self) -> datetime:
        """Tell the time."""
        return self.world.now + self.skew

    # --- the store: reads -------------------------------------------------------------------

    def get(self, job_ids: Sequence[str]) -> Mapping[str, Job]:
        """Read jobs."""
        world = self.world
        if world.arrive(self, "get", job_ids) is not None:
            _fail("get")
        if world.corrupt is not None and world.corrupt in job_ids:
            raise CorruptRecord(world.corrupt, "it is not JSON")
        return world.store.get(job_ids)

    def due(self, tick: Tick, *, before: datetime, limit: int) -> Sequence[Due]:
        """List what a tick has to look at."""
        if self.hints is not None and tick is Tick.MONITOR:
            return [Due(job_id, before, Status.LAUNCHED, 1) for job_id in self.hints]
        world = self.world
        kind = world.arrive(self, "due", tick)
        rows = world.store.due(tick, before=before, limit=limit)
        return self._rows(kind, "due", tick, rows) if world.stale or kind else rows

    def waiting(self, *, now: datetime, depth: int) -> Sequence[Waiting]:
        """List what waits."""
        world = self.world
        kind = world.arrive(self, "waiting", depth)
        rows = world.store.waiting(now=now, depth=depth)
        return self._rows(kind, "waiting", None, rows, unique=True) if world.stale or kind else rows

    def usage(self) -> Sequence[Usage]:
        """Count slots."""
        world = self.world
        kind = world.arrive(self, "usage", None)
        rows = world.store.usage()
        return self._rows(kind, "usage", None, rows, whole=True) if world.stale or kind else rows

    def find(self, query: JobQuery) -> Page:
        """List jobs."""
        world = self.world
        kind = world.arrive(self, "find", query)
        page = world.store.find(query)
        if world.stale or kind:
            key = (query.group, query.statuses)
            rows = self._rows(kind, "find", key, page.jobs, unique=True)
            return Page(jobs=tuple(rows[: query.limit]), cursor=page.cursor)
        return page

    def counts(self, *, group: str | None = None, owner: str | None = None) -> Mapping[Status, int]:
        """Count jobs."""
        world = self.world
        kind = world.arrive(self, "counts", group)
        counts = world.store.counts(group=group, owner=owner)
        if world.stale or kind:
            rows = self._rows(kind, "counts", group, list(counts.items()), whole=True)
            return dict(rows)
        return counts

    def pools(self) -> Mapping[str, PoolState]:
        """Read what was learned."""
        world = self.world
        if world.arrive(self, "pools", None) is not None:
            _fail("pools")
        return world.store.pools()

    def shares(self, names: Collection[str]) -> Mapping[str, ShareUsage]:
        """Read usage of shares."""
        world = self.world
        if world.arrive(self, "shares", None) is not None:
            _fail("shares")
        return world.store.shares(names)

    def tallies(self, keys: Collection[GroupKey]) -> Mapping[GroupKey, GroupTally]:
        """Read tallies of groups."""
        world = self.world
        if world.arrive(self, "tallies", None) is not None:
            _fail("tallies")
        return world.store.tallies(keys)

    def tallies_to_pause(self) -> Sequence[GroupTally]:
        """List groups to pause."""
        world = self.world
        call = "tallies_to_pause"
        kind = world.arrive(self, call, None)
        rows = world.store.tallies_to_pause()
        return self._rows(kind, call, None, rows, whole=True) if world.stale or kind else rows

    def next_wake(self, tick: Tick, *, after: datetime) -> datetime | None:
        """Tell the next back-off or deadline."""
        world = self.world
        if world.arrive(self, "next_wake", tick) is not None:
            _fail("next_wake")
        return world.store.next_wake(tick, after=after)

    def _rows(
        self,
        kind: str | None,
        call: str,
        key: object,
        rows: Sequence[Any],
        *,
        whole: bool = False,
        unique: bool = False,
    ) -> Sequence[Any]:
        """Answer with rows of an index that lags: *whole* answers of earlier, or a mix."""
        world = self.world
        past = world.past.setdefault((call, key), [])
        if len(past) < _ENOUGH:
            past.append(rows)
        if kind is None:
            return rows
        if kind != "stale":
            _fail(call)
        random = world.detail()
        earlier: Sequence[Any] = past[random.randrange(len(past))]
        if random.random() < 0.3:
            past.clear()
        if whole:
            return earlier
        mixed = [row for row in (*earlier, *rows) if random.random() < 0.6]
        if unique:
            mixed = list({row.job_id: row for row in mixed}.values())
        return mixed

    # --- the store: writes --------------------------------------------------------------------

    def add(self, jobs: Sequence[Job]) -> Sequence[Added]:
        """Register jobs."""
        world = self.world
        kind = world.arrive(self, "add", jobs)
        if kind is None:
            return world.store.add(jobs)
        if kind == "partial":
            random = world.detail()
            jobs = [job for job in jobs if random.random() < 0.5]
        if kind != "lost":
            world.store.add(jobs)
        _fail("add", kind)

    def save(self, jobs: Sequence[Job]) -> Sequence[Job | None]:
        """Write jobs."""
        world = self.world
        kind = world.arrive(self, "save", jobs)
        world.oracle.asked = self.asked
        if kind is None:
            return world.store.save(jobs)
        if kind == "lost":
            _fail("save")
        if kind in ("partial", "own"):
            random = world.detail()
            some = [random.random() < 0.5 for _ in jobs]
            if kind == "partial":
                world.store.save([job for job, it in zip(jobs, some, strict=True) if it])
                _fail("save")
            saved = world.store.save(jobs)
            if len(jobs) == 1:
                some = [True]
            return [None if it else job for job, it in zip(saved, some, strict=True)]
        world.store.save(jobs)
        _fail("save", kind)

    def save_pool(self, state: PoolState) -> bool:
        """Write what was learned."""
        world = self.world
        kind = world.arrive(self, "save_pool", state)
        if kind is None:
            return world.store.save_pool(state)
        if kind == "lost":
            _fail("save_pool")
        world.store.save_pool(state)
        if kind == "own":
            return False
        _fail("save_pool", kind)

    def save_shares(self, usages: Sequence[ShareUsage]) -> Sequence[bool]:
        """Charge shares."""
        world = self.world
        kind = world.arrive(self, "save_shares", None)
        if kind is None:
            return world.store.save_shares(usages)
        if kind == "partial":
            random = world.detail()
            usages = [usage for usage in usages if random.random() < 0.5]
        if kind != "lost":
            world.store.save_shares(usages)
        if kind == "own":
            return [False for _ in usages]
        _fail("save_shares", kind)

    def save_tally(self, tally: GroupTally) -> bool:
        """Write a tally."""
        world = self.world
        kind = world.arrive(self, "save_tally", None)
        if kind is None:
            return world.store.save_tally(tally)
        if kind == "lost":
            _fail("save_tally")
        world.store.save_tally(tally)
        if kind == "own":
            return False
        _fail("save_tally", kind)

    # --- the trainer --------------------------------------------------------------------------

    def launch(self, requests: Sequence[LaunchRequest]) -> Sequence[LaunchReply]:
        """Create trainings."""
        world = self.world
        kind = world.arrive(self, "launch", requests)
        for request in requests:
            if request.to_stop:
                self.asked[request.name] = world.oracle.creates
        if world.raises is not None and any(r.job_id == world.raises for r in requests):
            msg = "args: not what the trainer expected"
            raise ValueError(msg)
        if kind is None:
            return world.trainer.launch(requests)
        if kind == "lost":
            _fail("launch")
        if kind in ("unknown", "crash_after"):
            world.trainer.launch(requests)
            _fail("launch", kind)
        random = world.detail()
        at = random.randrange(len(requests))
        return [
            self._odd(kind, random, request) if number == at else world.trainer.launch([request])[0]
            for number, request in enumerate(requests)
        ]

    def _odd(self, kind: str, random: Random, request: LaunchRequest) -> LaunchReply:
        world = self.world
        if kind == "throttled":
            return LaunchReply(LaunchResult.REFUSED, THROTTLED)
        if kind == "unclear":
            return _UNCLEAR
        if kind == "late":
            world.flight.append(request)
            return _UNCLEAR
        if kind in ("quota", "short") and world.truth(request.name) is None:
            place = request.placement
            evidence = SHORT
            if kind == "quota":
                limit = max(place.count, random.randint(1, 4))
                evidence = over_quota(place.pool, limit, limit, place.count)
            return LaunchReply(LaunchResult.REFUSED, evidence)
        (reply,) = world.trainer.launch([request])
        if kind == "unclear_applied":
            return _UNCLEAR
        if kind == "exists" and reply.result is LaunchResult.ACCEPTED:
            return LaunchReply(LaunchResult.EXISTS)
        return reply

    def describe(self, names: Sequence[str]) -> Mapping[str, Training | None]:
        """Read trainings."""
        world = self.world
        kind = world.arrive(self, "describe", names)
        if kind == "lost":
            _fail("describe")
        if kind is None:
            return world.trainer.describe(names)
        random = world.detail()
        hit = {name for name in names if random.random() < 0.6}
        found = dict(world.trainer.describe([name for name in names if name not in hit]))
        if kind == "stale":
            found |= dict.fromkeys(sorted(hit))
        return found

    def stop(self, name: str) -> None:
        """Stop a training."""
        world = self.world
        kind = world.arrive(self, "stop", name)
        if kind is None:
            world.trainer.stop(name)
            return
        if kind == "late":
            world.stops.append(name)
        elif kind != "lost":
            world.trainer.stop(name)
        _fail("stop", kind)

    def capacity(self) -> Mapping[str, int | None]:
        """Name the pools."""
        world = self.world
        if world.arrive(self, "capacity", None) is not None:
            _fail("capacity")
        return world.trainer.capacity()

    def running(self) -> Iterable[Training]:
        """Walk what is not over."""
        world = self.world
        kind = world.arrive(self, "running", None)
        if kind == "lost":
            _fail("running")
        found = world.trainer.running()
        return found if kind is None else self._cut(found, world.detail())

    @staticmethod
    def _cut(trainings: Iterable[Training], random: Random) -> Iterator[Training]:
        for training in trainings:
            if random.random() < 0.5:
                break
            yield training
        _fail("running")

    # --- the notifier -------------------------------------------------------------------------

    def publish(self, message: Message) -> None:
        """Tell somebody."""
        world = self.world
        kind = world.arrive(self, "publish", message)
        if kind != "lost":
            world.notifier.publish(message)
        if kind is not None:
            _fail("publish", kind)
