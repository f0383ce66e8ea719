"""The launch function: finish launches that were begun, then plan and begin new ones.

Whatever invokes it, a schedule or a hint that a job waits or that capacity was freed, it looks
at all that waits: what to launch is a question about all jobs together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jobcore import launch_tick

from ._run import Context, run
from ._wiring import prepare, wiring

prepare("store", "trainer", "sagemaker", "rules")


def handler(event: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Run the launch tick; the answer says what it did, in numbers."""
    wired = wiring()
    return run(
        "launch",
        lambda store, settings: launch_tick(store, wired.trainer, wired.clock, settings),
        wired,
        context,
    )
