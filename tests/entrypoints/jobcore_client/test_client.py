"""The client: submissions, futures, queries and changes; in memory, over DynamoDB, and as real processes."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import jobcore
from jobcore import Status
from jobcore.errors import InvalidJob
from jobcore_client import (
    Client,
    JobFailed,
    JobsHeld,
    JobStopped,
    NotFound,
    Refused,
    RequestError,
    WaitTimeout,
    grid,
    zip_grid,
)
from patience import SECONDS


@pytest.fixture
def client(world) -> Client:
    with world.client() as client:
        yield client


# --- submit -------------------------------------------------------------------------------


def test_a_job_is_submitted_from_a_dict_and_runs(world, client) -> None:
    job = client.submit(world.job(lr=0.1), group="g", name="one")
    assert (job.name, job.group, job.owner, job.status) == ("one", "g", client.owner, "New")
    assert (job.attempt, job.started_at, job.ended_at, job.failure) == (1, None, None, None)
    assert job.hyperparameters == {"lr": 0.1}
    assert job.submitted_at.tzinfo is UTC
    result = job.result(SECONDS)
    assert (job.status, job.done(), job.exception()) == (Status.COMPLETED, True, None)
    assert job.submitted_at <= job.started_at <= job.ended_at
    assert result.job_id == job.id
    assert result.artifacts == job.artifacts()
    if world.is_real:
        assert Path(result.artifacts.model, "model.txt").read_text() == "0.1"
        assert result.metrics == job.metrics == {"loss": 0.25}
        assert client.jobs(group="g").to_dicts()[0]["metric.loss"] == 0.25
        assert timedelta(0) < result.run_time < timedelta(seconds=SECONDS)


def test_fields_go_over_those_of_a_job_file(world, client) -> None:
    file = world.folder / "job.toml"
    file.write_text(
        'script = "train.py"\npool = "elsewhere"\nname = "n"\nhyperparameters = { lr = 1, seed = 2 }\n'
    )
    fields = {"pools": ["cpu"], "hyperparameters": {"lr": 3}, "priority": 7}
    job = client.submit(file, **fields)
    assert job.hyperparameters == {"lr": 3, "seed": 2}
    assert (job.name, job.record.spec.priority) == ("n", 7)
    assert [place.pool for place in job.record.spec.placements] == ["cpu"]
    assert client.submit(str(file), pool="cpu").name == "n"


def test_a_wrong_job_is_refused_by_its_field_and_stores_nothing(world, client) -> None:
    with pytest.raises(RequestError, match=r"job: .*scrip: unknown field; did you mean"):
        client.submit({"scrip": "train.py"})
    with pytest.raises(RequestError, match=r"pools?.*'nowhere'"):
        client.submit(world.job(), pool="nowhere")
    with pytest.raises(RequestError, match=r"absent\.toml: No such file"):
        client.submit("absent.toml")
    with pytest.raises(TypeError, match="expected the path of a job file or a dict"):
        client.submit(3)
    with pytest.raises(RequestError, match=r"use map\(\)"):
        client.submit({**world.job(), "sweep": {"grid": {"lr": [1]}}})
    assert list(client.jobs()) == []


def test_a_spec_is_taken_as_it_is(world, client) -> None:
    spec = client.submit(world.job(lr=1), dry_run=True).record.spec
    job = client.submit(spec, group="g", key="k")
    assert (job.group, job.hyperparameters) == ("g", {"lr": 1})
    assert job.wait(SECONDS).status is Status.COMPLETED
    with pytest.raises(RequestError, match=r"owner: .* this submission is by eve"):
        world.client("eve").submit(spec)
    with pytest.raises(RequestError, match="'nowhere'"):
        client.submit(dataclasses.replace(spec, placements=(jobcore.Placement("nowhere"),)))
    with pytest.raises(TypeError, match="a Spec takes no fields"):
        client.submit(spec, priority=3)


def test_a_key_makes_a_second_call_the_same_job(world, client) -> None:
    first = client.submit(world.job(lr=1), key="nightly")
    assert client.submit(world.job(lr=1), key="nightly") == first
    with pytest.raises(Refused, match="key 'nightly': used before for another"):
        client.submit(world.job(lr=2), key="nightly")
    assert len(client.jobs()) == 1
    assert world.client("bob").submit(world.job(lr=2), key="nightly") != first


def test_a_dry_run_stores_nothing(world, client) -> None:
    job = client.submit(world.job(lr=1), dry_run=True)
    jobs = client.map(world.job(), grid(lr=[1, 2]), dry_run=True)
    assert (job.status, [j.hyperparameters for j in jobs]) == ("New", [{"lr": 1}, {"lr": 2}])
    assert not client.jobs()
    with pytest.raises(NotFound, match="there is no job"):
        job.refresh()


def test_code_is_frozen_at_each_submission(world, client) -> None:
    """A program that lives long submits again after an edit."""
    first = client.submit(world.job())
    (world.folder / "train.py").write_text("print('edited')\n")
    second = client.submit(world.job())
    code = [job.record.spec.args["code"]["snapshot"] for job in (first, second)]
    assert code[0] != code[1]
    (world.folder / "train.py").write_text("print(\n")
    with pytest.raises(RequestError, match=r"script: .*train\.py.*line 1"):
        client.submit(world.job())


# --- map and batch ------------------------------------------------------------------------


def test_map_submits_a_sweep_as_one_group(world, client) -> None:
    jobs = client.map(world.job(seed=5), grid(lr=[0.1, 0.2], fail=["a", "b"]), name="s")
    assert [job.name for job in jobs] == ["s-1", "s-2", "s-3", "s-4"]
    rates = [(j.hyperparameters["lr"], j.hyperparameters["fail"]) for j in jobs]
    assert rates == [(0.1, "a"), (0.1, "b"), (0.2, "a"), (0.2, "b")]
    assert {job.hyperparameters["seed"] for job in jobs} == {5}
    (group,) = {job.group for job in jobs}
    assert group.startswith("s-")
    assert set(client.jobs(group=group)) == set(jobs)
    assert len({job.record.spec.args["code"]["snapshot"] for job in jobs}) == 1


def test_map_takes_dicts_and_the_sweep_of_the_job(world, client) -> None:
    jobs = client.map(world.job(), [{"lr": 1}, {"lr": 2, "seed": 3}], group="g")
    assert [job.hyperparameters for job in jobs] == [{"lr": 1}, {"lr": 2, "seed": 3}]
    jobs = client.map({**world.job(), "sweep": {"grid": {"lr": [1, 2, 3]}}})
    assert [job.hyperparameters["lr"] for job in jobs] == [1, 2, 3]
    jobs = client.map({**world.job(), "sweep": {"grid": {"lr": [1]}}}, zip_grid(lr=[8, 9]))
    assert [job.hyperparameters["lr"] for job in jobs] == [8, 9]
    with pytest.raises(InvalidJob, match="nothing to sweep"):
        client.map(world.job(), [])
    with pytest.raises(InvalidJob, match="nothing to sweep"):
        client.map(world.job())
    with pytest.raises(TypeError, match="got one dict"):
        client.map(world.job(), {"lr": [1]})


def test_map_with_a_key_is_repeated_without_doubles(world, client) -> None:
    first = client.map(world.job(), grid(lr=[1, 2]), key="k")
    again = client.map(world.job(), grid(lr=[1, 2]), key="k")
    assert list(first) == list(again)
    assert first[0].group == again[0].group
    with pytest.raises(Refused, match="used before"):
        client.map(world.job(), grid(lr=[1, 2, 3]), key="k")
    assert len(client.jobs()) == 2


def test_a_batch_is_submitted_at_its_end_with_one_write(world, client) -> None:
    with client.batch(group="seeds", hold=True) as batch:
        for seed in range(3):
            batch.submit(world.job(), hyperparameters={"seed": seed})
        assert list(batch.jobs) == list(client.jobs()) == []
    assert [job.hyperparameters["seed"] for job in batch.jobs] == [0, 1, 2]
    assert [job.status for job in batch.jobs] == ["Held"] * 3
    with pytest.raises(RequestError), client.batch() as batch:  # noqa: PT012
        batch.submit(world.job())
        batch.submit(world.job(), pool="nowhere")
    assert len(client.jobs()) == 3
    if not world.is_real:
        assert world.store.calls["add"] == 1


# --- futures ------------------------------------------------------------------------------


def test_a_failure_is_raised_with_what_is_known_of_it(world, client) -> None:
    job = client.submit(world.job(fail="<x>"))
    with pytest.raises(JobFailed, match=r"algorithm: .*it broke") as caught:
        job.result(SECONDS)
    error = caught.value
    assert (error.job_id, error.failure.failure_class) == (job.id, "algorithm")
    assert error.next_command == f"jobcore logs {job.id}"
    assert error.next_command in str(error)
    assert type(job.exception()) is JobFailed
    assert job.failure.failure_class == "algorithm"
    assert "it broke" in job.failure.reason
    assert "retry" in job.failure.next_step
    assert "it broke" in str(job.failure)


def test_a_timeout_leaves_the_job_alone(world, client, tmp_path) -> None:
    gate = tmp_path / "gate"
    job = client.submit(world.job(gate=str(gate)))
    jobs = client.map(world.job(gate=str(gate)), grid(lr=[1, 2]))
    for wait in (job.wait, job.result, jobs.wait, lambda t: list(jobs.as_completed(t))):
        with pytest.raises(
            TimeoutError, match=r"after 0(\.\d+)? s; to wait on: jobcore wait"
        ) as caught:
            wait(0)
        assert isinstance(caught.value, WaitTimeout)
    assert not job.done()
    gate.touch()
    if world.is_real:
        assert job.wait(SECONDS).status is Status.COMPLETED
        assert list(jobs.wait(SECONDS).not_done) == []


def test_a_held_job_ends_a_wait_and_goes_on_after_a_release(world, client) -> None:
    job = client.submit(world.job(), hold=True)
    jobs = client.map(world.job(), grid(lr=[1, 2]), hold=True)
    for wait in (job.wait, job.result, jobs.wait, lambda: list(jobs.as_completed())):
        with pytest.raises(JobsHeld, match="jobcore release") as caught:
            wait()
        assert set(caught.value.job_ids) <= {job.id, *(one.id for one in jobs)}
    assert job.release().status is Status.NEW
    assert job.wait(SECONDS).status is Status.COMPLETED
    client.release(jobs)
    assert len(jobs.wait(SECONDS).done) == 2


def test_a_job_is_stopped_held_and_tried_again(world, client) -> None:
    job = client.submit(world.job(), hold=True)
    assert job.hold("twice").status is Status.HELD
    assert "submitted on hold" in job.why().sentence
    assert job.cancel() is True
    assert job.stop().status is Status.STOPPED  # twice is once
    with pytest.raises(JobStopped, match=f"was stopped by {client.owner}") as caught:
        job.result(SECONDS)
    assert (caught.value.failure, caught.value.next_command) == (None, f"jobcore retry {job.id}")
    again = job.retry()
    assert again != job
    assert again.record.spec.tags["retry_of"] == job.id
    assert again.wait(SECONDS).status is Status.COMPLETED
    assert again.cancel() is False


def test_a_running_job_is_stopped(world, client, tmp_path) -> None:
    job = client.submit(world.job(gate=str(tmp_path / "gate")))
    if not world.is_real:
        world.tick()
    assert job.stop().status in (Status.STOPPING, Status.STOPPED)
    assert job.wait(SECONDS).status is Status.STOPPED


def test_why_explains_a_waiting_job(world, client) -> None:
    why = client.submit(world.job(), hold=True).why()
    assert (why.code, why.until) == ("Held", None)
    assert why.help == "release it when the cause is gone"
    assert str(why) == f"{why.sentence}; what would help: {why.help}"


def test_jobs_are_awaited_without_a_thread(world, client) -> None:
    job, jobs = client.submit(world.job()), client.map(world.job(), grid(lr=[1, 2]))

    async def main():
        async def ticks():
            while not world.is_real:
                world.tick()
                await asyncio.sleep(0.01)

        task = asyncio.ensure_future(ticks())
        done = await asyncio.gather(*(_awaited(one) for one in (job, jobs, jobs[0])))
        task.cancel()
        return done

    done = asyncio.run(main())
    assert done[0] is job
    assert done[1] is jobs
    assert {one.status for one in (job, *jobs)} == {Status.COMPLETED}


async def _awaited(one):
    return await one


# --- lists --------------------------------------------------------------------------------


def test_a_list_is_waited_for_counted_and_grouped_by_cause(world, client) -> None:
    points = [{"lr": 1}, {"fail": "1"}, {"lr": 2}, {"fail": "2"}]
    jobs = client.map(world.job(), points)
    told = []
    done, not_done = jobs.wait(SECONDS, progress=told.append)
    assert (list(done), list(not_done)) == (list(jobs), [])
    assert told[-1] == jobs.counts() == {Status.COMPLETED: 2, Status.FAILED: 2}
    assert [job.hyperparameters for job in jobs.completed()] == [{"lr": 1}, {"lr": 2}]
    (group,) = jobs.failures()
    assert (group.failure_class, list(group.jobs)) == ("algorithm", list(jobs.failed()))
    assert group.example == group.jobs[0]
    assert group.next_command == f"jobcore logs {group.example.id}"
    assert set(jobs.as_completed(SECONDS)) == set(jobs)


@pytest.mark.parametrize("is_group", [True, False])
def test_a_wait_may_end_with_the_first(world, client, tmp_path, is_group) -> None:
    gate = str(tmp_path / "gate")
    jobs = client.map(world.job(), [{"gate": gate}, {"lr": 1}])
    some = jobs if is_group else jobs[:]
    done, not_done = some.wait(SECONDS, return_when="FIRST_COMPLETED")
    assert (list(done), list(not_done)) == ([jobs[1]], [jobs[0]])
    assert next(some.as_completed(SECONDS)) == jobs[1]
    jobs = client.map(world.job(), [{"gate": gate}, {"lr": 1}, {"fail": "x"}])
    some = jobs if is_group else jobs[:]
    done, not_done = some.wait(SECONDS, return_when="FIRST_EXCEPTION")
    assert jobs[2] in done
    assert not_done[0] == jobs[0]
    client.stop(client.jobs())


def test_rows_have_fields_and_hyperparameters(world, client) -> None:
    job = {**world.job(), "environment": {}}
    jobs = client.map(job, [{"lr": 1, "name": "own", "api_token": "canary"}, {"fail": "x"}])
    rows = jobs.to_dicts()
    assert [row["id"] for row in rows] == [job.id for job in jobs]
    assert (rows[0]["lr"], rows[0]["hyperparameters.name"]) == (1, "own")
    assert rows[0]["status"] == "New"
    assert rows[0]["wait_s"] is rows[0]["run_s"] is rows[0]["failure_class"] is None
    assert "canary" not in str(rows)
    assert "canary" not in jobs._repr_html_() + jobs[0]._repr_html_()
    jobs.wait(SECONDS) if world.is_real else client.stop(jobs)


def test_notebooks_get_escaped_tables(world, client) -> None:
    jobs = client.map(world.job(), [{"<b>lr</b>": "<script>alert(1)</script>"}], hold=True)
    for html in (jobs._repr_html_(), jobs[0]._repr_html_()):
        assert "<script>" not in html
        assert "<b>" not in html
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
        assert "style=" not in html
    assert jobs[0].id[:8] in repr(jobs[0])
    assert repr(jobs) == "<JobList of 1 jobs: 1 Held>"


# --- finding ------------------------------------------------------------------------------


def test_a_job_is_found_by_id_prefix_and_name(world, client) -> None:
    job = client.submit(world.job(), name="nightly")
    twins = [client.submit(world.job(), name="twin") for _ in range(2)]
    assert client.job(job.id) == client.job(job.id[:10]) == client.job("nightly") == job
    with pytest.raises(RequestError, match="'twin' could be any of") as caught:
        client.job("twin")
    assert all(twin.id[:12] in str(caught.value) for twin in twins)
    for word in ("absent", "zzzzzz", "0" * 26):
        with pytest.raises(NotFound, match=f"there is no job {word!r}"):
            client.job(word)


def test_jobs_are_found_by_group_name_status_and_time(world, client) -> None:
    held = [client.submit(world.job(), group=g, name=n, hold=True) for g in "ab" for n in "xy"]
    stopped = client.submit(world.job(), group="a", hold=True).stop()
    assert list(client.jobs()) == [stopped, *reversed(held)]
    assert list(client.jobs(group="a")) == [stopped, held[1], held[0]]
    assert list(client.jobs(name="x")) == [held[2], held[0]]
    assert list(client.jobs(group="a", status="held")) == [held[1], held[0]]
    assert len(client.jobs(status=["Stopped", "HELD"])) == 5
    since = held[2].submitted_at
    assert list(client.jobs(since=since)) == [stopped, held[3], held[2]]
    assert len(client.jobs(since=timedelta(hours=1))) == 5
    assert not client.jobs(since=datetime.now(UTC) + timedelta(hours=1))
    with pytest.raises(ValueError, match="status: 'done' is not one of"):
        client.jobs(status="done")
    with pytest.raises(ValueError, match="without a time zone"):
        client.jobs(since=datetime.now())  # noqa: DTZ005
    jobs = client.jobs()
    assert (jobs[0], jobs[-1], jobs[1:3][0], len(jobs)) == (stopped, held[0], held[3], 5)
    with pytest.raises(IndexError):
        jobs[5]


# --- changes of many ----------------------------------------------------------------------


def test_a_query_is_changed_with_one_write(world, client) -> None:
    jobs = client.map(world.job(), grid(lr=[1, 2, 3]), group="g", hold=True)
    over = client.submit(world.job(), group="g", hold=True).stop()
    would = client.stop(client.jobs(group="g"), dry_run=True)
    assert (set(would.done), set(would.ignored), would.failed) == (set(jobs), {over.id}, {})
    assert client.jobs(group="g", status="Held")[:]
    if not world.is_real:
        world.store.calls.clear()
    held = client.hold(jobs, reason="again")
    assert (len(held.done), len(held.ignored)) == (0, 3)
    changed = client.stop([jobs[0], jobs[1].id, jobs[2].id[:12], jobs[0]])
    assert repr(changed) == "<Changed: 3 done, 0 ignored, 0 failed>"
    assert {job.status for job in jobs.refresh()} == {Status.STOPPED}
    if not world.is_real:
        assert world.store.calls["save"] == 1


def test_a_query_is_held_and_released(world, client, tmp_path) -> None:
    jobs = client.map(world.job(gate=str(tmp_path / "gate")), grid(lr=[1, 2, 3]), group="g")
    held = client.hold(jobs, reason="lunch")
    assert len(held.done) == 3
    for job in held.done:  # one that runs is held when its attempt is over
        assert job.record.hold_next or job.record.state.reason == "lunch"
    assert len(client.release(client.jobs(group="g")).done) == 3
    assert len(client.stop(jobs).done) == 3


def test_a_retry_of_a_group_leaves_completed_jobs_alone(world, client) -> None:
    jobs = client.map(world.job(), [{"lr": 1}, {"fail": "x"}], group="g")
    jobs.wait(SECONDS)
    would = client.retry(client.jobs(group="g"), dry_run=True)
    assert (list(would.done), list(would.ignored)) == ([jobs[1]], [jobs[0].id])
    assert len(client.jobs()) == 2
    done = client.retry(client.jobs(group="g"))
    (again,) = done.done
    assert again.record.spec.tags["retry_of"] == jobs[1].id
    assert "it completed" in done.ignored[jobs[0].id]
    assert len(client.jobs(group="g")) == 3


def test_owners_do_not_see_each_others_jobs_unless_they_say_so(world, client) -> None:
    bob = world.client(f"bob-{client.owner}"[:60])
    own = client.submit(world.job(), group="g", name="n", hold=True)
    other = bob.submit(world.job(), group="g", name="n", hold=True)
    assert (
        list(client.jobs()) == list(client.jobs(group="g")) == list(client.jobs(name="n")) == [own]
    )
    assert client.jobs(group="g").counts() == {Status.HELD: 1}
    assert client.job("n") == own
    for word in (other.id, other.id[:12]):
        with pytest.raises(NotFound, match=r"another owner's: owner="):
            client.job(word)
        for verb in (client.stop, client.hold, client.release, client.retry):
            with pytest.raises(NotFound):
                verb(word)
    for verb in (client.release, client.stop, client.retry):
        verb(client.jobs(group="g"))
        assert other.refresh().status is Status.HELD
    assert len(bob.jobs()) == 1
    with pytest.raises(JobsHeld) as caught:
        bob.jobs(group="g").wait()
    assert caught.value.job_ids == (other.id,)
    assert client.job(other.id, owner="*") == client.job(other.id, owner=bob.owner) == other
    both = [
        job for job in client.jobs(group="g", owner="*") if job.owner in (client.owner, bob.owner)
    ]
    assert set(both) >= {own, other}
    assert [job.id for job in client.stop(client.jobs(owner=bob.owner)).done] == [other.id]
    client.stop(client.jobs())


def test_a_client_says_whose_and_where(world, client) -> None:
    assert repr(client) == f"<Client of {client.owner} at {world.home}>"
    json.dumps(client.submit(world.job(), hold=True).hyperparameters)
    with pytest.raises(RequestError, match="backend: expected local or aws"):
        Client(backend="cloud").jobs()[:]


def test_a_job_is_equal_by_its_id(world, client) -> None:
    job = client.submit(world.job(), hold=True)
    assert job == client.job(job.id)
    assert len({job, client.job(job.id)}) == 1
    assert job != job.id
    assert isinstance(job.record, jobcore.Job)
