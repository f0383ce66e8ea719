"""A discrete-event simulator that runs the production ticks through shortages and faults."""

from ._compare import Row, compare, summary
from ._engine import Engine
from ._oracle import clairvoyant
from ._policies import POLICIES
from ._run import Outcome, Simulation, simulate
from ._scenario import PoolSpec, Provider, Scenario, Task, Work, builtin, load, parse

__all__ = [
    "POLICIES",
    "Engine",
    "Outcome",
    "PoolSpec",
    "Provider",
    "Row",
    "Scenario",
    "Simulation",
    "Task",
    "Work",
    "builtin",
    "clairvoyant",
    "compare",
    "load",
    "parse",
    "simulate",
    "summary",
]
