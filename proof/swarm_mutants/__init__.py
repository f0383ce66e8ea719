"""Seeded bugs of the protocol: the swarm must find each, or its silence proves nothing."""

from . import _answers, _lives, _planning  # noqa: F401  (each registers its bugs)
from ._tools import MUTANTS, Mutant

__all__ = ["MUTANTS", "Mutant"]
