"""What every store keeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import jobcore
from jobcore import Job, JobStore, Placement, Spec, Status
from jobcore.lifecycle import PoolState, Tick
from jobcore.ports import Added, JobQuery, Usage

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CPU = Placement("cpu")


def _job(number: int, **changes: object) -> Job:
    values: dict[str, object] = {"name": f"job-{number}", "owner": "ada", "placements": (CPU,)}
    spec = Spec(**{**values, **changes})  # type: ignore[arg-type]
    job_id = jobcore.job_id_from_token("ada", str(number))
    return jobcore.new_job(job_id, spec, now=NOW + timedelta(seconds=number))


def _after(job: Job, *events: jobcore.lifecycle.Event, at: datetime = NOW) -> Job:
    for event in events:
        job = jobcore.step(job, event, now=at).job
    return job


def _launching(job: Job) -> Job:
    placement = job.spec.placements[0]
    return _after(job, jobcore.LaunchDecided(attempt=1, placement=placement))


class StoreContract:
    """The promises of `jobcore.JobStore`."""

    def make_store(self) -> JobStore:
        """Make an empty store."""
        raise NotImplementedError

    def _with(self, jobs: Sequence[Job]) -> JobStore:
        store = self.make_store()
        assert set(store.add(jobs)) <= {Added.CREATED}
        return store

    def test_what_was_added_is_read_back_whole(self) -> None:
        """Nothing of a job or its spec is lost."""
        clocks = jobcore.Clocks(wait_at_most=timedelta(hours=1), finish_by=NOW)
        job = _job(1, args={"script": "x", "n": [1, None, 2.5]}, group="g", clocks=clocks)
        store = self._with([job])
        assert store.get([job.job_id]) == {job.job_id: job}

    def test_unknown_ids_are_absent(self) -> None:
        """A job that does not exist is no error."""
        assert dict(self.make_store().get([_job(1).job_id])) == {}

    def test_adding_again_is_told_and_changes_nothing(self) -> None:
        """A repeated submit finds the job of the first, also after it has moved."""
        job = _job(1)
        store = self._with([job])
        (saved,) = store.save([_launching(job)])
        later = replace(job, submitted_at=NOW + timedelta(days=1))
        assert list(store.add([later, _job(2)])) == [Added.DUPLICATE, Added.CREATED]
        assert store.get([job.job_id])[job.job_id] == saved

    def test_another_spec_under_the_same_id_is_a_clash(self) -> None:
        """Nothing is written over."""
        job = _job(1)
        store = self._with([job])
        other = replace(job, spec=replace(job.spec, name="other"))
        assert list(store.add([other])) == [Added.CLASH]
        assert store.get([job.job_id])[job.job_id] == job

    def test_a_save_over_an_old_version_is_refused(self) -> None:
        """Of two writers who read the same version, one wins."""
        job = _job(1)
        store = self._with([job])
        (first,) = store.save([_launching(job)])
        assert first is not None
        assert first.version > job.version
        held = _after(job, jobcore.HoldRequested(by="bob"))
        assert list(store.save([held])) == [None]
        assert store.get([job.job_id])[job.job_id] == first

    def test_one_conflict_does_not_spoil_the_batch(self) -> None:
        """The others are saved."""
        one, two = _job(1), _job(2)
        store = self._with([one, two])
        store.save([_launching(one)])
        results = store.save([_launching(one), _launching(two)])
        assert results[0] is None
        assert results[1] is not None
        assert store.get([two.job_id])[two.job_id].status is Status.LAUNCHING

    def test_waiting_is_in_launch_order_and_bounded(self) -> None:
        """Oldest first within a lane, at most *depth* of each."""
        jobs = [_job(n) for n in (3, 1, 2)] + [_job(9, priority=5)]
        store = self._with(jobs)
        seen = store.waiting(now=NOW, depth=2)
        lane = [w.job_id for w in seen if w.priority == 0]
        assert lane == [_job(1).job_id, _job(2).job_id]
        assert [w.job_id for w in seen if w.priority == 5] == [_job(9).job_id]

    def test_waiting_holds_what_the_planner_needs(self) -> None:
        """The row says the same as the job."""
        job = _job(1, placements=(CPU, Placement("gpu", 2)), share="team", priority=3)
        store = self._with([job])
        assert list(store.waiting(now=NOW, depth=5)) == [jobcore.ports.waiting_of(job)]

    def test_active_held_and_backing_off_jobs_do_not_wait(self) -> None:
        """Only what may be launched now is listed."""
        jobs = [_job(n) for n in range(3)]
        store = self._with(jobs)
        state = jobcore.lifecycle.New(since=NOW, attempt=2, not_before=NOW + timedelta(hours=1))
        backing_off = replace(jobs[2], state=state)
        store.save(
            [_launching(jobs[0]), _after(jobs[1], jobcore.HoldRequested(by="b")), backing_off]
        )
        assert list(store.waiting(now=NOW, depth=5)) == []
        later = store.waiting(now=NOW + timedelta(hours=1), depth=5)
        assert [(w.job_id, w.attempt) for w in later] == [(jobs[2].job_id, 2)]

    def test_due_follows_the_state_of_each_job(self) -> None:
        """What `due_at` says is what the index lists, for each tick, and nothing else."""
        new, launching, launched, over = (_job(n) for n in range(4))
        store = self._with([new, launching, launched, over])
        accepted = jobcore.LaunchAccepted(attempt=1, placement=CPU)
        store.save(
            [
                _launching(launching),
                _after(_launching(launched), accepted),
                _after(over, jobcore.StopRequested(by="b")),
            ]
        )
        expected = {
            Tick.LAUNCH: [launching.job_id],
            Tick.MONITOR: [launched.job_id],
            Tick.NOTIFY: [over.job_id],
        }
        for tick, ids in expected.items():
            assert [d.job_id for d in store.due(tick, before=NOW, limit=10)] == ids
            assert list(store.due(tick, before=NOW - timedelta(seconds=1), limit=10)) == []

    def test_due_is_oldest_first_and_bounded(self) -> None:
        """A page holds what has waited longest."""
        jobs = [_job(n) for n in range(4)]
        store = self._with(jobs)
        launching = [
            _after(
                job,
                jobcore.LaunchDecided(attempt=1, placement=CPU),
                at=NOW - timedelta(minutes=number),
            )
            for number, job in enumerate(jobs)
        ]
        store.save(launching)
        page = store.due(Tick.LAUNCH, before=NOW, limit=2)
        assert [d.job_id for d in page] == [jobs[3].job_id, jobs[2].job_id]

    def test_usage_counts_all_active_jobs(self) -> None:
        """`Stopping` still holds its slots, and runs; waiting and finished jobs hold none."""
        big = (Placement("cpu", 3),)
        jobs = [_job(1), _job(2, placements=big), _job(3), _job(4)]
        store = self._with(jobs)
        stop = jobcore.StopRequested(by="b")
        store.save([_launching(jobs[0]), _after(_launching(jobs[1]), stop), _after(jobs[3], stop)])
        assert list(store.usage()) == [Usage("cpu", "ada", 4, running=3)]

    def test_find_is_newest_first_in_pages(self) -> None:
        """The pages together are every job, once."""
        jobs = [_job(n) for n in range(5)]
        store = self._with(jobs)
        found: list[str] = []
        query = JobQuery(limit=2)
        for _ in range(10):
            page = store.find(query)
            found += [job.job_id for job in page.jobs]
            if page.cursor is None:
                break
            query = replace(query, cursor=page.cursor)
        assert found == [job.job_id for job in reversed(jobs)]

    def test_find_filters(self) -> None:
        """Each condition narrows, and all hold together."""
        jobs = [_job(1, group="g"), _job(2, owner="bob"), _job(3, group="g", name="x")]
        store = self._with(jobs)
        store.save([_launching(jobs[0])])

        def ids(**query: object) -> list[str]:
            found = store.find(JobQuery(**query))  # type: ignore[arg-type]
            return [job.job_id for job in found.jobs]

        assert ids(group="g") == [jobs[2].job_id, jobs[0].job_id]
        assert ids(owner="bob") == [jobs[1].job_id]
        assert ids(name="x") == [jobs[2].job_id]
        assert ids(statuses=frozenset({Status.LAUNCHING})) == [jobs[0].job_id]
        assert ids(group="g", statuses=frozenset({Status.NEW})) == [jobs[2].job_id]
        assert ids(id_prefix=jobs[1].job_id[:9]) == [jobs[1].job_id]

    def test_counts(self) -> None:
        """By status, of all jobs or of a group."""
        jobs = [_job(1, group="g"), _job(2), _job(3)]
        store = self._with(jobs)
        store.save([_launching(jobs[0])])
        assert dict(store.counts()) == {Status.NEW: 2, Status.LAUNCHING: 1}
        assert dict(store.counts(group="g")) == {Status.LAUNCHING: 1}

    def test_pool_states_are_compared_and_set(self) -> None:
        """Of two who read the same version, one wins."""
        store = self.make_store()
        assert dict(store.pools()) == {}
        assert store.save_pool(PoolState(name="cpu", refusals=1, closed_until=NOW)) is True
        assert store.save_pool(PoolState(name="cpu", refusals=9)) is False
        (state,) = store.pools().values()
        assert (state.refusals, state.closed_until) == (1, NOW)
        groups = {
            "sweep": {"cause": "c0ffee", "failed": 4, "why": "KeyError: 'x'", "at": 1_767_225_600}
        }
        learned = replace(state, refusals=2, served={"ada": 1.5}, groups=groups)
        assert store.save_pool(learned) is True
        assert store.pools()["cpu"] == replace(learned, version=2)
        assert store.pools()["cpu"].refusals == 2
