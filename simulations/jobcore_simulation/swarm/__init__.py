"""
Drawn worlds with faults at every port: one seed is one run, and decides all of it.

The production ticks run as actors that take turns before each port call; an
`jobcore_simulation.oracles.Oracle` watches. In the first phase anything may fail and nothing may be
wrong; in the second nothing fails and all must come to its end. See docs/concepts/fault-injection.md, and
``python -m proof.swarm`` for the runs. Needs greenlet, which is a development dependency.
"""

from ._draw import CELLS, KINDS, WORLD, Config, draw
from ._shrink import Case, Tally, adapters_of, run_case, run_seeds, shrink
from ._world import ROUNDS_MAX, Result, World

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
