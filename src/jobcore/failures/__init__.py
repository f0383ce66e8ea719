"""Failure classification: how rules are read, and how a failure's evidence becomes a class and a cause."""

from __future__ import annotations

from .cause import cause_of
from .classify import classify, find_quota, normalise
from .generic import GENERIC_RULES
from .rules import Reading, Rule, Rules, parse_rules

__all__ = [
    "GENERIC_RULES",
    "Reading",
    "Rule",
    "Rules",
    "cause_of",
    "classify",
    "find_quota",
    "normalise",
    "parse_rules",
]
