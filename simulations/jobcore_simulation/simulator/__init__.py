"""A discrete-event simulator that runs the production ticks through shortages and faults."""

from ._by_hand import by_hand
from ._clairvoyant import clairvoyant
from ._compare import Row, Run, compare, runs, summary
from ._engine import Engine
from ._outcome import Outcome
from ._policies import POLICIES, TITLES
from ._run import Simulation, simulate
from ._scenario import PoolSpec, Provider, Scenario, Task, Work, builtin, load, parse
from ._watch import Broken, Watch

__all__ = [
    "POLICIES",
    "TITLES",
    "Broken",
    "Engine",
    "Outcome",
    "PoolSpec",
    "Provider",
    "Row",
    "Run",
    "Scenario",
    "Simulation",
    "Task",
    "Watch",
    "Work",
    "builtin",
    "by_hand",
    "clairvoyant",
    "compare",
    "load",
    "parse",
    "runs",
    "simulate",
    "summary",
]
