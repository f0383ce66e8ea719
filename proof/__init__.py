"""Proofs and searches for faults, one command each: `make proof` and its companions."""
