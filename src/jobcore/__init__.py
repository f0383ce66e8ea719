"""
A pure core for fire-and-forget training jobs.

This package exports the names that an embedder or an adapter's author needs first. The others are in
its sub-packages: `jobcore.lifecycle`, `jobcore.ports`, `jobcore.scheduling`, `jobcore.failures`,
`jobcore.ticks`, `jobcore.jobfile`, `jobcore.messages`, `jobcore.metrics`, `jobcore.redact` and
`jobcore.errors`.
"""

from __future__ import annotations

# Import the sub-packages, so that `jobcore.lifecycle` is an attribute after `import jobcore`.
from jobcore import (  # noqa: F401
    errors,
    failures,
    jobfile,
    lifecycle,
    messages,
    metrics,
    ports,
    redact,
    scheduling,
    ticks,
)
from jobcore.errors import CorruptRecord, InvalidJob, InvalidSetting, Unavailable
from jobcore.failures import classify
from jobcore.jobfile import parse_job
from jobcore.lifecycle import (
    Announce,
    Clocks,
    Failure,
    FailureClass,
    HoldRequested,
    Job,
    LaunchAccepted,
    LaunchDecided,
    LaunchRefused,
    LaunchTraining,
    MessagePublished,
    NameTaken,
    ObserveTraining,
    Placement,
    ReleaseRequested,
    RetryPolicy,
    Spec,
    Status,
    StopRequested,
    StopTraining,
    TimePassed,
    TrainingEnded,
    TrainingMissing,
    TrainingSeen,
    job_id_from_bytes,
    job_id_from_token,
    new_job,
    owed,
    step,
    wake_at,
)
from jobcore.ports import Clock, JobStore, Notifier, Trainer
from jobcore.scheduling import Limits, Snapshot, explain, plan
from jobcore.ticks import Settings, launch_tick, monitor_tick, notify_tick, reap_tick, submit

__all__ = [
    "Announce",
    "Clock",
    "Clocks",
    "CorruptRecord",
    "Failure",
    "FailureClass",
    "HoldRequested",
    "InvalidJob",
    "InvalidSetting",
    "Job",
    "JobStore",
    "LaunchAccepted",
    "LaunchDecided",
    "LaunchRefused",
    "LaunchTraining",
    "Limits",
    "MessagePublished",
    "NameTaken",
    "Notifier",
    "ObserveTraining",
    "Placement",
    "ReleaseRequested",
    "RetryPolicy",
    "Settings",
    "Snapshot",
    "Spec",
    "Status",
    "StopRequested",
    "StopTraining",
    "TimePassed",
    "Trainer",
    "TrainingEnded",
    "TrainingMissing",
    "TrainingSeen",
    "Unavailable",
    "classify",
    "explain",
    "job_id_from_bytes",
    "job_id_from_token",
    "launch_tick",
    "monitor_tick",
    "new_job",
    "notify_tick",
    "owed",
    "parse_job",
    "plan",
    "reap_tick",
    "step",
    "submit",
    "wake_at",
]
