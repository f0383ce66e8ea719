"""`jobcore migrate`: moves the jobs of this machine to a deployment on AWS."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import click

import jobcore
from jobcore_client.data import Channels
from jobcore_client.words import plain

from ._app import common
from ._errors import CONFLICT, CliError
from ._render import print_json
from ._session import Session

_WHY = "moving to AWS"
_PAGE = 500


@click.command("migrate")
@click.option(
    "--pool",
    "pools",
    multiple=True,
    metavar="LOCAL=POOL",
    help="The name on AWS of a local pool, for waiting jobs.",
)
@click.option(
    "--dry-run", is_flag=True, help="Print the number of jobs that would be moved, and move none."
)
@common
@click.pass_obj
def migrate_command(session: Session, /, pools: Sequence[str], dry_run: bool) -> int:
    """
    Move the jobs of this machine to AWS: finished jobs are copied, waiting jobs are moved.

    Running jobs have to be over first. A move that was interrupted is completed by repeating it: ids
    stay the same, so no job is moved twice. A waiting job is held here before it is added on AWS, and
    stopped here after that, so that it cannot run in both places.
    """
    from jobcore_client.aws_code import locate_source, upload_source

    session.backend = "aws"
    session.__dict__.pop("is_aws", None)
    names = dict(_pool_pair(word) for word in pools)
    source, target = session.local_store, session.store
    now = datetime.now(UTC)
    moved = {"history": 0, "waiting": 0, "known": 0}
    jobs = list(_all(source))
    active = [j for j in jobs if j.current is not None]
    if active:
        shown = ", ".join(f"{j.job_id[:8]} {plain(j.spec.name)}" for j in active[:3])
        msg = f"{len(active)} jobs are running here ({shown}); wait for them, or stop them, first"
        raise CliError(msg, CONFLICT)
    # A job that an earlier move has stopped here continues on AWS, perhaps with its pools renamed.
    over = [job for job in jobs if job.status.is_terminal and not _has_moved(job)]
    channels = Channels(session)
    place = _placing(channels, locate_source if dry_run else upload_source)
    waiting = [
        _adapt_to_aws(session, job, names, place, now) for job in jobs if not job.status.is_terminal
    ]
    if not dry_run:
        channels.upload()
        for job in waiting:
            hold = jobcore.HoldRequested(by=session.owner_name, reason=_WHY)
            jobcore.ticks.apply_request(job.job_id, hold, store=source, now=now)
        # Messages of finished jobs are sent from here, and not again from AWS.
        finished = [replace(job, outbox=()) for job in over]
        for kind, batch in (("history", finished), ("waiting", waiting)):
            for start in range(0, len(batch), _PAGE):
                part = batch[start : start + _PAGE]
                for job, added in zip(part, target.add(part), strict=True):
                    if added is jobcore.ports.Added.CLASH:
                        msg = f"job {job.job_id} is on AWS with another spec; it was not moved"
                        raise CliError(msg, CONFLICT)
                    moved[kind if added is jobcore.ports.Added.CREATED else "known"] += 1
        for job in waiting:
            stop = jobcore.StopRequested(by=f"{session.owner_name} ({_WHY})")
            jobcore.ticks.apply_request(job.job_id, stop, store=source, now=now)
    else:
        moved = {"history": len(over), "waiting": len(waiting), "known": 0}
    if session.as_json:
        print_json({"dry_run": dry_run, **moved})
    else:
        verb = "would move" if dry_run else "moved"
        print(
            f"{verb} {moved['waiting']} waiting and {moved['history']} finished jobs "
            f"({moved['known']} were there already)"
        )
    return 0


def _has_moved(job: jobcore.Job) -> bool:
    return job.stop is not None and job.stop.by.endswith(f"({_WHY})")


def _pool_pair(word: str) -> tuple[str, str]:
    name, equals, pool = word.partition("=")
    if not equals or not name or not pool:
        msg = f"--pool: expected LOCAL=POOL, got {word!r}"
        raise CliError(msg)
    return name, pool


def _all(store: jobcore.JobStore) -> Iterator[jobcore.Job]:
    query = jobcore.ports.JobQuery(limit=1000)
    while True:
        page = store.find(query)
        yield from page.jobs
        if page.cursor is None:
            return
        query = replace(query, cursor=page.cursor)


def _placing(
    channels: Channels, place_source: Callable[[Mapping[str, Any], Session], dict[str, Any]]
) -> Callable[[Mapping[str, Any], Session], dict[str, Any]]:
    """Make a function that names the places of a job's code and channels on AWS."""
    return lambda args, session: channels.for_aws(place_source(args, session))


def _adapt_to_aws(
    session: Session,
    job: jobcore.Job,
    pools: Mapping[str, str],
    place_inputs: Callable[[Mapping[str, Any], Session], dict[str, Any]],
    now: datetime,
) -> jobcore.Job:
    """
    Adapt a waiting job to AWS: pools by their names there, its code and data in the bucket.

    The hold of a move that was interrupted is undone.

    Raises:
        CliError: SageMaker or the deployment would refuse it.
    """
    from jobcore_aws import check, resolve_pools

    state = job.state
    if isinstance(state, jobcore.lifecycle.Held) and _WHY in state.reason:
        job = jobcore.step(job, jobcore.ReleaseRequested(by="migrate"), now=now).job
    placements = tuple(
        replace(place, pool=pools.get(place.pool, place.pool)) for place in job.spec.placements
    )
    # Submission on this machine named an interpreter of it; there the image has its own, and the
    # toolkit installs requirements.txt.
    own = {name: value for name, value in job.spec.args.items() if name != "python"}
    if isinstance(code := own.get("code"), dict):
        own["code"] = {name: value for name, value in code.items() if name != "environment"}
    try:
        args = place_inputs(own, session)
    except jobcore.InvalidJob as error:
        msg = f"job {job.job_id[:8]} {plain(job.spec.name)}: {error}"
        raise CliError(msg) from None
    spec = replace(job.spec, placements=placements, args=args)
    spec = resolve_pools(spec, session.aws.sagemaker.pool_names)
    if problems := check(spec, session.aws):
        msg = f"job {job.job_id[:8]} {plain(job.spec.name)}: {'; '.join(map(str, problems))}"
        raise CliError(msg)
    return replace(job, spec=spec)
