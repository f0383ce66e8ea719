"""The notify function: publish the messages owed, of all jobs or of those that a hint names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jobcore import notify_tick

from ._run import Context, hinted_ids, run
from ._wiring import prepare, wiring

prepare("store", "notifier")


def handler(event: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Run the notify tick; ``{"job_ids": [...]}`` narrows it."""
    wired = wiring()
    return run(
        "notify",
        lambda store, settings: notify_tick(store, wired.notifier, wired.clock, settings),
        wired,
        context,
        only=hinted_ids(event),
    )
