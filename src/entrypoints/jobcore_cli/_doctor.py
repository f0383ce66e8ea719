"""`jobcore doctor`: checks of everything that a manager needs."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime

import click

import jobcore
from jobcore_client.packages import environments
from jobcore_client.snapshots import code_store
from jobcore_client.words import plain

from ._app import common
from ._errors import FAILED, CliError, os_error_words
from ._render import print_json
from ._session import Session

_FREE_BYTES_MIN = 200 << 20
_END_SECONDS_MAX = 2.0  # of the training that the check starts


@click.command("doctor")
@click.option("--deep", is_flag=True, help="Read every job and check the invariants of its record.")
@common
@click.pass_obj
def doctor_command(session: Session, /, deep: bool) -> int:
    """Check the set-up. Exit code 1 if a check fails."""
    checks: list[tuple[str, Callable[[], str]]] = [
        ("python", lambda: sys.version.split()[0]),
        ("home", lambda: _home(session)),
        ("free space", lambda: _space(session)),
        ("store", lambda: _store(session)),
        ("settings", lambda: _settings(session)),
        ("pools", lambda: _pools(session)),
        ("launching", lambda: _launch(session)),
        ("trainings", lambda: _trainings(session)),
        ("manager", lambda: _manager(session)),
    ]
    if session.is_aws:
        checks = [
            ("python", lambda: sys.version.split()[0]),
            ("deployment", lambda: _deployment(session)),
            ("store", lambda: f"{sum(session.store.counts().values())} jobs"),
            ("pools", lambda: _pools(session)),
        ]
    if deep:
        checks.append(("jobs", lambda: _jobs(session)))
        if not session.is_aws:
            checks.append(("code", lambda: _code(session)))
            checks.append(("packages", lambda: _packages(session)))
    results = []
    for name, check in checks:
        try:
            results.append((name, True, check()))
        except OSError as error:
            results.append((name, False, os_error_words(error)))
        except Exception as error:
            results.append((name, False, str(error)))
    if session.as_json:
        print_json({"checks": [{"check": n, "ok": ok, "said": said} for n, ok, said in results]})
    else:
        for name, ok, said in results:
            print(f"{'ok ' if ok else 'BAD'}  {name:<10}  {plain(said)}")
    return 0 if all(ok for _, ok, _ in results) else FAILED


_SHOWN_MAX = 20


def _jobs(session: Session) -> str:
    """Read all jobs and check the invariants of each, and the counts; nothing is written."""
    found: list[jobcore.lifecycle.Violation] = []
    counted: Counter[jobcore.Status] = Counter()
    before = session.store.counts()
    cursor = None
    while True:
        page = session.store.find(jobcore.ports.JobQuery(limit=1000, cursor=cursor))
        for job in page.jobs:
            counted[job.status] += 1
            found += jobcore.lifecycle.violations(job)
        cursor = page.cursor
        if cursor is None:
            break
    after = session.store.counts()
    said = [f"{one.code} {one.job_id}: {one.said}" for one in found[:_SHOWN_MAX]]
    if len(found) > _SHOWN_MAX:
        said.append(f"and {len(found) - _SHOWN_MAX} more")
    said += [
        f"S16: {after.get(status, 0)} are counted as {status}, {counted[status]} are"
        for status in jobcore.Status  # a count that changed while the jobs were read proves nothing
        if before.get(status, 0) == after.get(status, 0) != counted[status]
    ]
    if said:
        raise CliError("; ".join(said))
    return f"{sum(counted.values())} read, all invariants hold"


def _code(session: Session) -> str:
    """Read every snapshot of code, and compare its files with their hashes."""
    store = code_store(session)
    snapshots = store.snapshots()
    wrong = [line for snapshot in snapshots for line in store.check(snapshot)]
    if wrong:
        msg = (
            f"{wrong[0]} ({len(wrong)} in all); submit the jobs that need it again, from a folder "
            "that has the same content"
        )
        raise CliError(msg)
    return f"{len(snapshots)} snapshot{'s' if len(snapshots) != 1 else ''}, each file as it was"


def _packages(session: Session) -> str:
    """Check that each environment of requirements.txt is whole, and its interpreter there."""
    count, wrong = environments(session).check()
    if wrong:
        msg = (
            f"requirements.txt: {wrong[0]} ({len(wrong)} in all); retry the jobs that need it, or "
            "submit them again, to install the packages again"
        )
        raise CliError(msg)
    return f"{count} environment{'s' if count != 1 else ''} of requirements.txt, each complete"


def _deployment(session: Session) -> str:
    from jobcore_client.aws import check_deployment

    return ", ".join(f"{k} {v}" for k, v in check_deployment(session.aws).items())


def _home(session: Session) -> str:
    _ = session.store
    home = session.home_path
    if not os.access(home, os.W_OK):
        msg = f"{home} cannot be written; choose another (--home or JOBCORE_HOME)"
        raise CliError(msg)
    return str(home)


def _space(session: Session) -> str:
    free = shutil.disk_usage(session.home_path).free
    if free < _FREE_BYTES_MIN:
        msg = f"{free >> 20} MB free at {session.home_path}; free some space"
        raise CliError(msg)
    return f"{free >> 30} GB"


def _store(session: Session) -> str:
    wrong = session.local_store.check()
    if wrong:
        what_to_do = "restore the store from a backup if it is a job; pools, shares and groups are learned anew"
        msg = f"{wrong[0]} ({len(wrong)} in all); {what_to_do}"
        raise CliError(msg)
    return f"{sum(session.store.counts().values())} jobs, intact"


def _settings(session: Session) -> str:
    return f"owner {session.owner_name}, {len(session.rules().rules)} rules, limits {session.limits.shares or 'none'}"


def _pools(session: Session) -> str:
    capacity = session.trainer.capacity()
    if not any(size is None or size for size in capacity.values()):
        msg = "no pool has a slot; jobcore pools set cpu=4"
        raise CliError(msg)
    return ", ".join(f"{name} {size}" for name, size in capacity.items())


def _launch(session: Session) -> str:
    """Run a training that does nothing, under the name of a job that does not exist."""
    job_id = jobcore.job_id_from_bytes(os.urandom(16))
    name = jobcore.lifecycle.training_name(job_id, 1)
    trainer = session.local_trainer
    request = jobcore.ports.LaunchRequest(
        name=name,
        job_id=job_id,
        attempt=1,
        spec_hash="doctor",
        placement=jobcore.Placement("cpu"),
        args={},
        to_stop=True,
    )
    begun = datetime.now(UTC)
    try:
        (reply,) = trainer.launch([request])
        took = (datetime.now(UTC) - begun).total_seconds()
        _wait_for_end(trainer, name)  # until then its shim writes to the folder
    finally:
        trainer.close()
        shutil.rmtree(trainer.directory(name), ignore_errors=True)
    if reply.result is not jobcore.ports.LaunchResult.ACCEPTED:
        said = reply.evidence.text if reply.evidence else str(reply.result)
        msg = f"a training cannot be started: {said}"
        raise CliError(msg)
    return f"{took * 1000:.0f} ms with a new fork server"


def _wait_for_end(trainer: jobcore.Trainer, name: str) -> None:
    deadline = time.monotonic() + _END_SECONDS_MAX
    while time.monotonic() < deadline:
        training = trainer.describe([name]).get(name)
        if training is None or training.state.is_terminal:
            return
        time.sleep(0.005)


def _trainings(session: Session) -> str:
    count, wrong = session.local_trainer.check()
    if wrong:
        msg = (
            f"{wrong[0]} ({len(wrong)} in all); a running manager settles those of unfinished "
            f"jobs; delete the other folders in {session.home_path / 'trainings'}"
        )
        raise CliError(msg)
    return f"{count} training{'s' if count != 1 else ''}, each record whole or absent"


def _manager(session: Session) -> str:
    from ._manager import ManagerLock

    with ManagerLock(session) as lock:
        return "none runs (start one: jobcore run)" if lock.held else f"process {lock.holder}"
