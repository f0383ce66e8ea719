"""The failure rules of simulations: the simulated trainers give the service's texts (`_texts`)."""

from __future__ import annotations

from jobcore.failures import DEFAULT_RULES

__all__ = ["RULES"]

RULES = DEFAULT_RULES
