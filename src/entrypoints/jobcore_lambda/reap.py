"""The reap function: stop orphans, trainings of jobcore that no job needs, as after a killed launch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jobcore import reap_tick

from ._run import Context, run
from ._wiring import prepare, wiring

prepare("store", "trainer", "sagemaker", "rules")


def handler(event: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Run the reap tick."""
    wired = wiring()
    return run(
        "reap",
        lambda store, settings: reap_tick(store, wired.trainer, wired.clock, settings),
        wired,
        context,
    )
