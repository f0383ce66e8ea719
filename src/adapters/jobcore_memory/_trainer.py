"""The trainer in memory: names are used once, SageMaker's error texts, an injected clock, scripted faults."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from jobcore import Clock, Unavailable
from jobcore.lifecycle import parse_training_name
from jobcore.metrics import Metric
from jobcore.ports import (
    Evidence,
    LaunchReply,
    LaunchRequest,
    LaunchResult,
    Training,
    TrainingState,
)

__all__ = ["MemoryTrainer", "Script"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """
    The course of a training.

    Args:
        pending, runs: the time for which it waits, and then runs.
        outcome: the state in which it ends.
        text: the failure reason.
        metrics: described once it is over.
    """

    pending: timedelta = timedelta(0)
    runs: timedelta = timedelta(minutes=1)
    outcome: TrainingState = TrainingState.COMPLETED
    text: str = ""
    metrics: tuple[Metric, ...] = ()


@dataclass(slots=True)
class _Entry:
    request: LaunchRequest
    script: Script
    created_at: datetime
    stop_at: datetime | None = None


@dataclass(slots=True)
class MemoryTrainer:
    """
    A `jobcore.Trainer` that simulates trainings, for tests.

    A name can be used once only. A full pool refuses with SageMaker's text. Trainings
    pass through Pending and Running by the clock.

    Args:
        clock: the time by which trainings start and end.
        slots: pools and their sizes.
        scripts: the course of a training, by name; others complete after a minute.
        stop_takes: from a stop request to Stopped.
        trouble: results for the next launches, first in first out: an `Evidence` refuses the launch;
            `LaunchResult.UNCLEAR` creates the training and loses the reply.
        unavailable: calls ("describe", "stop", "capacity", "running") that raise `Unavailable`.
        calls: counts the calls by name.
    """

    clock: Clock
    slots: dict[str, int] = field(default_factory=lambda: {"cpu": 4})
    scripts: dict[str, Script] = field(default_factory=dict)
    stop_takes: timedelta = timedelta(seconds=1)
    trouble: list[Evidence | LaunchResult] = field(default_factory=list)
    unavailable: set[str] = field(default_factory=set)
    calls: Counter[str] = field(default_factory=Counter)
    _entries: dict[str, _Entry] = field(default_factory=dict)

    def launch(self, requests: Sequence[LaunchRequest]) -> Sequence[LaunchReply]:
        """Start trainings; each request counts as a call of the service."""
        return [self._launch(request) for request in requests]

    def _launch(self, request: LaunchRequest) -> LaunchReply:
        self.calls["launch"] += 1
        if parse_training_name(request.name) is None:
            text = f"1 validation error detected: Value '{request.name}' at 'trainingJobName'"
            return _refused("ValidationException", text)
        if request.name in self._entries:
            return LaunchReply(LaunchResult.EXISTS)
        trouble = self.trouble.pop(0) if self.trouble else None
        if isinstance(trouble, Evidence):
            return LaunchReply(LaunchResult.REFUSED, trouble)
        size = self.slots.get(request.placement.pool, 0)
        used = self._used(request.placement.pool)
        if not request.to_stop and used + request.placement.count > size:
            text = (
                f"The account-level service limit '{request.placement.pool} for training job usage' "
                f"is {size} Instances, with current utilization of {used} Instances and a request "
                f"delta of {request.placement.count} Instances."
            )
            return _refused("ResourceLimitExceeded", text)
        now = self.clock.now()
        script = self.scripts.get(request.name, Script())
        stop_at = now if request.to_stop else None
        self._entries[request.name] = _Entry(request, script, now, stop_at)
        if trouble is LaunchResult.UNCLEAR:
            evidence = Evidence(where="create", text="Read timeout on endpoint URL")
            return LaunchReply(LaunchResult.UNCLEAR, evidence)
        return LaunchReply(LaunchResult.ACCEPTED)

    def describe(self, names: Sequence[str]) -> Mapping[str, Training | None]:
        """Read trainings."""
        self._count_call("describe")
        return {name: self._describe(name) for name in names}

    def stop(self, name: str) -> None:
        """Request a stop."""
        self._count_call("stop")
        training = self._describe(name)
        if training is None or training.state.is_terminal:
            return
        entry = self._entries[name]
        entry.stop_at = entry.stop_at or self.clock.now() + self.stop_takes

    def capacity(self) -> Mapping[str, int | None]:
        """Return the pools and their sizes."""
        self._count_call("capacity")
        return dict(self.slots)

    def running(self) -> Iterator[Training]:
        """Iterate over the trainings that are not over."""
        self._count_call("running")
        for name in sorted(self._entries):
            training = self._describe(name)
            if training is not None and not training.state.is_terminal:
                yield training

    def vanish(self, name: str) -> None:
        """Delete a training, as an operator of the service might."""
        del self._entries[name]

    def _count_call(self, name: str) -> None:
        self.calls[name] += 1
        if name in self.unavailable:
            msg = f"{name}: Rate exceeded"
            raise Unavailable(msg)

    def _used(self, pool: str) -> int:
        return sum(
            entry.request.placement.count
            for name, entry in self._entries.items()
            if entry.request.placement.pool == pool and not self._state(entry).is_terminal
        )

    def _state(self, entry: _Entry) -> TrainingState:
        now = self.clock.now()
        runs_from = entry.created_at + entry.script.pending
        ends_at = runs_from + entry.script.runs
        if entry.stop_at is not None and entry.stop_at < ends_at:
            over = now >= entry.stop_at
            return TrainingState.STOPPED if over else TrainingState.STOPPING
        if now < runs_from:
            return TrainingState.PENDING
        return entry.script.outcome if now >= ends_at else TrainingState.RUNNING

    def _describe(self, name: str) -> Training | None:
        entry = self._entries.get(name)
        if entry is None:
            return None
        state = self._state(entry)
        runs_from = entry.created_at + entry.script.pending
        ends_at = entry.stop_at or runs_from + entry.script.runs
        training = Training(
            name=name,
            state=state,
            job_id=entry.request.job_id,
            attempt=entry.request.attempt,
            spec_hash=entry.request.spec_hash,
            detail=str(state),
            started_at=None if state is TrainingState.PENDING else runs_from,
        )
        if not state.is_terminal:
            return training
        evidence = None
        if state is not TrainingState.COMPLETED:
            evidence = Evidence(
                where="describe",
                status=str(state),
                secondary_status=str(state),
                text=entry.script.text,
            )
        metrics = entry.script.metrics
        return replace(training, ended_at=ends_at, evidence=evidence, metrics=metrics)


def _refused(code: str, text: str) -> LaunchReply:
    evidence = Evidence(where="create", error_code=code, text=text)
    return LaunchReply(LaunchResult.REFUSED, evidence)
