"""Checks the production ticks exhaustively: every interleaving of their port calls, with faults."""

from ._check import Checker, Found, Report
from ._scope import Scope

__all__ = ["Checker", "Found", "Report", "Scope"]
