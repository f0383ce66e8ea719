"""Job files: from decoded data to a `Spec`, sweeps and durations."""

from __future__ import annotations

from .durations import parse_duration
from .parse import SPEC_BYTES_MAX, parse_job, validate
from .sweep import expand_sweep

__all__ = [
    "SPEC_BYTES_MAX",
    "expand_sweep",
    "parse_duration",
    "parse_job",
    "validate",
]
