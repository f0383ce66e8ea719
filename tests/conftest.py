"""Settings for every test."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

pytest_plugins = ["aws_fixtures"]

# No deadline: a slow machine is no bug. The same examples everywhere, so that a red run can be repeated.
settings.register_profile(
    "default",
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=50,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("default")
