"""The policy without a manager: a script that submits, and a person who checks and submits again.

The script submits each job once, the jobs going to the pools in turn. The person looks at the list
of jobs at each full hour from 9:00 to 17:00, Monday to Friday (a scenario begins on a Monday at
9:00), and reads the failure of each job that has failed since the last look. Jobs that failed for
capacity, quota, an interruption or a fault of the service are submitted again by the script, each
to the next of its pools, from its checkpoint. Bugs are not submitted again. In this model a look
takes no time, is free of mistakes, and shows the end of a job at once; a real person takes longer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from jobcore import Placement, Unavailable
from jobcore.ports import LaunchRequest, LaunchResult, TrainingState

from ._engine import Engine, Log, seconds
from ._outcome import ByHand, Outcome, Recorder
from ._policies import BY_HAND
from ._scenario import Scenario, Task
from ._world import Fleet

__all__ = ["by_hand"]

_HOUR = seconds(3600)
_SAMPLE_EVERY = seconds(300)
_LAST_LOOK = 8  # hours after the first of a day
_WORKDAYS = 5


@dataclass(slots=True)
class _Job:
    job_id: str
    task: Task
    attempt: int = 0


class _Office:
    """The script, the person, and the world."""

    def __init__(self, scenario: Scenario, seed: str, progress: Callable[[float], None]) -> None:
        self.engine = Engine()
        self.log = Log()
        self.scenario = scenario
        self.person = ByHand()
        self.outcome = Outcome(scenario=scenario.name, policy=BY_HAND, seed=seed, jobs=0)
        self.outcome.by_hand = self.person
        self.fleet = Fleet(self.engine, scenario, seed, self._changed)
        self._recorder = Recorder(self.outcome)
        self._progress = progress
        self._to_send: deque[_Job] = deque()
        self._sending = False
        self._failed: list[tuple[_Job, bool]] = []  # with whether it is worth another submission
        self._jobs: dict[str, _Job] = {}
        self._open: dict[str, Task] = {}
        self._asked: dict[str, int] = {}
        self._left = 0

    def run(self) -> Outcome:
        out, tasks = self.outcome, self.scenario.tasks(self.outcome.seed)
        self._left = out.jobs = len(tasks)
        self.engine.stream(((seconds(task.submitted), task) for task in tasks), self._submit)
        self.engine.at(_HOUR, self._look)
        self.engine.at(0, self._sample)
        out.completed = self.engine.run(
            until=lambda: self._left == 0, horizon=seconds(self.scenario.horizon)
        )
        for task in self._open.values():
            out.never_ended(max(out.makespan, self.engine.now / 1e6), task)
        self.person.readings += len(self._failed)  # failures since the last look are read later
        bugs = sum(
            bool(job.task.bug) and job.job_id not in self._open for job in self._jobs.values()
        )
        out.statuses = {"Completed": out.jobs - bugs - len(self._open), "Failed": bugs}
        out.events = self.engine.events
        out.digest = self.log.digest()
        self._recorder.close(self.fleet)
        return out

    # --- the script -----------------------------------------------------------------------

    def _submit(self, task: Task) -> None:
        job = _Job(f"job-{task.number}", task)
        self.fleet.tasks[job.job_id] = self._open[job.job_id] = task
        self._jobs[job.job_id] = job
        self._asked[task.share] = self._asked.get(task.share, 0) + task.count
        self._send([job])

    def _send(self, jobs: Sequence[_Job]) -> None:
        self._to_send += jobs
        if self._to_send and not self._sending:
            self._sending = True
            self.engine.after(0, self._create)

    def _create(self, _: object) -> None:
        """Create as many trainings as the API accepts; the client waits after a throttled call."""
        provider = self.scenario.provider
        for _number in range(provider.burst):
            if not self._to_send:
                self._sending = False
                return
            job = self._to_send.popleft()
            job.attempt += 1
            pool = job.task.pools[(job.task.number + job.attempt) % len(job.task.pools)]
            name = f"{job.job_id}-{job.attempt}"
            placement = Placement(pool, job.task.count)
            throttled = self.fleet.throttled
            request = LaunchRequest(
                name=name,
                job_id=job.job_id,
                attempt=job.attempt,
                spec_hash="",
                placement=placement,
                args={},
            )
            try:
                (reply,) = self.fleet.launch([request])
            except Unavailable:
                reply = None
            if reply is None or self.fleet.throttled > throttled:
                job.attempt -= 1
                self._to_send.appendleft(job)
                break
            self.log.note(self.engine.now, name, reply.result)
            if reply.result is LaunchResult.REFUSED:
                self._failed.append((job, True))
        self.engine.after(seconds(provider.burst / provider.rate), self._create)

    # --- the world ------------------------------------------------------------------------

    def _changed(self, job_id: str) -> None:
        job = self._jobs[job_id]
        run = self.fleet.runs[f"{job_id}-{job.attempt}"]
        if not run.state.is_terminal:
            return
        self.log.note(self.engine.now, run.name, run.state)
        if run.state is TrainingState.COMPLETED:
            self._over(job)
        elif run.state is TrainingState.FAILED and run.started is not None and job.task.bug:
            self._failed.append((job, False))
            self._over(job)
        else:
            self._failed.append((job, True))

    def _over(self, job: _Job) -> None:
        self._left -= 1
        del self._open[job.job_id]
        self._asked[job.task.share] -= job.task.count
        self.outcome.ended(self.engine.now / 1e6, job.task)

    # --- the person -----------------------------------------------------------------------

    def _look(self, _: object) -> None:
        self.engine.after(_HOUR, self._look)
        day, hour = divmod(self.engine.now // _HOUR, 24)
        if hour > _LAST_LOOK or day % 7 >= _WORKDAYS:
            return
        self.person.looks += 1
        self.person.readings += len(self._failed)
        again = [job for job, sound in self._failed if sound]
        self.person.resubmissions += len(again)
        self._failed.clear()
        self._send(again)

    def _sample(self, _: object) -> None:
        running: dict[str, int] = {}
        for pool in self.fleet.pools.values():
            for run in pool.running.values():
                share = run.task.share
                running[share] = running.get(share, 0) + run.count
        self._recorder.note(self.engine.now, self.fleet, len(self._open), running, self._asked)
        self._progress(1.0 - self._left / max(self.outcome.jobs, 1))
        self.engine.after(_SAMPLE_EVERY, self._sample)


def by_hand(
    scenario: Scenario,
    seed: str = "1",
    *,
    progress: Callable[[float], None] = lambda share: None,
) -> Outcome:
    """
    Run *scenario* under the policy by-hand.

    The script waits during outages of the trainer. Outages of store and notifier, and a jump of the
    manager's clock, have no effect here.
    """
    return _Office(scenario, seed, progress).run()
