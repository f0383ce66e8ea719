"""The notify function: publish pending messages, of all jobs or of those in a hint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jobcore import notify_tick

from ._run import Context, hinted_ids, run
from ._wiring import prepare, wiring

prepare("store", "notifier")


def handler(event: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Run the notify tick, for all jobs or for ``{"job_ids": [...]}``."""
    wired = wiring()
    return run(
        "notify",
        lambda store, settings: notify_tick(store, wired.notifier, wired.clock, settings),
        wired,
        context,
        only=hinted_ids(event),
    )
