"""
Fair share: the recent usage of each share.

A share is charged one slot hour for each slot launched, and the time for which its slots run.
Charges lose half their weight each two hours, so that usage long ago does not count.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from jobcore.lifecycle.records import ShareUsage

__all__ = ["HALF_LIFE", "charge_usage", "current_usage"]

#: The time in which a charge loses half its weight.
HALF_LIFE = timedelta(hours=2)
#: A share that launches nothing is charged for its running slots this often, so that a launch tick
#: does not write the records of all shares.
CHARGE_INTERVAL = timedelta(minutes=15)
_HOUR = timedelta(hours=1)


def current_usage(usage: ShareUsage | None, now: datetime) -> float:
    """Return a share's slot hours as they count at *now*; 0 for a share that was never charged."""
    if usage is None:
        return 0.0
    return float(usage.hours * 0.5 ** (max(timedelta(0), now - usage.at) / HALF_LIFE))


def charge_usage(
    usages: Mapping[str, ShareUsage],
    launched: Mapping[str, int],
    running: Mapping[str, int],
    now: datetime,
) -> list[ShareUsage]:
    """
    Charge shares for slots that were launched and slots that run.

    Args:
        usages: the stored usage by share; a share that was never charged is absent.
        launched: slots launched now, by share.
        running: slots that run, by share. They count as running since the share was last charged,
            for at most two hours.

    Returns:
        The records that changed, to be saved.
    """
    charged = []
    for share in sorted({*launched, *running}):
        usage = usages.get(share)
        idle = timedelta(0) if usage is None else max(timedelta(0), now - usage.at)
        if not launched.get(share) and usage is not None and idle < CHARGE_INTERVAL:
            continue
        ran = min(idle, HALF_LIFE) / _HOUR
        hours = current_usage(usage, now) + launched.get(share, 0) + running.get(share, 0) * ran
        version = 0 if usage is None else usage.version
        charged.append(ShareUsage(share=share, version=version, hours=round(hours, 3), at=now))
    return charged
