"""`jobcore logs`: the output of a script, byte for byte."""

from __future__ import annotations

import sys

import click

import jobcore
from jobcore_client.logs import count_hosts, last_attempt, log_path, read_log

from ._app import common, complete_job
from ._render import owner_note, print_json
from ._session import Session


@click.command("logs")
@click.argument("job", shell_complete=complete_job)
@click.option("-f", "--follow", is_flag=True, help="Continue until the job is over.")
@click.option("--attempt", type=click.IntRange(1), help="Which attempt; the last one if not given.")
@click.option("--tail", type=click.IntRange(0), metavar="LINES", help="Only the last lines.")
@click.option(
    "--host", type=click.IntRange(1), help="The number of the host, if its job has several."
)
@common
@click.pass_obj
def logs_command(
    session: Session,
    /,
    job: str,
    follow: bool,
    attempt: int | None,
    tail: int | None,
    host: int | None,
) -> int:
    """Print a job's standard output and error, in one stream."""
    found = session.find_job(job)
    if note := owner_note(found, session.owner_name):
        print(f"jobcore: {found.job_id}{note}", file=sys.stderr)
    number = attempt or last_attempt(found)
    if session.as_json:
        print_json(_document(session, found, number, host))
        return 0
    out = sys.stdout.buffer
    chunks = read_log(session, found, tail=tail, follow=follow, attempt=attempt, host=host)
    for place, chunk in enumerate(chunks):
        if not place and host is None and not session.is_aws:
            _say_host(found, number)
        out.write(chunk)
        if follow:
            out.flush()
    out.flush()
    return 0


def _say_host(job: jobcore.Job, number: int) -> None:
    if (hosts := count_hosts(job, number)) > 1:
        print(f"jobcore: host 1 of {hosts}; --host shows another", file=sys.stderr)


def _document(
    session: Session, job: jobcore.Job, number: int, host: int | None
) -> dict[str, object]:
    name = jobcore.lifecycle.training_name(job.job_id, number)
    place, text = name, None
    if session.is_aws:
        from jobcore_client.aws import log_events

        text = "\n".join(line for _, line in log_events(name, host=host))
    else:
        path = log_path(session, job, number, host)
        place = str(path)
        if path.exists():
            text = path.read_bytes().decode("utf-8", "replace")
    document = {"id": job.job_id, "owner": job.spec.owner, "attempt": number}
    return {**document, "path": place, "text": text}
