"""`jobcore submit` and `jobcore sweep`."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

import jobcore
from jobcore_aws import JOB_TABLES

from ._app import common
from ._axes import combinations, read_assignment
from ._code import Sources
from ._errors import CONFLICT, CliError
from ._jobfiles import choose_python, localise, read_document
from ._notes import notes_on
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
        document = _changed(_placed(session, sources, file, options), options)
        if "sweep" in document:
            msg = f"{file}: sweep: the file describes a sweep; use jobcore sweep {file}"
            raise CliError(msg)
        values = dict(read_assignment(word) for word in params)
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
    sources = Sources(session)
    document = _changed(_placed(session, sources, file, options), options)
    words, rows = options["params"], options["points"]
    table = document.pop("sweep", {})
    try:
        points = combinations(table, words, rows, options["draws"], options["seed"])
    except jobcore.InvalidJob as error:
        msg = str(error) if words or rows else f"{file}: {error}"
        raise CliError(msg) from None
    label = str(document.get("name") or Path(str(document.get("script", "sweep"))).stem)
    key = options["key"]
    suffix = jobcore.job_id_from_token(session.owner_name, key) if key else _random_id()
    group = group or f"{label}-{suffix[:6]}"
    digits = len(str(len(points)))
    specs = [
        _spec(
            session,
            file,
            _with_hyperparameters({**document, "name": f"{label}-{number:0{digits}d}"}, values),
            group,
        )
        for number, values in enumerate(points, start=1)
    ]
    ids = _ids(session, key, len(specs))
    return _submit(session, specs, ids, options, sources, group=group)


# --- from arguments to specs ------------------------------------------------------------


def _placed(session: Session, sources: Sources, file: Path, options: dict[str, Any]) -> _Document:
    """
    Read a job file, and name the place of its code; nothing is uploaded yet.

    On this machine the document names its interpreter; options["origins"] says where it comes from.
    """
    document = sources.place(localise(read_document(file), file))
    if session.is_aws:
        return document
    document, origin = choose_python(document, file, os.environ)
    if origin:
        options.setdefault("origins", {})[document["python"]] = origin
    return document


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
        if problems := session.check(spec):
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
        _say_dry_run(session, jobs, sources, options.get("origins", {}))
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
    is_heard = session.poke()
    known = sum(s.added is jobcore.ports.Added.DUPLICATE for s in done)
    if not (session.as_json and options["wait_for"]):  # one call, one document
        jobs = [s.job for s in done]
        about = {
            "pythons": options.get("origins", {}),
            "notes": [*sources.notes, *notes_on(session, jobs, now=now, is_heard=is_heard)],
        }
        _say_submitted(session, jobs, known, group, sources, about)
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


def _say_dry_run(
    session: Session, jobs: list[jobcore.Job], sources: Sources, pythons: Mapping[str, str]
) -> None:
    if session.as_json:
        specs = [
            {
                **jobcore.lifecycle.encode_spec(job.spec),
                "JobArgs": jobcore.redact.redact_args(job.spec.args),
                "tags": jobcore.redact.redact_args(job.spec.tags),
            }
            for job in jobs
        ]
        notes = [*sources.packages.would, *sources.notes]
        lists = {"pythons": list(pythons), "notes": notes, "code": sources.documents()}
        print_json({"dry_run": True, "jobs": specs, **lists})
        return
    sources.say()
    shown = jobs[:20]
    for job in shown:
        values = jobcore.redact.redact_args(job.spec.args).get("hyperparameters", {})
        print(f"would submit {job.spec.name}  {json.dumps(values)}")
    if len(jobs) > len(shown):
        print(f"... and {len(jobs) - len(shown)} more")
    _say_pythons(pythons)
    for note in [*sources.packages.would, *sources.notes]:
        print(f"  {note}")
    print(f"{len(jobs)} valid; nothing was submitted (--dry-run)")


def _say_pythons(pythons: Mapping[str, str]) -> None:
    for path, origin in pythons.items():
        print(f"  runs under {path} ({origin})")


def _say_submitted(
    session: Session,
    jobs: list[jobcore.Job],
    known: int,
    group: str | None,
    sources: Sources,
    about: Mapping[str, Any],
) -> None:
    """Print the jobs, the interpreters (about["pythons"], with their origins) and about["notes"]."""
    if session.as_json:
        ids = [job.job_id for job in jobs]
        lists = {name: list(values) for name, values in about.items()}
        document = {"ids": ids, "group": group, "created": len(jobs) - known, "known": known}
        lists["requirements"] = sources.packages.documents()
        print_json({**document, **lists, "code": sources.documents()})
        return
    sources.say()
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
    _say_pythons(about["pythons"])
    for note in about["notes"]:
        print(f"  {note}")
