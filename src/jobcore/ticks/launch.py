"""
The launch tick: finish launches that were begun, then plan and begin new ones.

The phases of `launch_tick`:

1. finish the launches that an earlier tick began and did not finish;
2. gather a snapshot, and hold the waiting jobs of groups that are to be paused;
3. decide: plan the launches and read their jobs;
4. for each batch: commit the intents, request the trainings, commit the outcomes;
5. learn about the pools, and charge the shares.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain

from jobcore.errors import Unavailable
from jobcore.lifecycle.codec import spec_hash
from jobcore.lifecycle.effects import LaunchTraining, Tick, owed
from jobcore.lifecycle.events import (
    Event,
    LaunchAccepted,
    LaunchDecided,
    LaunchRefused,
    NameTaken,
    TimePassed,
)
from jobcore.lifecycle.failure import Scope
from jobcore.lifecycle.model import Job, Launching
from jobcore.lifecycle.names import training_name
from jobcore.ports import (
    Clock,
    Evidence,
    JobStore,
    LaunchReply,
    LaunchRequest,
    LaunchResult,
    Trainer,
)
from jobcore.redact import redact, secret_values
from jobcore.scheduling.fairness import charge_usage
from jobcore.scheduling.limits import Limits
from jobcore.scheduling.plan import Launch, Plan
from jobcore.scheduling.room import Snapshot

from .facts import adoption_facts, classified, is_ours, stop_training
from .group_holds import hold_paused_groups
from .observations import PoolObservations
from .run import Settings, TickReport, TickRun

__all__ = ["launch_tick", "snapshot_of"]


def launch_tick(store: JobStore, trainer: Trainer, clock: Clock, settings: Settings) -> TickReport:
    """
    Finish launches that were begun, then plan and begin new ones.

    The intent of a launch is saved before the trainer is called, and the answer is saved after. Once
    a pool has refused a number of slots, the launches of the plan that need as many or more of it are
    left for the next tick, and their jobs are not changed.

    Raises:
        Unavailable: the store could not be read; nothing was done.
    """
    run = TickRun(store, settings, clock.now())
    observations = PoolObservations(run)
    # 1. Finish launches that were begun.
    begun = store.due(Tick.LAUNCH, before=run.now - settings.launch_lease, limit=settings.page)
    if begun:
        found = run.read([due.job_id for due in begun])
        late = run.apply((job, [TimePassed()]) for job in found.values())
        _finish(run, trainer, late, observations)
        observations.save()
    # 2. Gather.
    snapshot = _gather(run, trainer)
    if snapshot is None:
        return run.report
    # 3. Decide.
    plan, jobs = _decide(run, snapshot)
    run.report.wake_by(plan.wake_at)
    run.report.wake_by(store.next_wake(Tick.LAUNCH, after=run.now))
    # 4. Commit, act, commit.
    observations = PoolObservations(run)
    launching = _launch_all(
        run, trainer, [(p, jobs[p.job_id]) for p in plan.launches if p.job_id in jobs], observations
    )
    # 5. Learn and charge.
    observations.save()
    _charge_shares(run, snapshot, launching)
    return run.report


# --- gather and decide ------------------------------------------------------------------


def snapshot_of(store: JobStore, trainer: Trainer, *, now: datetime, limits: Limits) -> Snapshot:
    """
    Read the input of a plan.

    Raises:
        Unavailable: the store or the trainer did not answer.
    """
    depth = limits.launches_max
    waiting = store.waiting(now=now, depth=depth)
    usage = store.usage()
    shares = {*(job.share for job in waiting), *(use.share for use in usage)}
    return Snapshot(
        waiting=waiting,
        depth=depth,
        usage=usage,
        capacity=trainer.capacity(),
        pools=store.pools(),
        # With one share there is nothing to compare.
        shares=store.shares(shares) if len(shares) > 1 else {},
    )


def _gather(run: TickRun, trainer: Trainer) -> Snapshot | None:
    """Hold paused groups and read a snapshot; None if the tick cannot go on."""
    try:
        hold_paused_groups(run)
        if not run.settings.go_on():
            return None
        return snapshot_of(run.store, trainer, now=run.now, limits=run.settings.limits)
    except Unavailable as error:
        run.trouble("", error)
        return None


def _decide(run: TickRun, snapshot: Snapshot) -> tuple[Plan, Mapping[str, Job]]:
    """Plan, and read the jobs of the plan; a job that cannot be read takes no slots from the others."""
    unread: set[str] = set()
    while True:
        plan = run.settings.scheduler.plan(snapshot, run.settings.limits, now=run.now)
        wanted = [launch.job_id for launch in plan.launches]
        jobs = run.read([job_id for job_id in wanted if job_id not in unread])
        missing = {job_id for job_id in wanted if job_id not in jobs}
        if missing <= unread or not run.settings.go_on():
            return plan, jobs
        unread |= missing
        waiting = [job for job in snapshot.waiting if job.job_id not in unread]
        snapshot = replace(snapshot, waiting=waiting)


# --- commit, act, commit ----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Answer:
    """The trainer's answer to one launch, as events for the job; none if the outcome is unknown."""

    job: Job
    effect: LaunchTraining
    events: Sequence[Event]


def _launch_all(
    run: TickRun,
    trainer: Trainer,
    planned: Sequence[tuple[Launch, Job]],
    observations: PoolObservations,
) -> list[Job]:
    """
    Launch the planned jobs, batch by batch.

    Returns:
        The jobs whose launch was requested.
    """
    refusals = _Refusals()
    requested: list[Job] = []
    left = deque(planned)
    size = run.settings.launches_together
    while left and not refusals.of_account and run.settings.go_on():
        batch: list[tuple[Launch, Job]] = []
        while left and len(batch) < size:
            launch, job = left.popleft()
            if not refusals.covers(launch):
                batch.append((launch, job))
        launching = _commit_intents(run, batch)
        bets = {launch.job_id for launch, _ in batch if launch.bet}
        answers = _request(run, trainer, _launches_owed(launching))
        for answer in answers:
            refusals.note(answer)
        _commit_outcomes(run, trainer, answers, observations, bets)
        requested += launching
    return requested


class _Refusals:
    """Refusals of this tick, to skip launches that would be refused as well."""

    def __init__(self) -> None:
        self.of_account = False
        self._counts: dict[str, int] = {}  # pool -> the smallest count that it refused

    def note(self, answer: _Answer) -> None:
        for event in answer.events:
            if not isinstance(event, LaunchRefused):
                continue
            place, scope = answer.effect.placement, event.failure.scope
            if scope is Scope.POOL:
                self._counts[place.pool] = min(
                    place.count, self._counts.get(place.pool, place.count)
                )
            elif scope is Scope.ACCOUNT:
                self.of_account = True

    def covers(self, launch: Launch) -> bool:
        refused = self._counts.get(launch.placement.pool)
        return refused is not None and launch.placement.count >= refused


def _commit_intents(run: TickRun, batch: Sequence[tuple[Launch, Job]]) -> list[Job]:
    """Save the intent of each launch; return the jobs that this tick has to launch."""
    todo = [
        (job, (LaunchDecided(attempt=launch.attempt, placement=launch.placement),))
        for launch, job in batch
    ]
    before = {job.job_id: job.version for _, job in batch}
    # Another tick has begun the launch of a job that was Launching already, and holds its lease.
    return [
        job
        for job in run.apply(todo)
        if isinstance(job.state, Launching) and job.version != before[job.job_id]
    ]


def _finish(
    run: TickRun, trainer: Trainer, jobs: Sequence[Job], observations: PoolObservations
) -> None:
    """
    Request the launches that *jobs* still require, and save the answers.

    Each is requested even after refusals of others: an earlier request for it may have been applied,
    which only its own answer shows.
    """
    owing = _launches_owed(jobs)
    size = run.settings.launches_together
    for start in range(0, len(owing), size):
        if not run.settings.go_on():
            return
        answers = _request(run, trainer, owing[start : start + size])
        _commit_outcomes(run, trainer, answers, observations, bets=frozenset())


def _launches_owed(jobs: Sequence[Job]) -> list[tuple[Job, LaunchTraining]]:
    return [
        (job, effect) for job in jobs for effect in owed(job) if isinstance(effect, LaunchTraining)
    ]


def _commit_outcomes(
    run: TickRun,
    trainer: Trainer,
    answers: Sequence[_Answer],
    observations: PoolObservations,
    bets: Collection[str],
) -> None:
    """Save the results of the launches, and stop a training whose job has ended meanwhile."""
    known = [answer for answer in answers if answer.events]
    for answer in known:
        job, placement = answer.job, answer.effect.placement
        observations.note_launch(job, placement, answer.events[0], bet=job.job_id in bets)
    after = run.apply([(answer.job, answer.events) for answer in known])
    for answer, job in zip(known, after, strict=True):
        accepted = [event for event in answer.events if isinstance(event, LaunchAccepted)]
        if accepted and job.status.is_terminal:
            # The reaper does this if this tick dies here.
            stop_training(run, trainer, job.job_id, training_name(job.job_id, accepted[0].attempt))


# --- act --------------------------------------------------------------------------------


def _request(
    run: TickRun, trainer: Trainer, owing: Sequence[tuple[Job, LaunchTraining]]
) -> list[_Answer]:
    """Request trainings from the trainer; an answer without events means an unknown outcome."""
    if not owing:
        return []
    run.report.looked_at += len(owing)
    try:
        replies = trainer.launch([_request_for(job, effect) for job, effect in owing])
    except Exception as error:  # noqa: BLE001  (one job's trouble never blocks another)
        if len(owing) == 1:
            run.trouble(owing[0][0].job_id, error)
            return [_Answer(*owing[0], events=())]
        # Again one by one. A training that the failed call created answers that it exists.
        run.report.looked_at -= len(owing)
        return [answer for one in owing for answer in _request(run, trainer, [one])]
    return [
        _Answer(job, effect, _facts(run, trainer, job, effect, reply))
        for (job, effect), reply in zip(owing, replies, strict=True)
    ]


def _request_for(job: Job, effect: LaunchTraining) -> LaunchRequest:
    spec = job.spec
    return LaunchRequest(
        name=effect.name,
        job_id=job.job_id,
        attempt=effect.attempt,
        spec_hash=spec_hash(spec),
        placement=effect.placement,
        args=spec.args,
        run_at_most=spec.clocks.run_at_most,
        owner=spec.owner,
        group=spec.group,
        tags=spec.tags,
        to_stop=effect.to_stop,
    )


def _facts(
    run: TickRun, trainer: Trainer, job: Job, effect: LaunchTraining, reply: LaunchReply
) -> Sequence[Event]:
    """Convert the answer to a launch to events; none if the outcome is unknown."""
    match reply.result:
        case LaunchResult.ACCEPTED:
            run.report.launched += 1
            return [LaunchAccepted(attempt=effect.attempt, placement=effect.placement)]
        case LaunchResult.REFUSED:
            run.report.refused += 1
            evidence = reply.evidence or Evidence(where="create")
            failure = classified(evidence, job.spec, run.settings.rules)
            return [LaunchRefused(attempt=effect.attempt, failure=failure)]
        case LaunchResult.EXISTS:
            try:
                return _adopt(run, trainer, job, effect)
            except Exception as error:  # noqa: BLE001  (one job's trouble never blocks another)
                run.trouble(job.job_id, error)
                return []
        case LaunchResult.UNCLEAR:
            text = reply.evidence.text if reply.evidence is not None else "no answer"
            text = redact(text, secret_values(job.spec))
            run.trouble(job.job_id, Unavailable(f"launch of {effect.name}: {text}"))
            return []


def _adopt(run: TickRun, trainer: Trainer, job: Job, effect: LaunchTraining) -> Sequence[Event]:
    """Run the ownership check on the training with the name: adopt it, or report a stranger's."""
    training = trainer.describe([effect.name]).get(effect.name)
    if training is None:
        return []  # it could not be read, or is not visible yet: the next tick tries again
    if not is_ours(training, job):
        owner = f"job {training.job_id}" if training.job_id else "a training that is not jobcore's"
        reason = f"the training name {effect.name} is in use by {owner}"
        return [NameTaken(attempt=effect.attempt, reason=reason)]
    run.report.launched += 1
    return adoption_facts(training, job, effect.placement, run.settings.rules)


# --- charge -----------------------------------------------------------------------------


def _charge_shares(run: TickRun, snapshot: Snapshot, launching: Sequence[Job]) -> None:
    """Charge shares for launched and running slots; with only one share nothing is written."""
    launched: Counter[str] = Counter()
    for job in launching:
        if job.current is not None:
            launched[job.spec.share] += job.current.placement.count
    shares = chain((j.share for j in snapshot.waiting), (u.share for u in snapshot.usage))
    if not launched or (len(launched) == 1 and all(share in launched for share in shares)):
        return
    running: Counter[str] = Counter()
    for use in snapshot.usage:
        running[use.share] += use.running
    charged = charge_usage(snapshot.shares, launched, running, run.now)
    # If another tick saved a record meanwhile, this charge is lost: fair share works over hours.
    run.store.save_shares(charged)
