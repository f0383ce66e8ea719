"""Each invariant can be broken, and is then named; and the simulator keeps them all."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

import jobcore
from jobcore import (
    LaunchAccepted,
    LaunchDecided,
    LaunchRefused,
    Limits,
    Placement,
    Snapshot,
    Status,
    StopRequested,
    TrainingEnded,
    TrainingSeen,
    step,
)
from jobcore.lifecycle import HoldCode
from jobcore.ports import TrainingState, Usage
from jobcore_memory import ManualClock, MemoryStore, MemoryTrainer, RecordingNotifier, Script
from jobcore_simulation.oracles import Oracle
from jobcore_simulation.simulator import Broken, PoolSpec, Scenario, Simulation, Watch, Work
from jobcore_simulation.simulator._store import ObjectStore

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PLACE = Placement("cpu")
ID = jobcore.job_id_from_token("t", "0")
NAME = jobcore.lifecycle.training_name(ID, 1)
FAILURE = jobcore.Failure(
    failure_class=jobcore.FailureClass.UNKNOWN,
    scope=jobcore.lifecycle.Scope.JOB,
    retryable=jobcore.lifecycle.Retryable.LIMITED,
    rule="r",
    text="no",
)


class World:
    """A watched store and trainer, and one job in them."""

    def __init__(self, base=None) -> None:
        self.clock = ManualClock(NOW)
        self.memory = MemoryTrainer(clock=self.clock)
        self.base = base or ObjectStore()
        self.oracle = Oracle(self.memory._describe)
        self.store = self.oracle.store(self.base)
        self.trainer = self.oracle.trainer(self.memory)
        self.notifier = self.oracle.notifier(RecordingNotifier())
        policy = jobcore.RetryPolicy(backoff=timedelta(0), backoff_max=timedelta(0))
        self.spec = jobcore.Spec(name="j", owner="t", placements=(PLACE,), retry=policy)
        jobcore.submit([self.spec], [ID], store=self.store, now=NOW)

    @property
    def job(self):
        return self.oracle.jobs[ID]

    def write(self, job):
        (saved,) = self.store.save([job])
        assert saved is not None
        return saved

    def apply(self, *events):
        job = self.job
        for event in events:
            job = step(job, event, now=self.clock.now()).job
        return self.write(job)

    def request(self, attempt=1, job_id=ID, spec_hash=None):
        return jobcore.ports.LaunchRequest(
            name=jobcore.lifecycle.training_name(ID, attempt),
            job_id=job_id,
            attempt=attempt,
            spec_hash=spec_hash or jobcore.lifecycle.spec_hash(self.spec),
            placement=PLACE,
            args={},
        )

    def run(self):
        """Bring the job to InProgress, as the ticks do."""
        self.apply(LaunchDecided(attempt=1, placement=PLACE))
        self.trainer.launch([self.request()])
        self.apply(LaunchAccepted(attempt=1, placement=PLACE))
        self.trainer.describe([NAME])
        self.apply(TrainingSeen(attempt=1, running=True))
        assert self.oracle.found == []

    def end(self):
        self.clock.advance(timedelta(minutes=2))
        self.trainer.describe([NAME])
        self.apply(TrainingEnded(attempt=1, outcome=Status.COMPLETED))

    def codes(self):
        return {violation.code for violation in self.oracle.found}


def s1(world):
    world.run()
    world.apply(
        TrainingEnded(attempt=1, outcome=Status.FAILED, failure=FAILURE),
        LaunchDecided(attempt=2, placement=PLACE),
    )
    world.trainer.launch([world.request(2)])


def s2_attempt_not_seen_to_end(world):
    world.run()
    world.apply(TrainingEnded(attempt=1, outcome=Status.FAILED, failure=FAILURE))


def s2_created_again(world):
    world.run()
    world.end()
    world.memory.vanish(NAME)
    world.trainer.launch([world.request()])


def s2_over_budget(world):
    world.write(replace(world.job, charges={jobcore.FailureClass.UNKNOWN: 2}))


def s3(world):
    world.run()
    world.end()
    world.write(replace(world.job, state=jobcore.lifecycle.New(since=NOW)))


def s4_lost_update(world):
    stale = world.job
    world.apply(LaunchDecided(attempt=1, placement=PLACE))
    base = world.base  # as a store does that does not compare
    base._index(base._jobs[ID], stale)
    base._jobs[ID] = stale
    world.store.save([step(stale, StopRequested(by="t"), now=NOW).job])


def s4_no_such_edge(world):
    attempt = jobcore.lifecycle.Attempt(number=1, placement=PLACE, launching_at=NOW)
    mark = jobcore.lifecycle.Mark(at=NOW, status=Status.IN_PROGRESS, attempt=1)
    state = jobcore.lifecycle.InProgress(since=NOW, attempt=attempt)
    world.write(replace(world.job, state=state, timeline=(*world.job.timeline, mark)))


def s5(world):
    world.run()
    world.clock.advance(timedelta(seconds=1))
    world.apply(TrainingEnded(attempt=1, outcome=Status.COMPLETED))


def s6(world):
    world.trainer.launch([world.request()])


def s7_not_owed(world):
    world.run()
    world.clock.advance(timedelta(minutes=2))
    world.trainer.describe([NAME])
    ended = TrainingEnded(attempt=1, outcome=Status.COMPLETED)
    world.write(replace(step(world.job, ended, now=NOW).job, outbox=()))


def s7_cleared_untold(world):
    world.run()
    world.end()
    world.write(replace(world.job, outbox=()))


def s7_two_ids(world):
    world.run()
    world.end()
    message = jobcore.messages.message_for(world.job, world.job.outbox[0])
    world.notifier.publish(message)
    world.notifier.publish(replace(message, event_id=message.event_id + "/2"))


def s8_never_was(world):
    entry = jobcore.lifecycle.OutboxEntry(event_id=f"{ID}/1/Failed", status=Status.FAILED, at=NOW)
    world.notifier.publish(jobcore.messages.message_for(world.job, entry))


def s9(world):
    world.run()
    world.apply(StopRequested(by="t"))
    world.write(replace(world.job, stop=None))


def s10(world):
    world.write(replace(world.job, stop=jobcore.lifecycle.StopRequest(at=NOW, by="t")))
    world.apply(LaunchDecided(attempt=1, placement=PLACE))


def s11(world):
    world.run()
    world.write(replace(world.job, state=replace(world.job.state)))


def s12(world):
    world.memory.scripts[NAME] = Script(runs=timedelta(hours=1))
    world.run()
    world.apply(StopRequested(by="t"))
    stopped = replace(FAILURE, failure_class=jobcore.FailureClass.STOPPED_BY_USER)
    world.apply(TrainingEnded(attempt=1, outcome=Status.STOPPED, failure=stopped))


def s13(world):
    mark = jobcore.lifecycle.Mark(at=NOW, status=Status.STOPPED, attempt=1)
    state = jobcore.lifecycle.Stopped(since=NOW)
    world.write(replace(world.job, state=state, timeline=(*world.job.timeline, mark)))


def s14_healthy(world):
    world.run()
    world.trainer.stop(NAME)


def s14_a_strangers(world):
    world.memory.launch([world.request(job_id=jobcore.job_id_from_token("x", "1"))])
    world.trainer.stop(NAME)


def s15(world):
    world.apply(LaunchDecided(attempt=1, placement=PLACE))
    world.memory.launch([world.request(spec_hash="another")])
    world.apply(LaunchAccepted(attempt=1, placement=PLACE))


def s16(world):
    world.run()
    world.base._use.clear()
    world.base._usage = None
    world.oracle.check_store(world.base, NOW)


def j1_lost(world):
    world.base._lanes.clear()
    world.oracle.check_store(world.base, NOW)


def j1_not_looked_after(world):
    world.run()
    world.base._due[jobcore.lifecycle.Tick.MONITOR].clear()
    world.oracle.check_store(world.base, NOW)


def l1_not_over(world):
    world.oracle.check_end((), frozenset())


def l1_left_alone(world):
    world.memory.scripts[NAME] = Script(runs=timedelta(hours=1))
    world.run()
    world.oracle.check_end(world.memory.running(), frozenset())


BROKEN = [
    s1, s2_attempt_not_seen_to_end, s2_created_again, s2_over_budget, s3, s4_lost_update,
    s4_no_such_edge, s5, s6, s7_not_owed, s7_cleared_untold, s7_two_ids, s8_never_was, s9, s10,
    s11, s12, s13, s14_healthy, s14_a_strangers, s15, s16, j1_lost, j1_not_looked_after,
    l1_not_over, l1_left_alone,
]  # fmt: skip


@pytest.mark.parametrize("break_it", BROKEN, ids=lambda f: f.__name__)
def test_what_breaks_an_invariant_is_named(break_it):
    world = World()
    break_it(world)
    assert break_it.__name__.split("_")[0].upper() in world.codes()


def test_a_good_life_breaks_none():
    world = World()
    world.run()
    world.end()
    notify = jobcore.Settings()
    jobcore.notify_tick(world.store, world.notifier, world.clock, notify)
    world.oracle.check_store(world.base, NOW)
    world.oracle.check_end(world.memory.running(), frozenset())
    assert world.oracle.found == []
    assert world.oracle.edges[Status.IN_PROGRESS, Status.COMPLETED] == 1


def test_a_retry_after_an_end_that_was_seen_breaks_none():
    world = World()
    world.memory.scripts[NAME] = Script(outcome=TrainingState.FAILED)
    world.run()
    world.clock.advance(timedelta(minutes=2))
    world.trainer.describe([NAME])
    world.apply(TrainingEnded(attempt=1, outcome=Status.FAILED, failure=FAILURE))
    world.apply(LaunchDecided(attempt=2, placement=PLACE))
    world.trainer.launch([world.request(2)])
    assert world.oracle.found == []


def test_a_refused_launch_of_a_held_job_breaks_none():
    world = World()
    world.apply(LaunchDecided(attempt=1, placement=PLACE))
    world.apply(LaunchRefused(attempt=1, failure=FAILURE))
    world.apply(jobcore.HoldRequested(by="t", code=HoldCode.USER))
    assert world.oracle.found == []


# --- plans ------------------------------------------------------------------------------


class Says:
    """A scheduler that decides what a test says."""

    def __init__(self, *launches):
        self.launches = launches

    def plan(self, snapshot, limits, *, now):
        return jobcore.scheduling.Plan(tuple(self.launches))

    def learn(self, state, facts, **how):
        return state


def waiting(number, *pools, count=1):
    return jobcore.ports.Waiting(
        job_id=jobcore.job_id_from_token("t", str(number)),
        priority=0,
        share="t",
        placements=tuple(Placement(pool, count) for pool in pools),
        submitted_at=NOW,
    )


def judged(snapshot, *pools, limits=None, bet=False, now=NOW):
    oracle = Oracle(lambda name: None)
    launches = [
        jobcore.scheduling.Launch(job.job_id, 1, Placement(pool, job.placements[0].count), bet=bet)
        for job, pool in zip(snapshot.waiting, pools, strict=True)
    ]
    oracle.scheduler(Says(*launches)).plan(snapshot, limits or Limits(), now=now)
    return [violation.code for violation in oracle.found]


def test_a_plan_beyond_a_size_a_limit_or_a_share_is_named():
    two = Snapshot(
        waiting=[waiting(1, "a"), waiting(2, "a")],
        usage=[Usage("a", "t", 1)],
        capacity={"a": 3},
    )
    assert judged(two, "a", "a") == []
    assert judged(replace(two, capacity={"a": 2}), "a", "a") == ["S17"]
    assert judged(two, "a", "a", limits=Limits(pools={"a": 2})) == ["S17"]
    assert judged(two, "a", "a", limits=Limits(shares={"t": 2})) == ["S17"]


def test_a_plan_beyond_a_known_quota_is_named_but_for_the_one_that_asks_again():
    pool = jobcore.lifecycle.PoolState(name="a", limit=3, external=1, limit_at=NOW)
    snapshot = Snapshot(
        waiting=[waiting(1, "a"), waiting(2, "a")],
        usage=[Usage("a", "t", 1)],
        capacity={"a": None},
        pools={"a": pool},
    )
    one = replace(snapshot, waiting=snapshot.waiting[:1])
    assert judged(snapshot, "a", "a") == ["S17"]
    assert judged(one, "a") == []
    assert judged(snapshot, "a", "a", now=NOW + timedelta(minutes=3)) == [], "others are forgotten"
    full = replace(one, usage=[Usage("a", "t", 3)])
    assert judged(full, "a", now=NOW + timedelta(minutes=3)) == ["S17"]
    assert judged(full, "a", now=NOW + timedelta(minutes=16)) == []


def test_bets_that_stay_in_one_pool_are_named():
    def shortage(name, minutes):
        at = NOW - timedelta(minutes=minutes)
        return jobcore.lifecycle.PoolState(
            name=name, refusals=1, refused_at=at, bet_at=at, closed_until=at, growth=0
        )

    snapshot = Snapshot(
        waiting=[waiting(1, "a", "b")],
        capacity={"a": None, "b": None},
        pools={"a": shortage("a", 1), "b": shortage("b", 9)},
    )
    assert judged(snapshot, "a", bet=True) == ["J2"]
    assert judged(snapshot, "b", bet=True) == []


# --- the simulator ----------------------------------------------------------------------

POOL = "eu-west-1/ml.g5.xlarge/on-demand"
SCENARIOS = [
    Scenario(
        name="small",
        work=Work(jobs=30, run=(1200.0, 0.5), fails=0.1, flaky=0.2),
        pools=[PoolSpec(name=POOL, capacity=((0.0, 6), (1800.0, 0), (5400.0, 8)), quota=7)],
    ),
    Scenario(
        name="spot",
        work=Work(jobs=20, run=(2400.0, 0.5), spread=True),
        pools=[
            PoolSpec(name="a/x/spot", capacity=((0.0, 8),), flips=(3000.0, 1500.0), spot=True),
            PoolSpec(name="b/x/spot", capacity=((0.0, 4),), flips=(5000.0, 2500.0), spot=True),
        ],
    ),
    Scenario(
        name="others",
        work=Work(jobs=20, run=(900.0, 0.3)),
        pools=[
            PoolSpec(
                name=POOL,
                capacity=((0.0, 9),),
                quota=8,
                others=((600.0, 6), (4000.0, 0)),
            )
        ],
    ),
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.name)
@pytest.mark.parametrize("store", [ObjectStore, MemoryStore])
def test_the_simulator_keeps_the_invariants_at_every_step(scenario, store):
    watch = Watch()
    simulation = Simulation(scenario, "1", check=watch, store=store())
    outcome = simulation.run()
    assert outcome.completed
    watch.end(simulation)
    assert sum(watch.oracle.edges.values()) > 60
    assert len(watch.oracle.notified) == outcome.jobs
    assert outcome.digest == Simulation(scenario, "1").run().digest, "who watches changes nothing"


def test_a_simulation_that_breaks_one_is_stopped():
    class Forgets(ObjectStore):
        def waiting(self, *, now, depth):
            return super().waiting(now=now, depth=1)

    with pytest.raises(Broken, match="J1"):
        Simulation(SCENARIOS[0], "1", check=Watch(), store=Forgets()).run()
