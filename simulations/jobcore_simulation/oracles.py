"""
What must hold in every run, whatever fails on the way: the invariants, as code.

An `Oracle` wraps the ports of a run on the side of the world, below every fault: it sees each
call with the effect that it really had, keeps a copy of what is stored, and notes in `Oracle.found`
what must not be. It never raises into the code under test, which may well catch what it is thrown;
whoever drives the run looks at `found` after each step.

======  ============================================================  ===========================
Code    Invariant                                                     Checked where
======  ============================================================  ===========================
S1      At most one live training per job.                            each create that took effect
S2      Attempts go up by one, never beyond what ended (rule A), and   each write, each create,
        retries never beyond the budget of their class.               `jobcore.lifecycle.violations`
S3      A terminal status is final.                                   each write, `violations`
S4      Only edges that the table has; each write is over the version  each write, `violations`
        that is stored, and counts it up by one: no update is lost.
S5      A Completed job has a training that completed.                each write (asks the world)
S6      No training without an intent stored before.                  each create
S7      An end is owed one message in the same write, with the one id  each write, each publish,
        of its event; nothing owed is dropped unpublished.            the end of a run
S8      Nothing is told that the store does not say.                  each publish
S9      A stop request is never taken back.                           each write
S10     No launch is begun after a stop was recorded.                 each write
S11     No write without a change.                                    each write
S12     No end is written while the attempt's training is alive,       each write (asks the world)
        but for one that an overlapping tick has created to use the
        name up, since the writer's own try to do so was refused
        (that tick, or the reaper, stops it).
S13     Stopped, and Stopping for a user, only if a stop was asked.    `violations`
S14     A healthy training is stopped only if its job is Stopping,     each stop
        over, or past that attempt.
S15     A training that a job has taken for its own carries the job's  each write
        id, attempt and spec hash.
S16     Counts, usage and what is due are what the jobs say.          `Oracle.check_store`
S17     A plan stays within a known quota, a pool's size and the       each plan
        operator's limits: what is reused and what is bet share the
        room.
S18     The actor's tenant may act on the job.                        the AWS adapters' tests
S19     The role passed is in the tenant's list.                      the AWS adapters' tests
S20     No secret value in any output.                                the canary tests
J1      Each job waits, is in flight, is held or is over: the indexes  `Oracle.check_store`
        that the ticks read have each job where its status says.
J2      Bets rotate: of a job's pools in a shortage, the one that was  each plan
        bet on least recently is bet on first.
L1      Once faults stop all converges: every job ends, no training    `Oracle.check_end`, and the
        is left alone, nothing is owed.                               driver's bound of rounds
L2      A tick ends after a bounded number of port calls.             the driver counts
L3      A poisoned job does not block others.                         the driver: others converge
L4      A recorded stop ends the job.                                 the driver's bound
L5      No job waits where its pool has had room for long; what others  the driver's bound, with
        used of a quota is forgotten.                                 `FORGOTTEN_AFTER`
======  ============================================================  ===========================

The drivers are `jobcore_simulation.swarm` (drawn worlds, faults at each port) and
`jobcore_simulation.simulator` (with a `Watch` for its ``check``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from jobcore import Job, JobStore, Limits, Notifier, Snapshot, Status, Trainer
from jobcore.lifecycle import (
    Failed,
    PoolState,
    Stopping,
    Tick,
    Violation,
    budget,
    due_at,
    parse_training_name,
    spec_hash,
    training_name,
    violations,
)
from jobcore.ports import (
    Added,
    LaunchReply,
    LaunchRequest,
    LaunchResult,
    Message,
    Training,
    TrainingState,
    Waiting,
)
from jobcore.scheduling import Plan, PoolFact, Scheduler, allowance

if TYPE_CHECKING:
    from jobcore_simulation.simulator import Simulation

__all__ = ["FORGOTTEN_AFTER", "Broken", "Oracle", "Watch"]

#: What others use of a quota is believed for so long after it was said.
FORGOTTEN_AFTER = timedelta(minutes=2)
# A limit may have been raised: after so long one launch may ask again.
_LIMIT_ASKED_AGAIN = timedelta(minutes=15)
_LONG = timedelta(days=3650)


class Oracle:
    """
    An observer of one run.

    Args:
        truth: how a training really is (None: there is none); not a port call, no fault.

    Attributes:
        found: what must not be; empty in a good run.
        jobs: the jobs as they are stored.
        edges: how often each change of status was written.
        published: how often each message, by its event id.
        told: the ids under which a job's end was published.
    """

    def __init__(self, truth: Callable[[str], Training | None]) -> None:
        """Begin with nothing seen."""
        self.truth = truth
        self.found: list[Violation] = []
        self.jobs: dict[str, Job] = {}
        self.edges: Counter[tuple[Status, Status]] = Counter()
        self.published: Counter[str] = Counter()
        self.told: dict[str, set[str]] = {}
        self.intended: set[str] = set()
        self.created: dict[str, LaunchRequest] = {}
        self.names: dict[str, list[str]] = {}  # of the trainings created, by job
        self.ended: set[str] = set()  # names whose end, or whose other owner, a tick was told
        self.creates = 0
        self.born: dict[str, int] = {}  # how many creates there had been, by name
        #: What the one who writes has asked to be used up, and how many creates there had been then:
        #: a training that another tick has created since is the other tick's to stop.
        self.asked: Mapping[str, int] = {}

    # --- the ports, watched ---------------------------------------------------------------

    def store(self, base: JobStore) -> JobStore:
        """Watch a store."""
        return _Store(self, base)  # type: ignore[return-value]

    def trainer(self, base: Trainer) -> Trainer:
        """Watch a trainer."""
        return _Trainer(self, base)  # type: ignore[return-value]

    def notifier(self, base: Notifier) -> Notifier:
        """Watch a notifier."""
        return _Notifier(self, base)

    def scheduler(self, base: Scheduler) -> Scheduler:
        """Watch a scheduler."""
        return _Scheduler(self, base)

    # --- what is seen -----------------------------------------------------------------------

    def fail(self, code: str, job_id: str, said: str) -> None:
        """Note what must not be."""
        self.found.append(Violation(code, job_id, said))

    def added(self, job: Job) -> None:
        """A job was registered."""
        if job.job_id in self.jobs:
            self.fail("S4", job.job_id, "registered over a job that is there")
        self.jobs[job.job_id] = job
        for violation in violations(job):
            self.found.append(violation)

    def wrote(self, wanted: Job, job: Job) -> None:
        """A job was saved: *wanted* as the tick gave it, *job* as it is stored now."""
        job_id = job.job_id
        before = self.jobs.get(job_id)
        self.jobs[job_id] = job
        if before is None:
            self.fail("S4", job_id, "saved, and it was never registered")
            return
        if wanted.version != before.version or job.version != before.version + 1:
            self.fail("S4", job_id, f"version {job.version} written over {before.version}")
        was, now = before.status, job.status
        if was is not now:
            self.edges[was, now] += 1
        if was.is_terminal and job.state != before.state:
            self.fail("S3", job_id, f"it was {was}, and is {now}")
        if before.stop is not None:
            if job.stop != before.stop:
                self.fail("S9", job_id, "a stop request was taken back, or changed")
            if now.is_active and not was.is_active:
                self.fail("S10", job_id, f"{was} became {now} after a stop was asked for")
        if job.state == before.state and _same(before, job):
            self.fail("S11", job_id, f"written without a change ({now})")
        self._attempt(before, job)
        self._outbox(before, job)
        if now is Status.LAUNCHING:
            self.intended.add(job.training_name)
        elif now is Status.LAUNCHED or now is Status.IN_PROGRESS:
            self._adopted(job)
        elif now.is_terminal and not was.is_terminal:
            self._over(before, job)
        for violation in violations(job):
            self.found.append(violation)

    def _attempt(self, before: Job, job: Job) -> None:
        old, new = before.attempt_number, job.attempt_number
        if new != old and not job.status.is_terminal:  # there it is that of the last one that ran
            if new != old + 1:
                self.fail("S2", job.job_id, f"attempt {old} became attempt {new}")
            if training_name(job.job_id, old) not in self.ended:
                self.fail("S2", job.job_id, f"attempt {new} before attempt {old} was seen to end")
        if job.charges is not before.charges:
            for kind, used in job.charges.items():
                allowed = budget(job.spec.retry, kind)
                if allowed is not None and used > allowed:
                    self.fail("S2", job.job_id, f"{used} retries after {kind}, {allowed} allowed")

    def _outbox(self, before: Job, job: Job) -> None:
        if job.outbox is before.outbox:
            return
        kept = {entry.event_id for entry in job.outbox}
        for entry in before.outbox:
            if entry.event_id not in kept and not self.published[entry.event_id]:
                self.fail("S7", job.job_id, f"{entry.event_id} is owed no more, and was never told")

    def _adopted(self, job: Job) -> None:
        name = job.training_name
        request = self.created.get(name)
        if (
            request is None
            or request.job_id != job.job_id
            or request.attempt != job.attempt_number
            or request.spec_hash != spec_hash(job.spec)
        ):
            self.fail("S15", job.job_id, f"it took {name} for its own")

    def _over(self, before: Job, job: Job) -> None:
        name = before.training_name
        entries = [e for e in job.outbox if e.status.is_terminal]
        if [e.event_id for e in entries] != [
            f"{job.job_id}/{job.timeline[-1].attempt}/{job.status}"
        ]:
            self.fail("S7", job.job_id, f"it is {job.status}, and owes {entries}")
        training = self.truth(name)
        alive = training is not None and not training.state.is_terminal
        known = before.status is not Status.LAUNCHING and getattr(before.state, "known", True)
        if not known and self.born.get(name, 0) > self.asked.get(name, self.creates):
            training, alive = None, False  # it came after the answer that is written now
        if before.status.is_active and alive and name in self.created:
            self.fail("S12", job.job_id, f"it is {job.status} while {name} is alive")
        if job.status is Status.COMPLETED and not (
            name in self.created
            and (training is None or training.state is TrainingState.COMPLETED)
            and name in self.ended
        ):
            self.fail("S5", job.job_id, f"it is Completed, and {name} is not")
        failed = isinstance(job.state, Failed) and before.status.is_active
        completed = training is not None and training.state is TrainingState.COMPLETED
        if failed and completed and name in self.created:
            self.fail("S5", job.job_id, f"it is Failed, and {name} completed")

    def launched(self, request: LaunchRequest) -> None:
        """A training was created."""
        name, job_id = request.name, request.job_id
        if name in self.ended:
            self.fail("S2", job_id, f"{name} was created after its end was seen")
        if name not in self.intended:
            self.fail("S6", job_id, f"{name} was created, and nobody had intended it")
        names = self.names.setdefault(job_id, [])
        for other in names:
            if other != name:
                training = self.truth(other)
                if training is not None and not training.state.is_terminal:
                    self.fail("S1", job_id, f"{other} and {name} are both alive")
        self.created[name] = request
        self.creates += 1
        self.born[name] = self.creates
        if name not in names:
            names.append(name)

    def described(self, training: Training) -> None:
        """A tick was told how a training is."""
        ours = self.created.get(training.name)
        if training.state.is_terminal or ours is None or ours.spec_hash != training.spec_hash:
            self.ended.add(training.name)

    def vanished(self, name: str) -> None:
        """The trainer has lost a training, and knows its name no more."""
        self.ended.discard(name)

    def stops(self, name: str) -> None:
        """A stop of a training is asked for."""
        training = self.truth(name)
        if training is None or training.state.is_terminal:
            return
        parsed = parse_training_name(name)
        job = self.jobs.get(parsed.job_id) if parsed is not None else None
        if parsed is None or job is None or name not in self.created:
            self.fail("S14", "" if parsed is None else parsed.job_id, f"{name} is not ours to stop")
        elif not (
            isinstance(job.state, Stopping)
            or job.status.is_terminal
            or parsed.attempt < job.attempt_number
        ):
            self.fail("S14", job.job_id, f"{name} is stopped, and its job is {job.status}")

    def publishes(self, message: Message) -> None:
        """A message goes out."""
        job = self.jobs.get(message.job_id)
        event_id = message.event_id
        if job is None or not any(mark.status is message.status for mark in job.timeline):
            self.fail("S8", message.job_id, f"told {message.status}, which it never was")
        elif message.status.is_terminal:
            if job.status is not message.status:
                self.fail("S8", message.job_id, f"told {message.status}; it is {job.status}")
            told = self.told.setdefault(job.job_id, set())
            told.add(event_id)
            if len(told) > 1:
                self.fail("S7", job.job_id, f"one end was told under {sorted(told)}")
        self.published[event_id] += 1

    # --- plans ------------------------------------------------------------------------------

    def planned(self, snapshot: Snapshot, limits: Limits, plan: Plan, now: datetime) -> None:
        """A plan was made of a snapshot."""
        if not plan.launches:
            return
        waiting = {job.job_id: job for job in snapshot.waiting}
        used: Counter[str] = Counter()
        shares: Counter[str] = Counter()
        for usage in snapshot.usage:
            used[usage.pool] += usage.slots
            shares[usage.share] += usage.slots
        asked: Counter[str] = Counter()
        times: Counter[str] = Counter()
        given: Counter[str] = Counter()
        for launch in plan.launches:
            place = launch.placement
            asked[place.pool] += place.count
            times[place.pool] += 1
            given[waiting[launch.job_id].share] += place.count
            if launch.bet:
                self._rotates(snapshot, limits, waiting[launch.job_id], place.pool, plan, now)
        for share, count in given.items():
            allowed = limits.share_limit(share)
            if allowed is not None and shares[share] + count > allowed:
                self.fail("S17", "", f"share {share} is given {count} beyond its {allowed}")
        for pool, count in asked.items():
            total = used[pool] + count
            for bound in (snapshot.capacity.get(pool), limits.pools.get(pool)):
                if bound is not None and total > bound:
                    self.fail("S17", "", f"{pool}: {total} slots of {bound}")
            state = snapshot.pools.get(pool)
            if state is None or state.limit is None or state.limit_at is None:
                continue
            age = now - state.limit_at
            others = state.external if age < FORGOTTEN_AFTER else 0
            if total + others > state.limit and not (
                times[pool] == 1 and age >= _LIMIT_ASKED_AGAIN
            ):
                said = f"{pool}: {used[pool]} + {count} slots, others {others}, of {state.limit}"
                self.fail("S17", "", said)

    def _rotates(
        self,
        snapshot: Snapshot,
        limits: Limits,
        job: Waiting,
        pool: str,
        plan: Plan,
        now: datetime,
    ) -> None:
        """Judge the bets whose alternatives nothing but the shortage speaks against."""
        mine = snapshot.pools.get(pool)
        if len(job.placements) < 2 or mine is None or not mine.refusals or mine.bet_at is None:
            return
        in_plan = {launch.placement.pool for launch in plan.launches if launch.job_id != job.job_id}
        for place in job.placements:
            state = snapshot.pools.get(place.pool)
            if (
                state is None
                or state.bet_at is None
                or state.bet_at >= mine.bet_at
                or place.pool in in_plan
                or state.limit is not None
                or place.pool in limits.pools
                or snapshot.capacity.get(place.pool, 0) is not None
            ):
                continue
            slots = [use for use in snapshot.usage if use.pool == place.pool]
            may = allowance(
                state,
                size=None,
                in_flight=sum(use.slots for use in slots),
                running=sum(use.running for use in slots),
                waiting=1,
                now=now,
            )
            if may.until is None and place.count <= (may.reuse or 0) + (may.bets or 0):
                said = f"a bet on {pool}, last one {mine.bet_at}; {place.pool}: {state.bet_at}"
                self.fail("J2", job.job_id, said)

    # --- at rest ----------------------------------------------------------------------------

    def check_store(self, store: JobStore, now: datetime) -> None:
        """Hold the indexes of *store*, which may not lag now, against its jobs (S16, J1)."""
        far = now + _LONG
        jobs = self.jobs
        counted = {status: n for status, n in store.counts().items() if n}
        if counted != Counter(job.status for job in jobs.values()):
            self.fail("S16", "", f"counts: {counted}")
        slots: Counter[tuple[str, str]] = Counter()
        running: Counter[tuple[str, str]] = Counter()
        for job in jobs.values():
            if job.current is not None:
                place = job.current.placement
                slots[place.pool, job.spec.share] += place.count
                if job.status.runs:
                    running[place.pool, job.spec.share] += place.count
        usage = {(use.pool, use.share): (use.slots, use.running) for use in store.usage()}
        if usage != {key: (count, running[key]) for key, count in slots.items()}:
            self.fail("S16", "", f"usage: {usage}, and the jobs hold {dict(slots)}")
        waiting = {job.job_id for job in store.waiting(now=far, depth=10**6)}
        if waiting != {job.job_id for job in jobs.values() if job.status is Status.NEW}:
            self.fail("J1", "", f"waiting: {sorted(waiting)}")
        for tick in Tick:
            due = {entry.job_id for entry in store.due(tick, before=far, limit=10**6)}
            wanted = {job.job_id for job in jobs.values() if due_at(job, tick) is not None}
            if due != wanted:
                self.fail("J1", "", f"due to {tick}: {sorted(due)}, expected {sorted(wanted)}")
        self.check_in_flight()

    def check_in_flight(self) -> None:
        """Each job that is in flight is looked after by exactly one kind of tick (J1)."""
        for job in self.jobs.values():
            after = [t for t in (Tick.LAUNCH, Tick.MONITOR) if due_at(job, t) is not None]
            if job.status.is_active and len(after) != 1:
                self.fail("J1", job.job_id, f"{job.status}, and looked after by {after}")

    def check_end(self, running: Iterable[Training], poisoned: frozenset[str]) -> None:
        """Hold the end of a run against what was promised (L1, S7); *poisoned* jobs are left out."""
        for job in self.jobs.values():
            if job.job_id in poisoned:
                continue
            if not job.status.is_terminal:
                self.fail("L1", job.job_id, f"it is still {job.status}")
            elif job.outbox:
                self.fail("L1", job.job_id, "it still owes a message")
            elif len(self.told.get(job.job_id, ())) != 1:
                self.fail("S7", job.job_id, "nobody was told of its end")
        for training in running:
            if training.name in self.created and training.job_id not in poisoned:
                self.fail("L1", training.job_id or "", f"{training.name} is left alone")


def _same(before: Job, job: Job) -> bool:
    return (
        job.outbox == before.outbox
        and job.stop == before.stop
        and job.hold_next == before.hold_next
        and job.charges == before.charges
        and job.attempts == before.attempts
        and job.timeline == before.timeline
        and job.waiting_since == before.waiting_since
        and job.extra == before.extra
    )


class Broken(AssertionError):  # noqa: N818  (what a test sees)
    """An invariant does not hold."""


class Watch:
    """
    The ``check`` of a `Simulation`: all invariants at each port call, the indexes after each tick.

    Raises:
        Broken: when called, and something was found.
    """

    def __init__(self) -> None:
        """Watch nothing yet; the simulation attaches it."""
        self.oracle = Oracle(lambda name: None)

    def attach(self, simulation: Simulation) -> None:
        """Watch the ports of *simulation*, below its outages."""
        fleet, oracle = simulation.fleet, self.oracle
        oracle.truth = fleet.truth
        simulation.store = simulation._port("store", oracle.store(simulation.base))
        simulation.notifier = simulation._port("notifier", oracle.notifier(simulation.mailbox))
        simulation.trainer = oracle.trainer(fleet)
        scheduler = oracle.scheduler(simulation.settings.scheduler)
        simulation.settings = replace(simulation.settings, scheduler=scheduler)

    def __call__(self, simulation: Simulation) -> None:
        """Look after a tick."""
        self.oracle.check_store(simulation.base, simulation.now())
        self.raise_found()

    def end(self, simulation: Simulation) -> None:
        """Look at the end of a run."""
        self.oracle.check_end(simulation.fleet.running(), frozenset())
        self.raise_found()

    def raise_found(self) -> None:
        """Raise what was found, if anything was."""
        for violation in self.oracle.found:
            msg = f"{violation.code} {violation.job_id}: {violation.said}"
            raise Broken(msg)


class _Watched:
    """A port of which some calls are watched, and the others are the base's own."""

    def __init__(self, oracle: Oracle, base: Any, plain: tuple[str, ...]) -> None:
        self.oracle = oracle
        self.base = base
        for name in plain:
            setattr(self, name, getattr(base, name))


_STORE_PLAIN = (
    "get", "due", "waiting", "usage", "find", "counts", "pools", "save_pool", "next_wake", "shares",
    "save_shares", "tallies", "tallies_to_pause", "save_tally",
)  # fmt: skip


class _Store(_Watched):
    def __init__(self, oracle: Oracle, base: JobStore) -> None:
        super().__init__(oracle, base, _STORE_PLAIN)

    def add(self, jobs: Sequence[Job]) -> Sequence[Added]:
        said: Sequence[Added] = self.base.add(jobs)
        for job, added in zip(jobs, said, strict=True):
            if added is Added.CREATED:
                self.oracle.added(job)
        return said

    def save(self, jobs: Sequence[Job]) -> Sequence[Job | None]:
        saved: Sequence[Job | None] = self.base.save(jobs)
        for job, stored in zip(jobs, saved, strict=True):
            if stored is not None:
                self.oracle.wrote(job, stored)
        return saved


class _Trainer(_Watched):
    def __init__(self, oracle: Oracle, base: Trainer) -> None:
        super().__init__(oracle, base, ("capacity", "running"))

    def launch(self, requests: Sequence[LaunchRequest]) -> Sequence[LaunchReply]:
        replies: Sequence[LaunchReply] = self.base.launch(requests)
        for request, reply in zip(requests, replies, strict=True):
            if reply.result is LaunchResult.ACCEPTED:
                self.oracle.launched(request)
        return replies

    def describe(self, names: Sequence[str]) -> Mapping[str, Training | None]:
        found: Mapping[str, Training | None] = self.base.describe(names)
        for training in found.values():
            if training is not None:
                self.oracle.described(training)
        return found

    def stop(self, name: str) -> None:
        self.oracle.stops(name)
        self.base.stop(name)


class _Notifier(_Watched):
    def __init__(self, oracle: Oracle, base: Notifier) -> None:
        super().__init__(oracle, base, ())

    def publish(self, message: Message) -> None:
        self.base.publish(message)
        self.oracle.publishes(message)


class _Scheduler(_Watched):
    def __init__(self, oracle: Oracle, base: Scheduler) -> None:
        super().__init__(oracle, base, ())

    def plan(self, snapshot: Snapshot, limits: Limits, *, now: datetime) -> Plan:
        plan: Plan = self.base.plan(snapshot, limits, now=now)
        self.oracle.planned(snapshot, limits, plan, now)
        return plan

    def learn(
        self,
        state: PoolState,
        facts: Sequence[PoolFact],
        *,
        in_flight: int,
        running: int,
        now: datetime,
        limits: Limits,
    ) -> PoolState:
        learned: PoolState = self.base.learn(
            state, facts, in_flight=in_flight, running=running, now=now, limits=limits
        )
        return learned
