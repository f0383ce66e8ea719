"""Job files: from decoded data to a `Spec`, sweeps and durations."""

from __future__ import annotations

from .backends import job_for_backend
from .durations import parse_duration
from .metrics import metric_goals, metric_regexes
from .parse import SPEC_BYTES_MAX, field_kinds, is_pool_name, job_fields, parse_job, validate
from .sweep import SWEEP_JOBS_MAX, Sweep, expand_sweep, read_sweep

__all__ = [
    "SPEC_BYTES_MAX",
    "SWEEP_JOBS_MAX",
    "Sweep",
    "expand_sweep",
    "field_kinds",
    "is_pool_name",
    "job_fields",
    "job_for_backend",
    "metric_goals",
    "metric_regexes",
    "parse_duration",
    "parse_job",
    "read_sweep",
    "validate",
]
