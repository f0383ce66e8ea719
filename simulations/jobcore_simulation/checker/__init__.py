"""Checks the production ticks exhaustively: every interleaving of their port calls, with faults."""

from ._check import Checker, Found, Report
from ._replay import Broken, Step, as_test, replay
from ._scope import Scope

__all__ = ["Broken", "Checker", "Found", "Report", "Scope", "Step", "as_test", "replay"]
