"""
The conformance suites: one per port, for every adapter, the shipped fakes included.

Subclass a suite in a test module and give it a factory; a test runner collects the ``test_``
methods. A suite needs no test framework: they are plain methods with plain asserts.
"""

from __future__ import annotations

from ._clock import ClockContract
from ._notifier import NotifierContract
from ._store import StoreContract
from ._trainer import TrainerContract

__all__ = ["ClockContract", "NotifierContract", "StoreContract", "TrainerContract"]
