"""One world: the production ticks as actors that take turns at each port call, and then peace."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from random import Random
from typing import Any
from zlib import crc32

from greenlet import greenlet

import jobcore
from jobcore import (
    CorruptRecord,
    HoldRequested,
    Job,
    JobStore,
    Placement,
    ReleaseRequested,
    Settings,
    Status,
    StopRequested,
    Trainer,
    Unavailable,
)
from jobcore.lifecycle import Event, Violation
from jobcore.ports import LaunchRequest, Message, Training, TrainingState
from jobcore.scheduling import DEFAULT_SCHEDULER, Scheduler
from jobcore.ticks import TickReport
from jobcore_aws import failure_rules
from jobcore_memory import MemoryStore, MemoryTrainer, Script
from jobcore_simulation.oracles import Oracle
from jobcore_simulation.simulator._store import ObjectStore

from ._draw import EPOCH, IDS, Config
from ._ports import Crash, Port
from ._trainer import FATES, RULES, Pool, TinyTrainer

__all__ = ["ROUNDS_MAX", "Result", "World"]

#: After the last fault all must have converged within so many rounds (see docs/swarm.md).
ROUNDS_MAX = 60
_STRANGER = jobcore.job_id_from_token("a stranger", "1")
_SECOND = timedelta(seconds=1)
_ROUND = timedelta(seconds=61)
_IDLE = timedelta(minutes=5)
_UNANSWERED = timedelta(minutes=65)
_CALLS_PER_JOB_MAX = 20
_NEWEST = 0.85
_FATES = {
    "mixed": ("completed", "completed", "completed", "bug", "internal", "interrupted", "short"),
    "buggy": ("completed", "bug", "bug", "bug", "bug", "bug", "internal", "interrupted"),
}


@dataclass(slots=True)
class Result:
    """What came of a world: *found* is empty in a good one."""

    seed: int
    found: list[Violation] = field(default_factory=list)
    calls: int = 0
    faults: int = 0  # that would have struck; those that did are in *struck*
    struck: list[int] = field(default_factory=list)
    rounds: int = 0
    seconds: float = 0.0  # simulated
    calls_max: int = 0  # of one tick, per job and one
    digest: int = 0
    cells: Counter[tuple[str, str]] = field(default_factory=Counter)
    edges: Counter[tuple[Status, Status]] = field(default_factory=Counter)
    ends: Counter[Status] = field(default_factory=Counter)


class _Mailbox:
    def publish(self, message: Message) -> None:
        """Take it."""


class _Scripts(dict[str, Script]):
    """What becomes of a training of the memory trainer: drawn when it is created."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world

    def get(self, name: str, default: Any = None) -> Script:
        return self.world.script()


class World:
    """
    A run of one seed.

    Args:
        keep: the numbers of the faults (of those that would strike) that do; None for all.
        jobs: the numbers of the jobs that are submitted; None for all.
        steps: how many steps the first phase has at most; None for as many as were drawn.
        note: called with a line about each port call, write and fault, for a full record of the run.
    """

    def __init__(
        self,
        config: Config,
        *,
        store: JobStore | None = None,
        scheduler: Scheduler = DEFAULT_SCHEDULER,
        keep: Collection[int] | None = None,
        jobs: Collection[int] | None = None,
        steps: int | None = None,
        note: Callable[[str], None] | None = None,
    ) -> None:
        """Set the world up; `run` does the rest."""
        self.config = config
        self.result = Result(config.seed)
        self.random = Random(config.seed * 2 + 1)  # noqa: S311
        self.chance = self.random.random
        self._strikes = Random(config.seed * 2 + 2).random  # noqa: S311
        self.now = self.latest = EPOCH
        self.keep = keep
        self.note = note
        self.steps = config.steps if steps is None else min(steps, config.steps)
        self.wanted = {
            IDS[n]: spec for n, spec in enumerate(config.specs) if jobs is None or n in jobs
        }
        self.corrupt: str | None = None
        self.raises: str | None = None
        self.poisoned: frozenset[str] = frozenset()
        if config.poison is not None and IDS[config.poison[1]] in self.wanted:
            kind, number = config.poison
            self._cell("world", kind)
            setattr(self, kind, IDS[number])
            self.poisoned = frozenset({IDS[number]})
        self._pools = {
            p.name: Pool(p.name, capacity=p.capacity, quota=p.quota, told=p.told)
            for p in config.pools
        }
        self._forever = False
        self.tiny: TinyTrainer | None = None
        if config.adapters == "memory":
            self.memory = MemoryTrainer(
                clock=Port(self),
                slots={p.name: p.quota for p in config.pools},
                scripts=_Scripts(self),
            )
            self.base: JobStore = MemoryStore()
            self.base_trainer: Trainer = self.memory
            self.truth: Callable[[str], Training | None] = self.memory._describe
        else:
            bad = frozenset[str]() if config.bad is None else frozenset({IDS[config.bad]})
            self.tiny = TinyTrainer(self._pools, uses_up=config.uses_up, bad=bad)
            self.base, self.base_trainer = ObjectStore(), self.tiny
            self.truth = self.tiny.truth
        if store is not None:
            self.base = store
        self.oracle = Oracle(self.truth)
        self.store = self.oracle.store(self.base)
        self.trainer = self.oracle.trainer(self.base_trainer)
        self.notifier = self.oracle.notifier(_Mailbox())
        self.flight: list[LaunchRequest] = []
        self.stops: list[str] = []
        self.past: dict[object, list[Any]] = {}
        self._rows: Any = config.faults()
        self.stale = "stale" in config.rates
        self._switching = True
        self._hub = greenlet.getcurrent()
        self._actors: list[tuple[greenlet, Port]] = []
        self._started = 0
        self.settings = Settings(
            limits=config.limits,
            scheduler=self.oracle.scheduler(scheduler),
            rules=RULES if self.tiny is not None else failure_rules(),
            launch_lease=config.lease,
            page=config.page,
            launches_together=config.together,
            go_on=self._go_on,
        )
        if note is not None:
            self.settings = replace(self.settings, on_change=self._noted)

    # --- the run ------------------------------------------------------------------------------

    def run(self) -> Result:
        """Run the two phases; the result says what was found."""
        result, oracle = self.result, self.oracle
        try:
            self._safety()
            self._calm()
            if not oracle.found:
                self._liveness()
        finally:
            for actor, _ in self._actors:
                actor.throw(Crash)
        result.found = list(oracle.found)
        result.edges = oracle.edges
        result.seconds = (max(self.now, self.latest) - EPOCH).total_seconds()
        for job in oracle.jobs.values():
            result.ends[job.status] += 1
            said = f"{job.job_id}{job.status}{job.version}{job.attempt_number}"
            result.digest = crc32(said.encode(), result.digest)
        return result

    def _safety(self) -> None:
        """Phase 1: all at once, and faults; nothing may ever be wrong."""
        config, chance, oracle = self.config, self.chance, self.oracle
        self._set_up()
        actors = self._actors
        for _ in range(self.steps):
            luck = chance()
            if actors and (luck < 0.56 or len(actors) >= config.actors):
                count = len(actors)
                newest = config.newest and chance() < _NEWEST
                self._resume(count - 1 if newest else int(chance() * count))
            elif luck < 0.78:
                self._begin()
            else:
                self._happen()
            if oracle.found:
                return

    def _resume(self, index: int) -> None:
        actor, port = self._actors[index]
        actor.switch()
        if actor.dead:
            del self._actors[index]
            self._ended(port)

    def _ended(self, port: Port) -> None:
        size = port.calls / (1 + len(self.wanted))
        if size > self.result.calls_max:
            self.result.calls_max = round(size)
            if size > _CALLS_PER_JOB_MAX:
                self.oracle.fail("L2", "", f"a tick has made {port.calls} calls")

    def _begin(self) -> None:
        """Start an actor; it runs to its first turn."""
        config = self.config
        luck = self.chance()
        skew = timedelta(0)
        if "skewed" in config.world and self.chance() < 0.2:
            skew = _SECOND * self.random.randint(-86400, 86400)
            self._cell("world", "skewed")
        self._started += 1
        port = Port(self, skew, self._started)
        if luck < config.asks:
            work: partial[Any] = self._asking(port)
        elif luck < config.asks + 0.04:
            work = partial(self._submit, port)
        else:
            luck = (luck - config.asks) / (1 - config.asks)
            if luck < 0.4:
                work = partial(jobcore.launch_tick, port, port, port, self.settings)
            elif luck < 0.75:
                if "hinted" in config.world and self.chance() < 0.5:
                    port.hints = self.random.choices(IDS, k=self.random.randint(1, 4))
                    self._cell("world", "hinted")
                work = partial(jobcore.monitor_tick, port, port, port, self.settings)
            elif luck < 0.9:
                work = partial(jobcore.notify_tick, port, port, port, self.settings)
            else:
                work = partial(jobcore.reap_tick, port, port, port, self.settings)
        self.latest = max(self.latest, port.now())
        port.what = work.func.__name__.removesuffix("_tick")
        actor = greenlet(_life)
        actor.switch(work, self.oracle)
        if actor.dead:
            self._ended(port)
        else:
            self._actors.append((actor, port))

    def _asking(self, port: Port) -> partial[Any]:
        active = [job.job_id for job in self.oracle.jobs.values() if job.status.is_active]
        among = active if active and self.chance() < 0.6 else IDS[: len(self.config.specs)]
        job_id = self.random.choice(among)
        luck = self.chance()
        event: Event
        if luck < 0.35:
            event = StopRequested(by="ada")
        elif luck < 0.65:
            event = HoldRequested(by="ada")
        else:
            event = ReleaseRequested(by="ada")
        return partial(
            jobcore.ticks.apply_request, job_id, event, store=port, now=port.now(), tries=3
        )

    def _submit(self, port: Port, *, all_of: bool = False) -> None:
        ids = [job_id for job_id in self.wanted if all_of or self.chance() < 0.7]
        if any(job_id in self.oracle.jobs for job_id in ids):
            self._cell("world", "resubmitted")
        specs = [self.wanted[job_id] for job_id in ids]
        held = "ada" if not all_of and self.chance() < 0.05 else None
        jobcore.submit(specs, ids, store=port, now=port.now(), held_by=held)

    def arrive(self, port: Port, call: str, argument: object) -> str | None:
        """
        Come to a port call: others may have their turn first; say which fault strikes.

        Raises:
            Crash: the process dies before the call.
        """
        port.calls += 1
        result = self.result
        result.calls += 1
        if self._switching and self.chance() < self.config.switch:
            self._hub.switch()
        result.digest = crc32(_BYTES[call], result.digest)
        row = self._rows.get(call)
        kind = None
        if row is not None and (strike := self._strikes()) < row[-1][0]:
            kind = self._strike(call, strike, row)
        if self.note is not None:
            said = "" if kind is None else f"  ** {kind}"
            self.note(f"{port.name:>12} {call}({_short(argument)}){said}")
        if kind == "crash":
            raise Crash
        return kind

    def _strike(self, call: str, strike: float, row: Sequence[tuple[float, str]]) -> str | None:
        result = self.result
        result.faults += 1
        if self.keep is not None and result.faults not in self.keep:
            return None
        kind = next(kind for total, kind in row if strike < total)
        result.struck.append(result.faults)
        result.cells[call, kind] += 1
        result.digest = crc32(_BYTES[kind], result.digest)
        return kind

    def detail(self) -> Random:
        """Give what decides the details of the fault that strikes now, whatever else was drawn."""
        return Random(self.config.seed * 1_000_003 + self.result.faults)  # noqa: S311

    def _cell(self, call: str, kind: str) -> None:
        self.result.cells[call, kind] += 1
        if self.note is not None:
            self.note(f"{call:>12} ** {kind}")

    def _noted(self, change: jobcore.ticks.Change) -> None:
        assert self.note is not None
        job, event = change.job, type(change.event).__name__
        said = f"{change.before} -> {job.status}, attempt {job.attempt_number}, v{job.version}"
        self.note(f"{'':12}   {job.job_id[:4]} {said} ({event}: {change.note})")

    def _go_on(self) -> bool:
        if self._switching and "hurried" in self.config.world and self.chance() < 0.1:
            self._cell("world", "hurried")
            return False
        return True

    # --- the world goes on ----------------------------------------------------------------------

    def _set_up(self) -> None:
        config = self.config
        if "others" in config.world:
            for pool in self._pools.values():
                if not pool.told:
                    pool.others = self.random.randint(0, pool.quota)
                    self._cell("world", "others")
        if config.bad is not None and self.tiny is not None:
            self._cell("world", "bad")
        if config.stranger is not None:
            self._strange(IDS[config.stranger])
        self._switching = False
        with suppress(Unavailable, Crash):
            self._submit(Port(self))
        self._switching = True

    def _strange(self, job_id: str) -> None:
        """Somebody else has a training under the name of the first attempt."""
        request = LaunchRequest(
            name=jobcore.lifecycle.training_name(job_id, 1),
            job_id=_STRANGER,
            attempt=1,
            spec_hash="another's",
            placement=Placement(self.config.pools[0].name),
            args={},
        )
        if self.tiny is not None:
            self.tiny.strange(request)
        else:
            self.base_trainer.launch([request])
        self._cell("world", "stranger")

    def _happen(self) -> None:
        luck = self.chance()
        if luck < 0.5:
            self._progress()
        elif luck < 0.75:
            self._time_goes()
        elif luck < 0.87:
            self._land()
        elif luck < 0.93:
            self._move_quota()
        elif "vanished" in self.config.world:
            self._vanish()
        elif "jumped" in self.config.world:
            # The memory trainer's trainings are as old as the clock says: there it goes forward only.
            least = 0 if self.tiny is None else -7200
            self.now += _SECOND * self.random.randint(least, 7200)
            self._cell("world", "jumped")

    def _time_goes(self) -> None:
        luck = self.chance()
        if luck < 0.7:
            self.now += _SECOND * self.random.randint(1, 90)
        elif luck < 0.9:
            self.now += _SECOND * self.random.randint(90, 400)
        else:
            self.now += _SECOND * self.random.randint(400, 4000)
        self.latest = max(self.latest, self.now)

    def _progress(self) -> None:
        """Trainings begin and end."""
        tiny, chance = self.tiny, self.chance
        if tiny is None:
            self._time_goes()
            return
        for name in list(tiny.alive):
            luck = chance()
            if luck < 0.4:
                continue
            state = tiny.alive[name].state
            if state is TrainingState.PENDING:
                if luck < 0.9:
                    tiny.begin(name, self.now)
                else:
                    tiny.end(name, "short" if luck < 0.95 else "internal", self.now)
            elif state is TrainingState.STOPPING:
                tiny.end(name, "stopped" if luck < 0.9 else self._fate(), self.now)
            else:
                tiny.end(name, self._fate(), self.now)

    def _fate(self) -> str:
        fates = _FATES[self.config.fates]
        fate = fates[int(self.chance() * len(fates))]
        if fate == "interrupted":
            if "interrupted" not in self.config.world:
                return "completed"
            self._cell("world", "interrupted")
        return fate

    def script(self) -> Script:
        """Draw what becomes of a training of the memory trainer."""
        state, evidence = FATES[self._fate()]
        return Script(
            pending=_SECOND * self.random.choice((0, 30)),
            runs=timedelta(days=9) if self._forever else _SECOND * self.random.choice((5, 60, 600)),
            outcome=state,
            text="" if evidence is None else evidence.text,
        )

    def _land(self) -> None:
        """A request that was under way arrives, or never does."""
        if self.flight:
            request = self.flight.pop(int(self.chance() * len(self.flight)))
            if self.chance() < 0.8:
                self._cell("world", "landed")
                self.trainer.launch([request])
        if self.stops:
            name = self.stops.pop(int(self.chance() * len(self.stops)))
            if self.chance() < 0.8:
                self.trainer.stop(name)

    def _move_quota(self) -> None:
        if self.tiny is None or "moved_quota" not in self.config.world:
            return
        pool = self.random.choice(list(self._pools.values()))
        pool.quota = self.random.randint(1, 4)
        if not pool.told:
            pool.others = self.random.randint(0, pool.quota)
        self._cell("world", "moved_quota")

    def _vanish(self) -> None:
        """The trainer loses a training and its name; whatever was under way then is dead."""
        names = [n for n in self.oracle.created if self.truth(n) is not None]
        if not names:
            return
        self._kill()
        name = self.random.choice(names)
        if self.tiny is not None:
            self.tiny.vanish(name)
        else:
            self.memory.vanish(name)
        self.oracle.vanished(name)
        self._cell("world", "vanished")

    def _kill(self) -> None:
        for actor, _ in self._actors:
            actor.throw(Crash)
        self._actors.clear()
        self.flight.clear()
        self.stops.clear()

    # --- peace ----------------------------------------------------------------------------------

    def _calm(self) -> None:
        """What is under way dies, or lands now; clocks are right again; nothing fails any more."""
        for actor, _ in self._actors:
            actor.throw(Crash)
        self._actors.clear()
        while (self.flight or self.stops) and not self.oracle.found:
            self._land()
        self._rows = {}
        self.past.clear()
        self.stale = self._switching = False
        self.now = max(self.now, self.latest)
        config = self.config
        need = max(spec.placements[0].count for spec in config.specs)
        need = max(need, len(config.specs) // 2) + (2 if self.poisoned else 0)
        for pool in self._pools.values():
            pool.others = 0
            pool.quota = pool.capacity = need
        if self.tiny is None:
            self.memory.slots = dict.fromkeys(self.memory.slots, need)
        self._forever = config.healing == "forever"
        if not self.oracle.found:
            self.oracle.check_store(self.base, self.now)

    def _liveness(self) -> None:
        """Phase 2: fair rounds, no faults; all must come to its end."""
        oracle = self.oracle
        with suppress(CorruptRecord):
            self._submit(Port(self), all_of=True)
        for number in range(1, ROUNDS_MAX + 1):
            self.result.rounds = number
            changed = 0
            for tick in (jobcore.launch_tick, None, jobcore.monitor_tick, jobcore.notify_tick):
                if tick is None:
                    changed += self._advance()
                    continue
                changed += self._in_peace(tick)
            self._in_peace(jobcore.reap_tick)
            changed += self._people(number)
            if oracle.found:
                return
            if self._is_over():
                break
            # Behind a launch that nobody answers a pool that was short gives one launch an hour.
            idle = _IDLE if self.raises is None else _UNANSWERED
            self.now += _ROUND if changed else idle
        oracle.check_end(self.base_trainer.running(), self.poisoned)
        oracle.check_store(self.base, self.now)

    def _in_peace(self, tick: Callable[..., TickReport]) -> int:
        """Run a tick that nothing disturbs; say how much it has changed."""
        port = Port(self)
        try:
            return tick(port, port, port, self.settings).changed
        except Exception as error:
            code = "L3" if self.poisoned else "L2"
            self.oracle.fail(code, "", f"a tick raised {type(error).__name__}: {error}")
            return 0
        finally:
            self._ended(port)

    def _advance(self) -> int:
        """Trainings begin and end, as the healing has it."""
        tiny = self.tiny
        if tiny is None:
            self.now += 11 * _SECOND
            return 0
        healing, moved = self.config.healing, 0
        for name in list(tiny.alive):
            run = tiny.alive[name]
            if run.state is TrainingState.PENDING:
                moved += tiny.begin(name, self.now)
            if run.state is TrainingState.STOPPING:
                fate = "stopped"
            elif run.state is TrainingState.PENDING or healing == "forever":
                continue
            elif healing == "complete":
                fate = "completed"
            else:
                fate = "bug" if self.chance() < 0.5 else "internal"
            tiny.end(name, fate, self.now)
            moved += 1
        return moved

    def _people(self, number: int) -> int:
        """Those who are told of a hold release it; what runs for ever is stopped."""
        asked = 0
        for job in list(self.oracle.jobs.values()):
            event: Event
            if job.job_id == self.corrupt:
                continue
            if job.status is Status.HELD:
                event = ReleaseRequested(by="ada")
            elif number >= 2 and self._forever and job.stop is None and not job.status.is_terminal:
                event = StopRequested(by="ada")
            else:
                continue
            asked += 1
            port = Port(self)
            jobcore.ticks.apply_request(job.job_id, event, store=port, now=port.now())
        return asked

    def _is_over(self) -> bool:
        jobs: Iterable[Job] = self.oracle.jobs.values()
        if any(
            not job.status.is_terminal or job.outbox
            for job in jobs
            if job.job_id not in self.poisoned
        ):
            return False
        ours, poisoned = self.oracle.created, self.poisoned
        return not any(
            t.name in ours and t.job_id not in poisoned for t in self.base_trainer.running()
        )


_CALLS: Sequence[str] = (
    "add", "get", "save", "due", "waiting", "usage", "find", "counts", "pools", "save_pool",
    "launch", "describe", "stop", "capacity", "running", "publish",
)  # fmt: skip
_KINDS: Sequence[str] = (
    "lost", "unknown", "partial", "own", "stale", "crash", "crash_after", "throttled", "quota",
    "short", "unclear", "unclear_applied", "late", "exists", "absent", "cut",
)  # fmt: skip
_BYTES = {name: bytes([n]) for n, name in enumerate((*_CALLS, *_KINDS))}


def _life(work: Callable[[], object], oracle: Oracle) -> None:
    """Run an actor; it may die, or say that a port was away, and nothing else."""
    try:
        work()
    except (Crash, Unavailable, CorruptRecord):
        pass
    except Exception as error:
        oracle.fail("L2", "", f"a tick raised {type(error).__name__}: {error}")


def _short(argument: object) -> str:
    """Say in a line what a call is about."""
    if isinstance(argument, Sequence) and not isinstance(argument, str):
        return ", ".join(_short(item) for item in argument)
    if isinstance(argument, Job):
        return f"{argument.job_id[:4]} {argument.status} v{argument.version}"
    if isinstance(argument, LaunchRequest):
        return f"{argument.name[3:7]}-{argument.attempt} {argument.placement.pool}"
    if isinstance(argument, Message):
        return argument.event_id
    return "" if argument is None else str(argument)
