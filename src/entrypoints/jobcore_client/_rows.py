"""Jobs as rows: flat dicts, and a table of HTML."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from html import escape
from typing import Any

import jobcore

from .documents import first_start, headline, run_time
from .words import counts_line, plain

__all__ = ["as_row", "html_table"]

_SHOWN_MAX = 20  # rows in a notebook
_FIELDS = (
    "id", "name", "group", "owner", "status", "attempt", "submitted_at", "started_at", "ended_at",
    "wait_s", "run_s", "failure_class", "failure",
)  # fmt: skip


def as_row(record: jobcore.Job) -> dict[str, Any]:
    """Make a flat dict of a job: its fields, and its hyperparameters with secrets hidden."""
    now = datetime.now(UTC)
    ran, started, spec = run_time(record, now), first_start(record), record.spec
    wait = None if started is None else started - record.submitted_at
    state = record.state
    failure = state.failure if isinstance(state, jobcore.lifecycle.Failed) else None
    values = (
        record.job_id, spec.name, spec.group, spec.owner, str(record.status),
        record.attempt_number, record.submitted_at, started,
        state.since if record.status.is_terminal else None, _seconds(wait), _seconds(ran),
        None if failure is None else str(failure.failure_class),
        None if failure is None else headline(failure),
    )  # fmt: skip
    document: dict[str, Any] = dict(zip(_FIELDS, values, strict=True))
    shown = jobcore.redact.redact_args(record.spec.args).get("hyperparameters")
    for name, value in (shown if isinstance(shown, dict) else {}).items():
        document[name if name not in _FIELDS else f"hyperparameters.{name}"] = value
    document |= {f"metric.{metric.name}": metric.final for metric in record.metrics}
    return document


def _seconds(span: timedelta | None) -> float | None:
    return None if span is None else round(span.total_seconds(), 3)


def _cell(value: object) -> str:
    return "" if value is None else plain(str(value))


def html_table(records: Sequence[jobcore.Job]) -> str:
    """Make a table of jobs, of which the first 20 are shown; all texts are escaped."""
    fields = ("name", "status", "attempt", "run_s", "failure_class")
    rows = [as_row(record) for record in records[:_SHOWN_MAX]]
    names = [n for n in dict.fromkeys(n for row in rows for n in row) if n not in _FIELDS]
    heads = "".join(f"<th>{escape(plain(name))}</th>" for name in ("id", *fields, *names))
    lines = []
    for row in rows:
        cells = [str(row["id"])[:8], *(_cell(row.get(name)) for name in (*fields, *names))]
        lines.append("<tr>" + "".join(f"<td>{escape(c)}</td>" for c in cells) + "</tr>")
    counted = counts_line(Counter(record.status for record in records))
    more = f" ({_SHOWN_MAX} shown)" if len(records) > _SHOWN_MAX else ""
    caption = f"<caption>{len(records)} jobs: {escape(counted)}{more}</caption>"
    return f"<table>{caption}<tr>{heads}</tr>{''.join(lines)}</table>"
