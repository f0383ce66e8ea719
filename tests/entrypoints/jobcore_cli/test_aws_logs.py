"""The output of trainings on AWS, as CloudWatch Logs has it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

import jobcore_aws
from jobcore_cli._aws import log_events

LINES = (
    ("jc-a-1/algo-1-5", "first"),
    ("jc-a-12/algo-1-5", "of another"),
    ("jc-a-1/algo-10-5", "of the tenth host"),
    ("jc-a-1/algo-1-5", "last"),
)


def answer(**asked: Any) -> dict[str, Any]:
    """Answer a line at a time, and as MiniStack does: with all streams, whatever the prefix is."""
    number = int(asked.get("nextToken", 0))
    stream, message = LINES[number]
    more = {"nextToken": str(number + 1)} if number + 1 < len(LINES) else {}
    event = {"logStreamName": stream, "timestamp": number, "message": message}
    return {"events": [event], **more}


def test_the_lines_are_those_of_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    logs = SimpleNamespace(filter_log_events=answer)
    monkeypatch.setattr(jobcore_aws, "client", lambda service: logs)
    assert list(log_events("jc-a-1")) == [(0, "first"), (2, "of the tenth host"), (3, "last")]
    assert list(log_events("jc-a-1", host=1)) == [(0, "first"), (3, "last")]
