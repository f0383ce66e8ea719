"""What must be true of every job: a broken example for each invariant, and histories that break none."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

import jobcore
from jobcore import LaunchAccepted, LaunchDecided, Placement, Status, TrainingEnded, TrainingSeen
from jobcore.lifecycle import Failed, Stopped
from jobcore_simulation.simulator import Simulation, load

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CPU = Placement("cpu")


def lived(*events) -> jobcore.Job:
    spec = jobcore.Spec(name="j", owner="ada", placements=(CPU,))
    job = jobcore.new_job(jobcore.job_id_from_token("ada", "j"), spec, now=NOW)
    for number, event in enumerate(events):
        job = jobcore.step(job, event, now=NOW + timedelta(minutes=number)).job
    return job


LAUNCHED = (
    LaunchDecided(placement=CPU, attempt=1),
    LaunchAccepted(attempt=1, placement=CPU),
    TrainingSeen(attempt=1, running=True),
)
DONE = lived(*LAUNCHED, TrainingEnded(attempt=1, outcome=Status.COMPLETED))
RUNS = lived(*LAUNCHED)
ENTRY = DONE.outbox[0]


def codes(job) -> set[str]:
    found = list(jobcore.lifecycle.violations(job))
    assert all(one.job_id == job.job_id and one.said for one in found)
    return {one.code for one in found}


@pytest.mark.parametrize("job", [lived(), RUNS, DONE, lived(jobcore.StopRequested(by="ada"))])
def test_a_life_breaks_nothing(job):
    assert codes(job) == set()


@pytest.mark.parametrize(
    ("job", "code"),
    [
        (replace(DONE, attempts=DONE.attempts * 2), "S2"),
        (replace(RUNS, attempts=(replace(DONE.attempts[0], number=2),)), "S2"),
        (replace(DONE, timeline=(*DONE.timeline, RUNS.timeline[-1])), "S3"),
        (replace(RUNS, timeline=RUNS.timeline[::-1]), "S4"),
        (replace(RUNS, timeline=RUNS.timeline[:-1]), "S4"),
        (replace(RUNS, timeline=()), "S4"),
        (replace(RUNS, timeline=(RUNS.timeline[0], RUNS.timeline[-1])), "S4"),
        (replace(DONE, attempts=()), "S5"),
        (
            replace(
                DONE,
                state=Failed(
                    since=NOW,
                    failure=jobcore.Failure(
                        failure_class=jobcore.FailureClass.UNKNOWN,
                        scope=jobcore.lifecycle.Scope.JOB,
                        retryable=jobcore.lifecycle.Retryable.NO,
                        rule="x",
                        text="x",
                    ),
                ),
            ),
            "S5",
        ),
        (replace(DONE, timeline=(DONE.timeline[0], DONE.timeline[-1])), "S4"),
        (replace(DONE, timeline=tuple(replace(m, attempt=9) for m in DONE.timeline)), "S6"),
        (replace(DONE, outbox=(ENTRY, ENTRY)), "S7"),
        (replace(DONE, outbox=(replace(ENTRY, event_id="another/1/Completed"),)), "S7"),
        (replace(DONE, outbox=(replace(ENTRY, status=Status.FAILED),)), "S8"),
        (replace(RUNS, outbox=(ENTRY,)), "S8"),
        (replace(DONE, state=Stopped(since=NOW)), "S13"),
    ],
)
def test_what_must_not_be_is_found(job, code):
    assert code in codes(job)


@pytest.mark.parametrize("name", ["outages", "correlated-bug", "few-jobs"])
def test_simulated_histories_break_nothing(name):
    simulation = Simulation(load(name))
    simulation.run()
    jobs = list(simulation.base.jobs())
    assert len(jobs) >= 60
    assert [v for job in jobs for v in jobcore.lifecycle.violations(job)] == []


def test_the_deep_doctor_reads_all_jobs_and_names_the_broken_ones(tmp_path, monkeypatch, capsys):
    from jobcore_cli import main
    from jobcore_sqlite import SqliteStore

    monkeypatch.setenv("JOBCORE_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "none"))

    def doctor():
        main(["doctor", "--deep", "--json"])
        checks = {one["check"]: one for one in json.loads(capsys.readouterr().out)["checks"]}
        return checks["jobs"]

    path = tmp_path / "jobcore.db"
    store = SqliteStore(path)
    store.add([DONE, replace(lived(), job_id=jobcore.job_id_from_token("ada", "2"))])
    assert doctor() == {"check": "jobs", "ok": True, "said": "2 read, all invariants hold"}
    broken = jobcore.job_id_from_token("ada", "3")
    store.add([replace(DONE, job_id=broken, attempts=())])
    found = doctor()
    assert not found["ok"]
    assert f"S5 {broken}" in found["said"]
    assert f"S7 {broken}" in found["said"]  # the message is the first job's
    store.close()
