"""Checks the production ticks exhaustively: every interleaving of their port calls, with faults."""

from ._check import Checker, Found, Report
from ._replay import Broken, Step, as_test, replay
from ._scope import Scope
from ._scopes import SCOPES, SIDE_SCOPES

__all__ = ["Broken", "Checker", "Found", "Report", "SCOPES", "SIDE_SCOPES", "Scope", "Step", "as_test", "replay"]
