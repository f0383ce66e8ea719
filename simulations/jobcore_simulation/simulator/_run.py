"""A run: the production ticks over a simulated world, on a virtual clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from itertools import chain
from typing import Any

import jobcore
from jobcore import Job, JobStore, Limits, Placement, Settings, Spec, Status, Trainer, Unavailable
from jobcore.lifecycle import Tick
from jobcore.ports import Due, Message
from jobcore.scheduling import DEFAULT_SCHEDULER, LATE, Scheduler
from jobcore.ticks import TickReport
from jobcore_aws import failure_rules
from jobcore_simulation.oracles import Watch

from ._engine import Engine, Log, seconds, to_time
from ._outcome import Outcome, Recorder, Sample, jain
from ._scenario import Outage, Scenario, Task
from ._store import ObjectStore
from ._world import Fleet

__all__ = ["Outcome", "Sample", "Simulation", "jain", "simulate"]

_TICK = seconds(60)
_SWEEP = seconds(3600)
_MANY = 5  # losses: with a budget of five attempts, a person would have to submit the job again
_MOMENT = timedelta(microseconds=1)


class _Hints:
    """A store whose list of what is due to be looked at is what events have named."""

    def __init__(self, store: JobStore, job_ids: Sequence[str]) -> None:
        self._store = store
        self._job_ids = job_ids

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def due(self, tick: Tick, *, before: datetime, limit: int) -> Sequence[Due]:
        """List the named ones."""
        return [Due(job_id, before, Status.LAUNCHED, 1) for job_id in self._job_ids]


class _Flaky:
    """A port that does not answer during its outages."""

    def __init__(self, port: object, outages: Sequence[Outage], engine: Engine) -> None:
        self._port, self._outages, self._engine = port, outages, engine

    def __getattr__(self, name: str) -> object:
        if any(o.begins <= self._engine.now < o.ends for o in self._outages):
            msg = "no answer"
            raise Unavailable(msg)
        return getattr(self._port, name)


class _Mailbox:
    """A notifier that counts: each message once, by its event id."""

    def __init__(self) -> None:
        self.published = 0
        self.event_ids: dict[str, set[str]] = {}  # by job
        self.forgotten = 0

    def publish(self, message: Message) -> None:
        self.published += 1
        self.event_ids.setdefault(message.job_id, set()).add(message.event_id)

    def forget(self, job_id: str) -> None:
        """Only count the messages of a job that is over."""
        self.forgotten += len(self.event_ids.pop(job_id, ()))

    def messages(self) -> int:
        return self.forgotten + sum(map(len, self.event_ids.values()))


class Simulation:
    """
    The ticks, the world, and when each happens.

    A launch tick comes each minute and shortly after an event of the provider; a monitor tick
    looks shortly after an event at the job that it names, each minute at those that have come to be
    late, and each hour, and after an outage, at all. (The Lambdas look at all each minute:
    events here are not lost, so that more would cost time and find nothing.)

    With *forget*, what is over and told is dropped from the store and the world: memory follows
    what waits and runs, not the history, so that a million lives fit into it. No tick ever asks for
    it again. `Outcome.worked` is not kept then.
    """

    def __init__(
        self,
        scenario: Scenario,
        seed: str = "1",
        *,
        scheduler: Scheduler = DEFAULT_SCHEDULER,
        policy: str = "jobcore",
        limits: Limits | None = None,
        store: JobStore | None = None,
        check: Callable[[Simulation], None] | None = None,
        sample_every: float = 300.0,
        progress: Callable[[float], None] = lambda share: None,
        forget: bool = False,
    ) -> None:
        """
        Set up; `run` does the rest.

        Args:
            progress: told now and then which share of the jobs is over.
        """
        self.engine = Engine()
        self.log = Log()
        self.scenario = scenario
        self.seed = seed
        self.outcome = Outcome(scenario=scenario.name, policy=policy, seed=seed, jobs=0)
        objects = ObjectStore()
        self.base: JobStore = objects if store is None else store
        if forget and store is not None:
            msg = "forget: only the simulator's own store can forget"
            raise ValueError(msg)
        self._forgets = objects if forget else None
        self._over: list[Job] = []  # and told; what `_forget` forgets
        self.mailbox = _Mailbox()
        self.fleet = Fleet(self.engine, scenario, seed, self._changed)
        self.store = self._port("store", self.base)
        self.trainer: Trainer = self.fleet
        self.notifier = self._port("notifier", self.mailbox)
        self.settings = Settings(
            # Who keeps a timer for each job is shown the whole queue; the heads are enough else.
            limits=limits
            or Limits(
                launches_max=10**6
                if getattr(scheduler, "whole_queue", False)
                else scenario.provider.burst
            ),
            scheduler=scheduler,
            rules=failure_rules(),
            launches_together=1,
            on_change=self._noted,
        )
        self._check = check
        self._progress = progress
        self._now_micros, self._now = -1, to_time(0)  # the time as the ticks saw it last
        self._lag = seconds(scenario.provider.event_lag)
        self._specs: dict[tuple[str, tuple[str, ...], int], Spec] = {}
        self._placements: dict[tuple[tuple[str, ...], int], tuple[Placement, ...]] = {}
        self._hinted: dict[str, None] = {}
        self._launched: dict[str, datetime] = {}  # since when; the provider has it, idle
        self._late: set[str] = set()  # looked at, since they have come to be late
        self._missed = False  # a look, since a port was away
        self._launch_at = self._look_at = self._notify_at = -1
        self._left = 0
        self._losses: dict[str, int] = {}
        self._recorder = Recorder(self.outcome)
        self._sample_every = seconds(sample_every)
        self._submitted: dict[str, Task] = {}
        self._open: dict[str, Task] = {}  # of them, those not over
        self._asked: dict[str, int] = {}  # slots that a share's unfinished jobs ask for
        if isinstance(check, Watch):
            check.attach(self)

    def now(self) -> datetime:
        """Tell the time as the ticks see it (the `jobcore.Clock` port)."""
        micros = self.engine.now
        if micros != self._now_micros:
            self._now_micros, self._now = micros, to_time(micros)
            jump = self.scenario.clock_jump
            if jump is not None and micros >= seconds(jump[0]):
                self._now += timedelta(seconds=jump[1])
        return self._now

    def run(self) -> Outcome:
        """Run to the end of the last job, or to the horizon."""
        self._left = self.outcome.jobs = self.scenario.jobs
        arrivals = self.scenario.arrivals(self.seed)
        self.engine.stream(((seconds(at), group) for at, group in arrivals), self._submit)
        self.engine.at(0, self._minute)
        self.engine.at(0, self._sample)
        self.outcome.completed = self.engine.run(
            until=lambda: self._left == 0, horizon=seconds(self.scenario.horizon)
        )
        self._notify(None)
        return self._close()

    # --- what happens ---------------------------------------------------------------------

    def _submit(self, tasks: Sequence[Task]) -> None:
        ids, specs = [], []
        for task in tasks:
            job_id = jobcore.job_id_from_token("simulation", f"{self.seed}/{task.number}")
            self.fleet.tasks[job_id] = task
            ids.append(job_id)
            specs.append(self._spec(task))
        try:
            jobcore.submit(specs, ids, store=self.store, now=self.now())
        except Unavailable:  # the client tries again
            self.engine.after(_TICK, self._submit, tasks)
            return
        for job_id, task in zip(ids, tasks, strict=True):
            self._submitted[job_id] = self._open[job_id] = task
            self._asked[task.share] = self._asked.get(task.share, 0) + task.count
        self._soon_launch(0)

    def _spec(self, task: Task) -> Spec:
        """Give the spec of a task: tasks that ask for the same share one, for nothing of it ever changes."""
        key = (task.share, task.pools, task.count)
        spec = self._specs.get(key)
        if spec is None:
            placements = self._placements.setdefault(
                key[1:], tuple(Placement(pool, task.count) for pool in task.pools)
            )
            spec = self._specs[key] = Spec(
                name=f"{self.scenario.name} of {task.share}",
                owner=task.share,
                placements=placements,
            )
        return spec

    def _minute(self, _: object) -> None:
        self._look(everything=self.engine.now % _SWEEP == 0)
        self._launch(None)
        self._notify(None)
        self.engine.after(_TICK, self._minute)

    def _changed(self, job_id: str) -> None:
        self._hinted[job_id] = None
        if self._look_at < self.engine.now:
            self._look_at = self.engine.now + self._lag
            self.engine.at(self._look_at, self._hear)

    def _hear(self, _: object) -> None:
        named, self._hinted = list(self._hinted), {}
        self._look_at = -1
        report = self._tick(jobcore.monitor_tick, _Hints(self.store, named), self.trainer)
        if report is None or report.troubles:
            self._missed = True
        if report is None:
            return
        if report.changed:
            self._soon_launch(0)
            self._soon_notify()

    def _look(self, *, everything: bool) -> None:
        store = self.store
        if not everything and not self._missed:
            now = self.now()
            before = now - LATE - _MOMENT
            late = sorted((at, job_id) for job_id, at in self._launched.items() if at <= before)
            named = [job_id for _, job_id in late]
            known = self._late.issuperset(named)
            self._late = set(named)
            if known:
                return
            store = _Hints(self.store, named)
        report = self._tick(jobcore.monitor_tick, store, self.trainer)
        self._missed = report is None or report.troubles > 0
        if report is not None and report.changed:
            self._soon_launch(0)
            self._soon_notify()

    def _soon_launch(self, delay: int) -> None:
        when = self.engine.now + delay
        if self._launch_at < self.engine.now or when < self._launch_at:
            self._launch_at = when
            self.engine.at(when, self._launch_then)

    def _launch_then(self, _: object) -> None:
        if self._launch_at == self.engine.now:
            self._launch(None)

    def _launch(self, _: object) -> None:
        self._launch_at = -1
        report = self._tick(jobcore.launch_tick, self.store, self.trainer)
        if report is None:
            return
        provider = self.scenario.provider
        if (
            report.launched + report.refused >= provider.burst
        ):  # the rest of the queue, as the API allows
            self._soon_launch(seconds(provider.burst / provider.rate))
        elif report.wake_at is not None:
            wait = report.wake_at - self.now()
            self._soon_launch(max(0, round(wait.total_seconds() * 1e6)) + 1)

    def _soon_notify(self) -> None:
        if self._notify_at < self.engine.now:
            self._notify_at = self.engine.now + self._lag
            self.engine.at(self._notify_at, self._notify)

    def _notify(self, _: object) -> None:
        self._tick(jobcore.notify_tick, self.store, self.notifier)

    def _tick(
        self, tick: Callable[..., TickReport], store: object, port: object
    ) -> TickReport | None:
        try:
            report = tick(store, port, self, self.settings)
        except Unavailable:
            return None
        self.outcome.looks += report.looked_at
        if self._over and self._forgets is not None:
            self._forget(self._forgets)
        if self._check is not None:
            self._check(self)
        return report

    def _forget(self, store: ObjectStore) -> None:
        for job in self._over:
            job_id = job.job_id
            store.forget(job_id)
            self.fleet.forget(job_id, job.attempt_number)
            self.mailbox.forget(job_id)
            del self._submitted[job_id]
            self.outcome.many_losses += self._losses.pop(job_id, 0) >= _MANY
        self._over.clear()

    def _noted(self, change: jobcore.ticks.Change) -> None:
        job, before = change.job, change.before
        job_id, state = job.job_id, job.state
        status = state.status
        self.log.line(
            f"{self.engine.now}\x1f{job_id}\x1f{status}\x1f{job.version}\x1f{job.attempt_number}"
        )
        if self._forgets is not None and status.is_terminal and not job.outbox:
            self._over.append(job)
        if status is before:
            return
        if status is Status.LAUNCHED:
            self._launched[job_id] = state.since
        elif before is Status.LAUNCHED:
            self._launched.pop(job_id, None)
            if status is Status.NEW:
                self._losses[job_id] = self._losses.get(job_id, 0) + 1
        if status.is_terminal:  # which is never left
            self._left -= 1
            self._ended(job)

    def _ended(self, job: Job) -> None:
        task = self._open.pop(job.job_id)
        self._asked[task.share] -= task.count
        if job.status is Status.FAILED and not task.bug:
            self.outcome.gave_up += 1
            self.outcome.never_ended(self.engine.now / 1e6, task)
        else:
            self.outcome.ended(self.engine.now / 1e6, task, keep=self._forgets is None)

    def _sample(self, _: object) -> None:
        running: dict[str, int] = {}
        for use in self.base.usage():
            running[use.share] = running.get(use.share, 0) + use.running
        self._recorder.note(self.engine.now, self.fleet, len(self._open), running, self._asked)
        self._progress(1.0 - self._left / max(self.outcome.jobs, 1))
        self.engine.after(self._sample_every, self._sample)

    def _close(self) -> Outcome:
        out, fleet = self.outcome, self.fleet
        for task in self._open.values():
            out.never_ended(max(out.makespan, self.engine.now / 1e6), task)
        self._recorder.close(fleet)
        out.messages = self.mailbox.messages()
        out.statuses = {str(k): n for k, n in sorted(self.base.counts().items())}
        out.many_losses += sum(losses >= _MANY for losses in self._losses.values())
        out.held = self.base.counts().get(Status.HELD, 0)
        out.events = self.engine.events
        self.log.note(
            out.messages
            if self._forgets is not None
            else sorted(chain.from_iterable(self.mailbox.event_ids.values()))
        )
        out.digest = self.log.digest()
        return out

    def _port(self, name: str, port: Any) -> Any:
        outages = [o for o in self.scenario.outages if o.port == name]
        return _Flaky(port, outages, self.engine) if outages else port


def simulate(scenario: Scenario, seed: str = "1", **options: object) -> Outcome:
    """Run a scenario once; *options* as for `Simulation`."""
    return Simulation(scenario, seed, **options).run()  # type: ignore[arg-type]
