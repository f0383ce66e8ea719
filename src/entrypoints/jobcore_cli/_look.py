"""The commands that show jobs and pools: list, show, why, pools."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import click

import jobcore
from jobcore_client.documents import headline, job_document
from jobcore_client.places import places
from jobcore_client.reasons import explain_jobs, help_text
from jobcore_client.words import ago, counts_line, plain

from ._app import common, complete_job
from ._errors import CliError
from ._render import clip, jobs_table, moment, owner_note, print_json, table, wants_colour, width
from ._session import Session

_STATUSES = {str(status).lower(): status for status in jobcore.Status}
_UNFINISHED = frozenset(status for status in jobcore.Status if not status.is_terminal)
_FINISHED = frozenset(jobcore.Status) - _UNFINISHED


# --- list -------------------------------------------------------------------------------


@click.command("list")
@click.option("--status", "statuses", multiple=True, help="Only this status; may be repeated.")
@click.option("--group", help="Only jobs of this group.")
@click.option("--mine", is_flag=True, help="Only your own jobs.")
@click.option("-n", "--name", help="Only jobs of this name.")
@click.option("-a", "--all", "everything", is_flag=True, help="Finished jobs as well, of any age.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@click.option("-w", "--watch", is_flag=True, help="Repeat every two seconds.")
@common
@click.pass_obj
def list_command(session: Session, /, watch: bool, **options: Any) -> int:
    """
    List jobs, newest first.

    Without -a or --status: the unfinished jobs, and those that ended in the last 24 hours.
    """
    query = _query(session, options)
    while True:
        jobs, counts = _listed(session, query, options)
        if session.as_json:
            print_json(
                {
                    "jobs": [job_document(job) for job in jobs],
                    "counts": {str(status): n for status, n in counts.items()},
                }
            )
        else:
            lines = jobs_table(jobs, now=datetime.now(UTC), colour=wants_colour(session.no_color))
            if watch:
                print("\x1b[H\x1b[2J", end="")
            print("\n".join(lines if jobs else []), end="\n" if jobs else "")
            print(counts_line(counts) + _hint(jobs, counts, options))
        if not watch:
            return 0
        time.sleep(2)


def _query(session: Session, options: dict[str, Any]) -> jobcore.ports.JobQuery:
    wanted = set()
    for word in options["statuses"]:
        if word.lower() not in _STATUSES:
            msg = f"--status: {word!r} is not one of {', '.join(jobcore.Status)}"
            raise CliError(msg)
        wanted.add(_STATUSES[word.lower()])
    owner = session.owner_name if options["mine"] else None
    return jobcore.ports.JobQuery(
        statuses=frozenset(wanted),
        owner=owner,
        group=options["group"],
        name=options["name"],
        limit=options["limit"],
    )


def _listed(
    session: Session, query: jobcore.ports.JobQuery, options: dict[str, Any]
) -> tuple[Sequence[jobcore.Job], dict[jobcore.Status, int]]:
    if options["everything"] or query.statuses or query.group or query.name:
        jobs: Sequence[jobcore.Job] = session.store.find(query).jobs
    else:  # unfinished jobs of any age come first, then those that ended lately
        unfinished = session.store.find(replace(query, statuses=_UNFINISHED)).jobs
        ended = session.store.find(replace(query, statuses=_FINISHED)).jobs
        recent = datetime.now(UTC) - timedelta(days=1)
        ended = tuple(job for job in ended if job.state.since >= recent)
        jobs = sorted(
            [*unfinished, *ended[: query.limit - len(unfinished)]],
            key=lambda job: job.submitted_at,
            reverse=True,
        )
    return jobs, dict(session.store.counts(group=query.group, owner=query.owner))


def _hint(
    jobs: Sequence[jobcore.Job], counts: dict[jobcore.Status, int], options: dict[str, Any]
) -> str:
    left = sum(counts.values()) - len(jobs)
    if left <= 0 or options["statuses"] or options["name"]:
        return ""
    return f"  ({left} not shown: --all, --limit)"


# --- show -------------------------------------------------------------------------------


@click.command("show")
@click.argument("jobs", nargs=-1, required=True, metavar="JOB...", shell_complete=complete_job)
@common
@click.pass_obj
def show_command(session: Session, /, jobs: Sequence[str]) -> int:
    """Show a job in full: status, attempts, timeline, retries used."""
    found = [session.find_job(word) for word in jobs]
    if session.as_json:
        documents = [{**job_document(job), "places": places(session, job)} for job in found]
        print_json(documents[0] if len(documents) == 1 else documents)
        return 0
    for number, job in enumerate(found):
        if number:
            print()
        for line in _shown(session, job):
            print(clip(plain(jobcore.redact.redact(line)), width()))
        print("\nPlaces")
        for name, path in places(session, job).items():  # whole, so that they can be copied
            print(plain(jobcore.redact.redact(f"  {name:<11} {path}")))
    return 0


def _shown(session: Session, job: jobcore.Job) -> list[str]:
    now = datetime.now(UTC)
    from jobcore_client.snapshots import describe_code, describe_packages

    spec = job.spec
    why = None if job.status is jobcore.Status.NEW else explain_jobs(session, [job])[0]
    lines = [f"{spec.name}  {job.status}", ""]
    facts = [
        ("id", job.job_id),
        ("owner", spec.owner + (f"  share {spec.share}" if spec.share != spec.owner else "")),
        ("group", spec.group),
        ("pools", ", ".join(f"{p.pool}" + f" x{p.count}" * (p.count > 1) for p in spec.placements)),
        ("python", spec.args.get("python")),
        ("packages", describe_packages(session, spec.args)),
        ("priority", str(spec.priority) if spec.priority else None),
        ("code", describe_code(spec.args)),
        ("from", _folder_of_code(spec.args)),
        ("submitted", f"{moment(job.submitted_at)}  ({ago(now - job.submitted_at)} ago)"),
        ("reason", why.sentence if why is not None else f"see jobcore why {job.job_id[:8]}"),
        (
            "tags",
            ", ".join(f"{k}={v}" for k, v in jobcore.redact.redact_args(spec.tags).items()) or None,
        ),
    ]
    lines += [f"  {name:<11} {value}" for name, value in facts if value]
    parameters = jobcore.redact.redact_args(spec.args).get("hyperparameters")
    if isinstance(parameters, dict) and parameters:
        lines += ["", "Hyperparameters"]
        lines += [f"  {name} = {value}" for name, value in parameters.items()]
    lines += _channels(spec.args)
    if job.metrics:
        from ._results import metric_lines

        lines += ["", "Metrics", *("  " + line for line in metric_lines(job))]
    lines += ["", "Attempts", *("  " + line for line in _attempts(job, now))]
    lines += ["", "Retries used", *("  " + line for line in _budgets(job))]
    lines += ["", "Timeline", *("  " + line for line in _timeline(job))]
    return lines


def _channels(args: Mapping[str, Any]) -> list[str]:
    """Write where the data of each channel comes from, and its place if that is another one."""
    channels, origins = args.get("channels"), args.get("data")
    if not isinstance(channels, Mapping) or not channels:
        return []
    lines = ["", "Channels"]
    for name, where in channels.items():
        origin = origins.get(name, {}) if isinstance(origins, Mapping) else {}
        shown = origin.get("uri") or origin.get("folder")
        lines.append(f"  {name:<11} {shown} (in {where})" if shown else f"  {name:<11} {where}")
    return lines


def _folder_of_code(args: Mapping[str, Any]) -> str | None:
    """Return the folder that a job's snapshot was taken of; without a snapshot, the folder it runs in."""
    code = args.get("code")
    folder = code.get("folder") if isinstance(code, Mapping) else args.get("source_dir")
    return folder if isinstance(folder, str) else None


def _attempts(job: jobcore.Job, now: datetime) -> list[str]:
    attempts = (*job.attempts, *([job.current] if job.current else []))
    if not attempts:
        return ["none yet"]
    rows = []
    for a in attempts:
        ran = ago((a.ended_at or now) - a.started_at) if a.started_at else "-"
        failure = f"{a.failure.failure_class}: {headline(a.failure)}" if a.failure else ""
        rule = f" [{a.failure.rule}]" if a.failure else ""
        outcome = str(a.outcome or job.status)
        rows.append([str(a.number), a.placement.pool, ran, outcome, failure + rule])
    return table(["TRY", "POOL", "RAN", "OUTCOME", "WHY [RULE]"], rows, shrink=(1,))


def _budgets(job: jobcore.Job) -> list[str]:
    classes = sorted({*job.charges, *job.spec.retry.budgets})
    lines = []
    for kind in classes:
        total = jobcore.lifecycle.budget(job.spec.retry, kind)
        of = "no limit" if total is None else f"of {total}"
        lines.append(f"{kind}: {job.charges.get(kind, 0)} {of}")
    return lines or ["none"]


def _timeline(job: jobcore.Job) -> list[str]:
    return [
        f"{moment(mark.at)}  {mark.status:<10}  {mark.attempt}  {mark.note}".rstrip()
        for mark in job.timeline
    ]


# --- why --------------------------------------------------------------------------------


@click.command("why")
@click.argument("jobs", nargs=-1, required=True, metavar="JOB...", shell_complete=complete_job)
@common
@click.pass_obj
def why_command(session: Session, /, jobs: Sequence[str]) -> int:
    """Explain why a job is not running (or its status), and what would help."""
    found = [session.find_job(word) for word in jobs]
    answers = list(zip(found, explain_jobs(session, found), strict=True))
    if session.as_json:
        documents = [
            {
                "id": job.job_id,
                "owner": job.spec.owner,
                "status": str(job.status),
                "code": str(why.code),
                "facts": jobcore.redact.redact_args(why.facts),
                "sentence": jobcore.redact.redact(why.sentence),
                "help": help_text(session, job, why),
                "until": why.until,
            }
            for job, why in answers
        ]
        print_json(documents[0] if len(documents) == 1 else documents)
        return 0
    for job, why in answers:
        note = owner_note(job, session.owner_name)
        lines = [f"{job.job_id[:8]}  {job.spec.name}  {job.status}  ({why.code}){note}"]
        lines.append(f"  {jobcore.redact.redact(why.sentence)}")
        if why.until is not None:
            lines.append(f"  until {moment(why.until)}")
        if helps := help_text(session, job, why):
            lines.append(f"  what would help: {helps}")
        for line in lines:
            for part in _wrapped(plain(line)):
                print(part)
    return 0


def _wrapped(line: str) -> list[str]:
    import textwrap

    return textwrap.wrap(line, width(), subsequent_indent="    ", drop_whitespace=True) or [""]


# --- pools ------------------------------------------------------------------------------


@click.group("pools", invoke_without_command=True)
@common
@click.pass_context
def pools_command(ctx: click.Context) -> int | None:
    """Show the pools: slots, slots in use, and pools that are closed for now."""
    if ctx.invoked_subcommand is not None:
        return None
    session: Session = ctx.obj
    now = datetime.now(UTC)
    capacity = session.trainer.capacity()
    gpus = _gpus(session)
    learned = session.store.pools()
    used: dict[str, int] = {}
    for usage in session.store.usage():
        used[usage.pool] = used.get(usage.pool, 0) + usage.slots
    rows = []
    for name in sorted({*capacity, *used}):
        state = learned.get(name)
        closed = state.closed_until if state is not None else None
        note = (
            f"closed for {ago(closed - now)}: {state.refusal}"
            if state and closed and closed > now
            else ""
        )
        slots = str(capacity.get(name) if capacity.get(name) is not None else "?")
        rows.append(
            [
                name,
                slots + (f"x{gpus[name]}" if gpus.get(name, 0) > 1 else ""),
                str(used.get(name, 0)),
                note,
            ]
        )
    names = {
        name: list(pools)
        for name, pools in (session.aws.sagemaker.pool_names if session.is_aws else {}).items()
    }
    if session.as_json:
        print_json(
            {
                "pools": [
                    {
                        "pool": name,
                        "slots": capacity.get(name),
                        **({"gpus": gpus[name]} if name in gpus else {}),
                        "used": used.get(name, 0),
                        "note": note,
                    }
                    for name, _, _, note in rows
                ],
                "names": names,
            }
        )
        return 0
    print("\n".join(table(["POOL", "SLOTS", "USED", "NOTE"], rows, last_fills=True)))
    for name, pools in names.items():
        print(f"{name}: {', '.join(pools)}")
    return 0


def _gpus(session: Session) -> dict[str, int]:
    """Read how many GPUs a slot of each pool of this machine has."""
    from jobcore_local import read_gpus

    return {} if session.is_aws else read_gpus(session.home_path)


@pools_command.command("set")
@click.argument("sizes", nargs=-1, required=True, metavar="POOL=SLOTS[xGPUS]...")
@common
@click.pass_obj
def pools_set_command(session: Session, /, sizes: Sequence[str]) -> int:
    """
    Set the size of pools; running trainings go on.

    POOL=SLOTSxGPUS sets how many GPUs each slot has, too.
    """
    from jobcore_local import read_pools, write_pools

    if session.is_aws:
        msg = "pools set: the pools of a deployment are in its settings (JOBCORE_CONFIG: pools)"
        raise CliError(msg)
    _ = session.local_store  # makes the home
    pools, gpus = read_pools(session.home_path), _gpus(session)
    for word in sizes:
        name, _, size = word.partition("=")
        if not re.fullmatch("[0-9]{1,9}(x[0-9]{1,9})?", size):
            msg = f"{word!r}: expected POOL=SLOTS, such as cpu=4, or POOL=SLOTSxGPUS, such as gpu-pair=2x2"
            raise CliError(msg)
        slots, _, of_a_slot = size.partition("x")
        pools[name] = int(slots)
        if of_a_slot:
            gpus[name] = int(of_a_slot)
    write_pools(session.home_path, pools, gpus)
    gpus = _gpus(session)
    session.poke()
    if session.as_json:
        print_json({"pools": pools, "gpus": gpus})
    else:
        of = {name: f" of {number} GPUs" if number > 1 else "" for name, number in gpus.items()}
        print(", ".join(f"{name}: {slots} slots{of[name]}" for name, slots in pools.items()))
    return 0
