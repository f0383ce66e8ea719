"""The failure rules of simulations: the simulated trainers answer with the service's texts (`_texts`)."""

from __future__ import annotations

from jobcore_aws import failure_rules

__all__ = ["RULES"]

RULES = failure_rules()
