"""The state that the actors and the environment of one run share."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random
from typing import Any

import jobcore
from jobcore import JobStore, Settings, Trainer
from jobcore.ports import LaunchRequest, Message, Training
from jobcore.scheduling import DEFAULT_SCHEDULER, Scheduler
from jobcore_memory import MemoryStore, MemoryTrainer, Script
from jobcore_simulation._rules import RULES
from jobcore_simulation.oracles import Oracle
from jobcore_simulation.simulator._store import ObjectStore

from ._draw import EPOCH, IDS, Config
from ._faults import Faults
from ._result import Result
from ._trainer import FATES, RULES_MATCHED, Pool, TinyTrainer

__all__ = ["Scene"]

_SECOND = timedelta(seconds=1)
_LONGER_THAN_A_RUN = timedelta(days=9)
_FATES = {
    "mixed": ("completed", "completed", "completed", "bug", "internal", "interrupted", "short"),
    "buggy": ("completed", "bug", "bug", "bug", "bug", "bug", "internal", "interrupted"),
}


class _SilentNotifier:
    def publish(self, message: Message) -> None:
        """Accept a message; the oracle has seen it."""


class _TrueClock:
    """The clock of the memory trainer, without any actor's skew."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    def now(self) -> datetime:
        """Return the time."""
        return self._scene.now


class _DrawnScripts(dict[str, Script]):
    """The scripts of the memory trainer: each is drawn when its training is created."""

    def __init__(self, scene: Scene) -> None:
        super().__init__()
        self._scene = scene

    def get(self, name: str, default: Any = None) -> Script:
        return self._scene.draw_script()


class Scene:
    """
    Store, trainer, clock, oracle and faults of one run.

    Args:
        store: the store under test; None for the one of ``config.adapters``.
        scheduler: the scheduler under test.
        keep: see `Faults`.
        jobs: the numbers of the jobs that are submitted; None for all.
        note: called with a line about each port call, write and fault.

    Attributes:
        now: the true time; an actor's clock may be skewed.
        latest: the latest time that any actor has seen.
        wanted: the specs to submit, by job id.
        corrupt: the job whose record cannot be read; None if there is none.
        raises: the job whose launch makes the trainer raise; None if there is none.
        poisoned: both of them.
        tiny: the trainer, if it is the swarm's own; None with the memory adapters.
        base, base_trainer: store and trainer below the oracle.
        in_flight: create calls that have not reached the trainer yet.
        stops_in_flight: the same for stop calls, by training name.
        runs_forever: whether trainings that begin now never end by themselves.
    """

    def __init__(
        self,
        config: Config,
        *,
        store: JobStore | None = None,
        scheduler: Scheduler = DEFAULT_SCHEDULER,
        keep: Collection[int] | None = None,
        jobs: Collection[int] | None = None,
        note: Callable[[str], None] | None = None,
    ) -> None:
        """Set up everything but the actors."""
        self.config = config
        self.result = Result(config.seed)
        self.random = Random(config.seed * 2 + 1)  # noqa: S311
        self.chance = self.random.random
        self.faults = Faults(config, self.result, self.chance, keep=keep, note=note)
        self.now = self.latest = EPOCH
        self.wanted = {
            IDS[n]: spec for n, spec in enumerate(config.specs) if jobs is None or n in jobs
        }
        self.in_flight: list[LaunchRequest] = []
        self.stops_in_flight: list[str] = []
        self.runs_forever = False
        self._poison()
        self._set_up_adapters(store)
        self.oracle = Oracle(self.truth)
        self.store = self.oracle.store(self.base)
        self.trainer = self.oracle.trainer(self.base_trainer)
        self.notifier = self.oracle.notifier(_SilentNotifier())
        self.settings = self._settings(scheduler, note)

    def _poison(self) -> None:
        self.corrupt: str | None = None
        self.raises: str | None = None
        self.poisoned: frozenset[str] = frozenset()
        if self.config.poison is None:
            return
        kind, number = self.config.poison
        job_id = IDS[number]
        if job_id in self.wanted:
            self.faults.count(kind)
            setattr(self, kind, job_id)
            self.poisoned = frozenset({job_id})

    def _set_up_adapters(self, store: JobStore | None) -> None:
        config = self.config
        self.pools = {
            p.name: Pool(p.name, capacity=p.capacity, quota=p.quota, size_known=p.size_known)
            for p in config.pools
        }
        self.tiny: TinyTrainer | None = None
        if config.adapters == "memory":
            self.memory = MemoryTrainer(
                clock=_TrueClock(self),
                slots={p.name: p.quota for p in config.pools},
                scripts=_DrawnScripts(self),
            )
            self.base: JobStore = MemoryStore()
            self.base_trainer: Trainer = self.memory
            self.truth: Callable[[str], Training | None] = self.memory._describe
        else:
            bad = frozenset[str]() if config.bad is None else frozenset({IDS[config.bad]})
            self.tiny = TinyTrainer(self.pools, reserves_names=config.reserves_names, bad=bad)
            self.base, self.base_trainer = ObjectStore(), self.tiny
            self.truth = self.tiny.truth
        if store is not None:
            self.base = store

    def _settings(self, scheduler: Scheduler, note: Callable[[str], None] | None) -> Settings:
        config = self.config
        settings = Settings(
            limits=config.limits,
            scheduler=self.oracle.scheduler(scheduler),
            rules=RULES_MATCHED if self.tiny is not None else RULES,
            launch_lease=config.lease,
            page=config.page,
            launches_together=config.launches_together,
            go_on=self._go_on,
        )
        return settings if note is None else replace(settings, on_change=self._note_change)

    def _note_change(self, change: jobcore.ticks.Change) -> None:
        assert self.faults.note is not None
        job, event = change.job, type(change.event).__name__
        write = f"{change.before} -> {job.status}, attempt {job.attempt_number}, v{job.version}"
        self.faults.note(f"{'':12}   {job.job_id[:4]} {write} ({event}: {change.note})")

    def _go_on(self) -> bool:
        """Whether a tick has time left (``Settings.go_on``)."""
        if self.faults.takes_turns and "hurried" in self.config.world and self.chance() < 0.1:
            self.faults.count("hurried")
            return False
        return True

    # --- how trainings end ------------------------------------------------------------------

    def draw_fate(self) -> str:
        """Draw the end of a training: a key of `FATES`."""
        fates = _FATES[self.config.fates]
        fate = fates[int(self.chance() * len(fates))]
        if fate == "interrupted":
            if "interrupted" not in self.config.world:
                return "completed"
            self.faults.count("interrupted")
        return fate

    def draw_script(self) -> Script:
        """Draw the course of a training of the memory trainer."""
        state, evidence = FATES[self.draw_fate()]
        pending = _SECOND * self.random.choice((0, 30))
        runs = (
            _LONGER_THAN_A_RUN if self.runs_forever else _SECOND * self.random.choice((5, 60, 600))
        )
        text = "" if evidence is None else evidence.text
        return Script(pending=pending, runs=runs, outcome=state, text=text)
