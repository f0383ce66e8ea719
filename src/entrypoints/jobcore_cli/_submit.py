"""`jobcore submit` and `jobcore sweep`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

import jobcore
from jobcore_client import Job, JobList
from jobcore_client.submission import (
    Submitted,
    Submitter,
    job_ids,
    sweep_group,
    sweep_label,
    sweep_specs,
    with_hyperparameters,
)

from ._app import common
from ._axes import combinations, read_assignment
from ._errors import CliError
from ._render import print_json
from ._session import Session

_Document = dict[str, Any]


def _overrides(command: Any) -> Any:
    """Add the options that override fields of the file."""
    options = (
        click.option("--name", help="A label for people."),
        click.option(
            "--pool",
            "pools",
            multiple=True,
            metavar="POOL[:COUNT]",
            help="A pool that it may run in, best first.",
        ),
        click.option("--priority", type=int, help="Jobs of a higher priority go first."),
        click.option("--share", help="The share that its usage is charged to."),
        click.option("--key", help="Idempotency key: a repeated call submits nothing twice."),
        click.option(
            "--wait", "wait_for", is_flag=True, help="Wait until it is over (a manager has to run)."
        ),
        click.option(
            "--hold", is_flag=True, help="Register it as Held; jobcore release starts it."
        ),
        click.option("--dry-run", is_flag=True, help="Check everything, submit nothing."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.command("submit")
@click.argument(
    "files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path)
)
@click.option(
    "-p", "--param", "params", multiple=True, metavar="NAME=VALUE", help="Set a hyperparameter."
)
@click.option("--group", help="Submit into a group.")
@_overrides
@common
@click.pass_obj
def submit_command(
    session: Session,
    /,
    files: Sequence[Path],
    params: Sequence[str],
    group: str | None,
    **options: Any,
) -> int:
    """Submit a job. FILE is a job file: TOML, YAML or JSON."""
    submitter, specs = Submitter(session), []
    values = dict(read_assignment(word) for word in params)
    for file in files:
        document = submitter.document(file, _changes(options))
        if "sweep" in document:
            msg = f"{file}: sweep: the file describes a sweep; use jobcore sweep {file}"
            raise CliError(msg)
        specs.append(submitter.spec(file, with_hyperparameters(document, values), group))
    return _submit(session, submitter, specs, options)


@click.command("sweep")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "-p",
    "--param",
    "params",
    multiple=True,
    metavar="NAME=A,B,...",
    help=(
        "Values of a hyperparameter. A range is 1:5 (whole numbers), lin:0:1:5 or log:1e-4:1e-1:4 "
        "(from, to, number of values). All combinations are run."
    ),
)
@click.option(
    "--list",
    "points",
    type=click.Path(path_type=Path),
    help="A file with further combinations: a JSON or YAML list of tables.",
)
@click.option(
    "--random",
    "draws",
    type=int,
    metavar="COUNT",
    help="Draw COUNT random combinations instead of all; a range then needs no number of values.",
)
@click.option("--seed", type=int, help="The seed of --random; 0 if not given.")
@click.option("--group", help="The name of the group; generated if not given.")
@_overrides
@common
@click.pass_obj
def sweep_command(session: Session, /, file: Path, group: str | None, **options: Any) -> int:
    """
    Submit one job for each combination of hyperparameters, all in one group.

    The combinations are those of the file's [sweep] table (grid, list, random), or of -p and --list.
    """
    submitter = Submitter(session)
    document = submitter.document(file, _changes(options))
    words, rows = options["params"], options["points"]
    table = document.pop("sweep", {})
    try:
        points = combinations(table, words, rows, options["draws"], options["seed"])
    except jobcore.InvalidJob as error:
        msg = str(error) if words or rows else f"{file}: {error}"
        raise CliError(msg) from None
    group = group or sweep_group(session, sweep_label(document), options["key"])
    specs = sweep_specs(submitter, file, document, points, group)
    return _submit(session, submitter, specs, options, group=group)


# --- from arguments to specs ------------------------------------------------------------


def _changes(options: Mapping[str, Any]) -> dict[str, Any]:
    """List the fields that the options give."""
    fields = ("name", "priority", "share")
    changes = {field: options[field] for field in fields if options[field] is not None}
    if options["pools"]:
        changes["pools"] = [_pool(word) for word in options["pools"]]
    return changes


def _pool(word: str) -> str | _Document:
    name, colon, count = word.partition(":")
    if not colon:
        return name
    if not count.isdigit():
        msg = f"--pool: expected POOL or POOL:COUNT, got {word!r}"
        raise CliError(msg)
    return {"pool": name, "count": int(count)}


# --- submitting -------------------------------------------------------------------------


def _submit(
    session: Session,
    submitter: Submitter,
    specs: list[jobcore.Spec],
    options: dict[str, Any],
    group: str | None = None,
) -> int:
    key = options["key"]
    ids = job_ids(session, key, len(specs))
    if options["dry_run"]:
        _say_dry_run(session, submitter, submitter.dry_run(specs, ids))
        return 0
    done = submitter.submit(specs, ids, key=key, hold=options["hold"])
    if not (session.as_json and options["wait_for"]):  # one call, one document
        _say_submitted(session, submitter, done, group)
    if options["wait_for"]:
        from ._change import wait_until_over

        jobs = JobList(session, [Job(session, job) for job in done.jobs])
        return wait_until_over(session, jobs, None)
    return 0


def _say_dry_run(session: Session, submitter: Submitter, would: Submitted) -> None:
    jobs = would.jobs
    if session.as_json:
        specs = [
            {
                **jobcore.lifecycle.encode_spec(job.spec),
                "JobArgs": jobcore.redact.redact_args(job.spec.args),
                "tags": jobcore.redact.redact_args(job.spec.tags),
            }
            for job in jobs
        ]
        lists = {
            "pythons": list(submitter.pythons),
            "notes": would.notes,
            "code": submitter.sources.documents(),
            "data": submitter.channels.documents(),
        }
        print_json({"dry_run": True, "jobs": specs, **lists})
        return
    _say_inputs(session, submitter)
    shown = jobs[:20]
    for job in shown:
        values = jobcore.redact.redact_args(job.spec.args).get("hyperparameters", {})
        print(f"would submit {job.spec.name}  {json.dumps(values)}")
    if len(jobs) > len(shown):
        print(f"... and {len(jobs) - len(shown)} more")
    _say_about(submitter, would)
    print(f"{len(jobs)} valid; nothing was submitted (--dry-run)")


def _say_inputs(session: Session, submitter: Submitter) -> None:
    for line in [*submitter.sources.lines(), *submitter.channels.lines()]:
        session.say(line)


def _say_about(submitter: Submitter, done: Submitted) -> None:
    for path, origin in submitter.pythons.items():
        print(f"  runs under {path} ({origin})")
    for note in done.notes:
        print(f"  {note}")


def _say_submitted(
    session: Session, submitter: Submitter, done: Submitted, group: str | None
) -> None:
    """Print the jobs, the interpreters with their origins, and notes."""
    jobs, known = done.jobs, done.known
    sources, channels = submitter.sources, submitter.channels
    if session.as_json:
        ids = [job.job_id for job in jobs]
        document = {"ids": ids, "group": group, "created": len(jobs) - known, "known": known}
        about = {"pythons": list(submitter.pythons), "notes": done.notes}
        inputs = {"requirements": sources.packages.documents(), "data": channels.documents()}
        print_json({**document, **about, **inputs, "code": sources.documents()})
        return
    _say_inputs(session, submitter)
    if len(jobs) == 1:
        (job,) = jobs
        print(f"{job.job_id}  {job.spec.name}" + ("  (already submitted)" if known else ""))
    elif group is None:
        for job in jobs:
            print(f"{job.job_id}  {job.spec.name}")
    else:
        print(f"submitted {len(jobs) - known} jobs in group {group}", end="")
        print(f" ({known} were submitted already)" if known else "")
        print(f"  jobcore list --group {group}    jobcore wait --group {group}")
    _say_about(submitter, done)
