"""The conformance suite of stores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import ClassVar

import jobcore
from jobcore import CorruptRecord, Job, JobStore, Placement, Spec, Status
from jobcore.lifecycle import GroupKey, GroupTally, PoolState, ShareUsage, Tick
from jobcore.metrics import Metric
from jobcore.ports import (
    Added,
    JobQuery,
    LaunchReply,
    LaunchRequest,
    LaunchResult,
    Training,
    Usage,
)

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


def _tally(group: str, owner: str, **changes: object) -> GroupTally:
    return GroupTally(group=group, owner=owner, at=NOW, **changes)  # type: ignore[arg-type]


def _named(errors: Sequence[CorruptRecord]) -> list[tuple[str, str]]:
    return [(error.kind, error.key) for error in errors]


class _Clock:
    def now(self) -> datetime:
        return NOW


class _Trainer:
    """Accepts every launch into a pool of unknown size."""

    def launch(self, requests: Sequence[LaunchRequest]) -> Sequence[LaunchReply]:
        return [LaunchReply(LaunchResult.ACCEPTED) for _ in requests]

    def capacity(self) -> Mapping[str, int | None]:
        return {"cpu": None}

    def describe(self, names: Sequence[str]) -> Mapping[str, Training | None]:
        return {}

    def stop(self, name: str) -> None:
        pass

    def running(self) -> Sequence[Training]:
        return []


class StoreContract:
    """The contract of `jobcore.JobStore`."""

    #: The ticks for which `next_wake` gives a time; for others it is None.
    WAKES: ClassVar[frozenset[Tick]] = frozenset({Tick.LAUNCH, Tick.MONITOR})

    def make_store(self) -> JobStore:
        """Make an empty store that reports unreadable records to a list (see `reported`)."""
        raise NotImplementedError

    def damage(self, store: JobStore, kind: str, *key: str) -> None:
        """
        Make a stored record unreadable, as a fault or another program would.

        Args:
            kind, key: "job" and its id, "pool" or "share" and its name, or "group", its name and owner.
        """
        raise NotImplementedError

    def reported(self, store: JobStore) -> Sequence[CorruptRecord]:
        """Return the reports of *store* so far, in order."""
        raise NotImplementedError

    def _with(self, jobs: Sequence[Job]) -> JobStore:
        store = self.make_store()
        assert set(store.add(jobs)) <= {Added.CREATED}
        return store

    def test_an_added_job_is_read_back_whole(self) -> None:
        """No part of a job or its spec is lost."""
        clocks = jobcore.Clocks(wait_at_most=timedelta(hours=1), finish_by=NOW)
        job = _job(1, args={"script": "x", "n": [1, None, 2.5]}, group="g", clocks=clocks)
        store = self._with([job])
        assert store.get([job.job_id]) == {job.job_id: job}

    def test_metrics_are_kept_exactly(self) -> None:
        """They are any finite numbers, stay when the job is saved again, and go when it has none any more."""
        values = (0.1, -0.0, 1e300, -5e-324, 3.0, 1 / 3)
        metrics = tuple(
            Metric(name=f"m{n}/é", final=value, step=n, count=2, lowest=value, highest=1.0)
            for n, value in enumerate(values)
        )
        job = _launching(_job(1))
        ended = jobcore.TrainingEnded(attempt=1, outcome=Status.COMPLETED, metrics=metrics)
        store = self._with([_job(1)])
        (saved,) = store.save([job])
        assert saved is not None
        (saved,) = store.save([jobcore.step(saved, ended, now=NOW).job])
        assert saved is not None
        (entry,) = saved.outbox
        published = jobcore.MessagePublished(event_id=entry.event_id)
        store.save([jobcore.step(saved, published, now=NOW).job])
        kept = store.get([job.job_id])[job.job_id]
        assert repr(kept.metrics) == repr(metrics)
        assert kept.outbox == ()
        assert store.find(JobQuery()).jobs == (kept,)
        store.save([replace(kept, metrics=())])
        assert store.get([job.job_id])[job.job_id].metrics == ()

    def test_unknown_ids_are_absent(self) -> None:
        """A job that does not exist is no error."""
        assert dict(self.make_store().get([_job(1).job_id])) == {}

    def test_adding_again_is_a_duplicate_and_changes_nothing(self) -> None:
        """A repeated submit finds the job of the first one, also after its state has changed."""
        job = _job(1)
        store = self._with([job])
        (saved,) = store.save([_launching(job)])
        later = replace(job, submitted_at=NOW + timedelta(days=1))
        assert list(store.add([later, _job(2)])) == [Added.DUPLICATE, Added.CREATED]
        assert store.get([job.job_id])[job.job_id] == saved

    def test_another_spec_under_the_same_id_is_a_clash(self) -> None:
        """The stored job stays."""
        job = _job(1)
        store = self._with([job])
        other = replace(job, spec=replace(job.spec, name="other"))
        assert list(store.add([other])) == [Added.CLASH]
        assert store.get([job.job_id])[job.job_id] == job

    def test_a_save_over_an_old_version_is_refused(self) -> None:
        """Of two writers that read the same version, one wins."""
        job = _job(1)
        store = self._with([job])
        (first,) = store.save([_launching(job)])
        assert first is not None
        assert first.version > job.version
        held = _after(job, jobcore.HoldRequested(by="bob"))
        assert list(store.save([held])) == [None]
        assert store.get([job.job_id])[job.job_id] == first

    def test_a_conflict_does_not_stop_the_other_saves(self) -> None:
        """Each job of a batch is compared and set by itself."""
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

    def test_a_waiting_row_agrees_with_its_job(self) -> None:
        """The planner reads rows only."""
        job = _job(1, placements=(CPU, Placement("gpu", 2)), share="team", priority=3)
        store = self._with([job])
        assert list(store.waiting(now=NOW, depth=5)) == [jobcore.ports.waiting_of(job)]

    def test_active_held_and_backing_off_jobs_do_not_wait(self) -> None:
        """Only jobs that may be launched now are listed."""
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
        """For each tick the index lists the jobs that `due_at` makes due, and no others."""
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
        """A page holds the jobs that have been due for longest."""
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
        """A job in `Stopping` holds its slots and runs; waiting and finished jobs hold none."""
        big = (Placement("cpu", 3),)
        jobs = [_job(1), _job(2, placements=big), _job(3), _job(4)]
        store = self._with(jobs)
        stop = jobcore.StopRequested(by="b")
        store.save([_launching(jobs[0]), _after(_launching(jobs[1]), stop), _after(jobs[3], stop)])
        assert list(store.usage()) == [Usage("cpu", "ada", 4, running=3)]

    def test_find_is_newest_first_in_pages(self) -> None:
        """The pages together hold every job once."""
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

    def test_next_wake_is_the_next_back_off_or_deadline(self) -> None:
        """Past times, and those of other ticks, are left out."""
        clocks = jobcore.Clocks(wait_at_most=timedelta(hours=3))
        jobs = [_job(1), _job(2), _job(3, clocks=clocks), _job(4)]
        store = self._with(jobs)
        soon, later = NOW + timedelta(hours=1), NOW + timedelta(hours=2)
        store.save(
            [
                replace(job, state=jobcore.lifecycle.New(since=NOW, attempt=2, not_before=at))
                for job, at in zip(jobs, (soon, later), strict=False)
            ]
        )
        deadline = jobs[2].submitted_at + timedelta(hours=3)
        expected = {
            Tick.LAUNCH: ((NOW, soon), (soon, later), (later, None)),
            Tick.MONITOR: ((NOW, deadline), (deadline, None)),
        }
        for tick, pairs in expected.items():
            for after, at in pairs:
                wanted = at if tick in self.WAKES else None
                assert store.next_wake(tick, after=after) == wanted, (tick, after)

    # --- records beside jobs ------------------------------------------------------------

    def test_pool_states_are_compared_and_set(self) -> None:
        """Of two writers that read the same version, one wins."""
        store = self.make_store()
        assert dict(store.pools()) == {}
        assert store.save_pool(PoolState(name="cpu", refusals=1, closed_until=NOW)) is True
        assert store.save_pool(PoolState(name="cpu", refusals=9)) is False
        (state,) = store.pools().values()
        assert (state.refusals, state.closed_until) == (1, NOW)
        learned = replace(
            state, refusals=2, fade=0.25, growth=3, queue_granted=True, refusal="quota: 3"
        )
        assert store.save_pool(learned) is True
        assert store.pools()["cpu"] == replace(learned, version=2)
        assert store.save_pool(replace(learned, name="gpu")) is False, "it was never saved"
        assert list(store.pools()) == ["cpu"]

    def test_shares_are_compared_and_set_each_by_itself(self) -> None:
        """A conflict of one share does not stop the saves of the others."""
        store = self.make_store()
        ada, bob, eve = (ShareUsage(share=n, hours=1.5, at=NOW) for n in ("ada", "bob", "eve"))
        assert dict(store.shares(["ada", "bob"])) == {}
        assert list(store.save_shares([])) == []
        assert list(store.save_shares([ada, bob])) == [True, True]
        assert list(store.save_shares([replace(ada, hours=9.0), eve])) == [False, True]
        read = store.shares(["eve", "ada", "nobody"])
        assert dict(read) == {"ada": replace(ada, version=1), "eve": replace(eve, version=1)}
        charged = replace(read["ada"], hours=2.0, at=NOW + timedelta(hours=1))
        assert list(store.save_shares([replace(charged, version=7), bob])) == [False, False]
        assert list(store.save_shares([charged])) == [True]
        assert dict(store.shares(["ada"])) == {"ada": replace(charged, version=2)}

    def test_tallies_are_compared_and_set(self) -> None:
        """Groups of one name and two owners have two tallies, whatever characters the names have."""
        store = self.make_store()
        keys = [
            GroupKey(*key)
            for key in (
                ("g", "ada"),
                ("g", "bob"),
                *(
                    pair
                    for joint in "/\n"
                    for pair in ((f"g{joint}ada", "x"), ("g", f"ada{joint}x"))
                ),
            )
        ]
        assert dict(store.tallies(keys)) == {}
        tallies = [_tally(*key, failed=number) for number, key in enumerate(keys)]
        assert [store.save_tally(tally) for tally in tallies] == [True] * len(keys)
        assert store.save_tally(_tally(*keys[0], failed=9)) is False
        read = store.tallies(keys[1:])
        assert dict(read) == {tally.key: replace(tally, version=1) for tally in tallies[1:]}
        assert store.save_tally(replace(read[keys[1]], sound=True, cause="c", reason="r")) is True
        assert store.save_tally(replace(read[keys[1]], failed=7)) is False
        assert store.save_tally(_tally("g", "new", version=1)) is False, "it was never saved"
        (stored,) = store.tallies([keys[1]]).values()
        assert stored == replace(read[keys[1]], sound=True, cause="c", reason="r", version=2)

    def test_groups_to_pause_are_listed_until_they_are_paused(self) -> None:
        """The list holds their whole tallies, and no others."""
        store = self.make_store()
        for key in (("a", "ada"), ("b", "ada"), ("a", "bob")):
            store.save_tally(_tally(*key, failed=5, pausing=key != ("b", "ada")))
        listed = {tally.key: tally for tally in store.tallies_to_pause()}
        assert listed == {
            GroupKey("a", owner): _tally("a", owner, failed=5, pausing=True, version=1)
            for owner in ("ada", "bob")
        }
        (other,) = store.tallies([GroupKey("b", "ada")]).values()
        for tally in (replace(listed[GroupKey("a", "bob")], pausing=False), other):
            assert store.save_tally(replace(tally, failed=0)) is True
        assert [tally.owner for tally in store.tallies_to_pause()] == ["ada"]
        assert store.save_tally(replace(other, version=2, pausing=True)) is True
        assert {tally.group for tally in store.tallies_to_pause()} == {"a", "b"}

    # --- records that cannot be read ----------------------------------------------------

    def test_a_damaged_job_hides_no_other(self) -> None:
        """It is named by its id; lists leave it out and report it once."""
        jobs = [_job(n) for n in range(3)]
        store = self._with(jobs)
        bad = jobs[1].job_id
        self.damage(store, "job", bad)
        raised: list[CorruptRecord] = []
        try:
            store.get([job.job_id for job in jobs])
        except CorruptRecord as error:
            raised.append(error)
        assert _named(raised) == [("job", bad)]
        assert raised[0].job_id == bad
        assert set(store.get([jobs[0].job_id, jobs[2].job_id])) == {jobs[0].job_id, jobs[2].job_id}
        assert self.reported(store) == []
        assert store.find(JobQuery()).jobs == (jobs[2], jobs[0])
        assert _named(self.reported(store)) == [("job", bad)]
        assert {w.job_id for w in store.waiting(now=NOW, depth=5)} >= {
            jobs[0].job_id,
            jobs[2].job_id,
        }

    def test_a_damaged_pool_hides_no_other_and_is_learned_anew(self) -> None:
        """It is reported, counts as absent, and a first save replaces it."""
        store = self.make_store()
        state = PoolState(name="cpu", refusals=3)
        for name in ("cpu", "gpu"):
            store.save_pool(replace(state, name=name))
        self.damage(store, "pool", "cpu")
        assert list(store.pools()) == ["gpu"]
        assert _named(self.reported(store)) == [("pool", "cpu")]
        assert store.save_pool(replace(state, name="gpu")) is False
        assert store.save_pool(state) is True
        assert store.pools()["cpu"] == replace(state, version=1)
        assert _named(self.reported(store)) == [("pool", "cpu")]

    def test_a_damaged_share_hides_no_other_and_is_charged_anew(self) -> None:
        """It is reported, counts as absent, and a first save replaces it."""
        store = self.make_store()
        ada, bob = (ShareUsage(share=name, hours=2.0, at=NOW) for name in ("ada", "bob"))
        store.save_shares([ada, bob])
        self.damage(store, "share", "ada")
        assert dict(store.shares(["ada", "bob"])) == {"bob": replace(bob, version=1)}
        assert _named(self.reported(store)) == [("share", "ada")]
        assert list(store.save_shares([ada, bob])) == [True, False]
        assert store.shares(["ada"])["ada"] == replace(ada, version=1)
        assert _named(self.reported(store)) == [("share", "ada")]

    def test_a_damaged_tally_hides_no_other_and_is_counted_anew(self) -> None:
        """It is reported, counts as absent, and a first save replaces it."""
        store = self.make_store()
        bad, good = (_tally("g", owner, failed=5, pausing=True) for owner in ("ada", "bob"))
        for tally in (bad, good):
            store.save_tally(tally)
        self.damage(store, "group", "g", "ada")
        stored = replace(good, version=1)
        assert dict(store.tallies([bad.key, good.key])) == {good.key: stored}
        assert _named(self.reported(store)) == [("group", "g/ada")]
        assert list(store.tallies_to_pause()) == [stored]
        assert set(_named(self.reported(store))) == {("group", "g/ada")}
        assert [store.save_tally(tally) for tally in (bad, good)] == [True, False]
        assert store.tallies([bad.key])[bad.key] == replace(bad, version=1)
        assert {tally.owner for tally in store.tallies_to_pause()} == {"ada", "bob"}

    def test_ticks_go_on_beside_damaged_records_of_every_kind(self) -> None:
        """The launch tick launches all but the job that cannot be read, and charges the share anew."""
        jobs = [_job(n, owner=owner) for n, owner in enumerate(("ada", "bob", "ada", "bob"))]
        store = self._with(jobs)
        store.save_pool(PoolState(name="cpu", growth=16))
        store.save_shares([ShareUsage(share="ada", hours=2.0, at=NOW)])
        store.save_tally(_tally("g", "ada", failed=5, pausing=True))
        bad = jobs[2].job_id
        for record in (("job", bad), ("pool", "cpu"), ("share", "ada"), ("group", "g", "ada")):
            self.damage(store, *record)
        troubles: list[str] = []
        settings = jobcore.Settings(on_trouble=lambda job_id, what: troubles.append(job_id))
        report = jobcore.launch_tick(store, _Trainer(), _Clock(), settings)
        assert report.launched == 3
        assert troubles == [bad]
        good = [job.job_id for job in jobs if job.job_id != bad]
        assert {job.status for job in store.get(good).values()} == {Status.LAUNCHED}
        assert {error.kind for error in self.reported(store)} == {"pool", "share", "group"}
        assert store.shares(["ada", "bob"])["ada"] == ShareUsage(
            share="ada", version=1, hours=1.0, at=NOW
        )
