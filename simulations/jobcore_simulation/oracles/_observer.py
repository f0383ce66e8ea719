"""The observer of one run: the effects of its port calls, and the invariants that each must keep."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime

from jobcore import Job, Limits, Snapshot, Status
from jobcore.lifecycle import (
    Failed,
    Stopping,
    Violation,
    budget,
    parse_training_name,
    spec_hash,
    training_name,
    violations,
)
from jobcore.ports import LaunchRequest, Message, Training, TrainingState
from jobcore.scheduling import Plan

from ._plans import plan_violations

__all__ = ["Observer"]


class Observer:
    """
    Records the effects of port calls and checks each of them.

    Args:
        truth: reads the true state of a training (None: it does not exist), without a port call or
            a fault.

    Attributes:
        found: the broken invariants; empty in a good run.
        jobs: the jobs as they are stored.
        edges: the number of writes of each change of status.
        published: the number of publications of each message, by its event id.
        notified: by job, the event ids under which its end was published.
        intended: names of trainings whose intent was stored.
        created: the trainings that were created, by name.
        names: the names of the trainings created, by job.
        ended: names whose end, or whose foreign owner, a tick has read.
        creates: the number of trainings created so far.
        create_numbers: by name, the value of `creates` when its training was created.
        reserved: by name, the value of `creates` when the tick that writes now requested the name
            from the trainer. If another tick has created the training since, that tick must stop it.
    """

    def __init__(self, truth: Callable[[str], Training | None]) -> None:
        """Start with an empty store and no trainings."""
        self.truth = truth
        self.found: list[Violation] = []
        self.jobs: dict[str, Job] = {}
        self.edges: Counter[tuple[Status, Status]] = Counter()
        self.published: Counter[str] = Counter()
        self.notified: dict[str, set[str]] = {}
        self.intended: set[str] = set()
        self.created: dict[str, LaunchRequest] = {}
        self.names: dict[str, list[str]] = {}
        self.ended: set[str] = set()
        self.creates = 0
        self.create_numbers: dict[str, int] = {}
        self.reserved: Mapping[str, int] = {}

    def fail(self, code: str, job_id: str, detail: str) -> None:
        """Record a broken invariant."""
        self.found.append(Violation(code, job_id, detail))

    # --- the store --------------------------------------------------------------------------

    def on_added(self, job: Job) -> None:
        """Check a job that was registered."""
        if job.job_id in self.jobs:
            self.fail("S4", job.job_id, "registered over a job that is there")
        self.jobs[job.job_id] = job
        self.found.extend(violations(job))

    def on_saved(self, given: Job, job: Job) -> None:
        """
        Check a write.

        Args:
            given: the job as the tick handed it to the store.
            job: the job as it is stored now.
        """
        job_id = job.job_id
        before = self.jobs.get(job_id)
        self.jobs[job_id] = job
        if before is None:
            self.fail("S4", job_id, "saved, and it was never registered")
            return
        if given.version != before.version or job.version != before.version + 1:
            self.fail("S4", job_id, f"version {job.version} written over {before.version}")
        old, new = before.status, job.status
        if old is not new:
            self.edges[old, new] += 1
        if old.is_terminal and job.state != before.state:
            self.fail("S3", job_id, f"it was {old}, and is {new}")
        if before.stop is not None:
            self._check_stop_request(before, job)
        if job.state == before.state and _is_unchanged(before, job):
            self.fail("S11", job_id, f"written without a change ({new})")
        self._check_attempt(before, job)
        self._check_outbox(before, job)
        if new is Status.LAUNCHING:
            self.intended.add(job.training_name)
        elif new is Status.LAUNCHED or new is Status.IN_PROGRESS:
            self._check_adoption(job)
        elif new.is_terminal and not old.is_terminal:
            self._check_end(before, job)
        self.found.extend(violations(job))

    def _check_stop_request(self, before: Job, job: Job) -> None:
        if job.stop != before.stop:
            self.fail("S9", job.job_id, "a stop request was taken back, or changed")
        if job.status.is_active and not before.status.is_active:
            detail = f"{before.status} became {job.status} after a stop was requested"
            self.fail("S10", job.job_id, detail)

    def _check_attempt(self, before: Job, job: Job) -> None:
        old, new = before.attempt_number, job.attempt_number
        # A terminal job shows its last attempt that ran, which may be lower than the planned one.
        if new != old and not job.status.is_terminal:
            if new != old + 1:
                self.fail("S2", job.job_id, f"attempt {old} became attempt {new}")
            if training_name(job.job_id, old) not in self.ended:
                self.fail("S2", job.job_id, f"attempt {new} before attempt {old} was seen to end")
        if job.charges is not before.charges:
            for kind, used in job.charges.items():
                allowed = budget(job.spec.retry, kind)
                if allowed is not None and used > allowed:
                    self.fail("S2", job.job_id, f"{used} retries after {kind}, {allowed} allowed")

    def _check_outbox(self, before: Job, job: Job) -> None:
        if job.outbox is before.outbox:
            return
        kept = {entry.event_id for entry in job.outbox}
        for entry in before.outbox:
            if entry.event_id not in kept and not self.published[entry.event_id]:
                detail = f"{entry.event_id} left the outbox, and was never published"
                self.fail("S7", job.job_id, detail)

    def _check_adoption(self, job: Job) -> None:
        name = job.training_name
        request = self.created.get(name)
        if (
            request is None
            or request.job_id != job.job_id
            or request.attempt != job.attempt_number
            or request.spec_hash != spec_hash(job.spec)
        ):
            self.fail("S15", job.job_id, f"it adopted {name}, which is not its training")

    def _check_end(self, before: Job, job: Job) -> None:
        """Check the write that ends a job: its message, and the truth about its training."""
        entries = [e for e in job.outbox if e.status.is_terminal]
        if [e.event_id for e in entries] != [
            f"{job.job_id}/{job.timeline[-1].attempt}/{job.status}"
        ]:
            self.fail("S7", job.job_id, f"it is {job.status}, and its outbox has {entries}")
        name = before.training_name
        training = self.truth(name)
        is_alive = training is not None and not training.state.is_terminal
        if self._was_created_by_another_tick(before, name):
            training, is_alive = None, False
        if before.status.is_active and is_alive and name in self.created:
            self.fail("S12", job.job_id, f"it is {job.status} while {name} is alive")
        if job.status is Status.COMPLETED and not (
            name in self.created
            and (training is None or training.state is TrainingState.COMPLETED)
            and name in self.ended
        ):
            self.fail("S5", job.job_id, f"it is Completed, and {name} is not")
        has_failed = isinstance(job.state, Failed) and before.status.is_active
        has_completed = training is not None and training.state is TrainingState.COMPLETED
        if has_failed and has_completed and name in self.created:
            self.fail("S5", job.job_id, f"it is Failed, and {name} completed")

    def _was_created_by_another_tick(self, before: Job, name: str) -> bool:
        """Check whether the training was created after the answer that this write is based on."""
        is_known = before.status is not Status.LAUNCHING and getattr(before.state, "known", True)
        created_at = self.create_numbers.get(name, 0)
        return not is_known and created_at > self.reserved.get(name, self.creates)

    # --- the trainer ------------------------------------------------------------------------

    def on_created(self, request: LaunchRequest) -> None:
        """Check the creation of a training."""
        name, job_id = request.name, request.job_id
        if name in self.ended:
            self.fail("S2", job_id, f"{name} was created after its end was seen")
        if name not in self.intended:
            self.fail("S6", job_id, f"{name} was created without a stored intent")
        names = self.names.setdefault(job_id, [])
        for other in names:
            if other != name:
                training = self.truth(other)
                if training is not None and not training.state.is_terminal:
                    self.fail("S1", job_id, f"{other} and {name} are both alive")
        self.created[name] = request
        self.creates += 1
        self.create_numbers[name] = self.creates
        if name not in names:
            names.append(name)

    def on_described(self, training: Training) -> None:
        """Note that a tick has read the state of a training."""
        ours = self.created.get(training.name)
        if training.state.is_terminal or ours is None or ours.spec_hash != training.spec_hash:
            self.ended.add(training.name)

    def on_vanished(self, name: str) -> None:
        """Note that the trainer lost a training and its name."""
        self.ended.discard(name)

    def on_stop(self, name: str) -> None:
        """Check a request to stop a training (S14)."""
        training = self.truth(name)
        if training is None or training.state.is_terminal:
            return
        parsed = parse_training_name(name)
        job = self.jobs.get(parsed.job_id) if parsed is not None else None
        if parsed is None or job is None or name not in self.created:
            job_id = "" if parsed is None else parsed.job_id
            self.fail("S14", job_id, f"{name} is stopped, and this run did not create it")
        elif not (
            isinstance(job.state, Stopping)
            or job.status.is_terminal
            or parsed.attempt < job.attempt_number
        ):
            self.fail("S14", job.job_id, f"{name} is stopped, and its job is {job.status}")

    # --- the notifier -----------------------------------------------------------------------

    def on_published(self, message: Message) -> None:
        """Check a message that went out."""
        job = self.jobs.get(message.job_id)
        event_id = message.event_id
        if job is None or not any(mark.status is message.status for mark in job.timeline):
            detail = f"published {message.status}, which the job never was"
            self.fail("S8", message.job_id, detail)
        elif message.status.is_terminal:
            if job.status is not message.status:
                self.fail("S8", message.job_id, f"published {message.status}; it is {job.status}")
            event_ids = self.notified.setdefault(job.job_id, set())
            event_ids.add(event_id)
            if len(event_ids) > 1:
                self.fail("S7", job.job_id, f"one end was published as {sorted(event_ids)}")
        self.published[event_id] += 1

    # --- the scheduler ----------------------------------------------------------------------

    def on_planned(self, snapshot: Snapshot, limits: Limits, plan: Plan, now: datetime) -> None:
        """Check a plan against the snapshot that it was made of (S17, J2)."""
        self.found.extend(plan_violations(snapshot, limits, plan, now))


def _is_unchanged(before: Job, job: Job) -> bool:
    """Check whether a write left everything as it was, apart from version and state."""
    return (
        job.outbox == before.outbox
        and job.stop == before.stop
        and job.hold_next == before.hold_next
        and job.charges == before.charges
        and job.attempts == before.attempts
        and job.timeline == before.timeline
        and job.waiting_since == before.waiting_since
        and job.metrics == before.metrics
        and job.extra == before.extra
    )
