"""Job files: from decoded data to a `Spec`, sweeps and durations."""

from __future__ import annotations

from .durations import parse_duration
from .limits import SPEC_BYTES_MAX, validate
from .parse import parse_job
from .sweep import expand_sweep

__all__ = [
    "SPEC_BYTES_MAX",
    "expand_sweep",
    "parse_duration",
    "parse_job",
    "validate",
]
