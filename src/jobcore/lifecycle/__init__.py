"""The life cycle of a job: values, table of transitions, effects, retries, names, codec, invariants."""

from __future__ import annotations

from jobcore.documents import Json, from_micros, to_micros

from .clocks import *
from .codec import *
from .effects import *
from .events import *
from .failure import *
from .invariants import *
from .model import *
from .names import *
from .records import *
from .retry import *
from .transitions import *

__all__ = [
    "ATTEMPTS_KEPT_MAX", "DEFAULT_BUDGETS", "EVENT_TYPES", "REASON_CHARS_MAX", "SCHEMA",
    "TRANSITIONS", "UNREADABLE", "Active", "Announce", "Attempt", "Cell", "Clocks", "Completed",
    "Effect", "Event", "Failed", "Failure", "FailureClass", "GiveUp", "Go", "GroupKey",
    "GroupTally", "Held", "Hold", "HoldCode", "HoldRequested", "Ignore", "InProgress", "Job",
    "Json", "LaunchAccepted", "LaunchDecided", "LaunchRefused", "LaunchTraining", "Launched",
    "Launching", "Mark", "MessagePublished", "NameTaken", "New", "ObserveTraining", "OutboxEntry",
    "Placement", "PoolState", "Quota", "Refuse", "ReleaseRequested", "RetryDecision",
    "RetryPolicy", "Retryable", "Scope", "ShareUsage", "Spec", "State", "Status", "Step",
    "StopCause", "StopRequest", "StopRequested", "StopTraining", "Stopped", "Stopping", "Tick",
    "TimePassed", "TrainingEnded", "TrainingMissing", "TrainingName", "TrainingSeen", "TryAgain",
    "Violation", "budget", "decode_job", "decode_pool", "decode_share", "decode_spec",
    "decode_tally", "due_at", "encode_job", "encode_pool", "encode_share", "encode_spec",
    "encode_tally", "from_micros", "has_clocks", "hash_fraction", "is_job_id",
    "job_id_from_bytes", "job_id_from_token", "new_job", "owed", "parse_training_name",
    "readable", "retry", "spec_hash", "step", "to_micros", "training_name", "violations",
    "wake_at",
]  # fmt: skip
