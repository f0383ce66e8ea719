"""`jobcore results`: the jobs of a group with the hyperparameters that differ, and their metrics."""

from __future__ import annotations

import gc
import json
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import click

import jobcore
from jobcore.jobfile import metric_goals
from jobcore.metrics import Best, Goal, Metric, describe_metrics
from jobcore_client.documents import run_time
from jobcore_client.words import ago, counts_line, plain

from ._app import common_but_owner
from ._errors import NOT_FOUND, CliError
from ._render import clip, print_json, short_ids, wants_colour, width
from ._session import Session

_CUT_MIN = (
    8  # a column of hyperparameters is cut to so many characters, before columns are left out
)
_BOLD = "\x1b[1m", "\x1b[0m"


@dataclass(frozen=True)
class Results:
    """
    The jobs of a group, the best first, then those without the metric.

    Args:
        by: the metric by which they are sorted; None if no job has any.
        goals: of each metric that has one.
        names: of all metrics, those with a goal first.
        differ: the hyperparameters that are not the same in all jobs.
        best: the best job; None without a goal, or if no completed job has the metric.
    """

    group: str
    jobs: Sequence[jobcore.Job]
    by: str | None
    goals: Mapping[str, Goal]
    names: Sequence[str]
    differ: Sequence[str]
    parameters: Mapping[str, Mapping[str, Any]]
    metrics: Mapping[str, Mapping[str, Metric]]
    best: jobcore.Job | None

    def metric(self, job: jobcore.Job, name: str | None) -> Metric | None:
        """Return a metric of a job; None if it has none of that name."""
        return None if name is None else self.metrics[job.job_id].get(name)


@click.command("results")
@click.argument("group", required=False)
@click.option("--group", "named", metavar="GROUP", help="The same as the argument.")
@click.option("--owner", metavar="NAME", help="The owner of the group; you if not given.")
@click.option("--sort", "by", metavar="METRIC", help="The metric to sort by.")
@click.option(
    "--goal",
    type=click.Choice([goal.value for goal in Goal]),
    help="Which values of it are better.",
)
@click.option("-n", "--top", type=click.IntRange(1), metavar="N", help="Only the first N jobs.")
@click.option("--best", "only_best", is_flag=True, help="Print the id of the best job alone.")
@click.option("--csv", "as_csv", is_flag=True, help="All columns as CSV.")
@common_but_owner
@click.pass_obj
def results_command(
    session: Session,
    /,
    group: str | None,
    named: str | None,
    owner: str | None,
    by: str | None,
    goal: str | None,
    top: int | None,
    only_best: bool,
    as_csv: bool,
) -> int:
    """
    Compare the jobs of a sweep: the hyperparameters that differ, beside the metrics.

    Without a GROUP: the group of your newest job that has one. The jobs are sorted by the last value
    of a metric: --sort, or the first that has a goal in the job file, or the first of all. With a
    goal, * marks the best job that has completed.
    """
    if group is not None and named is not None and group != named:
        msg = "give one group, as the argument or with --group"
        raise CliError(msg)
    if as_csv and session.as_json:
        msg = "give either --csv or --json, not both"
        raise CliError(msg)
    chosen = group or named or _newest_group(session, owner or session.owner_name)
    with _without_collections():
        jobs = session.find_jobs([], chosen, owner)
        results = compare(chosen, jobs, by=by, goal=Goal(goal) if goal else None)
        if only_best:
            print(_best_id(results))
        elif session.as_json:
            print_json(_document(results, top))
        elif as_csv:
            _print_csv(results, top)
        else:
            limit = width() if sys.stdout.isatty() else None
            colour = wants_colour(session.no_color)
            print("\n".join(table(results, top=top, limit=limit, colour=colour)))
            print(_summary(session, results))
    return 0


@contextmanager
def _without_collections() -> Iterator[None]:
    """Switch the collector of garbage off: jobs hold none, and it takes a third of the time to read many."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _newest_group(session: Session, owner: str) -> str:
    for job in session.store.find(jobcore.ports.JobQuery(owner=owner, limit=1000)).jobs:
        if job.spec.group is not None:
            return job.spec.group
    msg = f"none of the newest jobs of {owner} is in a group; name one, or start a sweep"
    raise CliError(msg, NOT_FOUND)


def _best_id(results: Results) -> str:
    if results.best is None:
        why = (
            "no completed job has metrics"
            if results.by is None or results.goals.get(results.by) is not None
            else f"{results.by} has no goal; give --goal minimize or maximize"
        )
        msg = f"group {results.group} has no best job: {why}"
        raise CliError(msg, NOT_FOUND)
    return results.best.job_id


# --- comparison ---------------------------------------------------------------------------


def compare(
    group: str, jobs: Sequence[jobcore.Job], *, by: str | None = None, goal: Goal | None = None
) -> Results:
    """
    Sort the jobs of a group by a metric.

    Args:
        by: the metric; the first with a goal, or the first of all, if not given.
        goal: that of the metric, over those of the job files.

    Raises:
        CliError: no job has the metric *by*.
    """
    metrics = {job.job_id: {m.name: m for m in job.metrics} for job in jobs}
    goals: dict[str, Goal] = {}
    for job in jobs:
        if "metrics" in job.spec.args:
            goals = metric_goals(job.spec) | goals
    seen = list(dict.fromkeys(name for found in metrics.values() for name in found))
    names = [*(name for name in goals if name in seen), *(n for n in seen if n not in goals)]
    if by is not None and by not in seen:
        known = ", ".join(map(plain, names[:20])) or "none yet"
        msg = f"--sort: no job of group {group} has a metric {by!r}; there are: {known}"
        raise CliError(msg, NOT_FOUND)
    by = by or next(iter(names), None)
    if goal is not None and by is not None:
        goals[by] = goal

    def order(job: jobcore.Job) -> tuple[int, float]:
        metric = metrics[job.job_id].get(by) if by is not None else None
        if metric is None:
            return 2, 0.0
        sign = -1 if goals.get(by or "") is Goal.MAXIMIZE else 1
        return int(job.status is not jobcore.Status.COMPLETED), sign * metric.final

    ordered = sorted(jobs, key=order)
    has_best = by in goals and bool(ordered) and order(ordered[0])[0] == 0
    parameters = {job.job_id: _parameters(job) for job in jobs}
    return Results(
        group=group,
        jobs=ordered,
        by=by,
        goals=goals,
        names=names,
        differ=_differing(list(parameters.values())),
        parameters=parameters,
        metrics=metrics,
        best=ordered[0] if has_best else None,
    )


def _parameters(job: jobcore.Job) -> Mapping[str, Any]:
    found = job.spec.args.get("hyperparameters")
    return jobcore.redact.redact_args(found) if isinstance(found, dict) else {}


def _differing(parameters: Sequence[Mapping[str, Any]]) -> list[str]:
    names = dict.fromkeys(name for each in parameters for name in each)

    def texts(name: str) -> Iterator[str | None]:
        return (_text(each[name]) if name in each else None for each in parameters)

    def differs(name: str) -> bool:
        rest = texts(name)
        first = next(rest)
        return any(text != first for text in rest)

    return [name for name in names if differs(name)]


def _text(value: Any) -> str:
    """Write a hyperparameter: a text as it is, anything else as JSON."""
    if isinstance(value, str):
        return value
    if type(value) is int or type(value) is float:  # nearly all are, and json.dumps takes longer
        return repr(value)
    return json.dumps(value, ensure_ascii=False)


def _best_of(results: Results, job: jobcore.Job, name: str) -> Best | None:
    metric, goal = results.metric(job, name), results.goals.get(name)
    return metric.best(goal) if metric is not None and goal is not None else None


# --- table --------------------------------------------------------------------------------


@dataclass
class _Column:
    head: str
    cells: list[str]
    kind: str = "fixed"  # or "parameter", "metric": these may be cut or left out
    width: int = 0

    def __post_init__(self) -> None:
        self.width = max(len(self.head), *map(len, self.cells), 0)

    def cut(self, columns: int) -> None:
        """Cut head and cells."""
        if columns == self.width:
            return
        self.head = clip(self.head, columns)
        self.cells = [clip(cell, columns) for cell in self.cells]
        self.width = columns


def table(
    results: Results, *, top: int | None = None, limit: int | None = None, colour: bool = False
) -> list[str]:
    """
    Lay out the table.

    Args:
        top: only so many jobs.
        limit: the columns of the terminal. Hyperparameters are cut, and then columns left out, with
            a line that names them; None: everything is written.
    """
    jobs = results.jobs[:top]
    columns = _columns(results, jobs)
    hidden = _fit(columns, limit) if limit is not None else []
    form = "  ".join(f"%-{column.width}s" for column in columns)
    rows = zip(*([column.head, *column.cells] for column in columns), strict=True)
    lines = [(form % row).rstrip() for row in rows]
    if colour and results.best is not None:
        lines[1] = lines[1].join(_BOLD)
    if hidden:
        note = f"not shown, for want of room: {', '.join(hidden)} (--csv and --json have all)"
        lines += textwrap.wrap(note, limit or width(), subsequent_indent="  ")
    return lines


def _columns(results: Results, jobs: Sequence[jobcore.Job]) -> list[_Column]:
    now = datetime.now(UTC)
    ids = short_ids(jobs)

    def column(head: str, cell: Callable[[jobcore.Job], str], kind: str = "fixed") -> _Column:
        return _Column(plain(jobcore.redact.redact(head)), [plain(cell(job)) for job in jobs], kind)

    def ran(job: jobcore.Job) -> str:
        span = run_time(job, now)
        return "-" if span is None else ago(span)

    columns = [
        column("", lambda job: "*" if job is results.best else ""),
        column("ID", lambda job: ids[job.job_id]),
        *(column(name, _parameter(results, name), "parameter") for name in results.differ),
        column("STATUS", lambda job: str(job.status)),
        column("RAN", ran),
    ]
    for name in results.names:
        made = [column(name, _final(results, name), "fixed" if name == results.by else "metric")]
        if any(_is_better(results, job, name) for job in jobs):
            made.append(column(f"best {name}", _best(results, name), "metric"))
        columns += made
    return columns


def _parameter(results: Results, name: str) -> Callable[[jobcore.Job], str]:
    def cell(job: jobcore.Job) -> str:
        value = results.parameters[job.job_id].get(name, "")
        return number(value) if type(value) is float else _text(value)

    return cell


def _final(results: Results, name: str) -> Callable[[jobcore.Job], str]:
    def cell(job: jobcore.Job) -> str:
        metric = results.metric(job, name)
        return "-" if metric is None else number(metric.final)

    return cell


def _best(results: Results, name: str) -> Callable[[jobcore.Job], str]:
    def cell(job: jobcore.Job) -> str:
        best = _best_of(results, job, name)
        return "-" if best is None else _at_step(best.value, best.step)

    return cell


def _is_better(results: Results, job: jobcore.Job, name: str) -> bool:
    best, metric = _best_of(results, job, name), results.metric(job, name)
    return best is not None and metric is not None and best.value != metric.final


def _fit(columns: list[_Column], limit: int) -> list[str]:
    """Cut columns to fit, and remove those that do not; return the heads of the removed ones."""
    cut = {id(c): c.width for c in columns}
    for column in columns:
        if column.kind == "parameter":
            cut[id(column)] = min(column.width, _CUT_MIN)

    def room() -> int:
        return limit - sum(cut[id(c)] for c in columns) - 2 * (len(columns) - 1)

    hidden: list[str] = []
    for kind in ("metric", "parameter"):
        while room() < 0 and any(c.kind == kind for c in columns):
            last = next(c for c in reversed(columns) if c.kind == kind)
            columns.remove(last)
            hidden.insert(0, last.head)
    for column in columns:  # those that are left share what is left, the first ones first
        column.cut(min(column.width, cut[id(column)] + max(0, room())))
        cut[id(column)] = column.width
    return hidden


def number(value: float) -> str:
    """Write a number in six digits."""
    return f"{value:.6g}"


def _at_step(value: float, step: int | None) -> str:
    return number(value) if step is None else f"{number(value)} @{step}"


def metric_lines(job: jobcore.Job) -> list[str]:
    """Write the metrics of a job, one a line, for `jobcore show`."""
    goals = metric_goals(job.spec)
    lines = []
    longest = max((len(metric.name) for metric in job.metrics), default=0)
    for metric in job.metrics:
        goal = goals.get(metric.name)
        best = metric.best(goal) if goal is not None else None
        line = f"{metric.name:<{max(11, longest)}} {_at_step(metric.final, metric.step)}"
        if best is not None:
            line += f"  best {_at_step(*best)}"
        elif metric.count is not None and metric.count > 1 and metric.lowest is not None:
            line += f"  from {number(metric.lowest)} to {number(metric.highest or 0.0)}"
        lines.append(line)
    return lines


def _summary(session: Session, results: Results) -> str:
    counts: dict[jobcore.Status, int] = {}
    for job in results.jobs:
        counts[job.status] = counts.get(job.status, 0) + 1
    words = f"{plain(results.group)}: {counts_line(counts)}"
    if results.by is None:
        files = (
            "" if session.is_aws else "a script writes metrics.json into SM_OUTPUT_DATA_DIR, or "
        )
        return f"{words}; no metrics yet: {files}the job file names them under [metrics]"
    name = plain(jobcore.redact.redact(results.by))
    goal = results.goals.get(results.by)
    if goal is None:
        return f"{words}; sorted by {name}, without a goal (--goal minimize or maximize)"
    return f"{words}; sorted by {name} ({goal})"


# --- for programs -------------------------------------------------------------------------


def _document(results: Results, top: int | None) -> dict[str, Any]:
    now = datetime.now(UTC)
    rows = []
    for job in results.jobs[:top]:
        ran = run_time(job, now)
        rows.append(
            {
                "id": job.job_id,
                "name": job.spec.name,
                "status": str(job.status),
                "ran_seconds": None if ran is None else ran.total_seconds(),
                "hyperparameters": dict(results.parameters[job.job_id]),
                "metrics": describe_metrics(job.metrics),
            }
        )
    return {
        "group": results.group,
        "sort": results.by,
        "goals": {name: str(goal) for name, goal in results.goals.items()},
        "differ": list(results.differ),
        "best": results.best.job_id if results.best is not None else None,
        "jobs": rows,
    }


def _print_csv(results: Results, top: int | None) -> None:
    import csv

    now = datetime.now(UTC)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    heads = ["id", "name", "status", "ran_seconds", *results.differ]
    with_goal = [name for name in results.names if name in results.goals]
    heads += [*results.names]
    heads += [head for name in with_goal for head in (f"best {name}", f"best {name} step")]
    writer.writerow(map(plain, heads))
    for job in results.jobs[:top]:
        ran = run_time(job, now)
        given = results.parameters[job.job_id]
        found = [results.metric(job, name) for name in results.names]
        bests = [_best_of(results, job, name) or ("", "") for name in with_goal]
        writer.writerow(
            [
                job.job_id,
                plain(job.spec.name),
                job.status,
                "" if ran is None else ran.total_seconds(),
                *(plain(_text(given.get(name, ""))) for name in results.differ),
                *("" if metric is None else metric.final for metric in found),
                *("" if value is None else value for best in bests for value in best),
            ]
        )
