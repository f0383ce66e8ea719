"""Scheduling decisions: plans and their explanations, learned pools, fair share, the group breaker."""

from __future__ import annotations

from .explain import Explanation, explain
from .fairness import charge_usage, usage_by_share
from .groups import (
    Outcome,
    count_outcomes,
    evaluate_group,
    group_and_owner,
    group_key,
    groups_to_pause,
    is_held_by_group,
    mark_paused,
)
from .learning import FactKind, PoolFact, learn_pool
from .limits import Limits
from .plan import DEFAULT_SCHEDULER, Launch, Plan, Scheduler, plan
from .pools import LATE, Allowance, allowance, quota_room
from .room import Snapshot, WaitCode

__all__ = [
    "DEFAULT_SCHEDULER",
    "LATE",
    "Allowance",
    "Explanation",
    "FactKind",
    "Launch",
    "Limits",
    "Outcome",
    "Plan",
    "PoolFact",
    "Scheduler",
    "Snapshot",
    "WaitCode",
    "allowance",
    "charge_usage",
    "count_outcomes",
    "evaluate_group",
    "explain",
    "group_and_owner",
    "group_key",
    "groups_to_pause",
    "is_held_by_group",
    "learn_pool",
    "mark_paused",
    "plan",
    "quota_room",
    "usage_by_share",
]
