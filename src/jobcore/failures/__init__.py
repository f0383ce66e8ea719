"""Failure classification: rules as data, and the class and the cause of a failure from its evidence."""

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
