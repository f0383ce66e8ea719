"""The stream function: turns changes of the table into hints for the launch and notify functions.

It only reads the stream and invokes these functions, so its role has no access to the table,
SageMaker or the topic. A lost hint delays the work by a minute at most, until the schedule.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jobcore.lifecycle import is_job_id

from ._report import Context, reporter
from ._wiring import prepare, wiring

prepare("_lambda")

# A job that enters one of these statuses waits for capacity, or has released some.
_LAUNCH_HINTS = ("New", "Held", "Completed", "Failed", "Stopped")


def handler(event: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """
    Send the hints of a batch of records: at most one invocation of each function.

    Returns:
        ``batchItemFailures`` with the sequence number of the first record whose hint failed: Lambda
        repeats from there. A record that cannot be read is skipped, because a repetition would not
        help.
    """
    wired = wiring()
    report = reporter("stream", wired, context)
    to_launch: list[str] = []  # sequence numbers
    to_notify: dict[str, str] = {}  # job id: sequence number
    for record in event.get("Records") or []:
        try:
            sequence, job_id, entered, owes = _facts(record)
        except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
            report.trouble("", f"{type(error).__name__}: ")
            report.count("PoisonRecords")
            continue
        if entered in _LAUNCH_HINTS:
            to_launch.append(sequence)
        if owes:
            to_notify.setdefault(job_id, sequence)
    failed: list[str] = []
    if to_launch and not _nudged(report, "launch", {"hint": "stream"}):
        failed += to_launch
    if to_notify and not _nudged(report, "notify", {"job_ids": list(to_notify)}):
        failed += to_notify.values()
    report.flush(wired.clock.now())
    failures = [{"itemIdentifier": min(failed, key=int)}] if failed else []
    return {"batchItemFailures": failures}


def _facts(record: Mapping[str, Any]) -> tuple[str, str, str, bool]:
    """Read sequence number, job id, the status that was entered ("" for none), and whether a message is pending."""
    change = record["dynamodb"]
    sequence = change["SequenceNumber"]
    int(sequence)
    image = change.get("NewImage")
    if image is None or "JobStatus" not in image:  # a deletion, a spec, a pool
        return sequence, "", "", False
    job_id = image["JobId"]["S"]
    if not is_job_id(job_id):
        msg = "not a job id"
        raise ValueError(msg)
    status = image["JobStatus"]["S"]
    before = (change.get("OldImage") or {}).get("JobStatus", {}).get("S")
    return sequence, job_id, status if status != before else "", "_notify" in image


def _nudged(report: Any, tick: str, payload: Mapping[str, Any]) -> bool:
    try:
        wiring().nudge(tick, payload)
    except Exception as error:
        report.trouble("", f"{type(error).__name__}: ")
        report.count("Troubles")
        return False
    report.count(f"Hints{tick.capitalize()}")
    return True
