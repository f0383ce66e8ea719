"""`jobcore prune`: removes snapshots of code, environments and fetched data that no job needs."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import click

import jobcore
from jobcore_client.data_fetch import FetchedData, data_ids
from jobcore_client.packages import environments
from jobcore_client.snapshots import code_store
from jobcore_code import Pruned, environment_id, snapshot_id

from ._app import common
from ._errors import CONFLICT, CliError
from ._render import print_json
from ._session import Session

_DAYS = 30
_UNFINISHED = frozenset(status for status in jobcore.Status if not status.is_terminal)


@click.command("prune")
@click.option(
    "--days",
    type=click.IntRange(min=0, max=36_500),
    default=_DAYS,
    show_default=True,
    help="Keep what was used by a submission in this time.",
)
@click.option("--dry-run", is_flag=True, help="Print what would be removed, and remove nothing.")
@common
@click.pass_obj
def prune_command(session: Session, /, days: int, dry_run: bool) -> int:
    """
    Remove the snapshots of code, the packages of requirements.txt and the fetched data that no job needs.

    Jobs that are not over need theirs. A job that is over can be tried again with jobcore retry only
    as long as its snapshot and its data exist. Packages are installed again when they are needed.
    """
    if session.is_aws:
        msg = "prune: removes snapshots on this machine; on AWS the code of jobs is in the bucket"
        raise CliError(msg)
    store = code_store(session)
    used_before = time.time() - days * 86_400
    with store.alone():
        args = _needing(session)
        needed = {snapshot_id(one) or "" for one in args}
        pruned = store.prune(needed, used_before=used_before, dry_run=dry_run)
        needed = {environment_id(one) or "" for one in args}
        packages = environments(session).prune(needed, used_before=used_before, dry_run=dry_run)
        needed = set().union(*map(data_ids, args))
        data = FetchedData(session.home_path).prune(
            needed, used_before=used_before, dry_run=dry_run
        )
    removed = {
        "snapshots": pruned,
        "environments of requirements.txt": packages,
        "folders of data": data,
    }
    if session.as_json:
        parts = {"environments": packages._asdict(), "data": data._asdict()}
        print_json({"dry_run": dry_run, **pruned._asdict(), **parts})
        return 0
    verb = "would remove" if dry_run else "removed"
    for what, one in removed.items():
        if one is pruned or one.removed or one.kept or one.bytes:
            print(f"{verb} {_words(what, one)} or were used in the last {days} days")
    return 0


def _words(what: str, pruned: Pruned) -> str:
    total = pruned.removed + pruned.kept
    return f"{pruned.removed} of {total} {what} ({pruned.bytes:,} bytes); {pruned.kept} are needed by jobs"


def _needing(session: Session) -> list[Mapping[str, Any]]:
    """
    List the arguments of the jobs that are not over.

    Raises:
        CliError: a job cannot be read, so that the snapshot it needs is not known.
    """
    unreadable: list[str] = []
    session.on_trouble = lambda job_id, what: unreadable.append(f"{job_id}: {what}")
    query = jobcore.ports.JobQuery(statuses=_UNFINISHED, limit=1000)
    args = [job.spec.args for job in session.all_jobs(query)]
    if unreadable:
        msg = f"{unreadable[0]}; nothing was removed, as that job may need a snapshot (jobcore doctor)"
        raise CliError(msg, CONFLICT)
    return args
