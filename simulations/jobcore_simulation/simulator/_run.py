"""A run: the production ticks over a simulated world, on a virtual clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from itertools import chain
from typing import Any

import jobcore
from jobcore import Job, JobStore, Limits, Placement, Settings, Spec, Status, Unavailable
from jobcore.scheduling import DEFAULT_SCHEDULER, LATE, Scheduler
from jobcore.ticks import TickReport
from jobcore_simulation._rules import RULES

from ._engine import Engine, Log, seconds, to_time
from ._outcome import Outcome, Recorder
from ._ports import Hints, Mailbox, Outages
from ._scenario import Scenario, Task
from ._store import ObjectStore
from ._watch import Ports, Watch
from ._world import Fleet

__all__ = ["Simulation", "simulate"]

_TICK = seconds(60)
_FULL_LOOK = seconds(3600)
_MANY_LOSSES = 5  # a budget of five attempts would be used up: a person has to submit again
_MOMENT = timedelta(microseconds=1)


class Simulation:
    """
    The ticks, the world, and the times at which they run.

    A launch tick runs each minute and shortly after an event of the provider. A monitor tick runs
    shortly after an event for the job that the event names, each minute for launches that have
    become late, and each hour and after an outage for all jobs. (The Lambda functions look at all
    jobs each minute. In the simulator no event is lost, so that would find nothing.)

    With *forget*, jobs that are terminal and have published their messages are dropped from store
    and world, and `Outcome.worked` is not kept. Memory then grows with the jobs that wait and run
    instead of with the history: a million jobs fit. No tick ever reads the dropped ones again.
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
            check: called after each tick; a `Watch` also checks each port call.
            sample_every: seconds between two samples.
            progress: called now and then with the share of the jobs that are over.

        Raises:
            ValueError: *forget* was given with a *store* of the caller's.
        """
        if forget and store is not None:
            msg = "forget: only the simulator's own store can forget"
            raise ValueError(msg)
        self.engine = Engine()
        self.log = Log()
        self.scenario = scenario
        self.seed = seed
        self.outcome = Outcome(scenario=scenario.name, policy=policy, seed=seed, jobs=0)
        objects = ObjectStore()
        self.base: JobStore = objects if store is None else store
        self.mailbox = Mailbox()
        self.fleet = Fleet(self.engine, scenario, seed, self._on_event)
        self._forgetful = objects if forget else None
        self._check = check
        self._progress = progress
        self._recorder = Recorder(self.outcome)
        self._sample_every = seconds(sample_every)
        self._lag = seconds(scenario.provider.event_lag)
        self._connect(scheduler, limits or _limits_for(scheduler, scenario))
        self._open_books()

    def _connect(self, scheduler: Scheduler, limits: Limits) -> None:
        """Set up the ticks' ports: the watch around each, and the scenario's outages around that."""
        ports = Ports(self.base, self.fleet, self.mailbox, scheduler)
        if isinstance(self._check, Watch):
            ports = self._check.wrap(ports, self.fleet.truth)
        self.store = self._with_outages("store", ports.store)
        self.trainer = ports.trainer  # `Fleet` raises in its outages itself
        self.notifier = self._with_outages("notifier", ports.notifier)
        self.settings = Settings(
            limits=limits,
            scheduler=ports.scheduler,
            rules=RULES,
            launches_together=1,
            on_change=self._on_change,
        )

    def _open_books(self) -> None:
        """Start with no job submitted and no tick planned."""
        self._now_micros, self._now = -1, to_time(0)  # the time as the ticks saw it last
        self._specs: dict[tuple[str, tuple[str, ...], int], Spec] = {}
        self._placements: dict[tuple[tuple[str, ...], int], tuple[Placement, ...]] = {}
        self._submitted: dict[str, Task] = {}
        self._open: dict[str, Task] = {}  # submitted and not terminal
        self._left = 0  # jobs that are not terminal, those not yet submitted included
        self._slots_wanted: dict[str, int] = {}  # by share, of jobs that are not terminal
        self._finished: list[Job] = []  # terminal, with an empty outbox; `_forget` drops them
        self._losses: dict[str, int] = {}  # launches that went back to New, by job
        self._launched: dict[str, datetime] = {}  # jobs in Launched, with the time of the launch
        self._known_late: set[str] = set()  # launches that were late at the last look
        self._named: dict[str, None] = {}  # jobs that events have named since the last look
        self._look_missed = False  # a look failed because a port was unavailable
        self._launch_at = self._look_at = self._notify_at = -1  # microseconds of planned ticks

    def now(self) -> datetime:
        """Return the time of the ticks (the `jobcore.Clock` port)."""
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

    # --- events ----------------------------------------------------------------------------

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
            self._slots_wanted[task.share] = self._slots_wanted.get(task.share, 0) + task.count
        self._plan_launch(0)

    def _spec(self, task: Task) -> Spec:
        """Return the spec of a task; equal tasks get one object, since specs never change."""
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
        self._look(everything=self.engine.now % _FULL_LOOK == 0)
        self._launch(None)
        self._notify(None)
        self.engine.after(_TICK, self._minute)

    def _on_event(self, job_id: str) -> None:
        self._named[job_id] = None
        if self._look_at < self.engine.now:
            self._look_at = self.engine.now + self._lag
            self.engine.at(self._look_at, self._look_at_named)

    def _look_at_named(self, _: object) -> None:
        named, self._named = list(self._named), {}
        self._look_at = -1
        report = self._tick(jobcore.monitor_tick, Hints(self.store, named), self.trainer)
        if report is None or report.troubles:
            self._look_missed = True
        if report is None:
            return
        if report.changed:
            self._plan_launch(0)
            self._plan_notify()

    def _look(self, *, everything: bool) -> None:
        store = self.store
        if not everything and not self._look_missed:
            now = self.now()
            before = now - LATE - _MOMENT
            late = sorted((at, job_id) for job_id, at in self._launched.items() if at <= before)
            named = [job_id for _, job_id in late]
            known = self._known_late.issuperset(named)
            self._known_late = set(named)
            if known:
                return
            store = Hints(self.store, named)
        report = self._tick(jobcore.monitor_tick, store, self.trainer)
        self._look_missed = report is None or report.troubles > 0
        if report is not None and report.changed:
            self._plan_launch(0)
            self._plan_notify()

    def _plan_launch(self, delay: int) -> None:
        when = self.engine.now + delay
        if self._launch_at < self.engine.now or when < self._launch_at:
            self._launch_at = when
            self.engine.at(when, self._launch_as_planned)

    def _launch_as_planned(self, _: object) -> None:
        if self._launch_at == self.engine.now:
            self._launch(None)

    def _launch(self, _: object) -> None:
        self._launch_at = -1
        report = self._tick(jobcore.launch_tick, self.store, self.trainer)
        if report is None:
            return
        provider = self.scenario.provider
        if report.launched + report.refused >= provider.burst:
            # Launch the rest of the queue when the API's token bucket is full again.
            self._plan_launch(seconds(provider.burst / provider.rate))
        elif report.wake_at is not None:
            wait = report.wake_at - self.now()
            self._plan_launch(max(0, round(wait.total_seconds() * 1e6)) + 1)

    def _plan_notify(self) -> None:
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
        if self._finished and self._forgetful is not None:
            self._forget(self._forgetful)
        if self._check is not None:
            self._check(self)
        return report

    def _forget(self, store: ObjectStore) -> None:
        for job in self._finished:
            job_id = job.job_id
            store.forget(job_id)
            self.fleet.forget(job_id, job.attempt_number)
            self.mailbox.forget(job_id)
            del self._submitted[job_id]
            self.outcome.many_losses += self._losses.pop(job_id, 0) >= _MANY_LOSSES
        self._finished.clear()

    def _on_change(self, change: jobcore.ticks.Change) -> None:
        job, before = change.job, change.before
        job_id, state = job.job_id, job.state
        status = state.status
        self.log.line(
            f"{self.engine.now}\x1f{job_id}\x1f{status}\x1f{job.version}\x1f{job.attempt_number}"
        )
        if self._forgetful is not None and status.is_terminal and not job.outbox:
            self._finished.append(job)
        if status is before:
            return
        if status is Status.LAUNCHED:
            self._launched[job_id] = state.since
        elif before is Status.LAUNCHED:
            self._launched.pop(job_id, None)
            if status is Status.NEW:
                self._losses[job_id] = self._losses.get(job_id, 0) + 1
        if status.is_terminal:
            self._left -= 1
            self._on_end(job)

    def _on_end(self, job: Job) -> None:
        task = self._open.pop(job.job_id)
        self._slots_wanted[task.share] -= task.count
        if job.status is Status.FAILED and not task.bug:
            self.outcome.gave_up += 1
            self.outcome.never_ended(self.engine.now / 1e6, task)
        else:
            self.outcome.ended(self.engine.now / 1e6, task, keep=self._forgetful is None)

    def _sample(self, _: object) -> None:
        running: dict[str, int] = {}
        for use in self.base.usage():
            running[use.share] = running.get(use.share, 0) + use.running
        self._recorder.note(
            self.engine.now, self.fleet, len(self._open), running, self._slots_wanted
        )
        self._progress(1.0 - self._left / max(self.outcome.jobs, 1))
        self.engine.after(self._sample_every, self._sample)

    def _close(self) -> Outcome:
        out, fleet = self.outcome, self.fleet
        for task in self._open.values():
            out.never_ended(max(out.makespan, self.engine.now / 1e6), task)
        self._recorder.close(fleet)
        out.messages = self.mailbox.messages()
        out.statuses = {str(k): n for k, n in sorted(self.base.counts().items())}
        out.many_losses += sum(losses >= _MANY_LOSSES for losses in self._losses.values())
        out.held = self.base.counts().get(Status.HELD, 0)
        out.events = self.engine.events
        self.log.note(
            out.messages
            if self._forgetful is not None
            else sorted(chain.from_iterable(self.mailbox.event_ids.values()))
        )
        out.digest = self.log.digest()
        return out

    def _with_outages(self, name: str, port: Any) -> Any:
        outages = [o for o in self.scenario.outages if o.port == name]
        return Outages(port, outages, self.engine) if outages else port


def _limits_for(scheduler: Scheduler, scenario: Scenario) -> Limits:
    """Make the limits of a run: launches per tick up to the API's burst; none for `_Peer.whole_queue`."""
    if getattr(scheduler, "whole_queue", False):
        return Limits(launches_max=10**6)
    return Limits(launches_max=scenario.provider.burst)


def simulate(scenario: Scenario, seed: str = "1", **options: object) -> Outcome:
    """Run a scenario once; *options* as for `Simulation`."""
    return Simulation(scenario, seed, **options).run()  # type: ignore[arg-type]
