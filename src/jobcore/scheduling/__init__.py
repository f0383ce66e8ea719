"""Scheduling decisions: plans and their explanations, learned pools, fair share, the group breaker."""

from __future__ import annotations

from .explain import Explanation, explain
from .fairness import charge_usage, current_usage
from .groups import (
    JobEnd,
    count_end,
    evaluate_group,
    is_evaluation_due,
    is_held_by_breaker,
    mark_paused,
    pause_reason,
)
from .learning import FactKind, PoolFact, learn_pool
from .limits import Limits, limit_problems
from .plan import DEFAULT_SCHEDULER, Launch, Plan, Scheduler, plan
from .pools import LATE, Allowance, allowance, known_quotas, quota_room
from .room import Snapshot, WaitCode

__all__ = [
    "DEFAULT_SCHEDULER", "LATE", "Allowance", "Explanation", "FactKind", "JobEnd", "Launch",
    "Limits", "Plan", "PoolFact", "Scheduler", "Snapshot", "WaitCode", "allowance",
    "charge_usage", "count_end", "current_usage", "evaluate_group", "explain",
    "is_evaluation_due", "is_held_by_breaker", "known_quotas", "learn_pool", "limit_problems", "mark_paused", "pause_reason",
    "plan", "quota_room",
]  # fmt: skip
