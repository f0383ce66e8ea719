"""Descriptions of DescribeTrainingJob and Search as values of the port: pure functions.

Statuses are open strings: the service may add new ones (documented for SecondaryStatus). An unknown
status never ends a training and never raises.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from jobcore.metrics import METRICS_MAX, Metric
from jobcore.ports import Evidence, Training, TrainingState

from ._request import identity_of

__all__ = ["training_of"]

_TERMINAL = {
    "Completed": TrainingState.COMPLETED,
    "Failed": TrainingState.FAILED,
    "Stopped": TrainingState.STOPPED,
}
_NOT_RUNNING_YET = frozenset(
    {
        "Pending", "Starting", "LaunchingMLInstances", "PreparingTrainingStack", "Downloading",
        "DownloadingTrainingImage",
    }
)  # fmt: skip
_RUNNING = frozenset(
    {"Training", "Uploading", "Interrupted", "Restarting", "Updating", "MaxRuntimeExceeded"}
)
_ENDINGS = frozenset({"Stopping", "Stopped"})
WAITED = "Pending"  # the SecondaryStatus of a wait for capacity


def training_of(description: Mapping[str, Any]) -> Training | None:
    """
    Read a training from the service's description.

    Returns:
        None if its state is uncertain: it is being deleted, or has ended with an unknown status.
    """
    state = _state(description)
    if state is None:
        return None
    job_id, attempt, spec_hash = identity_of(description)
    return Training(
        name=description["TrainingJobName"],
        state=state,
        job_id=job_id,
        attempt=attempt,
        spec_hash=spec_hash,
        detail=_detail(description),
        started_at=_moment(description.get("TrainingStartTime")),
        ended_at=_moment(description.get("TrainingEndTime")) if state.is_terminal else None,
        evidence=_evidence(description, state),
        metrics=_metrics(description) if state.is_terminal else (),
    )


def _state(description: Mapping[str, Any]) -> TrainingState | None:
    status = description.get("TrainingJobStatus", "")
    secondary = description.get("SecondaryStatus", "")
    if status in _TERMINAL:
        return _TERMINAL[status]
    if status == "Stopping":
        return TrainingState.STOPPING
    if status != "InProgress" and (
        status == "Deleting" or description.get("TrainingEndTime") is not None
    ):
        return None
    if secondary in _NOT_RUNNING_YET:
        has_instances = _has_instances(description)
        return TrainingState.RUNNING if has_instances else TrainingState.PENDING
    if secondary in _RUNNING or description.get("TrainingStartTime") is not None:
        return TrainingState.RUNNING
    return TrainingState.PENDING


def _has_instances(description: Mapping[str, Any]) -> bool:
    """
    Check whether a training that is starting up has its instances: it was Pending, and is not any more.

    This is known minutes before it trains. A training that was never Pending may have instances or
    not: the service reports Starting in both cases.
    """
    if description.get("SecondaryStatus") == WAITED:
        return False
    return any(t.get("Status") == WAITED for t in _transitions(description))


def _detail(description: Mapping[str, Any]) -> str:
    """Return the phase in the service's words; an unknown status is part of it."""
    status = str(description.get("TrainingJobStatus", ""))
    secondary = str(description.get("SecondaryStatus", ""))
    if status in _TERMINAL or status in ("InProgress", "Stopping"):
        return secondary or status
    return f"{status}/{secondary}"


def _metrics(description: Mapping[str, Any]) -> tuple[Metric, ...]:
    """Return the last value of each metric; the service tells no others. One that is no number is left out."""
    found: dict[str, Metric] = {}
    for item in description.get("FinalMetricDataList") or ():
        with contextlib.suppress(KeyError, TypeError, ValueError):
            metric = Metric(name=item["MetricName"], final=item["Value"])
            found[metric.name] = metric
    return tuple(found.values())[:METRICS_MAX]


def _evidence(description: Mapping[str, Any], state: TrainingState) -> Evidence | None:
    if state not in (TrainingState.FAILED, TrainingState.STOPPED):
        return None
    return Evidence(
        where="describe",
        status=str(state),
        secondary_status=_secondary(description, state),
        text=_reason(description),
    )


def _secondary(description: Mapping[str, Any], state: TrainingState) -> str | None:
    """
    Return the SecondaryStatus, or Pending for a training that was given up while it waited.

    The status after MaxPendingTimeInSeconds is not documented. So such a training is recognised by its
    history: it was stopped, never started, and waited until the stop. The same holds for a spot
    training whose time ran out before it ran.
    """
    secondary = description.get("SecondaryStatus")
    if state is TrainingState.STOPPED and description.get("TrainingStartTime") is None:
        phases = [t.get("Status") for t in _transitions(description)]
        before = [phase for phase in phases if phase not in _ENDINGS]
        if before and before[-1] == WAITED:
            return WAITED
        if secondary == "MaxWaitTimeExceeded":
            return WAITED
    return None if secondary is None else str(secondary)


def _reason(description: Mapping[str, Any]) -> str:
    """Return the failure reason; without one, the message of the last transition."""
    reason = description.get("FailureReason")
    if reason:
        return str(reason)
    messages = [t.get("StatusMessage") for t in _transitions(description)]
    return str(messages[-1] or "") if messages else ""


def _transitions(description: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return description.get("SecondaryStatusTransitions") or ()


def _moment(at: datetime | None) -> datetime | None:
    return None if at is None else at.astimezone(UTC)
