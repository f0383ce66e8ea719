"""The monitor function: observe the trainings of active jobs.

On a schedule it observes all jobs that are due. A "Training Job State Change" event of SageMaker makes
it observe the event's job now. The status in an event is not used: EventBridge may lose, repeat, delay
and reorder events, and a principal that may put events must not be able to end a job with one. The
status comes from DescribeTrainingJob.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from jobcore import monitor_tick
from jobcore.lifecycle import parse_training_name

from ._run import HINTS_MAX, Context, run
from ._wiring import prepare, wiring

prepare("store", "trainer", "sagemaker", "rules")

STATE_CHANGE = "SageMaker Training Job State Change"


def handler(event: object, context: Context) -> dict[str, Any]:
    """
    Run the monitor tick.

    Args:
        event: a schedule's event, a state change, a list of state changes, or a batch of queue
            messages that hold one each.
    """
    wired = wiring()
    changes = list(_state_changes(event))
    only = None
    if changes:
        only = list(dict.fromkeys(i for c in changes if (i := _job_id(c)) is not None))[:HINTS_MAX]
        if not only:
            return {"ignored": len(changes)}  # trainings that jobcore did not create
    return run(
        "monitor",
        lambda store, settings: monitor_tick(store, wired.trainer, wired.clock, settings),
        wired,
        context,
        only=only,
    )


def _state_changes(event: object) -> Iterator[Mapping[str, Any]]:
    """Find the state changes in an event, a list of events or a batch of messages."""
    if isinstance(event, list):
        for item in event:
            yield from _state_changes(item)
    elif isinstance(event, Mapping):
        if isinstance(event.get("Records"), list):
            for record in event["Records"]:
                yield from _state_changes(_body(record))
        elif event.get("detail-type") == STATE_CHANGE:
            yield event


def _body(record: object) -> object:
    body = record.get("body") if isinstance(record, Mapping) else None
    try:
        return json.loads(body) if isinstance(body, str) else None
    except (ValueError, RecursionError):
        return None


def _job_id(change: Mapping[str, Any]) -> str | None:
    detail = change.get("detail")
    name = detail.get("TrainingJobName") if isinstance(detail, Mapping) else None
    parsed = parse_training_name(name) if isinstance(name, str) else None
    return parsed.job_id if parsed is not None else None
