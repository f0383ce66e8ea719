"""The simulated provider: pools whose capacity changes over time, and the trainings in them.

Behind the `jobcore.Trainer` port it answers as SageMaker does. A create may be throttled, or refused
for a quota (with the real text). An accepted training may wait Pending for instances, and fails with
a CapacityError after a while. Spot instances are interrupted. Draws are hashes of the seed and the
training's name, so that a training's course is the same under every policy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import TYPE_CHECKING

from jobcore import Unavailable
from jobcore.lifecycle import hash_fraction, training_name
from jobcore.ports import (
    Evidence,
    LaunchReply,
    LaunchRequest,
    LaunchResult,
    Training,
    TrainingState,
)
from jobcore_simulation._texts import CAPACITY_ERROR, over_limit

from ._engine import Engine, seconds, to_time

if TYPE_CHECKING:
    from ._scenario import Provider, Scenario, Task

__all__ = ["Draws", "Fleet", "SimPool", "checkpointed", "victims"]

_NORMAL = NormalDist()
_CHECKPOINT_EVERY = 600.0  # seconds; work since the last one is lost with a spot instance
_INTERRUPTED = Evidence(
    where="describe",
    status="Stopped",
    secondary_status="Interrupted",
    text="The job stopped because the managed spot training instances were interrupted.",
)
_SHORT = Evidence(where="describe", status="Failed", secondary_status="Failed", text=CAPACITY_ERROR)
_PENDING_TOO_LONG = Evidence(
    where="describe",
    status="Stopped",
    secondary_status="Stopped",
    text="Training job times out waiting for capacity",
)
_THROTTLED = LaunchReply(
    LaunchResult.REFUSED,
    Evidence(
        where="create",
        error_code="ThrottlingException",
        text="ThrottlingException: Rate exceeded",
    ),
)
_ACCEPTED = LaunchReply(LaunchResult.ACCEPTED)
_EXISTS = LaunchReply(LaunchResult.EXISTS)


@dataclass(frozen=True, slots=True)
class Draws:
    """The random draws of a world."""

    seed: str
    provider: Provider

    def start_up(self, job: int, attempt: int) -> float:
        """Seconds from the instances to the first step."""
        low, high = self.provider.start_up
        return low + (high - low) * hash_fraction(self.seed, job, attempt, "start-up")

    def gives_up(self, name: str) -> float:
        """Seconds until the provider gives up a launch that waits for instances."""
        spread = _NORMAL.inv_cdf(0.001 + 0.998 * hash_fraction(self.seed, name, "gives up"))
        return self.provider.gives_up * math.exp(self.provider.gives_up_sigma * spread)

    def listening(self, name: str, at: int) -> float:
        """Seconds from a free instance to the start of the launch that gets it."""
        return 5 + 55 * hash_fraction(self.seed, name, at, "listening")


def checkpointed(ran: float) -> float:
    """Return the seconds of work that a training interrupted after *ran* seconds has saved."""
    return ran // _CHECKPOINT_EVERY * _CHECKPOINT_EVERY


def victims(names: Iterable[str], seed: str, now: int) -> list[str]:
    """Put the trainings of a pool in the order in which they are interrupted at *now*."""
    return sorted(names, key=lambda name: hash_fraction(seed, name, now))


@dataclass(slots=True)
class SimPool:
    """A pool of the world."""

    name: str
    capacity: int
    quota: int | None
    spot: bool
    used: int = 0  # instances held by jobcore's trainings
    charged: int = 0  # instances that count against the quota, those of waiting trainings included
    others: int = 0  # of the quota, in use by other teams
    queue: dict[str, _Run] = field(default_factory=dict)
    running: dict[str, _Run] = field(default_factory=dict)

    def room(self) -> int:
        """Free instances."""
        return self.capacity - self.used


@dataclass(slots=True)
class _Run:
    """A training."""

    name: str
    request: LaunchRequest
    pool: SimPool
    count: int
    task: Task
    created: int
    state: TrainingState = TrainingState.PENDING
    placed: int | None = None
    started: int | None = None
    ended: int | None = None
    evidence: Evidence | None = None
    plan: int = 0
    offered: bool = False
    view: Training | None = None  # as it was described last


class Fleet:
    """
    A `jobcore.Trainer` over a simulated provider.

    Args:
        on_event: called with the job id of each training that has changed (the provider's event).
    """

    def __init__(
        self, engine: Engine, scenario: Scenario, seed: str, on_event: Callable[[str], None]
    ) -> None:
        """Set the pools up and let their capacity change."""
        self.engine = engine
        self.provider = scenario.provider
        self.draws = Draws(seed, scenario.provider)
        self.on_event = on_event
        self.tasks: dict[str, Task] = {}
        self.pools: dict[str, SimPool] = {}
        self.runs: dict[str, _Run] = {}
        self.done: dict[str, float] = {}  # seconds of work that a job's checkpoints hold
        self.calls = self.accepted = self.refused = self.throttled = 0
        self.wasted = self.describes = 0
        self.slot_time = 0.0
        self.finished_at: dict[str, int] = {}
        self._tokens = float(scenario.provider.burst)
        self._tokens_at = 0
        self._outages = [o for o in scenario.outages if o.port == "trainer"]
        for pool in scenario.pools:
            steps = iter(pool.steps(seed))
            _, first = next(steps)
            self.pools[pool.name] = SimPool(pool.name, first, pool.quota, pool.spot)
            engine.stream(_changes(pool.name, steps), self._resize)
            engine.stream(_changes(pool.name, pool.quotas), self._change_quota)
            engine.stream(_changes(pool.name, pool.others), self._change_others)

    # --- the port -------------------------------------------------------------------------

    def launch(self, requests: Sequence[LaunchRequest]) -> Sequence[LaunchReply]:
        """Create trainings."""
        self._reachable()
        return [self._create(request) for request in requests]

    def describe(self, names: Sequence[str]) -> Mapping[str, Training | None]:
        """Read trainings."""
        self._reachable()
        self.describes += len(names)
        return {name: _view(self.runs.get(name)) for name in names}

    def truth(self, name: str) -> Training | None:
        """Read a training without a port call, so that it works during outages."""
        return _view(self.runs.get(name))

    def stop(self, name: str) -> None:
        """Stop a training at once."""
        self._reachable()
        run = self.runs.get(name)
        if run is not None and not run.state.is_terminal:
            stopped = Evidence(where="describe", status="Stopped", secondary_status="Stopped")
            self._end(run, TrainingState.STOPPED, stopped)

    def capacity(self) -> Mapping[str, int | None]:
        """Return the pools, with unknown sizes, as in SageMaker."""
        return dict.fromkeys(self.pools)

    def running(self) -> Iterable[Training]:
        """Walk the trainings that are not terminal."""
        return [
            view
            for run in self.runs.values()
            if not run.state.is_terminal and (view := _view(run)) is not None
        ]

    def forget(self, job_id: str, attempts: int) -> None:
        """Drop a terminal job and its trainings, which are terminal too."""
        del self.tasks[job_id]
        self.done.pop(job_id, None)
        for number in range(1, attempts + 1):
            run = self.runs.pop(training_name(job_id, number), None)
            assert run is None or run.state.is_terminal

    def _reachable(self) -> None:
        if any(o.begins <= self.engine.now < o.ends for o in self._outages):
            msg = "the service does not answer"
            raise Unavailable(msg)

    def _create(self, request: LaunchRequest) -> LaunchReply:
        self.calls += 1
        if request.name in self.runs:
            return _EXISTS
        if not self._take_token():
            self.throttled += 1
            return _THROTTLED
        pool = self.pools[request.placement.pool]
        count = request.placement.count
        used = pool.charged + pool.others
        if pool.quota is not None and used + count > pool.quota:
            self.refused += 1
            refusal = over_limit(f"{pool.name} for training job usage", pool.quota, used, count)
            evidence = Evidence(where="create", error_code=refusal.code, text=refusal.text)
            return LaunchReply(LaunchResult.REFUSED, evidence)
        now = self.engine.now
        run = _Run(request.name, request, pool, count, self.tasks[request.job_id], now)
        pool.charged += count
        self.runs[request.name] = run
        self.accepted += 1
        if pool.room() >= count and not pool.queue:
            self._place(run)
        elif self.provider.listens:
            pool.queue[run.name] = run
            self._plan(run, self._wait_limit(run), self._give_up)
            self._offer(pool)
        else:
            self._plan(run, self._wait_limit(run), self._give_up)
        return _ACCEPTED

    def _take_token(self) -> bool:
        passed = (self.engine.now - self._tokens_at) / 1e6
        self._tokens = min(self.provider.burst, self._tokens + passed * self.provider.rate)
        self._tokens_at = self.engine.now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    # --- capacity -------------------------------------------------------------------------

    def _wait_limit(self, run: _Run) -> float:
        """Seconds that a launch waits for instances before the provider gives it up."""
        pending = self.provider.max_pending
        if pending is None:
            return self.draws.gives_up(run.name)
        return pending if len(run.task.pools) == 1 else min(pending, 1800.0)

    def _offer(self, pool: SimPool) -> None:
        """Offer free instances to launches that wait; each takes its offer after a drawn delay."""
        free = pool.room()
        if free <= 0 or not pool.queue:
            return
        now = self.engine.now
        for name, run in pool.queue.items():
            if not run.offered:
                run.offered = True
                self.engine.after(seconds(self.draws.listening(name, now)), self._take_offer, run)
                free -= run.count
                if free <= 0:
                    break

    def _take_offer(self, run: _Run) -> None:
        run.offered = False
        if run.state is not TrainingState.PENDING or run.placed is not None:
            return
        if run.pool.room() >= run.count:
            self._place(run)
            if self.provider.max_pending is not None:  # the end of Pending is visible
                run.state = TrainingState.RUNNING
                self.on_event(run.request.job_id)
        self._offer(run.pool)

    def _place(self, run: _Run) -> None:
        run.pool.queue.pop(run.name, None)
        run.pool.used += run.count
        run.pool.running[run.name] = run
        run.placed = self.engine.now
        number = run.request.attempt
        self._plan(run, self.draws.start_up(run.task.number, number), self._begin)

    def _begin(self, run: _Run) -> None:
        run.state = TrainingState.RUNNING
        run.started = self.engine.now
        self.on_event(run.request.job_id)
        done = self.done.get(run.request.job_id, 0.0)
        self._plan(run, run.task.runs_for(run.request.attempt, done), self._finish)

    def _finish(self, run: _Run) -> None:
        failure = run.task.failure_of(run.request.attempt)
        if failure is None:
            self._end(run, TrainingState.COMPLETED, None)
        else:
            evidence = Evidence(where="describe", status="Failed", text=failure)
            self._end(run, TrainingState.FAILED, evidence)

    def _give_up(self, run: _Run) -> None:
        self.wasted += 1
        pending = self.provider.max_pending is not None
        state = TrainingState.STOPPED if pending else TrainingState.FAILED
        self._end(run, state, _PENDING_TOO_LONG if pending else _SHORT)

    def _end(self, run: _Run, state: TrainingState, evidence: Evidence | None) -> None:
        now, pool = self.engine.now, run.pool
        run.plan += 1
        run.state, run.evidence, run.ended = state, evidence, now
        pool.queue.pop(run.name, None)
        pool.charged -= run.count
        if run.placed is not None:
            pool.used -= run.count
            del pool.running[run.name]
            if run.started is not None:
                self.slot_time += (now - run.started) / 1e6 * run.count
        self.on_event(run.request.job_id)
        self._offer(pool)

    def _resize(self, what: tuple[str, int]) -> None:
        name, capacity = what
        pool = self.pools[name]
        pool.capacity = capacity
        if pool.spot:
            for victim in victims(pool.running, self.draws.seed, self.engine.now):
                if pool.used <= capacity:
                    break
                self._interrupt(pool.running[victim])
        self._offer(pool)

    def _interrupt(self, run: _Run) -> None:
        if run.started is not None:
            ran = (self.engine.now - run.started) / 1e6
            job_id = run.request.job_id
            self.done[job_id] = self.done.get(job_id, 0.0) + checkpointed(ran)
        self._end(run, TrainingState.STOPPED, _INTERRUPTED)

    def _change_quota(self, what: tuple[str, int]) -> None:
        self.pools[what[0]].quota = what[1]

    def _change_others(self, what: tuple[str, int]) -> None:
        self.pools[what[0]].others = what[1]

    # --- time -----------------------------------------------------------------------------

    def _plan(self, run: _Run, delay: float, act: Callable[[_Run], None]) -> None:
        """Plan the next event of *run*; earlier plans become void."""
        run.plan += 1
        self.engine.after(seconds(delay), self._act, (run, run.plan, act))

    def _act(self, what: tuple[_Run, int, Callable[[_Run], None]]) -> None:
        run, plan, act = what
        if run.plan == plan:
            act(run)


def _changes(
    name: str, steps: Iterable[tuple[float, int]]
) -> Iterator[tuple[int, tuple[str, int]]]:
    return ((seconds(at), (name, capacity)) for at, capacity in steps)


def _view(run: _Run | None) -> Training | None:
    if run is None:
        return None
    view = run.view
    if view and view.state is run.state and (view.started_at is None) == (run.started is None):
        return view  # most looks find a training as it was
    request = run.request
    run.view = Training(
        name=run.name,
        state=run.state,
        job_id=request.job_id,
        attempt=request.attempt,
        spec_hash=request.spec_hash,
        started_at=None if run.started is None else to_time(run.started),
        ended_at=None if run.ended is None else to_time(run.ended),
        evidence=run.evidence,
    )
    return run.view
