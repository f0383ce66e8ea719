"""
A pure core for fire-and-forget training jobs: life cycle, retries, scheduling, ports and ticks.

Everything public is here; the modules behind it are private. A name's module is imported when
the name is first used, so that a short command does not pay for the parts it does not use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._breaker import *
    from ._capacity import *
    from ._codec import *
    from ._events import *
    from ._evolve import *
    from ._failures import *
    from ._invariants import *
    from ._jobfile import *
    from ._limits import *
    from ._messages import *
    from ._model import *
    from ._names import *
    from ._planner import *
    from ._ports import *
    from ._retry import *
    from ._rules import *
    from ._secrets import *
    from ._ticks import *
    from ._transitions import *

_HOMES = {
    "ALL_POOLS": "_capacity",
    "Active": "_model",
    "Added": "_ports",
    "Allowance": "_capacity",
    "Announce": "_transitions",
    "Attempt": "_model",
    "Cell": "_transitions",
    "Change": "_ticks",
    "Clock": "_ports",
    "Clocks": "_model",
    "Completed": "_model",
    "CorruptRecord": "_ports",
    "DEFAULT_BUDGETS": "_retry",
    "DEFAULT_RULES": "_rules",
    "DEFAULT_SCHEDULER": "_planner",
    "Due": "_ports",
    "EVENT_TYPES": "_events",
    "Effect": "_transitions",
    "End": "_breaker",
    "Event": "_events",
    "Evidence": "_failures",
    "Explanation": "_planner",
    "FactKind": "_capacity",
    "Failed": "_model",
    "Failure": "_failures",
    "FailureClass": "_failures",
    "GiveUp": "_retry",
    "Go": "_transitions",
    "Held": "_model",
    "Hold": "_retry",
    "HoldCode": "_model",
    "HoldRequested": "_events",
    "Ignore": "_transitions",
    "InProgress": "_model",
    "InvalidJob": "_jobfile",
    "Job": "_model",
    "JobQuery": "_ports",
    "JobStore": "_ports",
    "Json": "_model",
    "LATE": "_capacity",
    "Launch": "_planner",
    "LaunchAccepted": "_events",
    "LaunchDecided": "_events",
    "LaunchRefused": "_events",
    "LaunchReply": "_ports",
    "LaunchRequest": "_ports",
    "LaunchResult": "_ports",
    "LaunchTraining": "_transitions",
    "Launched": "_model",
    "Launching": "_model",
    "Limits": "_limits",
    "Mark": "_model",
    "Message": "_messages",
    "MessagePublished": "_events",
    "NameTaken": "_events",
    "New": "_model",
    "Notifier": "_ports",
    "ObserveTraining": "_transitions",
    "OutboxEntry": "_model",
    "Page": "_ports",
    "Placement": "_model",
    "Plan": "_planner",
    "PoolFact": "_capacity",
    "PoolState": "_capacity",
    "Problem": "_jobfile",
    "Quota": "_failures",
    "Refuse": "_transitions",
    "ReleaseRequested": "_events",
    "RetryDecision": "_retry",
    "RetryPolicy": "_model",
    "Retryable": "_failures",
    "Rule": "_failures",
    "SCHEMA": "_codec",
    "Scheduler": "_planner",
    "Scope": "_failures",
    "Settings": "_ticks",
    "Snapshot": "_planner",
    "Spec": "_model",
    "State": "_model",
    "Status": "_model",
    "Step": "_transitions",
    "StopCause": "_model",
    "StopRequest": "_model",
    "StopRequested": "_events",
    "StopTraining": "_transitions",
    "Stopped": "_model",
    "Stopping": "_model",
    "Submission": "_ticks",
    "TRANSITIONS": "_transitions",
    "Tick": "_ports",
    "TickReport": "_ticks",
    "TimePassed": "_events",
    "Trainer": "_ports",
    "Training": "_ports",
    "TrainingEnded": "_events",
    "TrainingMissing": "_events",
    "TrainingName": "_names",
    "TrainingSeen": "_events",
    "TrainingState": "_ports",
    "TryAgain": "_retry",
    "Unavailable": "_ports",
    "Usage": "_planner",
    "Violation": "_invariants",
    "WaitCode": "_planner",
    "Waiting": "_planner",
    "allowance": "_capacity",
    "ask": "_ticks",
    "budget": "_retry",
    "cause_of": "_breaker",
    "classify": "_failures",
    "count_ends": "_breaker",
    "decode_job": "_codec",
    "decode_spec": "_codec",
    "due_at": "_transitions",
    "encode_job": "_codec",
    "encode_spec": "_codec",
    "evolve": "_evolve",
    "expand_sweep": "_jobfile",
    "explain": "_planner",
    "from_micros": "_codec",
    "group_and_owner": "_breaker",
    "group_key": "_breaker",
    "hash_fraction": "_names",
    "is_job_id": "_names",
    "is_paused": "_breaker",
    "is_secret_name": "_secrets",
    "job_id_from_bytes": "_names",
    "job_id_from_token": "_names",
    "judge": "_breaker",
    "launch_tick": "_ticks",
    "maker": "_evolve",
    "message_for": "_messages",
    "monitor_tick": "_ticks",
    "new_job": "_model",
    "normalise": "_failures",
    "notify_tick": "_ticks",
    "order_key": "_planner",
    "owed": "_transitions",
    "parse_duration": "_jobfile",
    "parse_job": "_jobfile",
    "parse_quota": "_failures",
    "parse_rules": "_failures",
    "parse_training_name": "_names",
    "paused": "_breaker",
    "pausing": "_breaker",
    "plan": "_planner",
    "pool_step": "_capacity",
    "quota_room": "_capacity",
    "reap_tick": "_ticks",
    "retry": "_retry",
    "secret_values": "_secrets",
    "serve": "_capacity",
    "served": "_capacity",
    "snapshot_of": "_ticks",
    "spec_hash": "_codec",
    "step": "_transitions",
    "submit": "_ticks",
    "to_micros": "_codec",
    "training_name": "_names",
    "validate": "_jobfile",
    "violations": "_invariants",
    "waiting_of": "_planner",
    "wake_at": "_transitions",
    "without_secrets": "_secrets",
    "without_secrets_in": "_secrets",
}

__all__ = list(_HOMES)


if not TYPE_CHECKING:  # a type checker sees the imports above, and finds a misspelt name

    def __getattr__(name: str) -> object:
        """Import the module that a public name lives in, and keep the name."""
        home = _HOMES.get(name)
        if home is None:
            msg = f"module {__name__!r} has no attribute {name!r}"
            raise AttributeError(msg)
        value = getattr(import_module(f".{home}", __name__), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
