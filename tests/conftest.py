"""Settings for every test."""

from __future__ import annotations

import pytest
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


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """
    Let each worker begin with a long test, so that none is left alone with one at the end.

    Workers get equal shares of the list, in order (`--dist=worksteal`), and take from the end of
    each other's; pytest-randomly has shuffled it before.
    """
    workers = getattr(config, "workerinput", {}).get("workercount", 1)
    long = sorted((i for i in items if i.get_closest_marker("long")), key=lambda i: i.nodeid)
    ordered = [item for item in items if not item.get_closest_marker("long")]
    begin = 0
    for worker in range(workers):
        ordered[begin:begin] = long[worker::workers]
        begin += (len(items) - begin) // (workers - worker)
    items[:] = ordered
