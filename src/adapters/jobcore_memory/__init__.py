"""The shipped fakes: every port in memory, strict enough to test against."""

from __future__ import annotations

from ._clock import ManualClock
from ._notifier import RecordingNotifier
from ._store import MemoryStore
from ._trainer import MemoryTrainer, Script

__all__ = ["ManualClock", "MemoryStore", "MemoryTrainer", "RecordingNotifier", "Script"]
