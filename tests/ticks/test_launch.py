"""The launch tick, call by call: what it requests, what it leaves alone, and what it saves and reports."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core_strategies import T0, accepted, after, decided, ended, make_job
from jobcore import (
    Clocks,
    FailureClass,
    HoldRequested,
    LaunchAccepted,
    Limits,
    Placement,
    Spec,
    Status,
    Unavailable,
)
from jobcore.lifecycle import (
    spec_hash,
    training_name,
)
from jobcore.ports import (
    Evidence,
    LaunchReply,
    LaunchRequest,
    LaunchResult,
)
from jobcore.ticks import snapshot_of
from ticks_world import FAST, FULL, MINUTE, SECOND, STOP, WRONG, Scripted, World, counted, two_in


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


@pytest.mark.parametrize(("together", "calls"), [(1, [1, 1, 1]), (2, [2, 1]), (9, [3])])
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


def test_a_name_that_exists_and_cannot_be_read_does_not_stop_the_others():
    world = World(jobs=two_in("a", 1)[:2])
    world.trainer.replies[world.names[0]] = LaunchReply(LaunchResult.EXISTS)
    world.trainer.broken["describe"] = OSError("reset")
    report = world.launch()
    assert (report.launched, report.troubles) == (1, 1)
    assert world.states() == ["Launching", "Launched"]


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


def test_two_at_once_of_which_one_raises_are_asked_one_by_one():
    world = World(2, launches_together=2)
    world.trainer.broken[world.names[1]] = ValueError("poisoned")
    assert world.launch().launched == 1


def test_what_a_share_was_given_adds_up():
    jobs = [make_job("0", share="x"), make_job("1", share="y"), make_job("2", share="y")]
    world = World(jobs=jobs, limits=Limits(launches_max=1))
    for _ in range(3):
        world.launch()
    assert world.used("x", "y") == {"x": 1.0, "y": 2.0}
