"""What a tick asks, saves, reports and leaves alone, call by call, with a trainer that follows a script."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from core_strategies import T0, accepted, after, decided, ended, make_failure, make_job
from jobcore import (
    Clocks,
    CorruptRecord,
    FailureClass,
    HoldRequested,
    LaunchAccepted,
    LaunchRefused,
    Limits,
    Placement,
    ReleaseRequested,
    Settings,
    Spec,
    Status,
    StopRequested,
    TimePassed,
    TrainingEnded,
    TrainingSeen,
    Unavailable,
    job_id_from_token,
    launch_tick,
    monitor_tick,
    notify_tick,
    reap_tick,
    submit,
)
from jobcore.failures import Rule
from jobcore.lifecycle import (
    GroupKey,
    GroupTally,
    HoldCode,
    PoolState,
    Retryable,
    Scope,
    Tick,
    spec_hash,
    training_name,
)
from jobcore.ports import (
    Added,
    Due,
    Evidence,
    LaunchReply,
    LaunchRequest,
    LaunchResult,
    Training,
    TrainingState,
)
from jobcore.scheduling import DEFAULT_SCHEDULER, FactKind
from jobcore.ticks import Change, apply_request, snapshot_of
from jobcore_memory import ManualClock, MemoryStore, RecordingNotifier

MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)
FULL = Evidence(
    where="create",
    error_code="ResourceLimitExceeded",
    text="The account-level service limit 'a for training job usage' is 9 Instances, with current "
    "utilization of 9 Instances and a request delta of 1 Instances.",
)
FAST = Evidence(where="create", error_code="ThrottlingException", text="Rate exceeded")
WRONG = Evidence(
    where="create", error_code="ValidationException", text="1 validation error detected"
)
STOP = StopRequested(by="ada")


class Scripted:
    """A trainer that answers as it is told; by default each launch is accepted."""

    def __init__(self, capacity=None):
        self.replies, self.trainings, self.listed = {}, {}, []
        self.asked, self.described, self.stopped = [], [], []
        self.sizes = {"a": None, "b": None} if capacity is None else capacity
        self.broken = {}

    def check(self, call):
        if call in self.broken:
            raise self.broken[call]

    def launch(self, requests):
        self.asked.append([request.name for request in requests])
        self.requests = list(requests)
        self.check("launch")
        for request in requests:
            self.check(request.name)
        return [self.replies.get(r.name, LaunchReply(LaunchResult.ACCEPTED)) for r in requests]

    def describe(self, names):
        self.described.append(list(names))
        self.check("describe")
        return {name: self.trainings[name] for name in names if name in self.trainings}

    def stop(self, name):
        self.stopped.append(name)
        self.check("stop")

    def capacity(self):
        self.check("capacity")
        return self.sizes

    def running(self):
        self.check("running")
        return iter(self.listed)


class Planned:
    """A scheduler that plans as the core's and learns nothing, but notes what it is taught."""

    def __init__(self):
        self.taught = []

    plan = staticmethod(DEFAULT_SCHEDULER.plan)

    def learn(self, state, facts, **known):
        self.taught.append((state, list(facts), known))
        return state


class World:
    def __init__(self, count=1, *, jobs=None, capacity=None, **settings):
        self.clock, self.store, self.trainer = ManualClock(T0), MemoryStore(), Scripted(capacity)
        self.changes, self.troubles = [], []
        self.settings = Settings(
            on_change=self.changes.append,
            on_trouble=lambda job_id, what: self.troubles.append((job_id, what)),
            **settings,
        )
        self.jobs = [make_job(str(n)) for n in range(count)] if jobs is None else jobs
        self.store.add(self.jobs)
        self.ids = [job.job_id for job in self.jobs]
        self.names = [training_name(job_id, 1) for job_id in self.ids]

    def get(self, number=0):
        return self.store.get(self.ids)[self.ids[number]]

    def states(self):
        jobs = self.store.get(self.ids)
        return [str(jobs[job_id].status) for job_id in self.ids]

    def launch(self):
        return launch_tick(self.store, self.trainer, self.clock, self.settings)

    def monitor(self):
        return monitor_tick(self.store, self.trainer, self.clock, self.settings)

    def put(self, number, *events):
        """Take the stored job further."""
        for event in events:
            apply_request(self.ids[number], event, store=self.store, now=self.clock.now())

    def training(self, number=0, state=TrainingState.RUNNING, **more):
        job = self.get(number)
        values = {"job_id": job.job_id, "attempt": 1, "spec_hash": spec_hash(job.spec)} | more
        return Training(name=self.names[number], state=state, **values)

    def pool(self, name="a", **state):
        known = self.store.pools().get(name, PoolState(name=name))
        assert self.store.save_pool(replace(known, **state))

    def tally(self, key, **counted):
        group, owner = key
        assert self.store.save_tally(GroupTally(group=group, owner=owner, at=T0, **counted))

    def used(self, *shares):
        return {name: usage.hours for name, usage in self.store.shares(shares).items()}


# --- submit and ask -----------------------------------------------------------------------


def test_a_submission_keeps_its_order_and_says_what_became_of_each():
    store = MemoryStore()
    specs = [make_job().spec] * 3
    ids = [job_id_from_token("t", str(n)) for n in range(3)]
    first = submit(specs, ids, store=store, now=T0)
    assert [one.added for one in first] == [Added.CREATED] * 3
    assert [one.job.submitted_at - T0 for one in first] == [
        timedelta(microseconds=n) for n in range(3)
    ]
    again = submit(specs[:1], ids[:1], store=store, now=T0 + MINUTE)
    assert [one.added for one in again] == [Added.DUPLICATE]
    assert store.get(ids[:1])[ids[0]] == first[0].job


def test_a_submission_may_be_on_hold():
    store = MemoryStore()
    (one,) = submit([make_job().spec], [make_job().job_id], store=store, now=T0, held_by="ada")
    assert (one.job.status, one.job.state.reason) == (Status.HELD, "submitted on hold")
    assert one.job.outbox == ()


def test_a_submission_with_a_mistake_writes_nothing():
    store, spec, (one, two) = MemoryStore(), make_job().spec, ("0" * 26, "1" * 26)
    with pytest.raises(ValueError, match="expected one for each of 2 specs, got 1"):
        submit([spec] * 2, [one], store=store, now=T0)
    with pytest.raises(ValueError, match=f"job_ids: {two} occurs twice"):
        submit([spec] * 3, [one, two, two], store=store, now=T0)
    assert store.get([one, two]) == {}


class Contended(MemoryStore):
    """Somebody else is faster, so many times."""

    def __init__(self, losses=0):
        super().__init__()
        self.losses, self.saves = losses, 0

    def save(self, jobs):
        self.saves += 1
        if self.losses:
            self.losses -= 1
            return [None] * len(jobs)
        return super().save(jobs)


def test_what_is_asked_is_tried_again_when_others_are_faster():
    store = Contended(losses=9)
    store.add([make_job()])
    done = apply_request(make_job().job_id, STOP, store=store, now=T0)
    assert (done.job.status, done.job.version, done.changed) == (Status.STOPPED, 1, True)
    store = Contended(losses=10)
    store.add([make_job()])
    with pytest.raises(Unavailable, match=f"job {make_job().job_id} kept changing"):
        apply_request(make_job().job_id, STOP, store=store, now=T0)
    assert store.saves == 10


def test_what_cannot_be_asked_is_answered_and_not_saved():
    store = Contended()
    store.add([make_job()])
    assert apply_request("0" * 26, STOP, store=store, now=T0) is None
    refused = apply_request(make_job().job_id, ReleaseRequested(by="ada"), store=store, now=T0)
    assert refused.ignored == "it is not held and does not back off"
    assert store.saves == 0


# --- launch ---------------------------------------------------------------------------------


def test_a_launch_asks_for_what_the_spec_says():
    spec = Spec(
        name="n",
        owner="ada",
        placements=(Placement("b", 2),),
        args={"script": "x.py"},
        group="g",
        tags={"k": "v"},
        clocks=Clocks(run_at_most=MINUTE),
    )
    job = replace(make_job(), spec=spec)
    world = World(jobs=[job])
    report = world.launch()
    assert world.trainer.requests == [
        LaunchRequest(
            name=training_name(job.job_id, 1),
            job_id=job.job_id,
            attempt=1,
            spec_hash=spec_hash(spec),
            placement=Placement("b", 2),
            args={"script": "x.py"},
            run_at_most=MINUTE,
            owner="ada",
            group="g",
            tags={"k": "v"},
            to_stop=False,
        )
    ]
    assert (report.launched, report.changed, report.looked_at) == (1, 2, 1)
    assert (report.refused, report.troubles, report.stopped) == (0, 0, 0)
    assert [(c.before, c.job.status, c.note) for c in world.changes] == [
        (Status.NEW, Status.LAUNCHING, "pool b"),
        (Status.LAUNCHING, Status.LAUNCHED, ""),
    ]
    assert isinstance(world.changes[1].event, LaunchAccepted)
    assert [c.job.version for c in world.changes] == [1, 2], "as saved"


@pytest.mark.parametrize(
    ("together", "calls"), [(0, [1, 1, 1]), (1, [1, 1, 1]), (2, [2, 1]), (9, [3])]
)
def test_so_many_launches_are_under_way_at_once(together, calls):
    world = World(3, launches_together=together)
    assert world.launch().launched == 3
    assert [len(names) for names in world.trainer.asked] == calls


def test_a_launch_that_was_begun_is_left_alone_while_its_lease_lasts():
    world = World(jobs=[make_job()])
    world.put(0, decided())
    world.clock.advance(59 * SECOND)
    assert world.launch().looked_at == 0
    world.clock.advance(SECOND)
    report = world.launch()
    assert (report.looked_at, report.launched, world.states()) == (1, 1, ["Launched"])


def test_a_clock_that_has_run_out_turns_a_late_launch_into_a_stop():
    job = make_job(clocks=Clocks(finish_by=T0 + MINUTE))
    world = World(jobs=[job])
    world.put(0, decided())
    world.clock.advance(MINUTE)
    world.launch()
    assert world.trainer.requests[0].to_stop
    assert world.get().state.known


def test_an_answer_that_is_not_known_leaves_the_job_as_it_is():
    world = World()
    timeout = Evidence(where="create", text="Read timeout")
    world.trainer.replies[world.names[0]] = LaunchReply(LaunchResult.UNCLEAR, timeout)
    report = world.launch()
    assert world.states() == ["Launching"]
    assert (report.launched, report.refused, report.troubles) == (0, 0, 1)
    assert world.troubles == [
        (world.ids[0], f"Unavailable: launch of {world.names[0]}: Read timeout")
    ]
    world.trainer.replies[world.names[0]] = LaunchReply(LaunchResult.UNCLEAR)
    world.clock.advance(MINUTE)
    world.launch()
    assert world.troubles[1][1].endswith("no answer")


@pytest.mark.parametrize("running", [True, False])
def test_a_training_that_exists_and_is_ours_is_adopted(running):
    world = World()
    state = TrainingState.RUNNING if running else TrainingState.PENDING
    world.trainer.replies[world.names[0]] = LaunchReply(LaunchResult.EXISTS)
    world.trainer.trainings[world.names[0]] = world.training(state=state, detail="x", started_at=T0)
    report = world.launch()
    assert world.trainer.described == [[world.names[0]]]
    assert world.states() == ["InProgress" if running else "Launched"]
    assert report.launched == 1
    assert world.get().state.detail == "x"


def test_a_training_that_exists_and_is_over_ends_the_job():
    world = World()
    world.trainer.replies[world.names[0]] = LaunchReply(LaunchResult.EXISTS)
    over = world.training(state=TrainingState.COMPLETED, started_at=T0 - MINUTE, ended_at=T0)
    world.trainer.trainings[world.names[0]] = over
    world.launch()
    (attempt,) = world.get().attempts
    assert (attempt.started_at, attempt.ended_at) == (T0 - MINUTE, T0)
    assert attempt.failure is None
    assert world.states() == ["Completed"]


@pytest.mark.parametrize("known", [{}, {"x": None}])
def test_a_name_that_exists_and_cannot_be_read_is_asked_again(known):
    world = World()
    world.trainer.replies[world.names[0]] = LaunchReply(LaunchResult.EXISTS)
    world.trainer.trainings = {world.names[0]: None} if known else {}
    report = world.launch()
    assert (world.states(), report.launched, report.troubles) == (["Launching"], 0, 0)
    world.trainer.broken["describe"] = OSError("reset")
    world.clock.advance(MINUTE)
    assert world.launch().troubles == 1
    assert (world.states(), world.troubles) == (["Launching"], [(world.ids[0], "OSError: reset")])


@pytest.mark.parametrize(
    ("stranger", "whose"),
    [
        ({"job_id": "other"}, "job other"),
        ({"job_id": None}, "a training that is not jobcore's"),
        ({"attempt": 2}, None),
        ({"spec_hash": "x"}, None),
    ],
)
def test_a_training_of_a_strangers_is_left_alone_and_named(stranger, whose):
    world = World()
    world.trainer.replies[world.names[0]] = LaunchReply(LaunchResult.EXISTS)
    world.trainer.trainings[world.names[0]] = world.training(**stranger)
    report = world.launch()
    held = world.get().state
    assert held.code is HoldCode.NAME_TAKEN
    whose = whose or f"job {world.ids[0]}"
    assert held.reason == f"the training name {world.names[0]} is in use by {whose}"
    assert (report.launched, world.trainer.stopped) == (0, [])


def two_in(pool, count, other_count=1):
    return [
        make_job("0", placements=(Placement(pool, count),), priority=1),  # it goes first
        make_job("1", placements=(Placement("a", other_count),)),
        make_job("2", placements=(Placement("b"),)),
    ]


def test_a_pool_that_has_refused_is_not_asked_again_in_this_pass_and_others_are():
    world = World(jobs=two_in("a", 1))
    world.trainer.replies[world.names[0]] = LaunchReply(LaunchResult.REFUSED, FULL)
    report = world.launch()
    assert world.trainer.asked == [[world.names[0]], [world.names[2]]]
    assert world.states() == ["New", "New", "Launched"]
    assert (report.refused, report.launched) == (1, 1)
    asked, not_asked = world.get(0), world.get(1)
    assert asked.charges == {FailureClass.QUOTA: 1}
    assert asked.state.after is not None
    assert (not_asked.charges, not_asked.state.after) == ({}, None)
    assert not_asked.version == 0, "of a launch that was not requested nothing is saved"


def test_what_asks_for_less_than_was_refused_is_asked():
    world = World(jobs=two_in("a", 3, other_count=2))
    world.trainer.replies[world.names[0]] = LaunchReply(LaunchResult.REFUSED, FULL)
    world.launch()
    in_order = [world.names[n] for n in (0, 2, 1)]  # by priority, then the smaller first
    assert world.trainer.asked == [[name] for name in in_order]


def test_an_account_that_is_asked_too_fast_is_not_asked_again_in_this_pass():
    world = World(jobs=two_in("a", 1))
    world.trainer.replies[world.names[0]] = LaunchReply(LaunchResult.REFUSED, FAST)
    world.launch()
    assert world.trainer.asked == [[world.names[0]]]
    assert world.states() == ["New"] * 3


def test_a_jobs_own_refusal_says_nothing_of_the_next():
    world = World(jobs=two_in("a", 1))
    world.trainer.replies[world.names[0]] = LaunchReply(LaunchResult.REFUSED, WRONG)
    world.launch()
    assert len(world.trainer.asked) == 3
    assert world.states() == ["Failed", "Launched", "Launched"]
    assert world.trainer.stopped == []
    assert world.store.pools()["a"].refused_at is None
    alone = World()
    alone.trainer.replies[alone.names[0]] = LaunchReply(LaunchResult.REFUSED, WRONG)
    alone.launch()
    assert (alone.states(), alone.store.pools()) == (["Failed"], {})


def test_launches_that_were_begun_before_are_all_asked():
    """Of these an earlier call may be under way: what is known of the pool decides nothing."""
    world = World(jobs=two_in("a", 1))
    for number in range(2):
        world.put(number, decided())
    world.put(2, HoldRequested(by="ada"))
    world.trainer.replies = dict.fromkeys(world.names, LaunchReply(LaunchResult.REFUSED, FULL))
    world.clock.advance(MINUTE)
    world.settings = replace(world.settings, limits=Limits(launches_max=0))
    world.launch()
    assert world.trainer.asked == [[world.names[0]], [world.names[1]]]


def test_one_launch_that_raises_does_not_keep_the_others_from_theirs():
    world = World(3, launches_together=3)
    world.trainer.broken[world.names[1]] = ValueError("poisoned")
    report = world.launch()
    assert [len(names) for names in world.trainer.asked] == [3, 1, 1, 1]
    assert sorted(world.states()) == ["Launched", "Launched", "Launching"]
    assert world.troubles == [(world.ids[1], "ValueError: poisoned")]
    assert (report.looked_at, report.launched, report.troubles) == (3, 2, 1)


def test_where_there_is_no_time_nothing_more_is_asked():
    times = iter([True, True, True, False])  # and it is not asked again
    world = World(5, go_on=lambda: next(times))
    world.launch()
    assert len(world.trainer.asked) == 2
    assert sorted(world.states()) == ["Launched"] * 2 + ["New"] * 3


def test_without_the_trainers_pools_nothing_is_planned():
    world = World()
    world.trainer.broken["capacity"] = Unavailable("away")
    report = world.launch()
    assert (report.troubles, world.troubles) == (1, [("", "Unavailable: away")])
    assert (world.states(), report.wake_at) == (["New"], None)


def test_a_plan_says_when_to_come_back():
    world = World()
    world.pool(closed_until=T0 + MINUTE, refused_at=T0)
    assert world.launch().wake_at == T0 + MINUTE
    assert world.states() == ["New"]


def test_a_snapshot_is_all_that_a_plan_needs():
    world = World(3)
    world.put(2, decided())
    world.pool("b", level=3)
    snapshot = snapshot_of(world.store, world.trainer, now=T0, limits=Limits(launches_max=1))
    assert [w.job_id for w in snapshot.waiting] == [min(world.ids[:2])]
    assert [(u.pool, u.slots) for u in snapshot.usage] == [("a", 1)]
    assert snapshot.capacity == {"a": None, "b": None}
    assert snapshot.pools["b"].level == 3


def test_a_job_that_ended_while_it_was_launched_has_its_training_stopped():
    world = World()

    class Late(Scripted):
        def launch(self, requests):
            # Another tick was refused, and its owner has stopped the job, before this answer.
            world.put(0, STOP)
            world.store.save(
                [replace(after(world.get(), ended(outcome=Status.STOPPED)), version=2) for _ in [0]]
            )
            return super().launch(requests)

    world.trainer = Late()
    report = world.launch()
    assert world.states() == ["Stopped"]
    assert (world.trainer.stopped, report.stopped) == ([world.names[0]], 1)


# --- what the pools are taught --------------------------------------------------------------


def taught(world):
    return [
        (state.name, [(f.kind, f.count, f.bet, f.over, f.launched_at) for f in facts], known)
        for state, facts, known in world.settings.scheduler.taught
    ]


def test_a_bet_is_taught_with_what_is_in_use_afterwards():
    world = World(jobs=[make_job(placements=(Placement("a", 2),))], scheduler=Planned())
    world.launch()
    ((name, facts, known),) = taught(world)
    assert (name, facts) == ("a", [(FactKind.ACCEPTED, 2, True, False, T0)])
    assert (known["in_flight"], known["running"], known["now"]) == (2, 0, T0)
    assert known["limits"] == world.settings.limits


def test_what_teaches_nothing_new_is_not_even_looked_up():
    world = World(capacity={"a": 4, "b": 4}, scheduler=Planned())
    world.launch()
    assert taught(world) == [], "a pool that tells its size, and took what fits"
    world.pool()
    world.jobs += [make_job("more")]
    world.store.add(world.jobs[1:])
    world.launch()
    ((_, facts, known),) = taught(world)
    assert facts == [(FactKind.ACCEPTED, 1, False, False, T0)]
    assert known["in_flight"] == 2


def test_what_was_learned_is_saved_once_for_each_pool():
    world = World(jobs=two_in("a", 1))
    world.trainer.replies[world.names[0]] = LaunchReply(LaunchResult.REFUSED, FULL)
    world.launch()
    pools = world.store.pools()
    assert (pools["a"].version, pools["a"].limit, pools["a"].external) == (1, 9, 9)
    assert pools["b"].bets == 1


def looked_at(world, training, *events):
    world.put(0, decided(), accepted(), *events)
    world.trainer.trainings[world.names[0]] = training
    world.pool()
    world.clock.advance(MINUTE)
    return world.monitor()


RUN = TrainingSeen(attempt=1, running=True)


@pytest.mark.parametrize(
    ("events", "training", "expected"),
    [
        ((), {}, [(FactKind.STARTED, False)]),
        ((RUN,), {}, []),
        ((), {"state": TrainingState.PENDING}, []),
        ((), {"state": TrainingState.COMPLETED}, [(FactKind.ENDED, False)]),
        (
            (),
            {"state": TrainingState.COMPLETED, "started_at": T0},
            [(FactKind.STARTED, True), (FactKind.ENDED, False)],
        ),
        (
            (RUN,),
            {"state": TrainingState.COMPLETED, "started_at": T0},
            [(FactKind.ENDED, False)],
        ),
    ],
)
def test_what_a_look_teaches(events, training, expected):
    world = World(scheduler=Planned())
    looked_at(world, world.training(**training), *events)
    facts = [(kind, over) for _, all_of, _ in taught(world) for kind, _, _, over, _ in all_of]
    assert facts == expected


def test_one_that_stays_pending_is_news_after_five_minutes():
    world = World(scheduler=Planned())
    pending = world.training(state=TrainingState.PENDING)
    looked_at(world, pending)
    world.clock.advance(4 * MINUTE)
    world.monitor()
    assert taught(world) == []
    world.clock.advance(SECOND)
    world.monitor()
    ((_, facts, _),) = taught(world)
    assert facts == [(FactKind.PENDING, 1, False, False, T0)]


def test_one_that_was_lost_for_want_of_capacity_teaches_its_loss_alone():
    world = World(scheduler=Planned())
    reason = "CapacityError: Unable to provision requested ML compute capacity."
    evidence = Evidence(where="describe", status="Failed", text=reason)
    lost = world.training(state=TrainingState.FAILED, started_at=T0, evidence=evidence)
    looked_at(world, lost)
    ((_, facts, known),) = taught(world)
    assert [kind for kind, *_ in facts] == [FactKind.LOST]
    assert known["in_flight"] == 0
    ((_, (fact,), _),) = world.settings.scheduler.taught
    assert (fact.failure.failure_class, fact.job_id, fact.attempt) == (
        FailureClass.CAPACITY,
        world.ids[0],
        1,
    )


# --- shares ---------------------------------------------------------------------------------


def served_after(*shares, running=()):
    jobs = [make_job(str(n), share=share) for n, share in enumerate([*shares, *running])]
    world = World(jobs=jobs)
    for number in range(len(shares), len(jobs)):
        world.put(number, decided(), accepted())
    world.launch()
    return world.used("x", "y")


def test_who_was_given_slots_is_noted_where_there_are_several_shares():
    assert served_after("x") == {}
    assert served_after("x", "x", running=["x"]) == {}
    assert served_after("x", "y", "x") == {"x": 2.0, "y": 1.0}
    assert served_after("x", running=["y"]) == {"x": 1.0, "y": 0.0}
    assert served_after(running=["x", "y"]) == {}


# --- monitor ----------------------------------------------------------------------------------


def test_a_look_moves_the_job_and_a_second_one_writes_nothing():
    world = World()
    report = looked_at(world, world.training(detail="Training", started_at=T0 + SECOND))
    job = world.get()
    assert (job.status, job.state.detail) == (Status.IN_PROGRESS, "Training")
    assert job.current.started_at == T0 + SECOND
    assert (report.looked_at, report.changed) == (1, 1)
    again = world.monitor()
    assert (again.looked_at, again.changed, world.get()) == (1, 0, job)


def test_a_change_names_the_event_that_made_it():
    """The log's reason and failure class are made of it; the look at the clocks comes after each."""
    evidence = Evidence(
        where="describe", status="Failed", text="AlgorithmError: boom, exit code: 1"
    )
    world = World()
    looked_at(world, world.training(state=TrainingState.FAILED, evidence=evidence))
    event = world.changes[-1].event
    assert isinstance(event, TrainingEnded)
    assert event.failure.failure_class is FailureClass.ALGORITHM
    world = World(jobs=[make_job(clocks=Clocks(finish_by=T0 + MINUTE))])
    looked_at(world, world.training())
    assert world.states() == ["Stopping"]
    assert isinstance(world.changes[-1].event, TimePassed), "the last that changed something"
    no_line = replace(world.get(), timeline=())
    assert Change(job=no_line, before=Status.NEW, event=TimePassed()).note == ""


@pytest.mark.parametrize("state", [TrainingState.FAILED, TrainingState.STOPPED])
def test_an_end_is_classified_by_what_the_trainer_says(state):
    world = World()
    looked_at(world, world.training(state=state))
    failure = world.get().attempts[0].failure
    assert failure.text == ""
    assert world.get().attempts[0].outcome == Status(state.value)
    evidence = Evidence(
        where="describe", status="Failed", text="AlgorithmError: boom, exit code: 1"
    )
    world = World()
    looked_at(world, world.training(state=state, evidence=evidence))
    assert world.get().attempts[0].failure.text == evidence.text


@pytest.mark.parametrize("stranger", [{"job_id": "x"}, {"attempt": 2}, {"spec_hash": None}])
def test_a_look_at_a_strangers_training_says_nothing(stranger):
    world = World()
    assert looked_at(world, world.training(**stranger)).changed == 0


def test_a_training_that_is_gone_is_missed_and_one_that_was_not_read_is_not():
    world = World()
    assert looked_at(world, None).changed == 1
    assert world.get().state.missing_since == T0 + MINUTE
    world = World()
    world.put(0, decided(), accepted())
    assert world.monitor().changed == 0


def test_where_the_trainer_is_away_the_clocks_still_count():
    world = World(2, jobs=[make_job("0"), make_job("1", clocks=Clocks(finish_by=T0 + MINUTE))])
    for number in range(2):
        world.put(number, decided(), accepted())
    world.trainer.broken["describe"] = Unavailable("away")
    world.clock.advance(MINUTE)
    report = world.monitor()
    assert (report.troubles, world.troubles) == (1, [("", "Unavailable: away")])
    assert world.states() == ["Launched", "Stopping"]
    assert (world.trainer.stopped, report.stopped) == ([world.names[1]], 1)


def test_a_waiting_job_whose_time_is_up_ends_without_a_look():
    world = World(jobs=[make_job(clocks=Clocks(wait_at_most=MINUTE))])
    assert world.monitor().looked_at == 0
    world.clock.advance(MINUTE)
    assert world.monitor().looked_at == 1
    assert (world.states(), world.trainer.described) == (["Failed"], [])


def test_a_stop_is_asked_for_until_it_is_so_and_may_fail():
    world = World()
    world.trainer.broken["stop"] = Unavailable("busy")
    report = looked_at(world, world.training(), STOP)
    assert (report.stopped, report.troubles) == (0, 1)
    assert world.troubles == [(world.ids[0], "Unavailable: busy")]
    world.trainer.broken.clear()
    assert world.monitor().stopped == 1
    world.trainer.trainings[world.names[0]] = world.training(
        state=TrainingState.STOPPED,
        evidence=Evidence(where="describe", status="Stopped", text=""),
    )
    report = world.monitor()
    assert (report.stopped, world.states()) == (0, ["Stopped"])


def test_pages_follow_each_other_and_begin_elsewhere_each_minute():
    world = World(5, page=2)
    for number in range(5):
        world.put(number, decided(), accepted())
    world.monitor()
    assert [len(names) for names in world.trainer.described] == [2, 2, 1]
    first = world.trainer.described[0]
    world.trainer.described.clear()
    world.clock.advance(MINUTE)
    world.monitor()
    assert world.trainer.described[-1] == first or world.trainer.described[1] == first
    assert sorted(n for page in world.trainer.described for n in page) == sorted(world.names)


def test_where_there_is_no_time_one_page_is_looked_at():
    times = iter([False])
    world = World(5, page=2, go_on=lambda: next(times))
    for number in range(5):
        world.put(number, decided(), accepted())
    assert world.monitor().looked_at == 2


# --- records that cannot be read, and others who are faster --------------------------------------


class Torn(MemoryStore):
    """Some records cannot be read."""

    def __init__(self, *torn):
        super().__init__()
        self.torn = set(torn)

    def get(self, job_ids):
        for job_id in job_ids:
            if job_id in self.torn:
                raise CorruptRecord(job_id, "torn")
        return super().get(job_ids)


def test_a_record_that_cannot_be_read_is_reported_and_the_others_go_on():
    world = World(3)
    world.store.__class__ = Torn
    world.store.torn = {world.ids[1]}
    report = world.launch()
    assert (report.launched, report.troubles) == (2, 1)
    ((job_id, what),) = world.troubles
    assert job_id == world.ids[1]
    assert what == f"CorruptRecord: job {job_id}: stored record cannot be read: torn"


def test_a_store_that_blames_a_job_that_was_not_asked_for_is_not_asked_for_ever():
    world = World(2)

    class Confused(MemoryStore):
        def get(self, job_ids):
            raise CorruptRecord("another", "torn")

    world.store.__class__ = Confused
    report = world.launch()
    assert (report.launched, report.troubles) == (0, 1)


def test_a_tick_that_loses_reads_again_and_applies_its_facts_anew():
    world = World()
    world.put(0, decided(), accepted())
    world.trainer.trainings[world.names[0]] = world.training()
    world.store.__class__ = Contended
    world.store.losses, world.store.saves = 5, 0
    report = world.monitor()
    assert (world.states(), report.changed, world.store.saves) == (["InProgress"], 1, 6)
    world.trainer.trainings[world.names[0]] = world.training(detail="x")
    world.store.losses, world.store.saves = 6, 0
    report = world.monitor()
    assert (report.changed, report.troubles, world.store.saves) == (0, 1, 6)
    assert world.troubles == [
        (world.ids[0], "Unavailable: it kept changing; left for the next tick")
    ]


def test_what_another_tick_has_done_meanwhile_is_not_done_again():
    world = World()
    world.put(0, decided(), accepted())
    world.trainer.trainings[world.names[0]] = world.training()
    seen = world.store.save

    def faster(jobs):
        world.store.save = seen
        world.put(0, RUN)
        return [None] * len(jobs)

    world.store.save = faster
    report = world.monitor()
    assert (report.changed, world.states()) == (0, ["InProgress"])


# --- notify and reap -------------------------------------------------------------------------------


def notify(world, notifier):
    return notify_tick(world.store, notifier, world.clock, world.settings)


def test_what_is_owed_is_published_and_cleared():
    world, notifier = World(2), RecordingNotifier()
    for number in range(2):
        world.put(number, STOP)
    report = notify(world, notifier)
    assert (report.published, report.looked_at, report.changed) == (2, 2, 2)
    assert {m.job_id for m in notifier.messages} == set(world.ids)
    assert all(world.get(n).outbox == () for n in range(2))
    assert notify(world, notifier).looked_at == 0


def test_a_message_that_was_not_taken_is_owed_and_the_next_one_is_published():
    world, notifier = World(2), RecordingNotifier()
    for number in range(2):
        world.put(number, STOP)
    notifier.fail_next()
    report = notify(world, notifier)
    assert (report.published, report.looked_at, report.changed, report.troubles) == (1, 2, 1, 1)
    assert sum(len(world.get(n).outbox) for n in range(2)) == 1
    assert notify(world, notifier).published == 1


def test_of_two_messages_of_a_job_each_counts():
    world, notifier = World(), RecordingNotifier()
    world.put(0, HoldRequested(by="x", tell=True), STOP)
    notifier.fail_next()
    report = notify(world, notifier)
    assert (report.published, report.troubles) == (1, 1)
    assert [entry.status for entry in world.get().outbox] == [Status.HELD]


def test_where_there_is_no_time_nothing_is_published():
    times = iter([False])
    world, notifier = World(2, go_on=lambda: next(times)), RecordingNotifier()
    for number in range(2):
        world.put(number, STOP)
    report = notify(world, notifier)
    assert (report.published, report.looked_at, notifier.messages) == (0, 0, [])


def reap(world, *listed):
    world.trainer.listed = listed
    return reap_tick(world.store, world.trainer, world.clock, world.settings)


def test_only_what_no_job_wants_is_stopped():
    world = World(4, jobs=[make_job(str(n)) for n in range(4)])
    world.put(0, decided(), accepted())
    world.put(1, STOP)
    world.put(2, decided(), accepted(), ended(failure=make_failure(FailureClass.ALGORITHM)))
    ours = [world.training(number) for number in range(4)]
    report = reap(world, *ours)
    assert world.trainer.stopped == [world.names[1], world.names[2]]
    assert (report.stopped, report.looked_at, report.troubles) == (2, 4, 0)


def test_what_is_not_ours_is_not_looked_at_and_what_has_no_job_is_reported():
    world = World()
    strangers = [
        Training(name="theirs", state=TrainingState.RUNNING, job_id="x"),
        world.training(job_id="another"),
    ]
    lost = training_name("0" * 26, 1)
    unknown = Training(name=lost, state=TrainingState.RUNNING, job_id="0" * 26)
    report = reap(world, *strangers, unknown)
    assert (report.looked_at, report.stopped, report.troubles) == (1, 0, 1)
    assert world.troubles == [("0" * 26, f"LookupError: training {lost} has no job here")]


def test_a_training_ahead_of_its_job_is_left_alone():
    """The job may have been restored from a backup; it will come to that attempt."""
    world = World()
    name = training_name(world.ids[0], 2)
    report = reap(world, replace(world.training(), name=name, attempt=2))
    assert (report.looked_at, report.stopped) == (1, 0)


def test_each_tick_takes_up_what_is_due_for_it():
    world = World(2)
    world.put(0, decided())
    world.put(1, STOP)
    due = {tick: [d.job_id for d in world.store.due(tick, before=T0, limit=9)] for tick in Tick}
    assert due == {Tick.LAUNCH: [world.ids[0]], Tick.MONITOR: [], Tick.NOTIFY: [world.ids[1]]}


# --- what is not done: reads and writes that nothing calls for -----------------------------------


class Counting(MemoryStore):
    """Notes each call, and may hand out a list of waiting jobs that is old by now."""

    def __init__(self):
        super().__init__()
        self.calls, self.old, self.lost_tallies = [], None, 0

    def get(self, job_ids):
        self.calls.append("get")
        return super().get(job_ids)

    def save(self, jobs):
        self.calls.append("save")
        return super().save(jobs)

    def usage(self):
        self.calls.append("usage")
        return super().usage()

    def pools(self):
        self.calls.append("pools")
        return super().pools()

    def due(self, tick, *, before, limit):
        self.calls.append(f"due {limit}")
        return super().due(tick, before=before, limit=limit)

    def find(self, query):
        self.calls.append(f"find {query.limit}")
        return super().find(query)

    def waiting(self, *, now, depth):
        return super().waiting(now=now, depth=depth) if self.old is None else self.old

    def save_pool(self, state):
        self.calls.append("save_pool")
        return super().save_pool(state)

    def next_wake(self, tick, *, after):
        self.calls.append("next_wake")
        return super().next_wake(tick, after=after)

    def shares(self, names):
        self.calls.append("shares")
        return super().shares(names)

    def save_shares(self, usages):
        self.calls.append("save_shares")
        return super().save_shares(usages)

    def tallies(self, keys):
        self.calls.append("tallies")
        return super().tallies(keys)

    def tallies_to_pause(self):
        self.calls.append("tallies_to_pause")
        return super().tallies_to_pause()

    def save_tally(self, tally):
        self.calls.append("save_tally")
        if self.lost_tallies:
            self.lost_tallies -= 1
            return False
        return super().save_tally(tally)


def counted(world):
    world.store.__class__ = Counting
    world.store.old, world.store.lost_tallies, world.store.calls = None, 0, []
    return world.store.calls


def test_a_tick_with_nothing_to_do_reads_no_job_and_writes_nothing():
    world = World(0)
    calls = counted(world)
    world.launch()
    world.monitor()
    notify(world, RecordingNotifier())
    launch = ["due 1000", "tallies_to_pause", "usage", "pools", "next_wake"]
    assert calls == [*launch, "due 100000", "next_wake", "due 1000"]


def test_a_look_at_what_has_not_changed_reads_the_job_and_writes_nothing():
    world = World()
    world.put(0, decided(), accepted(), replace(RUN, detail="x"))
    world.trainer.trainings[world.names[0]] = world.training(detail="x")
    calls = counted(world)
    world.monitor()
    assert calls == ["due 100000", "next_wake", "get"]


def test_a_launch_that_teaches_nothing_reads_the_pools_and_no_usage_again():
    world = World(capacity={"a": 4})
    calls = counted(world)
    world.launch()
    gathered = ["due 1000", "tallies_to_pause", "usage", "pools"]
    assert calls == [*gathered, "get", "next_wake", "save", "save", "pools"]


def test_a_plan_of_an_old_list_begins_nothing_that_another_tick_has_begun():
    world = World(2)
    counted(world)
    world.store.old = world.store.waiting(now=T0, depth=9)
    world.put(0, decided())
    world.put(1, STOP)
    report = world.launch()
    assert (report.launched, world.trainer.asked, report.changed) == (0, [], 0)
    assert world.states() == ["Launching", "Stopped"]
    assert "save_shares" not in world.store.calls


def test_a_job_that_is_gone_meanwhile_is_left_as_it_was_known():
    world = World()
    world.put(0, decided(), accepted())
    world.trainer.trainings[world.names[0]] = world.training()
    real, counts = world.store.get, iter(range(9))
    world.store.get = lambda ids: real(ids) if next(counts) == 0 else {}
    world.store.save = lambda jobs: [None] * len(jobs)
    report = world.monitor()
    assert (report.changed, report.troubles) == (0, 0)


# --- messages that are owed while a training runs --------------------------------------------------


def owing(world):
    """A job with a message of an earlier hold that has not been published yet."""
    world.put(0, HoldRequested(by="x", tell=True), ReleaseRequested(by="x"))


def test_a_message_that_is_owed_does_not_disturb_launch_and_look():
    world, notifier = World(), RecordingNotifier()
    owing(world)
    world.put(0, decided())
    world.clock.advance(MINUTE)
    assert world.launch().launched == 1
    world.trainer.trainings[world.names[0]] = world.training()
    report = world.monitor()
    assert (report.changed, world.states(), report.troubles) == (1, ["InProgress"], 0)
    report = notify(world, notifier)
    assert (report.published, report.troubles) == (1, 0)
    world.put(0, STOP)
    owed_still = World()
    owing(owed_still)
    owed_still.put(0, decided(), STOP)
    report = notify(owed_still, notifier)
    assert (report.published, report.troubles, report.looked_at) == (1, 0, 1)


# --- answers that carry little --------------------------------------------------------------------


def test_a_refusal_without_evidence_is_one_at_create():
    only = Rule(name="mine", failure_class=FailureClass.BAD_INPUT, where="create")
    world = World(rules=(only,))
    world.trainer.replies[world.names[0]] = LaunchReply(LaunchResult.REFUSED)
    world.launch()
    assert world.get().state.failure.rule == "mine"


@pytest.mark.parametrize("state", [TrainingState.FAILED, TrainingState.STOPPED])
def test_an_end_without_evidence_is_judged_by_its_status(state):
    rules = (
        Rule(
            name="mine",
            failure_class=FailureClass.BAD_INPUT,
            where="describe",
            statuses=(state.value,),
            pattern="$",
        ),
    )
    world = World(rules=rules)
    looked_at(world, world.training(state=state, ended_at=T0 + SECOND))
    (attempt,) = world.get().attempts
    assert (attempt.failure.rule, attempt.ended_at) == ("mine", T0 + SECOND)


def test_what_is_found_under_the_name_is_adopted_even_if_the_job_was_refused_meanwhile():
    world = World()

    class Refused(Scripted):
        def describe(self, names):
            failure = make_failure(FailureClass.CAPACITY, Retryable.YES)
            world.put(0, LaunchRefused(attempt=1, failure=failure))
            return super().describe(names)

    world.trainer = Refused()
    world.trainer.replies[world.names[0]] = LaunchReply(LaunchResult.EXISTS)
    world.trainer.trainings[world.names[0]] = world.training(started_at=T0)
    world.launch()
    assert (world.states(), world.get().attempt_number) == (["InProgress"], 1)


def test_two_at_once_of_which_one_raises_are_asked_one_by_one():
    world = World(2, launches_together=2)
    world.trainer.broken[world.names[1]] = ValueError("poisoned")
    assert world.launch().launched == 1


# --- more of what the pools are taught -------------------------------------------------------------


def test_a_jobs_own_refusal_teaches_nothing():
    world = World(scheduler=Planned())
    world.pool()
    world.trainer.replies[world.names[0]] = LaunchReply(LaunchResult.REFUSED, WRONG)
    world.launch()
    assert taught(world) == []


def test_what_is_adopted_was_accepted():
    world = World(scheduler=Planned())
    world.trainer.replies[world.names[0]] = LaunchReply(LaunchResult.EXISTS)
    world.trainer.trainings[world.names[0]] = world.training()
    world.launch()
    ((_, facts, _),) = taught(world)
    assert [(kind, bet) for kind, _, bet, _, _ in facts] == [(FactKind.ACCEPTED, True)]


@pytest.mark.parametrize(
    ("failure_class", "kind"),
    [
        ("capacity", FactKind.LOST),
        ("quota", FactKind.LOST),
        ("spot_interrupted", FactKind.LOST),
        ("throttle", FactKind.ENDED),
        ("algorithm", FactKind.ENDED),
    ],
)
def test_what_kind_of_end_is_a_loss(failure_class, kind):
    rules = (Rule(name="all", failure_class=FailureClass(failure_class), scope=Scope.POOL),)
    world = World(scheduler=Planned(), rules=rules)
    looked_at(world, world.training(state=TrainingState.FAILED))
    ((_, facts, _),) = taught(world)
    assert [one[0] for one in facts] == [kind]


def test_a_loss_makes_a_pool_known_and_an_end_does_not():
    for failure_class, known in ((FailureClass.CAPACITY, True), (FailureClass.ALGORITHM, False)):
        rules = (Rule(name="all", failure_class=failure_class, scope=Scope.POOL),)
        world = World(scheduler=Planned(), rules=rules)
        world.put(0, decided(), accepted())
        world.trainer.trainings[world.names[0]] = world.training(state=TrainingState.FAILED)
        world.monitor()
        assert bool(taught(world)) == known


def test_a_training_that_runs_is_not_pending_however_long():
    world = World(scheduler=Planned())
    looked_at(world, world.training(), RUN)
    world.clock.advance(9 * MINUTE)
    world.monitor()
    assert taught(world) == []


def test_a_fact_is_dated_by_its_launch():
    world = World(scheduler=Planned())
    world.put(0, decided())
    world.clock.advance(MINUTE)
    world.put(0, accepted())
    world.trainer.trainings[world.names[0]] = world.training()
    world.pool()
    world.monitor()
    ((_, facts, _),) = taught(world)
    assert facts == [(FactKind.STARTED, 1, False, False, T0)]


def test_each_pool_is_taught_its_own_facts_and_use_and_a_pool_that_teaches_nothing_is_left():
    jobs = [make_job(str(n), placements=(Placement("ab"[n % 2], n + 1),)) for n in range(4)]
    world = World(jobs=jobs, scheduler=Planned())
    for number, job in enumerate(jobs):
        place = job.spec.placements[0]
        world.put(number, replace(decided(), placement=place), accepted())
        world.trainer.trainings[world.names[number]] = world.training(number)
    world.pool("b")
    world.monitor()
    ((name, facts, known),) = taught(world)
    assert (name, sorted(one[1] for one in facts)) == ("b", [2, 4])
    assert (known["in_flight"], known["running"]) == (6, 6)
    assert world.store.pools()["b"].version == 1, "nothing was learned, so nothing is saved"


def test_one_fact_that_makes_a_pool_known_brings_the_others_along():
    world = World(2, capacity={"a": None})

    class OneBet(Planned):
        @staticmethod
        def plan(snapshot, limits, *, now):
            decided = DEFAULT_SCHEDULER.plan(snapshot, limits, now=now)
            first, *rest = decided.launches
            return replace(decided, launches=(first, *(replace(one, bet=False) for one in rest)))

    world.settings = replace(world.settings, scheduler=OneBet())
    world.launch()
    ((_, facts, _),) = taught(world)
    assert [bet for _, _, bet, _, _ in facts] == [True, False]


def test_what_a_share_was_given_adds_up():
    jobs = [make_job("0", share="x"), make_job("1", share="y"), make_job("2", share="y")]
    world = World(jobs=jobs, limits=Limits(launches_max=1))
    for _ in range(3):
        world.launch()
    assert world.used("x", "y") == {"x": 1.0, "y": 2.0}


# --- groups ------------------------------------------------------------------------------------------


G = GroupKey("g", "ada")
FAILED = {"failed": 3, "cause": "x", "reason": "KeyError"}


def pausing_world(*groups, owner="ada", **settings):
    jobs = [make_job(str(n), group=group) for n, group in enumerate(groups)]
    world = World(jobs=jobs, **settings)
    for group in {group for group in groups if group not in (None, "ok")}:
        world.tally((group, owner), **FAILED | {"failed": 5, "pausing": True})
    return world


def told(world):
    return [len(world.get(n).outbox) for n in range(len(world.ids))]


def test_of_each_paused_group_one_job_tells_and_the_others_are_launched():
    world = pausing_world("g", "h", "ok", None, "g")
    report = world.launch()
    assert world.states() == ["Held", "Held", "Launched", "Launched", "Held"]
    assert sorted(told(world)) == [0, 0, 0, 1, 1]
    assert told(world)[1] == 1
    assert report.launched == 2
    assert {world.get(n).state.code for n in (0, 1, 4)} == {HoldCode.GROUP}
    assert world.store.tallies_to_pause() == []


@pytest.mark.parametrize(("owner", "held"), [("ada", True), ("bob", False)])
def test_a_pause_is_for_its_owners_jobs_alone(owner, held):
    """Two people may call their groups the same."""
    world = pausing_world("g", owner=owner)
    assert world.launch().launched == (not held)
    assert world.states() == ["Held" if held else "Launched"]


def test_a_pause_asks_for_pages_that_a_store_can_give():
    world = pausing_world("g", page=2000)
    calls = counted(world)
    world.launch()
    assert {one for one in calls if one.startswith("find")} == {"find 1000"}
    small = pausing_world("g", page=7)
    calls = counted(small)
    small.launch()
    assert [one for one in calls if one.startswith("find")] == ["find 7"] * 3


def test_a_pause_that_takes_all_the_time_ends_the_tick():
    times = iter([True, True, False, False])
    world = pausing_world("g", "ok", go_on=lambda: next(times))
    report = world.launch()
    assert (report.launched, report.changed, world.states()) == (0, 1, ["Held", "New"])


def ended_world(outcome=TrainingState.FAILED, losses=0, first=1, group="g"):
    rules = (Rule(name="bug", failure_class=FailureClass.ALGORITHM),)
    world = World(jobs=[make_job(group=group)], rules=rules, limits=Limits(group_breaker=first))
    world.put(0, decided(), accepted())
    world.trainer.trainings[world.names[0]] = world.training(state=outcome)
    calls = counted(world)
    world.store.lost_tallies = losses
    world.monitor()
    return world.store.tallies([G]).get(G), calls.count("save_tally")


def test_an_end_is_counted_again_when_another_tick_was_faster_up_to_three_times():
    for losses, noted, saves in ((0, True, 1), (2, True, 3), (3, False, 3)):
        tally, calls = ended_world(losses=losses)
        assert (tally is not None, calls) == (noted, saves)


def test_a_job_that_goes_on_says_nothing_of_its_group():
    world = World(jobs=[make_job(group="g")])
    world.tally(G, **FAILED)
    before = world.store.tallies([G])
    looked_at(world, world.training())
    assert world.store.tallies([G]) == before


def test_a_completion_makes_its_group_sound_and_an_old_end_is_not_counted_again():
    world = World(jobs=[make_job(group="g")])
    bobs = GroupKey("g", "bob")
    for key in (G, bobs):
        world.tally(key, **FAILED)
    before = world.store.tallies([bobs])
    looked_at(world, world.training(state=TrainingState.COMPLETED))
    assert world.store.tallies([G])[G].sound
    assert world.store.tallies([bobs]) == before, "another owner's group of the same name"
    world = World(jobs=[make_job(group="g")])
    world.put(0, decided(), accepted(), ended(failure=make_failure(retryable=Retryable.NO)))
    stale = Due(world.ids[0], T0, Status.LAUNCHED, 1)
    world.store.due = lambda tick, *, before, limit: [stale]
    world.settings = replace(world.settings, limits=Limits(group_breaker=1))
    assert world.monitor().looked_at == 1
    assert (world.store.pools(), world.store.tallies([G])) == ({}, {})


def test_ends_that_say_nothing_of_a_group_cost_no_write():
    assert ended_world(TrainingState.COMPLETED) == (None, 0)
    assert ended_world(first=0) == (None, 0)
    assert ended_world(group=None) == (None, 0)
    tally, _ = ended_world()
    assert tally.failed == 1
    assert tally.pausing, "the first of its group, and it was to be one"
