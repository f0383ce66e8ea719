"""`jobcore run` and `jobcore tick`: the manager."""

from __future__ import annotations

import sys
from typing import Any

import click

import jobcore
from jobcore_client.words import counts_line

from ._app import common
from ._errors import CONFLICT, FAILED, INTERRUPTED, CliError
from ._manager import Manager, ManagerLock
from ._render import print_json
from ._session import Session


def _logging(command: Any) -> Any:
    command = click.option("--log-json", is_flag=True, help="Log in JSON.")(command)
    return click.option("-q", "--quiet", is_flag=True, help="Log problems only.")(command)


@click.command("run")
@click.option(
    "--until-done",
    is_flag=True,
    help="End when all jobs are over or held (exit code 1 if one failed).",
)
@click.option(
    "--force",
    is_flag=True,
    help="Run beside another manager of this home; safe, but of little use.",
)
@_logging
@common
@click.pass_obj
def run_command(
    session: Session, /, until_done: bool, force: bool, quiet: bool, log_json: bool
) -> int:
    """
    Run the manager: launch jobs, monitor them, retry, and notify their owners.

    It may be stopped (Ctrl-C) or killed at any time: trainings go on by themselves, and the next
    manager takes over where this one ended.
    """
    with ManagerLock(session) as lock:
        if not lock.held and not force:
            msg = (
                f"another manager (process {lock.holder}) runs for {session.home_path} and does "
                "the work; to run beside it, use --force"
            )
            raise CliError(msg, CONFLICT)
        live = sys.stderr.isatty() and not (session.as_json or log_json or quiet)
        with Manager(session, live=live, quiet=quiet, log_json=log_json) as manager:
            manager.run(until_done=until_done)
            counts = manager.ended
            interrupted = until_done and manager.interrupted
            held = session.store.counts().get(jobcore.Status.HELD, 0) if until_done else 0
    if session.as_json:
        print_json({"ended": {str(status): count for status, count in counts.items()}})
    elif counts and not quiet:
        print(f"ended: {counts_line(counts)}")
    if held and not session.as_json:
        print(f"{held} jobs are held until they are released: jobcore list --status Held")
    if interrupted:
        return INTERRUPTED
    return FAILED if until_done and (held or counts.get(jobcore.Status.FAILED)) else 0


@click.command("tick")
@click.argument(
    "which", type=click.Choice(["launch", "monitor", "notify", "reap", "all"]), default="all"
)
@_logging
@common
@click.pass_obj
def tick_command(session: Session, /, which: str, quiet: bool, log_json: bool) -> int:
    """Do one pass, for a cron job instead of a manager. Trainings go on between passes."""
    with Manager(session, live=False, quiet=quiet, log_json=log_json) as manager:
        reports = manager.passes(["monitor", "launch", "notify"] if which == "all" else [which])
    if session.as_json:
        print_json(reports)
    else:
        for name, report in reports.items():
            done = ", ".join(f"{key} {value}" for key, value in report.items() if value)
            print(f"{name}: {done or 'nothing to do'}")
    return 0
