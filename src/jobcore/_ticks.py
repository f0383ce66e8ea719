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
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import chain

from ._breaker import (
    End,
    count_ends,
    group_and_owner,
    group_key,
    is_paused,
    judge,
    paused,
    pausing,
)
from ._capacity import ALL_POOLS, LATE, FactKind, PoolFact, PoolState, serve
from ._codec import spec_hash
from ._events import (
    Event,
    HoldRequested,
    LaunchAccepted,
    LaunchDecided,
    LaunchRefused,
    MessagePublished,
    NameTaken,
    TimePassed,
    TrainingEnded,
    TrainingMissing,
    TrainingSeen,
)
from ._evolve import maker
from ._failures import (
    REASON_CHARS_MAX,
    Evidence,
    Failure,
    FailureClass,
    Rule,
    Scope,
    classify,
)
from ._limits import Limits
from ._messages import message_for
from ._model import (
    Completed,
    Failed,
    Held,
    HoldCode,
    InProgress,
    Job,
    Launching,
    Placement,
    Spec,
    Status,
    Stopping,
    new_job,
)
from ._names import parse_training_name, training_name
from ._planner import DEFAULT_SCHEDULER, Launch, Plan, Scheduler, Snapshot
from ._ports import (
    Added,
    Clock,
    CorruptRecord,
    Due,
    JobQuery,
    JobStore,
    LaunchReply,
    LaunchRequest,
    LaunchResult,
    Notifier,
    Tick,
    Trainer,
    Training,
    TrainingState,
    Unavailable,
)
from ._rules import DEFAULT_RULES
from ._secrets import secret_values, without_secrets
from ._transitions import (
    Announce,
    LaunchTraining,
    ObserveTraining,
    Step,
    StopTraining,
    has_clocks,
    owed,
    step,
)

__all__ = [
    "Change",
    "Settings",
    "Submission",
    "TickReport",
    "ask",
    "launch_tick",
    "monitor_tick",
    "notify_tick",
    "reap_tick",
    "snapshot_of",
    "submit",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change of a job, as it was saved, and the (last) event that made it; what a log line is made of."""

    job: Job
    before: Status
    event: Event

    @property
    def note(self) -> str:
        """Why, in the words of the job's timeline."""
        return self.job.timeline[-1].note if self.job.timeline else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """
    How the ticks behave.

    Args:
        limits: what the planner may use.
        scheduler: what plans the launches and learns about the pools.
        rules: how failures are classified; the first match wins.
        launch_lease: how long a launch tick leaves another's launch alone. It saves a
            call, nothing depends on it.
        page: how many jobs a tick takes up at once; the monitor goes on with the next page.
        launches_together: how many launches may be under way at once. Above 1 it is faster, and a
            pool that turns out to be full may be asked so many times more.
        on_change: called after each change was saved, never before.
        on_trouble: called with a job id (or "") and what went wrong; nothing was lost.
        go_on: asked before each piece of work; False ends the tick early (a Lambda's time).
    """

    limits: Limits = Limits()
    scheduler: Scheduler = DEFAULT_SCHEDULER
    rules: Sequence[Rule] = DEFAULT_RULES
    launch_lease: timedelta = timedelta(seconds=60)
    page: int = 1000
    launches_together: int = 1
    on_change: Callable[[Change], None] = field(default=lambda change: None)
    on_trouble: Callable[[str, str], None] = field(default=lambda job_id, what: None)
    go_on: Callable[[], bool] = field(default=lambda: True)


@dataclass(slots=True, kw_only=True)
class TickReport:
    """What a tick did, in numbers; *wake_at* is when time alone gives the next one work."""

    looked_at: int = 0
    changed: int = 0
    launched: int = 0
    refused: int = 0
    published: int = 0
    stopped: int = 0
    troubles: int = 0
    wake_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Submission:
    """What became of one job of a submission."""

    job: Job
    added: Added


# --- submit -----------------------------------------------------------------------------


def submit(
    specs: Sequence[Spec],
    job_ids: Sequence[str],
    *,
    store: JobStore,
    now: datetime,
    held_by: str | None = None,
) -> list[Submission]:
    """
    Register jobs as New, each at most once, all with one write.

    Args:
        held_by: who wants them Held from the beginning; a release lets them go.
        job_ids: one for each spec, from `job_id_from_token` (then a repeated call finds
            the jobs of the first) or `job_id_from_bytes`.

    Raises:
        ValueError: an id occurs twice, or there is not one for each spec; nothing was written.
        Unavailable: nothing was written, or the reply was lost; repeat it with the same ids.
    """
    if len(specs) != len(job_ids):
        msg = f"job_ids: expected one for each of {len(specs)} specs, got {len(job_ids)}"
        raise ValueError(msg)
    if len(set(job_ids)) != len(job_ids):
        twice = next(i for i in job_ids if job_ids.count(i) > 1)
        msg = f"job_ids: {twice} occurs twice in one submission; give each job a key of its own"
        raise ValueError(msg)
    # A microsecond apart, so that the jobs of a sweep keep their order among equals.
    jobs = [
        new_job(job_id, spec, now=now + timedelta(microseconds=number))
        for number, (spec, job_id) in enumerate(zip(specs, job_ids, strict=True))
    ]
    if held_by is not None:
        hold = HoldRequested(by=held_by, reason="submitted on hold")
        jobs = [step(job, hold, now=job.submitted_at).job for job in jobs]
    return [Submission(job, added) for job, added in zip(jobs, store.add(jobs), strict=True)]


def ask(
    job_id: str, event: Event, *, store: JobStore, now: datetime, tries: int = 10
) -> Step | None:
    """
    Apply what a person asks (stop, hold, release) to a stored job.

    Returns:
        The step that was saved, or was ignored or refused; None if there is no such job.

    Raises:
        Unavailable: the store did not answer, or others changed the job *tries* times in between.
    """
    for _ in range(tries):
        job = store.get([job_id]).get(job_id)
        if job is None:
            return None
        done = step(job, event, now=now)
        if not done.changed:
            return done
        (saved,) = store.save([done.job])
        if saved is not None:
            return Step(job=saved)
    msg = f"job {job_id} kept changing; try again"
    raise Unavailable(msg)


# --- shared by the ticks ----------------------------------------------------------------


class _Pass:
    """One run of a tick: its settings, its report, and saving with a second look on conflict."""

    def __init__(self, store: JobStore, settings: Settings, now: datetime) -> None:
        self.store = store
        self.settings = settings
        self.now = now
        self.report = TickReport()

    def trouble(self, job_id: str, what: object) -> None:
        self.report.troubles += 1
        self.settings.on_trouble(job_id, without_secrets(f"{type(what).__name__}: {what}"))

    def read(self, job_ids: Sequence[str]) -> dict[str, Job]:
        """Read jobs, in the order asked for; a record that cannot be read is reported and left out."""
        wanted = list(job_ids)
        while wanted:
            try:
                found = self.store.get(wanted)
                return {job_id: found[job_id] for job_id in wanted if job_id in found}
            except CorruptRecord as error:
                self.trouble(error.job_id, error)
                if error.job_id not in wanted:
                    return {}
                wanted.remove(error.job_id)
        return {}

    def apply(self, todo: Iterable[tuple[Job, Sequence[Event]]]) -> list[Job]:
        """
        Apply events to jobs and save the changed ones with one write.

        A job that somebody else saved meanwhile is read again and its events applied
        again, one job at a time. Returns the jobs as they are stored now, in order.
        """
        after: list[Job] = []
        dirty: list[tuple[int, Job, Sequence[Event], Event]] = []
        for job, events in todo:
            moved, cause = self._stepped(job, events)
            if cause is not None:
                dirty.append((len(after), job, events, cause))
            after.append(moved)
        if not dirty:
            return after
        saved = self.store.save([after[index] for index, _, _, _ in dirty])
        for (index, before, events, cause), stored in zip(dirty, saved, strict=True):
            if stored is None:
                after[index] = self._again(before, events)
            else:
                after[index] = stored
                self._changed(before, stored, cause)
        return after

    def _stepped(self, job: Job, events: Sequence[Event]) -> tuple[Job, Event | None]:
        """Apply *events*; give the last one that changed the job, too, or None."""
        cause = None
        for event in events:
            after = step(job, event, now=self.now).job
            if after is not job:
                job, cause = after, event
        return job, cause

    def _again(self, stale: Job, events: Sequence[Event]) -> Job:
        for _ in range(5):
            fresh = self.read([stale.job_id]).get(stale.job_id)
            if fresh is None:
                return stale
            facts = events
            if fresh.status is not stale.status:
                # A launch that met Launching was refused; since then a stop wants the name used up.
                facts = [event for event in events if not isinstance(event, LaunchRefused)]
            moved, cause = self._stepped(fresh, facts)
            if cause is None:
                return fresh
            (saved,) = self.store.save([moved])
            if saved is not None:
                self._changed(fresh, saved, cause)
                return saved
        self.trouble(stale.job_id, Unavailable("it kept changing; left for the next tick"))
        return stale

    def _changed(self, before: Job, job: Job, cause: Event) -> None:
        self.report.changed += 1
        self.settings.on_change(_make_change(job=job, before=before.state.status, event=cause))


# What the ticks make for each look and each change (see `_evolve`).
_make_change = maker(Change)
_make_fact = maker(PoolFact)
_make_request = maker(LaunchRequest)
_decided = maker(LaunchDecided)
_accepted = maker(LaunchAccepted)
_seen = maker(TrainingSeen)
_ended = maker(TrainingEnded)
_TIME_PASSED = TimePassed()


def _is_ours(training: Training, job: Job) -> bool:
    return (
        training.job_id == job.job_id
        and training.attempt == job.attempt_number
        and training.spec_hash == spec_hash(job.spec)
    )


def _classified(evidence: Evidence, spec: Spec, rules: Sequence[Rule]) -> Failure:
    """Classify what the trainer says of a job; what is kept of its words is without the job's secrets."""
    failure = classify(evidence, rules)
    text = without_secrets(evidence.text, secret_values(spec))[:REASON_CHARS_MAX]
    return failure if text == failure.text else replace(failure, text=text)


def _look_at(training: Training, job: Job, rules: Sequence[Rule]) -> TrainingSeen | TrainingEnded:
    """Turn what the trainer says of a training of ours into a fact."""
    number = training.attempt
    assert number is not None  # it is ours
    if training.state.is_terminal:
        failure = None
        if training.state is not TrainingState.COMPLETED:
            evidence = training.evidence or Evidence(
                where="describe", status=str(training.state), text=""
            )
            failure = _classified(evidence, job.spec, rules)
        return _ended(
            attempt=number,
            outcome=_OUTCOMES[training.state],
            failure=failure,
            started_at=training.started_at,
            ended_at=training.ended_at,
        )
    return _seen(
        attempt=number,
        running=training.state is not TrainingState.PENDING,
        detail=training.detail,
        started_at=training.started_at,
    )


_OUTCOMES = {state: Status(state) for state in TrainingState if state.is_terminal}


# --- launch -----------------------------------------------------------------------------


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
    run = _Pass(store, settings, clock.now())
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


def _serve(run: _Pass, snapshot: Snapshot, launching: Sequence[Job]) -> None:
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
        run.store.save_pool(serve(state, launched, running, run.now))


def _pause_groups(run: _Pass, snapshot: Snapshot) -> bool:
    """Hold the waiting jobs of groups that the breaker has paused; one of each group tells its owner."""
    held = False
    for key, reason in pausing(snapshot.pools.get(ALL_POOLS)).items():
        group, owner = group_and_owner(key)
        hold = HoldRequested(by="jobcore", reason=reason, code=HoldCode.GROUP)
        known = run.store.find(
            JobQuery(group=group, owner=owner, statuses=frozenset({Status.HELD}), limit=1000)
        ).jobs
        told = any(is_paused(job) for job in known)
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
                    run.store.save_pool(paused(state, key))
                break
    return held


def _decide(run: _Pass, snapshot: Snapshot) -> tuple[Plan, Mapping[str, Job]]:
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


def _begin(run: _Pass, launches: Sequence[Launch], jobs: Mapping[str, Job]) -> list[Job]:
    """Save the intent of each launch; give back the jobs that are ours to launch now."""
    todo: list[tuple[Job, Sequence[Event]]] = []
    for launch in launches:
        job = jobs.get(launch.job_id)
        if job is not None:
            event = _decided(attempt=launch.attempt, placement=launch.placement)
            todo.append((job, (event,)))
    before = {job.job_id: job for job, _ in todo}
    # A job that was Launching before is another tick's, and still under its lease.
    return [
        job
        for job in run.apply(todo)
        if isinstance(job.state, Launching) and job.version != before[job.job_id].version
    ]


def _perform(
    run: _Pass,
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
    learned = _Learned(run)
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
    run: _Pass, trainer: Trainer, asked: Sequence[tuple[Job, LaunchTraining]]
) -> list[Sequence[Event]]:
    """Ask the trainer to create trainings; [] for each whose outcome is not known."""
    requests = [
        _make_request(
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
    except Exception as error:  # noqa: BLE001  (one poisoned job never blocks another)
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
    run: _Pass, trainer: Trainer, job: Job, effect: LaunchTraining, reply: LaunchReply
) -> Sequence[Event]:
    """Turn the answer to a launch into facts; [] where the outcome is not known."""
    match reply.result:
        case LaunchResult.ACCEPTED:
            run.report.launched += 1
            return [_accepted(attempt=effect.attempt, placement=effect.placement)]
        case LaunchResult.REFUSED:
            run.report.refused += 1
            evidence = reply.evidence or Evidence(where="create")
            failure = _classified(evidence, job.spec, run.settings.rules)
            return [LaunchRefused(attempt=effect.attempt, failure=failure)]
        case LaunchResult.EXISTS:
            try:
                return _adopt(run, trainer, job, effect)
            except Exception as error:  # noqa: BLE001  (one poisoned job never blocks another)
                run.trouble(job.job_id, error)
                return []
        case LaunchResult.UNCLEAR:
            what = reply.evidence.text if reply.evidence is not None else "no answer"
            what = without_secrets(what, secret_values(job.spec))
            run.trouble(job.job_id, Unavailable(f"launch of {effect.name}: {what}"))
            return []


def _adopt(run: _Pass, trainer: Trainer, job: Job, effect: LaunchTraining) -> Sequence[Event]:
    """The name is in use: by us (an earlier call that was applied), or by a stranger."""
    training = trainer.describe([effect.name]).get(effect.name)
    if training is None:
        return []  # could not be read, or not yet: the next tick asks again
    if not _is_ours(training, job):
        whose = f"job {training.job_id}" if training.job_id else "somebody else"
        reason = f"the training name {effect.name} is taken by {whose}"
        return [NameTaken(attempt=effect.attempt, reason=reason)]
    run.report.launched += 1
    return _adopted(training, job, effect.placement, run.settings.rules)


def _adopted(
    training: Training, job: Job, placement: Placement, rules: Sequence[Rule]
) -> Sequence[Event]:
    """Turn what the trainer says of a training of ours into facts for a job that may not know of it."""
    fact = _look_at(training, job, rules)
    if isinstance(fact, TrainingEnded):
        return [fact]
    # For a job in New or Held, acceptance is what makes it adopt the training.
    return [LaunchAccepted(attempt=fact.attempt, placement=placement), fact]


def _stop_if_unwanted(run: _Pass, trainer: Trainer, job: Job, events: Sequence[Event]) -> None:
    """Stop a training that was created while its job ended (the reaper does so if this dies)."""
    accepted = [e for e in events if isinstance(e, LaunchAccepted)]
    if not accepted or not job.status.is_terminal:
        return
    _stop(run, trainer, job.job_id, training_name(job.job_id, accepted[0].attempt))


def _stop(run: _Pass, trainer: Trainer, job_id: str, name: str) -> None:
    try:
        trainer.stop(name)
        run.report.stopped += 1
    except Exception as error:  # noqa: BLE001  (one poisoned job never blocks another)
        run.trouble(job_id, error)


class _Learned:
    """What the answers of one pass teach about the pools; saved once per pool."""

    def __init__(self, run: _Pass) -> None:
        self.run = run
        self.facts: dict[str, list[PoolFact]] = {}
        self.teaches = False  # even about a pool of which nothing was known

    def note_launch(self, job: Job, placement: Placement, event: Event, *, bet: bool) -> None:
        """Note the answer to a launch."""
        if isinstance(event, LaunchAccepted):
            self._note(FactKind.ACCEPTED, job, placement, bet=bet)
        elif isinstance(event, LaunchRefused) and event.failure.scope is Scope.POOL:
            self._note(FactKind.REFUSED, job, placement, failure=event.failure)

    def note_look(self, job: Job, placement: Placement, event: Event) -> None:
        """Note what a look at the training of *job*, as it was before, has shown."""
        was_running = isinstance(job.state, InProgress)
        if isinstance(event, TrainingSeen):
            if event.running and not was_running:
                self._note(FactKind.STARTED, job, placement)
            elif not event.running and self.run.now - _launched_at(job) > LATE:
                self._note(FactKind.PENDING, job, placement)
        elif isinstance(event, TrainingEnded):
            failure = event.failure
            if failure is not None and failure.failure_class in _LOSSES:
                self._note(FactKind.LOST, job, placement, failure=failure)
                return
            if event.started_at is not None and not was_running:
                self._note(FactKind.STARTED, job, placement, over=True)
            self._note(FactKind.ENDED, job, placement)

    def _note(
        self,
        kind: FactKind,
        job: Job,
        placement: Placement,
        *,
        bet: bool = False,
        over: bool = False,
        failure: Failure | None = None,
    ) -> None:
        fact = _make_fact(
            job_id=job.job_id,
            attempt=job.attempt_number,
            count=placement.count,
            launched_at=_launched_at(job),
            kind=kind,
            bet=bet,
            over=over,
            failure=failure,
        )
        self.facts.setdefault(placement.pool, []).append(fact)
        self.teaches |= bet or failure is not None

    def save(self) -> None:
        """Learn, with what is in use now, and save what is new; call it after the jobs are saved."""
        if not self.facts:
            return
        store, known = self.run.store, self.run.store.pools()
        if not self.teaches and not any(pool in known for pool in self.facts):
            return
        usage = store.usage()
        for pool, facts in self.facts.items():
            state = known.get(pool)
            if state is None:
                if not any(f.bet or f.failure is not None for f in facts):
                    continue
                state = PoolState(name=pool)
            learned = self.run.settings.scheduler.learn(
                state,
                facts,
                in_flight=sum(u.slots for u in usage if u.pool == pool),
                running=sum(u.running for u in usage if u.pool == pool),
                now=self.run.now,
                limits=self.run.settings.limits,
            )
            if learned is not state:
                # Lost to another tick: it has learned the same, and the next answer teaches again.
                store.save_pool(learned)


_LOSSES = (FailureClass.CAPACITY, FailureClass.QUOTA, FailureClass.SPOT_INTERRUPTED)


def _launched_at(job: Job) -> datetime:
    current = job.current
    return current.launching_at if current is not None else job.state.since


# --- monitor ----------------------------------------------------------------------------

_PAGES_MAX = 100  # of index rows, in one pass


def monitor_tick(store: JobStore, trainer: Trainer, clock: Clock, settings: Settings) -> TickReport:
    """
    Look at the trainings of active jobs and at clocks that have run out; stop what is to be stopped.

    A training that could not be read leaves its job as it is.

    Raises:
        Unavailable: the store could not be read; nothing was done.
    """
    run = _Pass(store, settings, clock.now())
    due = store.due(Tick.MONITOR, before=run.now, limit=settings.page * _PAGES_MAX)
    pages = [due[start : start + settings.page] for start in range(0, len(due), settings.page)]
    # A running training stays due: where time is short, the next minute begins with another page.
    first = int(run.now.timestamp() // 60) % len(pages) if pages else 0
    for number, page in enumerate((*pages[first:], *pages[:first])):
        if number and not settings.go_on():
            break
        jobs = run.read([entry.job_id for entry in page])
        run.report.looked_at += len(jobs)
        _observe(run, trainer, jobs)
    return run.report


def _observe(run: _Pass, trainer: Trainer, jobs: Mapping[str, Job]) -> None:
    names = {
        job.job_id: effect.name
        for job in jobs.values()
        for effect in owed(job)
        if isinstance(effect, ObserveTraining)
    }
    trainings: Mapping[str, Training | None] = {}
    if names:
        try:
            trainings = trainer.describe(list(names.values()))
        except Exception as error:  # noqa: BLE001  (nothing learned is not a status; clocks still count)
            run.trouble("", error)
    todo: list[tuple[Job, Sequence[Event]]] = []
    learned = _Learned(run)
    for job in jobs.values():
        clocks: Sequence[Event] = (_TIME_PASSED,) if has_clocks(job) else ()
        events = clocks
        name, attempt = names.get(job.job_id, ""), job.current
        if attempt is not None and name in trainings:
            training = trainings[name]
            if training is None:
                events = (TrainingMissing(attempt=attempt.number), *clocks)
            elif _is_ours(training, job):
                fact = _look_at(training, job, run.settings.rules)
                events = (fact, *clocks)
                learned.note_look(job, attempt.placement, fact)
        todo.append((job, events))
    after = run.apply(todo)
    learned.save()
    _judge_groups(run, jobs, after)
    for job in after:
        # Most owe nothing but the next look; who asks for all that is owed asks for texts.
        for effect in owed(job) if isinstance(job.state, Stopping) else ():
            if isinstance(effect, StopTraining):
                _stop(run, trainer, job.job_id, effect.name)


def _judge_groups(run: _Pass, before: Mapping[str, Job], after: Sequence[Job]) -> None:
    """Count how jobs of groups have ended, and pause a group whose jobs all fail alike."""
    first = run.settings.limits.group_breaker
    ends: list[End] = [
        (
            group_key(job.spec.group, job.spec.owner),
            job.state.failure if isinstance(job.state, Failed) else None,
        )
        for job in after
        if job.spec.group is not None
        and isinstance(job.state, Failed | Completed)
        and not before[job.job_id].status.is_terminal
    ]
    if not first or not ends:
        return
    for _ in range(3):  # lost to another tick: it has written other ends
        state = run.store.pools().get(ALL_POOLS) or PoolState(name=ALL_POOLS)
        counted, judged = count_ends(state, ends, first=first, now=run.now)
        for key in judged:
            group, owner = group_and_owner(key)
            counted = judge(counted, key, run.store.counts(group=group, owner=owner))
        if counted is state or run.store.save_pool(counted):
            return


# --- notify -----------------------------------------------------------------------------


def notify_tick(
    store: JobStore, notifier: Notifier, clock: Clock, settings: Settings
) -> TickReport:
    """
    Publish the messages owed, then clear them: at least once, each with its one event id.

    Raises:
        Unavailable: the store could not be read; nothing was done.
    """
    run = _Pass(store, settings, clock.now())
    due: Sequence[Due] = store.due(Tick.NOTIFY, before=run.now, limit=settings.page)
    done: list[tuple[Job, Sequence[Event]]] = []
    for job in run.read([entry.job_id for entry in due]).values():
        if not settings.go_on():
            break
        run.report.looked_at += 1
        published: list[Event] = []
        for effect in owed(job):
            if not isinstance(effect, Announce):
                continue
            try:
                notifier.publish(message_for(job, effect.entry))
            except Exception as error:  # noqa: BLE001  (one poisoned message never blocks another)
                run.trouble(job.job_id, error)
                continue
            run.report.published += 1
            published.append(MessagePublished(event_id=effect.entry.event_id))
        if published:
            done.append((job, published))
    run.apply(done)
    return run.report


# --- reap -------------------------------------------------------------------------------


def reap_tick(store: JobStore, trainer: Trainer, clock: Clock, settings: Settings) -> TickReport:
    """
    Stop trainings of ours that no job wants: the second net under the launch tick.

    A training whose job is not in the store is reported and left alone (the store may
    have been restored from a backup). A training of the attempt that its job is at, or
    is about to launch, is never touched; if its job is held, the job adopts it, since
    nobody else would look at it until a release.

    Raises:
        Unavailable: the store could not be read, or the trainer could not list its trainings.
    """
    run = _Pass(store, settings, clock.now())
    for training in trainer.running():
        name = parse_training_name(training.name)
        if name is None or training.job_id != name.job_id:
            continue
        run.report.looked_at += 1
        job = run.read([name.job_id]).get(name.job_id)
        if job is None:
            run.trouble(name.job_id, LookupError(f"training {training.name} has no job here"))
        elif job.status.is_terminal or name.attempt < job.attempt_number:
            _stop(run, trainer, job.job_id, training.name)
        elif isinstance(job.state, Held) and _is_ours(training, job):
            # Held because one call was refused, while another for the same name was not. Which
            # placement that one was for is not known any more.
            events = _adopted(training, job, job.spec.placements[0], run.settings.rules)
            try:
                run.apply([(job, events)])
            except Exception as error:  # noqa: BLE001  (a reaper that may not write still stops the others)
                run.trouble(job.job_id, error)
    return run.report
