"""The worlds in which each test of the client runs."""

from __future__ import annotations

import pytest

from client_world import make_world, running_manager
from jobcore_local import write_pools


@pytest.fixture(scope="module")
def managed_home(tmp_path_factory):
    """A home with a running manager, for the tests of a module."""
    home = tmp_path_factory.mktemp("managed") / "home"
    home.mkdir()
    write_pools(home, {"cpu": 8})  # some tests leave a job running until their end
    with running_manager(home):
        yield home


@pytest.fixture(params=["memory", "dynamodb", "local"])
def world(request, tmp_path, monkeypatch):
    for name in ("JOBCORE_OWNER", "JOBCORE_HOME", "JOBCORE_BACKEND"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "no-config"))
    return make_world(request.param, request, tmp_path)
