"""The commands that change jobs or wait for them: stop, hold, release, retry, wait."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

import jobcore
from jobcore_client import Job, JobList
from jobcore_client.changes import Answers, hold_jobs, release_jobs, retry_jobs, stop_jobs
from jobcore_client.documents import job_document, reason
from jobcore_client.words import counts_line, plain

from ._app import common_but_owner, complete_job
from ._errors import CONFLICT, FAILED, CliError
from ._render import owner_note, print_json
from ._session import Session

_UNFINISHED = frozenset(status for status in jobcore.Status if not status.is_terminal)
_TO_RETRY = frozenset({jobcore.Status.FAILED, jobcore.Status.STOPPED})
_LISTED_MAX = 10  # jobs that a wait lists; of more it prints the counts only


def _selection(command: Any) -> Any:
    command = click.option(
        "--owner", metavar="NAME", help="The owner of the group or the names; you if not given."
    )(command)
    command = click.option("--group", help="All your jobs of a group.")(command)
    return click.argument("jobs", nargs=-1, metavar="[JOB...]", shell_complete=complete_job)(
        command
    )


@click.command("stop")
@_selection
@click.option("-y", "--yes", is_flag=True, help="Do not ask before stopping a whole group.")
@common_but_owner
@click.pass_obj
def stop_command(
    session: Session, /, jobs: Sequence[str], group: str | None, owner: str | None, yes: bool
) -> int:
    """
    Stop jobs. A training gets SIGTERM, and SIGKILL two minutes later.

    A stop cannot be undone; retry submits the job as a new one.
    """
    found = session.find_jobs(jobs, group, owner, _UNFINISHED)
    unfinished = [job for job in found if not job.status.is_terminal]
    if group is not None and not yes and unfinished:
        if session.as_json or not sys.stdin.isatty():
            msg = f"--group {group}: {_count(unfinished)} would be stopped; say --yes"
            raise CliError(msg)
        click.confirm(f"Stop {_count(unfinished)} in group {group}?", abort=True, err=True)
    return _print_changes(session, stop_jobs(session, unfinished if group else found), "stopping")


def _count(jobs: Sequence[jobcore.Job]) -> str:
    owners = sorted({job.spec.owner for job in jobs})
    return f"{len(jobs)} job{'s' if len(jobs) != 1 else ''} of {plain(', '.join(owners))}"


@click.command("hold")
@_selection
@click.option("--reason", default="", help="Why; shown with the job.")
@common_but_owner
@click.pass_obj
def hold_command(
    session: Session, /, jobs: Sequence[str], group: str | None, owner: str | None, reason: str
) -> int:
    """Hold jobs. A running training goes on; there is no further attempt until a release."""
    found = _unfinished(session.find_jobs(jobs, group, owner, _UNFINISHED), group)
    return _print_changes(session, hold_jobs(session, found, reason), "held")


@click.command("release")
@_selection
@common_but_owner
@click.pass_obj
def release_command(
    session: Session, /, jobs: Sequence[str], group: str | None, owner: str | None
) -> int:
    """Release held jobs, or end a back-off."""
    found = _unfinished(session.find_jobs(jobs, group, owner, _UNFINISHED), group)
    return _print_changes(session, release_jobs(session, found), "released")


@click.command("retry")
@_selection
@common_but_owner
@click.pass_obj
def retry_command(
    session: Session, /, jobs: Sequence[str], group: str | None, owner: str | None
) -> int:
    """
    Try again. A finished job is submitted as a new job; a held one is released.

    Of a group, the jobs that failed or were stopped are tried again.
    """
    found = session.find_jobs(jobs, group, owner, _TO_RETRY)
    if group is not None:
        found = [job for job in found if job.status in _TO_RETRY]
    done = retry_jobs(session, found)
    if session.as_json:
        submitted = [
            {"id": new.job_id, "retry_of": old.job_id, "owner": old.spec.owner}
            for old, new in done.again
        ]
        print_json({"submitted": submitted, "jobs": _documents(done.steps)})
    else:
        for old, new in done.again:
            note = owner_note(old, session.owner_name)
            print(f"{new.job_id}  {plain(old.spec.name)}  (again, after {old.job_id[:8]}){note}")
        _print_answers(session, done.steps, "released")
        if not done.again and not done.steps:
            print("nothing to do")
    return _code(done)


def _unfinished(jobs: list[jobcore.Job], group: str | None) -> list[jobcore.Job]:
    """Leave out the finished jobs of a group; a finished job that was named is kept, to be reported."""
    return jobs if group is None else [job for job in jobs if not job.status.is_terminal]


def _print_changes(session: Session, answers: Answers, done: str) -> int:
    """Print the results of a change; exit code 4 if a job refused it."""
    if session.as_json:
        print_json({"jobs": _documents(answers.steps)})
    else:
        _print_answers(session, answers.steps, done)
        if not answers.steps and not answers.failed:
            print("nothing to do")
    return _code(answers)


def _documents(answers: Sequence[jobcore.lifecycle.Step]) -> list[dict[str, Any]]:
    return [
        {
            "id": step.job.job_id,
            "owner": step.job.spec.owner,
            "status": str(step.job.status),
            "changed": step.changed,
            "refused": step.refused,
            "ignored": step.ignored,
        }
        for step in answers
    ]


def _print_answers(session: Session, answers: Sequence[jobcore.lifecycle.Step], done: str) -> None:
    for step in answers:
        name = f"{step.job.job_id[:8]}  {plain(step.job.spec.name)}"
        note = owner_note(step.job, session.owner_name)
        print(f"{name}  {step.refused or step.ignored or done}  ({step.job.status}){note}")


def _code(answers: Answers) -> int:
    """
    Return the exit code of a change.

    Raises:
        CorruptRecord: a job could not be read.
        Unavailable: a job could not be read or written.
    """
    for job_id, error in answers.failed.items():
        if isinstance(error, jobcore.CorruptRecord):
            raise error
        msg = f"job {job_id[:8]} ({len(answers.failed)} in all): {error}; repeat the command"
        raise jobcore.Unavailable(msg)
    return CONFLICT if any(step.refused for step in answers.steps) else 0


# --- wait -------------------------------------------------------------------------------


@click.command("wait")
@_selection
@click.option(
    "--timeout", metavar="TIME", help='Give up after this long, such as "10m" (exit code 6).'
)
@common_but_owner
@click.pass_obj
def wait_command(
    session: Session,
    /,
    jobs: Sequence[str],
    group: str | None,
    owner: str | None,
    timeout: str | None,
) -> int:
    """Wait until jobs are over. Exit code 0 if all completed, 1 if not."""
    seconds = None
    if timeout is not None:
        try:
            seconds = jobcore.jobfile.parse_duration(int(timeout) if timeout.isdigit() else timeout)
        except ValueError as error:
            msg = f"--timeout: {error}"
            raise CliError(msg) from None
    limit = seconds.total_seconds() if seconds is not None else None
    if group is not None and not jobs:  # counted, and not read
        whose = session.owner_name if owner is None else owner
        session.check_group(group, whose)
        query = jobcore.ports.JobQuery(group=group, owner=whose, limit=1000)
        return wait_until_over(session, JobList(session, query=query, group=(group, whose)), limit)
    found = [Job(session, job) for job in session.find_jobs(jobs, group, owner)]
    return wait_until_over(session, JobList(session, found), limit)


def wait_until_over(session: Session, jobs: JobList, timeout: float | None) -> int:
    """
    Wait for jobs, and print their ends.

    Raises:
        JobsHeld: all that are left are held.
        WaitTimeout: some are not over after *timeout* seconds.
    """
    counts = jobs.wait_counts(timeout)
    if session.as_json or sum(counts.values()) <= _LISTED_MAX:
        records = [job.record for job in jobs.refresh()]
        if session.as_json:
            print_json({"jobs": [job_document(job) for job in records]})
            return _code_of(counts)
        for job in records:
            note = owner_note(job, session.owner_name)
            line = f"{job.job_id[:8]}  {plain(job.spec.name)}  {job.status}{note}  {plain(reason(job))}"
            print(line[:200].rstrip())
    print(counts_line(counts))
    return _code_of(counts)


def _code_of(counts: Mapping[jobcore.Status, int]) -> int:
    bad = sum(n for status, n in counts.items() if status is not jobcore.Status.COMPLETED)
    return FAILED if bad else 0
