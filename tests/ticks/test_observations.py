"""What the pools are taught by launches and looks, with a scheduler that notes it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core_strategies import T0, accepted, decided, make_job
from jobcore import (
    FailureClass,
    Placement,
)
from jobcore.failures import Rule, Rules
from jobcore.lifecycle import (
    Scope,
)
from jobcore.ports import (
    Evidence,
    LaunchReply,
    LaunchResult,
    TrainingState,
)
from jobcore.scheduling import DEFAULT_SCHEDULER, FactKind
from jobcore_aws import failure_rules
from ticks_world import FULL, MINUTE, RUN, SECOND, WRONG, Planned, World, looked_at, two_in


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
    world = World(scheduler=Planned(), rules=Rules(rules, failure_rules().reading))
    looked_at(world, world.training(state=TrainingState.FAILED))
    ((_, facts, _),) = taught(world)
    assert [one[0] for one in facts] == [kind]


def test_a_loss_makes_a_pool_known_and_an_end_does_not():
    for failure_class, known in ((FailureClass.CAPACITY, True), (FailureClass.ALGORITHM, False)):
        rules = (Rule(name="all", failure_class=failure_class, scope=Scope.POOL),)
        world = World(scheduler=Planned(), rules=Rules(rules, failure_rules().reading))
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
