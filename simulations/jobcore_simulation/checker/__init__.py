"""Explores every interleaving of the production ticks' port calls, with faults (docs/concepts/exhaustive-check.md)."""

from ._cells import missing_cells, sites, wrong_exceptions
from ._check import Checker, Found, Report
from ._paths import Step
from ._replay import Broken, as_test, replay
from ._scope import Scope
from ._scopes import SCOPES, SIDE_SCOPES

__all__ = [
    "SCOPES",
    "SIDE_SCOPES",
    "Broken",
    "Checker",
    "Found",
    "Report",
    "Scope",
    "Step",
    "as_test",
    "missing_cells",
    "replay",
    "sites",
    "wrong_exceptions",
]
