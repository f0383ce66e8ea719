"""The failure rules of trainings on this machine."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files

from jobcore.failures import GENERIC_RULES, Rules, parse_rules

__all__ = ["failure_rules"]


@cache
def failure_rules(base: Rules = GENERIC_RULES) -> Rules:
    """Return the failure rules of trainings on this machine, in front of *base*."""
    text = files("jobcore_local").joinpath("failure_rules.toml").read_text("utf-8")
    return parse_rules(tomllib.loads(text), base, compile_patterns=False)
