"""The ports of one actor, with the effect of each fault on each call."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Any, NoReturn

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

from ._faults import Crash
from ._scene import Scene
from ._trainer import SHORT, THROTTLED, over_quota

__all__ = ["Port"]

_UNCLEAR = LaunchReply(
    LaunchResult.UNCLEAR, Evidence(where="create", text="Read timeout on endpoint URL")
)
_EARLIER_ANSWERS_MAX = 4  # kept of each call, for indexes that lag


def _fail(call: str, kind: str = "lost") -> NoReturn:
    """End a call without an answer: by a crash for "crash_after", else with `Unavailable`."""
    if kind == "crash_after":
        raise Crash
    msg = f"{call}: no answer"
    raise Unavailable(msg)


class Port:
    """Store, trainer, notifier and clock of one actor; `KINDS` describes the faults."""

    __slots__ = ("call", "calls", "faults", "hints", "number", "reserved", "scene", "skew", "what")

    def __init__(self, scene: Scene, skew: timedelta = timedelta(0), number: int = 0) -> None:
        """Connect actor *number*, whose clock is wrong by *skew*, to *scene*."""
        self.scene = scene
        self.faults = scene.faults
        self.skew = skew
        self.number = number
        self.what = ""
        self.hints: Sequence[str] | None = None  # the jobs that a monitor tick is started for
        self.calls = 0
        self.call = ""  # the port call that was made last, or is about to be made
        self.reserved: dict[str, int] = {}  # see `Observer.reserved`

    @property
    def name(self) -> str:
        """Name the actor in the record of a run."""
        return f"{self.number}:{self.what}" if self.number else ""

    @property
    def saves_launches(self) -> bool:
        """Whether the actor is a launch tick that is about to save jobs."""
        return self.call == "save" and self.what == "launch"

    def now(self) -> datetime:
        """Return the time."""
        return self.scene.now + self.skew

    # --- the store: reads -------------------------------------------------------------------

    def get(self, job_ids: Sequence[str]) -> Mapping[str, Job]:
        """Read jobs."""
        scene = self.scene
        if self.faults.arrive(self, "get", job_ids) is not None:
            _fail("get")
        if scene.corrupt is not None and scene.corrupt in job_ids:
            raise CorruptRecord(scene.corrupt, "it is not JSON")
        return scene.store.get(job_ids)

    def due(self, tick: Tick, *, before: datetime, limit: int) -> Sequence[Due]:
        """List jobs that are due."""
        if self.hints is not None and tick is Tick.MONITOR:
            return [Due(job_id, before, Status.LAUNCHED, 1) for job_id in self.hints]
        scene = self.scene
        kind = self.faults.arrive(self, "due", tick)
        rows = scene.store.due(tick, before=before, limit=limit)
        return self._lagging(kind, "due", tick, rows) if self.faults.lags or kind else rows

    def waiting(self, *, now: datetime, depth: int) -> Sequence[Waiting]:
        """List waiting jobs."""
        scene = self.scene
        kind = self.faults.arrive(self, "waiting", depth)
        rows = scene.store.waiting(now=now, depth=depth)
        return (
            self._lagging(kind, "waiting", None, rows, unique=True)
            if self.faults.lags or kind
            else rows
        )

    def usage(self) -> Sequence[Usage]:
        """Count slots in use."""
        scene = self.scene
        kind = self.faults.arrive(self, "usage", None)
        rows = scene.store.usage()
        return (
            self._lagging(kind, "usage", None, rows, whole=True)
            if self.faults.lags or kind
            else rows
        )

    def find(self, query: JobQuery) -> Page:
        """List jobs."""
        scene = self.scene
        kind = self.faults.arrive(self, "find", query)
        page = scene.store.find(query)
        if self.faults.lags or kind:
            key = (query.group, query.statuses)
            rows = self._lagging(kind, "find", key, page.jobs, unique=True)
            return Page(jobs=tuple(rows[: query.limit]), cursor=page.cursor)
        return page

    def counts(self, *, group: str | None = None, owner: str | None = None) -> Mapping[Status, int]:
        """Count jobs."""
        scene = self.scene
        kind = self.faults.arrive(self, "counts", group)
        counts = scene.store.counts(group=group, owner=owner)
        if self.faults.lags or kind:
            rows = self._lagging(kind, "counts", group, list(counts.items()), whole=True)
            return dict(rows)
        return counts

    def pools(self) -> Mapping[str, PoolState]:
        """Read pool states."""
        scene = self.scene
        if self.faults.arrive(self, "pools", None) is not None:
            _fail("pools")
        return scene.store.pools()

    def next_wake(self, tick: Tick, *, after: datetime) -> datetime | None:
        """Return the next end of a back-off, or the next deadline."""
        scene = self.scene
        if self.faults.arrive(self, "next_wake", tick) is not None:
            _fail("next_wake")
        return scene.store.next_wake(tick, after=after)

    def shares(self, names: Collection[str]) -> Mapping[str, ShareUsage]:
        """Read the usage of shares."""
        scene = self.scene
        if self.faults.arrive(self, "shares", None) is not None:
            _fail("shares")
        return scene.store.shares(names)

    def tallies(self, keys: Collection[GroupKey]) -> Mapping[GroupKey, GroupTally]:
        """Read the tallies of groups."""
        scene = self.scene
        if self.faults.arrive(self, "tallies", None) is not None:
            _fail("tallies")
        return scene.store.tallies(keys)

    def tallies_to_pause(self) -> Sequence[GroupTally]:
        """List the groups that are to be paused."""
        scene = self.scene
        kind = self.faults.arrive(self, "tallies_to_pause", None)
        rows = scene.store.tallies_to_pause()
        return (
            self._lagging(kind, "tallies_to_pause", None, rows, whole=True)
            if self.faults.lags or kind
            else rows
        )

    def _lagging(
        self,
        kind: str | None,
        call: str,
        key: object,
        rows: Sequence[Any],
        *,
        whole: bool = False,
        unique: bool = False,
    ) -> Sequence[Any]:
        """
        Answer for an index that may lag.

        Args:
            kind: the fault that strikes; None for none.
            key: the arguments by which answers of one call differ.
            rows: the present rows.
            whole: give an earlier answer as it was; else a mix of it and of *rows*.
            unique: give each job at most one row.
        """
        past = self.faults.past.setdefault((call, key), [])
        if len(past) < _EARLIER_ANSWERS_MAX:
            past.append(rows)
        if kind is None:
            return rows
        if kind != "stale":
            _fail(call)
        random = self.faults.detail()
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
        scene = self.scene
        kind = self.faults.arrive(self, "add", jobs)
        if kind is None:
            return scene.store.add(jobs)
        if kind == "partial":
            random = self.faults.detail()
            jobs = [job for job in jobs if random.random() < 0.5]
        if kind != "lost":
            scene.store.add(jobs)
        _fail("add", kind)

    def save(self, jobs: Sequence[Job]) -> Sequence[Job | None]:
        """Write jobs."""
        scene = self.scene
        kind = self.faults.arrive(self, "save", jobs)
        scene.oracle.reserved = self.reserved
        if kind is None:
            return scene.store.save(jobs)
        if kind == "lost":
            _fail("save")
        if kind in ("partial", "own"):
            random = self.faults.detail()
            some = [random.random() < 0.5 for _ in jobs]
            if kind == "partial":
                scene.store.save([job for job, it in zip(jobs, some, strict=True) if it])
                _fail("save")
            saved = scene.store.save(jobs)
            if len(jobs) == 1:
                some = [True]
            return [None if it else job for job, it in zip(saved, some, strict=True)]
        scene.store.save(jobs)
        _fail("save", kind)

    def save_pool(self, state: PoolState) -> bool:
        """Write a pool state."""
        scene = self.scene
        kind = self.faults.arrive(self, "save_pool", state)
        if kind is None:
            return scene.store.save_pool(state)
        if kind == "lost":
            _fail("save_pool")
        scene.store.save_pool(state)
        if kind == "own":
            return False
        _fail("save_pool", kind)

    def save_shares(self, usages: Sequence[ShareUsage]) -> Sequence[bool]:
        """Write the usage of shares."""
        scene = self.scene
        kind = self.faults.arrive(self, "save_shares", None)
        if kind is None:
            return scene.store.save_shares(usages)
        if kind == "partial":
            random = self.faults.detail()
            usages = [usage for usage in usages if random.random() < 0.5]
        if kind != "lost":
            scene.store.save_shares(usages)
        if kind == "own":
            return [False for _ in usages]
        _fail("save_shares", kind)

    def save_tally(self, tally: GroupTally) -> bool:
        """Write the tally of a group."""
        scene = self.scene
        kind = self.faults.arrive(self, "save_tally", None)
        if kind is None:
            return scene.store.save_tally(tally)
        if kind == "lost":
            _fail("save_tally")
        scene.store.save_tally(tally)
        if kind == "own":
            return False
        _fail("save_tally", kind)

    # --- the trainer --------------------------------------------------------------------------

    def launch(self, requests: Sequence[LaunchRequest]) -> Sequence[LaunchReply]:
        """Create trainings."""
        scene = self.scene
        kind = self.faults.arrive(self, "launch", requests)
        for request in requests:
            if request.to_stop:
                self.reserved[request.name] = scene.oracle.creates
        if scene.raises is not None and any(r.job_id == scene.raises for r in requests):
            msg = "args: not what the trainer expected"
            raise ValueError(msg)
        if kind is None:
            return scene.trainer.launch(requests)
        if kind == "lost":
            _fail("launch")
        if kind in ("unknown", "crash_after"):
            scene.trainer.launch(requests)
            _fail("launch", kind)
        random = self.faults.detail()
        at = random.randrange(len(requests))
        return [
            self._launch_with_fault(kind, random, request)
            if number == at
            else scene.trainer.launch([request])[0]
            for number, request in enumerate(requests)
        ]

    def _launch_with_fault(self, kind: str, random: Random, request: LaunchRequest) -> LaunchReply:
        scene = self.scene
        if kind == "throttled":
            return LaunchReply(LaunchResult.REFUSED, THROTTLED)
        if kind == "unclear":
            return _UNCLEAR
        if kind == "late":
            scene.in_flight.append(request)
            return _UNCLEAR
        if kind in ("quota", "short") and scene.truth(request.name) is None:
            place = request.placement
            evidence = SHORT
            if kind == "quota":
                limit = max(place.count, random.randint(1, 4))
                evidence = over_quota(place.pool, limit, limit, place.count)
            return LaunchReply(LaunchResult.REFUSED, evidence)
        (reply,) = scene.trainer.launch([request])
        if kind == "unclear_applied":
            return _UNCLEAR
        if kind == "exists" and reply.result is LaunchResult.ACCEPTED:
            return LaunchReply(LaunchResult.EXISTS)
        return reply

    def describe(self, names: Sequence[str]) -> Mapping[str, Training | None]:
        """Read trainings."""
        scene = self.scene
        kind = self.faults.arrive(self, "describe", names)
        if kind == "lost":
            _fail("describe")
        if kind is None:
            return scene.trainer.describe(names)
        random = self.faults.detail()
        hit = {name for name in names if random.random() < 0.6}
        found = dict(scene.trainer.describe([name for name in names if name not in hit]))
        if kind == "stale":
            found |= dict.fromkeys(sorted(hit))
        return found

    def stop(self, name: str) -> None:
        """Stop a training."""
        scene = self.scene
        kind = self.faults.arrive(self, "stop", name)
        if kind is None:
            scene.trainer.stop(name)
            return
        if kind == "late":
            scene.stops_in_flight.append(name)
        elif kind != "lost":
            scene.trainer.stop(name)
        _fail("stop", kind)

    def capacity(self) -> Mapping[str, int | None]:
        """Return the pools with their sizes."""
        scene = self.scene
        if self.faults.arrive(self, "capacity", None) is not None:
            _fail("capacity")
        return scene.trainer.capacity()

    def running(self) -> Iterable[Training]:
        """Walk the trainings that are not terminal."""
        scene = self.scene
        kind = self.faults.arrive(self, "running", None)
        if kind == "lost":
            _fail("running")
        found = scene.trainer.running()
        return found if kind is None else self._cut(found, self.faults.detail())

    @staticmethod
    def _cut(trainings: Iterable[Training], random: Random) -> Iterator[Training]:
        for training in trainings:
            if random.random() < 0.5:
                break
            yield training
        _fail("running")

    # --- the notifier -------------------------------------------------------------------------

    def publish(self, message: Message) -> None:
        """Publish a message."""
        scene = self.scene
        kind = self.faults.arrive(self, "publish", message)
        if kind != "lost":
            scene.notifier.publish(message)
        if kind is not None:
            _fail("publish", kind)
