"""A few requests of `python -m proof.endpoints`: the HTTP API does what docs/reference/openapi.yaml says."""

from __future__ import annotations

import pytest


def test_the_api_answers_as_described():
    pytest.importorskip("schemathesis", reason="schemathesis is not installed")
    from proof.endpoints import run

    total, found = run(8)
    assert found == []
    assert total > 80


def test_the_sandbox_answers_whatever_bytes_it_gets():
    from proof.endpoints import sandbox

    total, found = sandbox(60)
    assert found == []
    assert total == 60
