"""The launch function: finish launches that were begun, then plan and begin new ones.

A schedule or a hint (a job waits, or capacity became free) invokes it. It always plans for all waiting
jobs, because they compete for the same capacity.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jobcore import launch_tick

from ._run import Context, run
from ._wiring import prepare, wiring

prepare("store", "trainer", "sagemaker", "rules")


def handler(event: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Run the launch tick; return its report."""
    wired = wiring()
    return run(
        "launch",
        lambda store, settings: launch_tick(store, wired.trainer, wired.clock, settings),
        wired,
        context,
    )
