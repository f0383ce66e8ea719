"""`jobcore submit` and `jobcore sweep`."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

import jobcore
from jobcore_aws import JOB_TABLES

from ._app import common
from ._checks import backend_problems
from ._code import Sources
from ._errors import CONFLICT, CliError
from ._jobfiles import localise, read_document
from ._render import print_json
from ._session import Session
from ._snapshots import with_known_code

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
    specs, sources = [], Sources(session)
    for file in files:
        document = _changed(_placed(sources, file), options)
        if "sweep" in document:
            msg = f"{file}: sweep: the file describes a sweep; use jobcore sweep {file}"
            raise CliError(msg)
        values = dict(_assignment(word) for word in params)
        specs.append(_spec(session, file, _with_hyperparameters(document, values), group))
    ids = _ids(session, options["key"], len(specs))
    return _submit(session, specs, ids, options, sources)


@click.command("sweep")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "-p",
    "--param",
    "params",
    multiple=True,
    metavar="NAME=A,B,...",
    help="Values of a hyperparameter; 1:5 is 1,2,3,4,5. All combinations are run.",
)
@click.option(
    "--list",
    "points",
    type=click.Path(path_type=Path),
    help="A file with further combinations: a JSON or YAML list of tables.",
)
@click.option("--group", help="The name of the group; generated if not given.")
@_overrides
@common
@click.pass_obj
def sweep_command(
    session: Session,
    /,
    file: Path,
    params: Sequence[str],
    points: Path | None,
    group: str | None,
    **options: Any,
) -> int:
    """
    Submit one job for each combination of hyperparameters, all in one group.

    The combinations are those of the file's [sweep] table (grid, list), or of -p and --list.
    """
    sources = Sources(session)
    document = _changed(_placed(sources, file), options)
    table = document.pop("sweep", {})
    if not isinstance(table, dict) or set(table) - {"grid", "list"}:
        msg = f"{file}: sweep: expected a table with grid (name = [values]) and list ([tables])"
        raise CliError(msg)
    grid, rows = table.get("grid", {}), table.get("list", [])
    if not isinstance(grid, dict) or not isinstance(rows, list):
        msg = f"{file}: sweep: expected grid to be a table and list to be a list"
        raise CliError(msg)
    if params or points:
        grid, rows = dict(_axis(word) for word in params), _read_points(points)
    combinations = jobcore.jobfile.expand_sweep(grid, rows)
    label = str(document.get("name") or Path(str(document.get("script", "sweep"))).stem)
    key = options["key"]
    suffix = jobcore.job_id_from_token(session.owner_name, key) if key else _random_id()
    group = group or f"{label}-{suffix[:6]}"
    digits = len(str(len(combinations)))
    specs = [
        _spec(
            session,
            file,
            _with_hyperparameters({**document, "name": f"{label}-{number:0{digits}d}"}, values),
            group,
        )
        for number, values in enumerate(combinations, start=1)
    ]
    ids = _ids(session, key, len(specs))
    return _submit(session, specs, ids, options, sources, group=group)


# --- from arguments to specs ------------------------------------------------------------


def _placed(sources: Sources, file: Path) -> _Document:
    """Read a job file, and name the place of its code; nothing is uploaded yet."""
    return sources.place(localise(read_document(file), file))


def _changed(document: _Document, options: dict[str, Any]) -> _Document:
    for field in ("name", "priority", "share"):
        if options[field] is not None:
            document[field] = options[field]
    if options["pools"]:
        document.pop("pool", None)
        document["pools"] = [_pool(word) for word in options["pools"]]
    return document


def _pool(word: str) -> str | _Document:
    name, colon, count = word.partition(":")
    if not colon:
        return name
    if not count.isdigit():
        msg = f"--pool: expected POOL or POOL:COUNT, got {word!r}"
        raise CliError(msg)
    return {"pool": name, "count": int(count)}


def _value(text: str) -> Any:
    """Read a value as JSON if it is JSON, else as text."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return text if isinstance(value, float) and math.isnan(value) else value


def _assignment(word: str) -> tuple[str, Any]:
    name, equals, text = word.partition("=")
    if not equals or not name:
        msg = f"-p: expected NAME=VALUE, got {word!r}"
        raise CliError(msg)
    return name, _value(text)


def _axis(word: str) -> tuple[str, list[Any]]:
    name, equals, text = word.partition("=")
    if not equals or not name or not text:
        msg = f"-p: expected NAME=A,B,... or NAME=FIRST:LAST, got {word!r}"
        raise CliError(msg)
    first, colon, last = text.partition(":")
    if colon and first.lstrip("-").isdigit() and last.lstrip("-").isdigit():
        if int(last) < int(first):
            msg = f"-p {name}: {text} is an empty range"
            raise CliError(msg)
        if int(last) - int(first) >= 10_000:
            msg = f"-p {name}: {text} has more than 10,000 values"
            raise CliError(msg)
        return name, list(range(int(first), int(last) + 1))
    return name, [_value(item) for item in text.split(",")]


def _read_points(path: Path | None) -> list[Any]:
    if path is None:
        return []
    if path.suffix.lower() == ".csv":
        import csv

        try:
            with path.open(encoding="utf-8", newline="") as file:
                return [{k: _value(v) for k, v in row.items()} for row in csv.DictReader(file)]
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            msg = f"{path}: {error}"
            raise CliError(msg) from None
    try:
        text = path.read_text("utf-8")
        if path.suffix.lower() in (".yaml", ".yml"):
            import yaml

            rows = yaml.safe_load(text)
        else:
            rows = json.loads(text)
    except OSError as error:
        msg = f"{path}: {error.strerror}"
        raise CliError(msg) from None
    except Exception as error:
        msg = f"{path}: not valid: {str(error).splitlines()[0]}"
        raise CliError(msg) from None
    if not isinstance(rows, list):
        msg = f"{path}: expected a list of tables"
        raise CliError(msg)
    return rows


def _with_hyperparameters(document: _Document, values: _Document) -> _Document:
    if not values:
        return document
    given = document.get("hyperparameters", {})
    return {**document, "hyperparameters": {**(given if isinstance(given, dict) else {}), **values}}


def _spec(session: Session, file: Path, document: _Document, group: str | None) -> jobcore.Spec:
    try:
        spec = jobcore.parse_job(
            document, owner=session.owner_name, group=group, service_tables=JOB_TABLES
        )
        if problems := backend_problems(session, spec):
            raise jobcore.InvalidJob(problems)
    except jobcore.InvalidJob as error:
        msg = f"{file}: {error}"
        raise CliError(msg) from None
    return spec


def _random_id() -> str:
    return jobcore.job_id_from_bytes(os.urandom(16))


def _ids(session: Session, key: str | None, count: int) -> list[str]:
    if key is None:
        return [_random_id() for _ in range(count)]
    if count == 1:
        return [jobcore.job_id_from_token(session.owner_name, key)]
    return [
        jobcore.job_id_from_token(session.owner_name, f"{key}/{number}") for number in range(count)
    ]


# --- submitting -------------------------------------------------------------------------


def _submit(
    session: Session,
    specs: list[jobcore.Spec],
    ids: list[str],
    options: dict[str, Any],
    sources: Sources,
    group: str | None = None,
) -> int:
    now = datetime.now(UTC)
    if options["dry_run"]:
        jobs = [jobcore.new_job(i, s, now=now) for i, s in zip(ids, specs, strict=True)]
        sources.look(specs)
        _say_dry_run(session, jobs, sources)
        return 0
    held_by = session.owner_name if options["hold"] else None
    with sources.frozen(specs) as frozen:
        wanted = frozen
        if options["key"]:
            wanted = _check_key(session, options["key"], dict(zip(ids, frozen, strict=True)))
        done = jobcore.submit(wanted, ids, store=session.store, now=now, held_by=held_by)
    clashes = [s for s in done if s.added is jobcore.ports.Added.CLASH]
    if clashes:
        msg = (
            f"--key {options['key']}: used before for another job ({clashes[0].job.job_id}); "
            "choose another key"
        )
        raise CliError(msg, CONFLICT)
    session.poke()
    known = sum(s.added is jobcore.ports.Added.DUPLICATE for s in done)
    if not (session.as_json and options["wait_for"]):  # one call, one document
        _say_submitted(session, [s.job for s in done], known, group, sources)
    if options["wait_for"]:
        from ._change import wait_until_over

        return wait_until_over(session, ids, timeout=None)
    return 0


def _check_key(session: Session, key: str, specs: dict[str, jobcore.Spec]) -> list[jobcore.Spec]:
    """
    Check, before a job is written, that the key was used for exactly these jobs or for none.

    Returns:
        The specs to submit, as those of a repeated call are.
    """
    known = session.store.get(list(specs))
    specs = {
        job_id: with_known_code(spec, known[job_id].spec if job_id in known else None)
        for job_id, spec in specs.items()
    }
    same = [
        jobcore.lifecycle.spec_hash(job.spec) == jobcore.lifecycle.spec_hash(specs[i])
        for i, job in known.items()
    ]
    if known and not (all(same) and len(known) == len(specs)):
        msg = f"--key {key}: used before for another submission; choose another key"
        raise CliError(msg, CONFLICT)
    return list(specs.values())


def _say_dry_run(session: Session, jobs: list[jobcore.Job], sources: Sources) -> None:
    if session.as_json:
        specs = [
            {
                **jobcore.lifecycle.encode_spec(job.spec),
                "JobArgs": jobcore.redact.redact_args(job.spec.args),
                "tags": jobcore.redact.redact_args(job.spec.tags),
            }
            for job in jobs
        ]
        print_json({"dry_run": True, "jobs": specs, "code": sources.documents()})
        return
    sources.say()
    shown = jobs[:20]
    for job in shown:
        values = jobcore.redact.redact_args(job.spec.args).get("hyperparameters", {})
        print(f"would submit {job.spec.name}  {json.dumps(values)}")
    if len(jobs) > len(shown):
        print(f"... and {len(jobs) - len(shown)} more")
    print(f"{len(jobs)} valid; nothing was submitted (--dry-run)")


def _say_submitted(
    session: Session, jobs: list[jobcore.Job], known: int, group: str | None, sources: Sources
) -> None:
    if session.as_json:
        document = {
            "ids": [job.job_id for job in jobs],
            "group": group,
            "created": len(jobs) - known,
            "known": known,
            "code": sources.documents(),
        }
        print_json(document)
        return
    sources.say()
    if len(jobs) == 1:
        (job,) = jobs
        print(f"{job.job_id}  {job.spec.name}" + ("  (already submitted)" if known else ""))
        return
    if group is None:
        for job in jobs:
            print(f"{job.job_id}  {job.spec.name}")
        return
    print(f"submitted {len(jobs) - known} jobs in group {group}", end="")
    print(f" ({known} were submitted already)" if known else "")
    print(f"  jobcore list --group {group}    jobcore wait --group {group}")
