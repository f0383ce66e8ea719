"""
Random worlds with faults at every port; a seed determines a whole run.

The production ticks run as actors that take turns before each port call, and a
`jobcore_simulation.oracles.Oracle` checks each call. In the first phase any call may fail and no
invariant may break; in the second no call fails and every job must end.
docs/concepts/fault-injection.md describes the model, ``python -m proof.swarm`` runs it. Needs
greenlet, which is a development dependency.
"""

from ._case import Case, adapters_of, run_case
from ._draw import CELLS, KINDS, WORLD, Config, draw
from ._result import Result
from ._shrink import shrink
from ._tally import Tally, run_seeds
from ._world import ROUNDS_MAX, World

__all__ = [
    "CELLS",
    "KINDS",
    "ROUNDS_MAX",
    "WORLD",
    "Case",
    "Config",
    "Result",
    "Tally",
    "World",
    "adapters_of",
    "draw",
    "run_case",
    "run_seeds",
    "shrink",
]
