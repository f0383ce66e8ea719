"""The ticks: stateless passes that bring what is stored and what is so together.

Each tick reads what is due, asks the core what that state owes, does it, and
saves the outcome. It may run twice, overlap another, die anywhere or come late:
the next one finishes the work (see `_transitions` for why). Safety never rests
on a clock or a lease; the lease of the launch tick only saves calls.

The jobs of one tick touch each other only here, in the batch loop and in the
limits. One job that cannot be read, or whose training makes the adapter raise,
is reported and left for later; the others go on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import chain

from jobcore.errors import Unavailable
from jobcore.lifecycle.codec import spec_hash
from jobcore.lifecycle.effects import LaunchTraining, Tick, owed
from jobcore.lifecycle.events import (
    Event,
    HoldRequested,
    LaunchAccepted,
    LaunchDecided,
    LaunchRefused,
    NameTaken,
    TimePassed,
)
from jobcore.lifecycle.failure import Failure, Scope
from jobcore.lifecycle.model import HoldCode, Job, Launching, Status
from jobcore.lifecycle.names import training_name
from jobcore.lifecycle.records import ALL_POOLS, PoolState
from jobcore.ports import (
    Clock,
    Evidence,
    JobQuery,
    JobStore,
    LaunchReply,
    LaunchRequest,
    LaunchResult,
    Trainer,
)
from jobcore.redact import redact, secret_values
from jobcore.scheduling.fairness import charge_usage
from jobcore.scheduling.groups import (
    group_and_owner,
    groups_to_pause,
    is_held_by_group,
    mark_paused,
)
from jobcore.scheduling.limits import Limits
from jobcore.scheduling.plan import Launch, Plan
from jobcore.scheduling.room import Snapshot

from .facts import adoption_facts, classified, is_ours, stop_training
from .observations import PoolObservations
from .run import Settings, TickReport, TickRun

__all__ = [
    "launch_tick",
    "snapshot_of",
]


def snapshot_of(store: JobStore, trainer: Trainer, *, now: datetime, limits: Limits) -> Snapshot:
    """
    Read what a plan is made of.

    Raises:
        Unavailable: the store or the trainer did not answer.
    """
    return Snapshot(
        waiting=store.waiting(now=now, depth=limits.launches_max),
        usage=store.usage(),
        capacity=trainer.capacity(),
        pools=store.pools(),
    )


def launch_tick(store: JobStore, trainer: Trainer, clock: Clock, settings: Settings) -> TickReport:
    """
    Finish launches that were begun, then plan and begin new ones.

    The intent of all planned launches is saved (one write) before the first of
    them is made, and what came of them is saved after.

    Raises:
        Unavailable: the store could not be read; nothing was done.
    """
    run = TickRun(store, settings, clock.now())
    begun = store.due(Tick.LAUNCH, before=run.now - settings.launch_lease, limit=settings.page)
    if begun:
        found = run.read([due.job_id for due in begun])
        late = run.apply((job, [TimePassed()]) for job in found.values())
        _perform(run, trainer, late)
    try:
        snapshot = snapshot_of(store, trainer, now=run.now, limits=settings.limits)
    except Unavailable as error:
        run.trouble("", error)
        return run.report
    if _pause_groups(run, snapshot):
        if not settings.go_on():
            return run.report
        snapshot = snapshot_of(store, trainer, now=run.now, limits=settings.limits)
    decided, jobs = _decide(run, snapshot)
    run.report.wake_at = decided.wake_at
    if decided.launches:
        launching = _begin(run, decided.launches, jobs)
        bets = frozenset(launch.job_id for launch in decided.launches if launch.bet)
        _perform(run, trainer, launching, bets=bets)
        _serve(run, snapshot, launching)
    return run.report


def _serve(run: TickRun, snapshot: Snapshot, launching: Sequence[Job]) -> None:
    """Note which shares were given slots; nothing is written where there is only one share."""
    launched: Counter[str] = Counter()
    for job in launching:
        if job.current is not None:
            launched[job.spec.share] += job.current.placement.count
    shares = chain((j.share for j in snapshot.waiting), (u.share for u in snapshot.usage))
    if len(launched) > 1 or (launched and any(share not in launched for share in shares)):
        running: Counter[str] = Counter()
        for use in snapshot.usage:
            running[use.share] += use.running
        state = snapshot.pools.get(ALL_POOLS) or PoolState(name=ALL_POOLS)
        # Lost to another tick: fairness is a matter of hours.
        run.store.save_pool(charge_usage(state, launched, running, run.now))


def _pause_groups(run: TickRun, snapshot: Snapshot) -> bool:
    """Hold the waiting jobs of groups that the breaker has paused; one of each group tells its owner."""
    held = False
    for key, reason in groups_to_pause(snapshot.pools.get(ALL_POOLS)).items():
        group, owner = group_and_owner(key)
        hold = HoldRequested(by="jobcore", reason=reason, code=HoldCode.GROUP)
        known = run.store.find(
            JobQuery(group=group, owner=owner, statuses=frozenset({Status.HELD}), limit=1000)
        ).jobs
        told = any(is_held_by_group(job) for job in known)
        while run.settings.go_on():
            query = JobQuery(
                group=group,
                owner=owner,
                statuses=frozenset({Status.NEW}),
                limit=min(run.settings.page, 1000),
            )
            jobs = run.store.find(query).jobs
            after = run.apply(
                (job, [replace(hold, tell=not told and number == 0)])
                for number, job in enumerate(jobs)
            )
            told = True
            held |= bool(jobs)
            if not any(job.status is Status.HELD for job in after):
                # Of those that are left none can be held (others change them): the rest is launched.
                state = run.store.pools().get(ALL_POOLS)
                if state is not None:
                    run.store.save_pool(mark_paused(state, key))
                break
    return held


def _decide(run: TickRun, snapshot: Snapshot) -> tuple[Plan, Mapping[str, Job]]:
    """Plan, and read the jobs of the plan; those that cannot be read take no room from the others."""
    unread: set[str] = set()
    while True:
        decided = run.settings.scheduler.plan(snapshot, run.settings.limits, now=run.now)
        wanted = [launch.job_id for launch in decided.launches]
        jobs = run.read([job_id for job_id in wanted if job_id not in unread])
        missing = {job_id for job_id in wanted if job_id not in jobs}
        if missing <= unread or not run.settings.go_on():  # what was left out is not planned again
            return decided, jobs
        unread |= missing
        waiting = [job for job in snapshot.waiting if job.job_id not in unread]
        snapshot = replace(snapshot, waiting=waiting)


def _begin(run: TickRun, launches: Sequence[Launch], jobs: Mapping[str, Job]) -> list[Job]:
    """Save the intent of each launch; give back the jobs that are ours to launch now."""
    todo: list[tuple[Job, Sequence[Event]]] = []
    for launch in launches:
        job = jobs.get(launch.job_id)
        if job is not None:
            event = LaunchDecided(attempt=launch.attempt, placement=launch.placement)
            todo.append((job, (event,)))
    before = {job.job_id: job for job, _ in todo}
    # A job that was Launching before is another tick's, and still under its lease.
    return [
        job
        for job in run.apply(todo)
        if isinstance(job.state, Launching) and job.version != before[job.job_id].version
    ]


def _perform(
    run: TickRun,
    trainer: Trainer,
    jobs: Sequence[Job],
    *,
    bets: frozenset[str] | None = None,
) -> None:
    """
    Make the launches that *jobs* owe, and save what came of them.

    Once a pool has refused, what asks for as much or more of it is refused with the same
    reason and without a call: the answer is known, and calls are scarce. The same goes for
    all pools once the account is asked too fast. Only for fresh intents, of which no earlier
    call can be under way.

    Args:
        bets: the ids of the jobs whose launch is a bet, if the intents are fresh; None if not.
    """
    answers: list[tuple[Job, Sequence[Event]]] = []
    learned = PoolObservations(run)
    refused: dict[str, tuple[int, Failure]] = {}
    owing = [
        (job, effect) for job in jobs for effect in owed(job) if isinstance(effect, LaunchTraining)
    ]
    together = max(1, run.settings.launches_together)
    for start in range(0, len(owing), together):
        if not run.settings.go_on():
            break
        asked = []
        for job, effect in owing[start : start + together]:
            known = refused.get("") or refused.get(effect.placement.pool)
            if bets is not None and known is not None and effect.placement.count >= known[0]:
                answers.append((job, [LaunchRefused(attempt=effect.attempt, failure=known[1])]))
            else:
                asked.append((job, effect))
        for (job, effect), events in zip(asked, _launch(run, trainer, asked), strict=True):
            if not events:
                continue
            answers.append((job, events))
            learned.note_launch(job, effect.placement, events[0], bet=job.job_id in (bets or ()))
            if isinstance(events[0], LaunchRefused):
                place, failure = effect.placement, events[0].failure
                if failure.scope is Scope.POOL:
                    refused[place.pool] = (place.count, failure)
                elif failure.scope is Scope.ACCOUNT:
                    refused[""] = (0, failure)
    after = run.apply(answers)
    for (_, events), job in zip(answers, after, strict=True):
        _stop_if_unwanted(run, trainer, job, events)
    learned.save()


def _launch(
    run: TickRun, trainer: Trainer, asked: Sequence[tuple[Job, LaunchTraining]]
) -> list[Sequence[Event]]:
    """Ask the trainer to create trainings; [] for each whose outcome is not known."""
    requests = [
        LaunchRequest(
            name=effect.name,
            job_id=job.job_id,
            attempt=effect.attempt,
            spec_hash=spec_hash(job.spec),
            placement=effect.placement,
            args=job.spec.args,
            run_at_most=job.spec.clocks.run_at_most,
            owner=job.spec.owner,
            group=job.spec.group,
            tags=job.spec.tags,
            to_stop=effect.to_stop,
        )
        for job, effect in asked
    ]
    if not requests:
        return []
    run.report.looked_at += len(asked)
    try:
        replies = trainer.launch(requests)
    except Exception as error:
        if len(asked) > 1:  # one by one, then: what was created answers that it exists
            run.report.looked_at -= len(asked)
            return [events for one in asked for events in _launch(run, trainer, [one])]
        run.trouble(asked[0][0].job_id, error)
        return [[]]
    return [
        _read_reply(run, trainer, job, effect, reply)
        for (job, effect), reply in zip(asked, replies, strict=True)
    ]


def _read_reply(
    run: TickRun, trainer: Trainer, job: Job, effect: LaunchTraining, reply: LaunchReply
) -> Sequence[Event]:
    """Turn the answer to a launch into facts; [] where the outcome is not known."""
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
            except Exception as error:
                run.trouble(job.job_id, error)
                return []
        case LaunchResult.UNCLEAR:
            what = reply.evidence.text if reply.evidence is not None else "no answer"
            what = redact(what, secret_values(job.spec))
            run.trouble(job.job_id, Unavailable(f"launch of {effect.name}: {what}"))
            return []


def _adopt(run: TickRun, trainer: Trainer, job: Job, effect: LaunchTraining) -> Sequence[Event]:
    """The name is in use: by us (an earlier call that was applied), or by a stranger."""
    training = trainer.describe([effect.name]).get(effect.name)
    if training is None:
        return []  # could not be read, or not yet: the next tick asks again
    if not is_ours(training, job):
        whose = f"job {training.job_id}" if training.job_id else "somebody else"
        reason = f"the training name {effect.name} is taken by {whose}"
        return [NameTaken(attempt=effect.attempt, reason=reason)]
    run.report.launched += 1
    return adoption_facts(training, job, effect.placement, run.settings.rules)


def _stop_if_unwanted(run: TickRun, trainer: Trainer, job: Job, events: Sequence[Event]) -> None:
    """Stop a training that was created while its job ended (the reaper does so if this dies)."""
    accepted = [e for e in events if isinstance(e, LaunchAccepted)]
    if not accepted or not job.status.is_terminal:
        return
    stop_training(run, trainer, job.job_id, training_name(job.job_id, accepted[0].attempt))
