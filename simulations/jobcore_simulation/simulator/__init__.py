"""A discrete-event simulator that runs the production ticks through shortages and faults."""

from ._by_hand import by_hand
from ._compare import Row, Run, compare, runs, summary
from ._engine import Engine
from ._oracle import clairvoyant
from ._outcome import Outcome
from ._policies import POLICIES, TITLES
from ._run import Simulation, simulate
from ._scenario import PoolSpec, Provider, Scenario, Task, Work, builtin, load, parse

__all__ = [
    "POLICIES",
    "TITLES",
    "Engine",
    "Outcome",
    "PoolSpec",
    "Provider",
    "Row",
    "Run",
    "Scenario",
    "Simulation",
    "Task",
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
