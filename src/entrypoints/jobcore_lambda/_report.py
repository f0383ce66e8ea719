"""Logging and metrics of a Lambda function: one JSON line per transition, one of metrics per invocation.

Metrics are lines in CloudWatch's embedded metric format, written here: a library for that takes a
fifth of the cold start.

No line holds a job's arguments, hyperparameters or environment, nor the text of a failure, which user
code writes. Lines name the job; `jobcore show` has the rest.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from ._wiring import Wiring

if TYPE_CHECKING:
    from jobcore import CorruptRecord
    from jobcore.ticks import Change

__all__ = ["Context", "Reporter", "reporter", "scrubbed"]

NAMESPACE = "jobcore"
TEXT_CHARS_MAX = 300

# Errors with texts of jobcore; for any other error only the type is logged.
_OWN_ERRORS = ("CorruptRecord", "LookupError", "SpecUnavailable", "Unavailable")
_SECRETS = re.compile(
    r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"
    r"|(?i:\b(?:password|passwd|secret|token|api[_-]?key|authorization)\b\W{1,3})\S+"
    r"|\b[A-Za-z0-9+/=_-]{40,}\b"
)


def scrubbed(text: str) -> str:
    """Make a log line of *text*: at most 300 characters, with everything that looks like a credential redacted."""
    from jobcore.redact import redact

    return _SECRETS.sub("***", redact(" ".join(text.split())))[:TEXT_CHARS_MAX]


class Context(Protocol):
    """The members of Lambda's context object that the functions use."""

    aws_request_id: str

    def get_remaining_time_in_millis(self) -> int:
        """Return the time that is left for the invocation, in milliseconds."""
        ...


def reporter(function: str, wired: Wiring, context: Context) -> Reporter:
    """Make the reporter of one invocation; records that the store leaves out are reported to it."""
    made = Reporter(function, stack=wired.stack, request_id=context.aws_request_id)
    wired.on_corrupt = made.corrupt
    return made


class Reporter:
    """
    Writes the lines of one invocation.

    Args:
        function: launch, monitor, notify, reap, stream or submit.
        stack: the deployment's name.
        request_id: the invocation's id.
        out: the stream to write to; by default standard output, which is a Lambda's log.
    """

    def __init__(
        self, function: str, *, stack: str, request_id: str, out: TextIO | None = None
    ) -> None:
        self.function = function
        self.stack = stack
        self.request_id = request_id
        self.out = out
        self.metrics: dict[str, tuple[float, str]] = {}
        self._corrupt: set[str] = set()

    def line(self, level: str, message: str, **fields: Any) -> None:
        """Write one line."""
        self._write(
            {
                "level": level,
                "message": message,
                "function": self.function,
                "request_id": self.request_id,
            }
            | fields
        )

    def changed(self, change: Change) -> None:
        """Write the line of a transition, and count it; for `Settings.on_change`."""
        job = change.job
        failure = getattr(change.event, "failure", None)
        fields: dict[str, Any] = {}
        if failure is not None:
            fields = {"failure_class": str(failure.failure_class), "rule": failure.rule}
        self.line(
            "INFO",
            "transition",
            job_id=job.job_id,
            attempt=job.attempt_number,
            before=str(change.before),
            status=str(job.status),
            reason=type(change.event).__name__,
            **fields,
        )
        if job.status is not change.before and (job.status.is_terminal or job.status == "Held"):
            self.count(f"Jobs{job.status}")
        elif job.status == "New" and change.before != "New":
            self.count("JobsRetried")

    def trouble(self, job_id: str, what: str) -> None:
        """Write the line of a problem; for `Settings.on_trouble`."""
        kind, _, text = what.partition(": ")
        fields = {"text": scrubbed(text)} if kind in _OWN_ERRORS else {}
        self.line("WARNING", "trouble", job_id=job_id, error=kind[:100], **fields)

    def corrupt(self, error: CorruptRecord) -> None:
        """Report a record that the store left out of an answer, once in the invocation."""
        if str(error) in self._corrupt:
            return
        self._corrupt.add(str(error))
        self.trouble(error.job_id, f"CorruptRecord: {error}")
        self.count("Troubles")

    def count(self, name: str, value: float = 1) -> None:
        """Add to a counter."""
        before, unit = self.metrics.get(name, (0, "Count"))
        self.metrics[name] = (before + value, unit)

    def age(self, name: str, since: datetime | None, now: datetime) -> None:
        """Set the age of *since* in seconds; 0 for None, because an alarm needs the healthy value, too."""
        seconds = 0.0 if since is None else max(0.0, (now - since).total_seconds())
        self.metrics[name] = (round(seconds, 3), "Seconds")

    def flush(self, now: datetime) -> None:
        """Write the metrics, if there are any."""
        if not self.metrics:
            return
        names = [{"Name": name, "Unit": unit} for name, (_, unit) in sorted(self.metrics.items())]
        dimensions = [["Stack", "Function"]]  # each further set is billed as further metrics
        directive = {"Namespace": NAMESPACE, "Dimensions": dimensions, "Metrics": names}
        head = {
            "_aws": {"Timestamp": int(now.timestamp() * 1000), "CloudWatchMetrics": [directive]},
            "Stack": self.stack,
            "Function": self.function,
            "request_id": self.request_id,
        }
        self._write(head | {name: value for name, (value, _) in self.metrics.items()})
        self.metrics = {}

    def _write(self, document: Mapping[str, Any]) -> None:
        out = self.out or sys.stdout
        out.write(json.dumps(document, separators=(",", ":")) + "\n")
        out.flush()
