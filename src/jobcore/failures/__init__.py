"""Failure classification: how rules are read, and how a failure's evidence becomes a class and a cause."""

from __future__ import annotations

from .cause import cause_of
from .classify import classify, normalise, parse_quota
from .default_rules import DEFAULT_RULES
from .rules import Rule, parse_rules

__all__ = [
    "DEFAULT_RULES",
    "Rule",
    "cause_of",
    "classify",
    "normalise",
    "parse_quota",
    "parse_rules",
]
