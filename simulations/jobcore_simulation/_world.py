"""The world: pools with capacity, trainings with fates, an account with quotas. Pure.

Time comes in as an argument, in seconds since the epoch, and never goes back. A driver reads the
time of the next event from `World.next_event_at` and calls `World.advance`; the sandbox follows the
wall clock. Random draws are hashes of the seed and a name: two worlds with the same calls behave
alike.

Phases and statuses are those of SageMaker's training jobs; docs/reference/sandbox.md names the sources of the
texts, and those that could not be checked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice

from ._agenda import Agenda
from ._pools import Pool, PoolConfig, Shortage, first_allowed, is_accelerated
from ._texts import (
    CAPACITY_ERROR,
    IN_USE,
    MESSAGES,
    PENDING_TOO_LONG,
    PREPARING,
    SHORT_OF_INSTANCES,
    name_taken,
    not_available,
    wrong_status,
)
from ._training import Script, ScriptBook, Training, TrainingRequest, Transition

__all__ = ["World"]

FAILURE_CHARS_MAX = 1024
STOPPING_SECONDS_MAX = 120.0
_ANY_SIZE = PoolConfig()


class World:
    """
    Pools, trainings and one account in one region.

    Args:
        pools: pool name (``region/instance type/market``) → its set-up.
        default_pool: the set-up of all other pools; None: their instance types are not
            available in the region.
        scripts: the course of trainings; the first that matches counts.
        seed: of every draw.
        start: the time at which the world begins.
        quota_total: instances that the account may use at once, over all pools.
        arn: the beginning of a training's ARN, to be followed by its name.
    """

    def __init__(
        self,
        *,
        pools: Mapping[str, PoolConfig] | None = None,
        default_pool: PoolConfig | None = _ANY_SIZE,
        scripts: Iterable[Script] = (),
        seed: str | int = 0,
        start: float = 0.0,
        quota_total: int | None = None,
        arn: str = "arn:aws:sagemaker:us-east-1:000000000000:training-job/",
    ) -> None:
        self.now = start
        self.start = start
        self.seed = str(seed)
        self.arn = arn
        self.quota_total = quota_total
        self.total_used = 0
        self.pools: dict[str, Pool] = {}
        self.trainings: dict[str, Training] = {}
        self.listeners: list[Callable[[float, Training], None]] = []
        self._default_pool = default_pool
        self._scripts = ScriptBook(scripts)
        self._agenda = Agenda()
        for name, config in (pools or {}).items():
            self.set_pool(name, config)

    # --- set-up ---------------------------------------------------------------------------

    def add_script(self, script: Script) -> None:
        """Add a script for trainings yet to come; it goes before the earlier ones."""
        self._scripts.add(script)

    def clear_scripts(self) -> None:
        """Drop all scripts."""
        self._scripts.clear()

    def set_pool(self, name: str, config: PoolConfig) -> Pool:
        """Set up a pool, or change it; a smaller capacity interrupts spot trainings only."""
        steps = config.steps()
        constant = config.capacity if isinstance(config.capacity, int) else None
        pool = self.pools.get(name)
        if pool is None:
            pool = self.pools[name] = Pool(name, config, constant)
        pool.config, pool.next_step = config, 0
        pool.generation += 1
        self._resize(pool, steps[0][1] if steps else constant)
        if len(steps) > 1:
            self._plan_step(pool, base=self.now)
        return pool

    # --- time -----------------------------------------------------------------------------

    def next_event_at(self) -> float | None:
        """Return when the next event is due; None: there is none."""
        return self._agenda.next_at()

    def advance(self, to: float) -> None:
        """
        Advance the time, and apply each event that is due by then, at its time.

        Raises:
            ValueError: *to* is in the past.
        """
        if to < self.now:
            msg = f"time runs forwards: it is {self.now}, not {to}"
            raise ValueError(msg)
        while (at := self.next_event_at()) is not None and at <= to:
            act = self._agenda.pop()
            self.now = max(self.now, at)
            act()
        self.now = to

    def _after(self, training: Training, seconds: float, act: Callable[[Training], None]) -> None:
        """Plan *act*; it is void if the training changes its status before."""
        generation = training.generation
        self._agenda.plan(
            self.now + seconds,
            lambda: act(training),
            still=lambda: training.generation == generation and not training.is_terminal,
        )

    # --- the calls ------------------------------------------------------------------------

    def create(self, now: float, request: TrainingRequest) -> Training:
        """
        Create a training.

        Raises:
            Refused: the name is taken, a quota is full, or a script says so; nothing was created.
        """
        self.advance(now)
        if request.name in self.trainings:
            raise name_taken(self.arn + request.name)
        candidates = [(self._pool(name), count) for name, count in request.pools]
        charged, count = first_allowed(candidates, total=self.quota_total, used=self.total_used)
        fate = self._scripts.draw(request, self.seed)
        if request.open_ended:
            fate = replace(fate, training=None, stopping=STOPPING_SECONDS_MAX)
        training = Training(
            request, fate, now, modified_at=now, charged=charged.name, count=count, phase_since=now
        )
        charged.quota_used += count
        self.total_used += count
        self.trainings[request.name] = training
        self._turn(training, "Starting")
        if request.max_wait is not None:
            self._agenda.plan(
                now + request.max_wait,
                lambda: self._out_of_time(training),
                still=lambda: training.status == "InProgress",
            )
        self._seek(training)
        return training

    def describe(self, now: float, name: str) -> Training | None:
        """Read a training; None: there is none of that name."""
        self.advance(now)
        return self.trainings.get(name)

    def stop(self, now: float, name: str) -> Training:
        """
        Request the stop of a training; a repetition while it is stopping changes nothing.

        Raises:
            KeyError: there is none of that name.
            Refused: it is over.
        """
        self.advance(now)
        training = self.trainings[name]
        if training.is_terminal:
            raise wrong_status(training.status)
        if training.status != "Stopping":
            self._begin_stop(training, "Stopped")
        return training

    def delete(self, now: float, name: str) -> None:
        """
        Forget a training that is over; its name can be used again.

        Raises:
            KeyError: there is none of that name.
            Refused: it is not over.
        """
        self.advance(now)
        training = self.trainings[name]
        if not training.is_terminal:
            raise wrong_status(training.status, IN_USE)
        del self.trainings[name]

    def finish(self, now: float, training: Training, *, failure: str = "") -> bool:
        """End the training phase of an open-ended training; False if it is not (any more) in it."""
        self.advance(now)
        if training.fate.training is None and self.trainings.get(training.name) is training:
            if training.status == "Stopping":
                self._end(training, "Stopped", training.ends_as)
                return True
            if training.secondary == "Training":
                if failure:
                    self._fail(training, failure)
                else:
                    self._upload(training)
                return True
        return False

    def __iter__(self) -> Iterator[Training]:
        """Walk the trainings in the order of their creation."""
        return iter(tuple(self.trainings.values()))

    # --- admission ------------------------------------------------------------------------

    def _pool(self, name: str) -> Pool:
        pool = self.pools.get(name)
        if pool is not None:
            return pool
        if self._default_pool is None:
            raise not_available(name.split("/")[1])
        return self.set_pool(name, self._default_pool)

    # --- capacity -------------------------------------------------------------------------

    def _seek(self, training: Training) -> None:
        """Allocate instances to the training, or put it into the queues of its pools."""
        for name, count in training.request.pools:
            pool = self.pools[name]
            if pool.has_room(count) and self._may_use(training, pool, count):
                self._place(training, pool, count)
                return
        for name, _ in training.request.pools:
            self.pools[name].queue[training.name] = training
        pool = self.pools[training.request.pools[0][0]]
        if pool.market == "spot":
            training.transitions[-1].message = SHORT_OF_INSTANCES
        elif pool.shortage is Shortage.FAIL:
            training.transitions[-1].message = SHORT_OF_INSTANCES
            wait = pool.config.capacity_error_after
            self._after(training, wait, lambda t: self._fail(t, CAPACITY_ERROR))
        else:
            self._after(training, training.fate.noticing, self._pend)

    def _may_use(self, training: Training, pool: Pool, count: int) -> bool:
        own = training.count if training.charged == pool.name else 0
        return pool.has_quota(count - own)

    def _pend(self, training: Training) -> None:
        self._turn(training, "Pending")
        accelerated = any(is_accelerated(name) for name, _ in training.request.pools)
        if training.request.max_pending is not None and accelerated:
            self._after(training, training.request.max_pending, self._give_up_pending)

    def _give_up_pending(self, training: Training) -> None:
        self._end(training, "Stopped", "Stopped", message=PENDING_TOO_LONG)

    def _place(self, training: Training, pool: Pool, count: int) -> None:
        self._leave_queues(training)
        before = training.charged
        if before is not None:
            self.pools[before].quota_used -= training.count
            self.total_used += count - training.count
        training.charged = training.pool = training.selected = pool.name
        training.count = count
        training.placed_at = self.now
        pool.quota_used += count
        pool.used += count
        pool.running[training.name] = training
        training.generation += 1
        if training.secondary != "Starting":
            self._turn(training, "Starting")
        training.transitions[-1].message = PREPARING
        self._phase_ends(training, training.fate.starting, self._download)
        if before is not None and before != pool.name:
            self._fill(self.pools[before])  # its quota has room again

    def _release(self, training: Training) -> None:
        """Release the training's instances; the caller gives them to waiting trainings (`_fill`)."""
        if training.pool is None or training.placed_at is None:
            return
        pool = self.pools[training.pool]
        pool.used -= training.count
        del pool.running[training.name]
        if training.started_at is not None:
            training.busy += self.now - max(training.placed_at, training.started_at)
        training.pool = training.placed_at = None

    def _fill(self, pool: Pool) -> None:
        """Place waiting trainings, oldest first; skip those that do not fit."""
        left_out = 0
        while pool.has_room(1):
            training = next(islice(pool.queue.values(), left_out, None), None)
            if training is None:
                return
            count = dict(training.request.pools)[pool.name]
            if pool.has_room(count) and self._may_use(training, pool, count):
                self._place(training, pool, count)
            else:
                left_out += 1

    def _leave_queues(self, training: Training) -> None:
        for name, _ in training.request.pools:
            self.pools[name].queue.pop(training.name, None)

    def _plan_step(self, pool: Pool, *, base: float) -> None:
        """Plan the next step of a pool's capacity; *base* is where its steps began."""
        steps, period = pool.config.steps(), pool.config.period
        index = pool.next_step + 1
        if index == len(steps):
            if period is None:
                return
            index, base = 0, base + period
        at = base + steps[index][0]
        generation = pool.generation

        def act() -> None:
            pool.next_step = index
            self._resize(pool, steps[index][1])
            self._plan_step(pool, base=base)

        self._agenda.plan(max(at, self.now), act, still=lambda: pool.generation == generation)

    def _resize(self, pool: Pool, capacity: int | None) -> None:
        pool.capacity = capacity
        while pool.market == "spot" and not pool.has_room(0) and pool.running:
            victim = next(reversed(pool.running.values()))
            if victim.status == "Stopping":
                self._end(victim, "Stopped", victim.ends_as)
            else:
                self._interrupt(victim)
        self._fill(pool)

    # --- phases ---------------------------------------------------------------------------

    def _phase_ends(
        self, training: Training, seconds: float, then: Callable[[Training], None]
    ) -> None:
        """Plan the end of the phase: the next phase, or the failure that the fate names."""
        phase, fate = training.secondary, training.fate
        if fate.failure and fate.fails_in == phase:
            self._after(training, seconds, lambda t: self._fail(t, fate.failure))
        else:
            self._after(training, seconds, then)

    def _download(self, training: Training) -> None:
        if training.started_at is None:
            training.started_at = self.now
        self._turn(training, "Downloading")
        left = training.request.max_runtime - training.busy
        self._after_placement(training, max(left, 0.0), "MaxRuntimeExceeded")
        self._phase_ends(training, training.fate.downloading, self._train)

    def _train(self, training: Training) -> None:
        self._turn(training, "Training")
        fate = training.fate
        spot = training.pool is not None and self.pools[training.pool].market == "spot"
        if spot and training.interrupted < len(fate.interruptions):
            wait = fate.interruptions[training.interrupted]
            if fate.training is None or wait < fate.training - training.done:
                self._after(training, wait, self._interrupt)
                return
        if fate.training is not None:
            self._phase_ends(training, max(fate.training - training.done, 0.0), self._upload)

    def _upload(self, training: Training) -> None:
        self._turn(training, "Uploading")
        self._phase_ends(
            training, training.fate.uploading, lambda t: self._end(t, "Completed", "Completed")
        )

    def _interrupt(self, training: Training) -> None:
        if training.request.checkpoints:
            if training.secondary == "Training":
                training.done += self.now - training.phase_since
            elif training.secondary == "Uploading":
                training.done = training.fate.training or training.done
        pool = training.pool
        self._release(training)
        training.interrupted += 1
        self._turn(training, "Interrupted")
        self._after(training, training.fate.restarting, self._restart)
        if pool is not None:
            self._fill(self.pools[pool])

    def _restart(self, training: Training) -> None:
        self._turn(training, "Starting")
        self._seek(training)

    def _after_placement(self, training: Training, seconds: float, ends_as: str) -> None:
        """Plan the stop of the training after *seconds* on these instances, in any phase."""
        placed_at = training.placed_at
        self._agenda.plan(
            self.now + seconds,
            lambda: self._begin_stop(training, ends_as),
            still=lambda: training.status == "InProgress" and training.placed_at == placed_at,
        )

    def _out_of_time(self, training: Training) -> None:
        self._begin_stop(training, "MaxWaitTimeExceeded")

    def _begin_stop(self, training: Training, ends_as: str) -> None:
        self._leave_queues(training)
        training.status, training.ends_as = "Stopping", ends_as
        self._turn(training, "Stopping")
        takes = training.fate.stopping if training.placed_at is not None else 0.0
        self._after(training, takes, lambda t: self._end(t, "Stopped", ends_as))

    def _fail(self, training: Training, reason: str) -> None:
        retries = training.request.retries
        if reason.startswith("InternalServerError") and training.retried < retries:
            training.retried += 1
            pool = training.pool
            self._release(training)
            self._leave_queues(training)
            self._restart(training)
            if pool is not None:
                self._fill(self.pools[pool])
            return
        training.failure_reason = reason[:FAILURE_CHARS_MAX]
        self._end(training, "Failed", "Failed", message=training.failure_reason)

    def _end(
        self, training: Training, status: str, secondary: str, *, message: str | None = None
    ) -> None:
        self._leave_queues(training)
        freed = dict.fromkeys((training.pool, training.charged))
        self._release(training)
        if training.charged is not None:
            self.pools[training.charged].quota_used -= training.count
            self.total_used -= training.count
            training.charged = None
        training.status = status
        training.ended_at = self.now
        self._turn(training, secondary, message)
        training.transitions[-1].end = self.now
        for name in freed:
            if name is not None:
                self._fill(self.pools[name])

    def _turn(self, training: Training, secondary: str, message: str | None = None) -> None:
        """Enter a secondary status; plans of the one before become void."""
        training.generation += 1
        training.secondary = secondary
        training.phase_since = training.modified_at = self.now
        if training.transitions:
            training.transitions[-1].end = self.now
        text = MESSAGES[secondary] if message is None else message
        training.transitions.append(Transition(secondary, self.now, text))
        for listener in self.listeners:
            listener(self.now, training)
