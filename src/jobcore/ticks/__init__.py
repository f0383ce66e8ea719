"""The ticks: stateless passes that submit, launch, monitor, notify and reap."""

from __future__ import annotations

from .launch import launch_tick, snapshot_of
from .monitor import monitor_tick
from .notify import notify_tick
from .reap import reap_tick
from .run import Change, Settings, TickReport
from .submit import Submission, apply_request, apply_requests, submit

__all__ = [
    "Change", "Settings", "Submission", "TickReport", "apply_request",
    "apply_requests", "launch_tick", "monitor_tick", "notify_tick", "reap_tick", "snapshot_of", "submit",
]  # fmt: skip
