"""
The group breaker: the same failure in the first jobs of a group pauses the rest.

A sweep of a thousand jobs with one bug in it would fail a thousand times. What
the first of them end with is counted by group, in the one record that all
pools share (`jobcore.ALL_POOLS`), so that it costs nothing to ask, and a few
writes for a group that fails. As soon as one job of such a group completes, the
group is sound and nothing more is counted for a day.

The monitor counts and decides; the launch tick holds the jobs that wait,
before it plans.
"""

from __future__ import annotations

import re
from hashlib import sha256

from jobcore.lifecycle.failure import Failure

__all__ = [
    "cause_of",
]

_VARYING = re.compile(r"0x[0-9a-fA-F]+|\d+|/\S+|'[^']*'|\"[^\"]*\"")


def cause_of(failure: Failure) -> str:
    """Reduce a failure to its cause: two failures of one bug have the same, whatever numbers they name."""
    text = _VARYING.sub("#", failure.headline)
    said = f"{failure.failure_class}|{failure.rule}|{text}"
    return sha256(said.encode("utf-8", "replace")).hexdigest()[:12]
