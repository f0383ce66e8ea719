"""`jobcore migrate`: from SQLite to DynamoDB, nothing lost, nothing twice, however often it is cut short."""

from __future__ import annotations

import io
import tarfile
from types import SimpleNamespace

import click
import pytest

import jobcore
import jobcore_aws
from aws_fixtures import connect
from core_strategies import T0, accepted, after, decided, ended, make_job
from jobcore import Placement, Status
from jobcore_aws import AwsSettings, DynamoStore, create_table
from jobcore_cli import main
from jobcore_cli._errors import CliError
from jobcore_cli._migrate import migrate_command
from jobcore_cli._session import Session
from jobcore_client import aws_code
from jobcore_code import CodeStore
from jobcore_sqlite import SqliteStore

UPLOAD_SOURCE = aws_code.upload_source
LOCAL, THERE = "a", "us-east-1/ml.m5.large/on-demand"


@pytest.fixture
def session(moto, tmp_path, monkeypatch):
    monkeypatch.setattr(jobcore_aws, "check", lambda spec, settings: [])
    monkeypatch.setattr(aws_code, "upload_source", lambda args, session: args)
    client = connect("dynamodb", "")
    create_table(client, "jobcore")
    with SqliteStore(tmp_path / "jobs.db") as store:
        yield SimpleNamespace(
            backend="local",
            local_store=store,
            store=DynamoStore("jobcore", client=client),
            aws=AwsSettings(),
            owner_name="ada",
            as_json=True,
            home_path=tmp_path / "home",
        )


def migrate(session, *words):
    context = click.Context(migrate_command, obj=session)
    pools = [word for word in words if "=" in word]
    with context:
        return migrate_command.callback.__wrapped__(
            session, pools=pools, dry_run="--dry-run" in words
        )


def jobs_of(store):
    return {job.job_id: job for job in store.find(jobcore.ports.JobQuery(limit=1000)).jobs}


def fill(store):
    """A waiting job, a held one, one that backs off, and one of each end."""
    waiting, held, completed, failed = (make_job(str(n)) for n in range(4))
    held = after(held, jobcore.HoldRequested(by="ada", reason="not yet"))
    completed = after(completed, decided(), accepted(), ended(outcome=Status.COMPLETED))
    failed = after(failed, jobcore.StopRequested(by="bob"))
    jobs = [waiting, held, completed, failed]
    store.add(jobs)
    return jobs


def test_all_are_there_afterwards_and_none_can_run_in_both_places(session):
    waiting, held, completed, stopped = fill(session.local_store)
    assert migrate(session, f"{LOCAL}={THERE}") == 0
    there, here = jobs_of(session.store), jobs_of(session.local_store)
    assert set(there) == {job.job_id for job in (waiting, held, completed, stopped)}
    assert there[waiting.job_id].status is Status.NEW
    assert there[held.job_id].status is Status.HELD
    assert there[completed.job_id].status is Status.COMPLETED
    assert there[completed.job_id].attempts == completed.attempts
    assert there[waiting.job_id].spec.placements == (Placement(THERE),)
    assert all(job.status.is_terminal for job in here.values())
    assert not any(job.outbox for job in there.values()), "told here, and not again from there"


def test_a_second_time_moves_nothing(session, capsys):
    fill(session.local_store)
    migrate(session, f"{LOCAL}={THERE}")
    before = jobs_of(session.store)
    capsys.readouterr()
    assert migrate(session, f"{LOCAL}={THERE}") == 0
    assert '"waiting": 0' in capsys.readouterr().out
    assert jobs_of(session.store) == before


@pytest.mark.parametrize("calls", [0, 1, 2])
def test_a_move_that_was_cut_short_is_completed_by_repeating_it(session, calls):
    waiting, *_ = fill(session.local_store)
    real, left = session.store, [calls]

    class CutShort:
        def __getattr__(self, name):
            return getattr(real, name)

        def add(self, jobs):
            if left[0] == 0:
                msg = "the line is cut"
                raise jobcore.Unavailable(msg)
            left[0] -= 1
            return real.add(jobs)

    session.store = CutShort()
    try:
        migrate(session, f"{LOCAL}={THERE}")
    except jobcore.Unavailable:
        here = jobs_of(session.local_store)[waiting.job_id]
        assert here.status is Status.HELD, "it may be there already, so it must not start here"
    session.store = real
    assert migrate(session, f"{LOCAL}={THERE}") == 0
    assert len(jobs_of(real)) == 4
    assert jobs_of(real)[waiting.job_id].status is Status.NEW


def test_while_a_job_runs_nothing_is_moved(session):
    waiting, *_ = fill(session.local_store)
    stored = jobs_of(session.local_store)[waiting.job_id]
    (saved,) = session.local_store.save([jobcore.step(stored, decided(), now=T0).job])
    assert saved is not None
    with pytest.raises(CliError, match="running here"):
        migrate(session)
    assert jobs_of(session.store) == {}


def test_a_dry_run_changes_nothing(session, capsys):
    fill(session.local_store)
    before = jobs_of(session.local_store)
    migrate(session, "--dry-run")
    assert '"waiting": 2' in capsys.readouterr().out
    assert jobs_of(session.local_store) == before
    assert jobs_of(session.store) == {}


@pytest.fixture
def code(session, monkeypatch, tmp_path):
    """A bucket, and a waiting job whose script is in a local folder."""
    monkeypatch.setattr(aws_code, "upload_source", UPLOAD_SOURCE)
    checked = []
    monkeypatch.setattr(jobcore_aws, "check", lambda spec, settings, **_: checked.append(spec.args))
    s3 = connect("s3", "")
    # The package's own clients share a session that may be older than the emulation.
    monkeypatch.setattr(jobcore_aws, "client", lambda service: connect(service, ""))
    s3.create_bucket(Bucket="code")
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "train.py").write_text("print('hi')\n")
    session.aws = AwsSettings(table="jobcore", bucket="code")
    here = {"script": "train.py", "source_dir": str(folder), "python": "/usr/bin/python3"}
    job = make_job("1", args=here)
    session.local_store.add([job])
    return SimpleNamespace(job=job, s3=s3, checked=checked)


def keys(code):
    return [entry["Key"] for entry in code.s3.list_objects_v2(Bucket="code").get("Contents", [])]


def test_a_dry_run_uploads_nothing_and_checks_the_same(session, code):
    migrate(session, "--dry-run")
    assert keys(code) == []
    assert jobs_of(session.store) == {}
    migrate(session)
    (key,) = keys(code)
    dry, real = code.checked
    assert dry == real
    assert real == {"script": "train.py", "source_dir": f"s3://code/{key}"}
    assert jobs_of(session.store)[code.job.job_id].spec.args == real


def test_the_frozen_code_of_a_waiting_job_is_moved_and_not_the_folder_as_it_is_now(
    session, code, tmp_path
):
    folder = tmp_path / "code"
    snapshot = CodeStore(session.home_path / "code").take(folder).id
    args = {**code.job.spec.args, "code": {"snapshot": snapshot, "folder": str(folder)}}
    session.local_store.add([make_job("2", args=args)])
    (folder / "train.py").write_text("print('edited')\n")
    migrate(session)
    texts = {}
    for key in keys(code):
        data = code.s3.get_object(Bucket="code", Key=key)["Body"].read()
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            member = archive.extractfile("train.py")
            assert member is not None
            texts[f"s3://code/{key}"] = member.read()
    moved = {
        "code" in job.spec.args: texts[job.spec.args["source_dir"]]
        for job in jobs_of(session.store).values()
    }
    assert moved == {True: b"print('hi')\n", False: b"print('edited')\n"}


def test_a_dry_run_of_submit_uploads_nothing(session, code, monkeypatch, capsys):
    monkeypatch.setattr(Session, "aws", session.aws)
    monkeypatch.setattr(Session, "store", session.store)
    folder = code.job.spec.args["source_dir"]
    file = f"{folder}/job.toml"
    with open(file, "w", encoding="utf-8") as out:
        out.write('name = "x"\nscript = "train.py"\npool = "a"\n')
    words = ["submit", file, "--backend", "aws"]
    assert main([*words, "--dry-run"]) == 0
    assert "nothing was submitted" in capsys.readouterr().out
    assert keys(code) == []
    assert main(words) == 0
    (key,) = keys(code)
    dry, real = code.checked
    assert dry == real
    assert real["source_dir"] == f"s3://code/{key}"
