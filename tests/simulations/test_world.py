"""The world that the sandbox serves and the simulator runs in."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import jobcore
from jobcore_aws import failure_rules
from jobcore_simulation import (
    PoolConfig,
    Refusal,
    Refused,
    Script,
    Shortage,
    TrainingRequest,
    World,
)

CPU = "us-east-1/ml.m5.large/on-demand"
GPU = "us-east-1/ml.g5.xlarge/on-demand"
SPOT = "us-east-1/ml.g5.xlarge/spot"
PLAIN = Script(starting=10.0, downloading=10.0, training=100.0, uploading=10.0, stopping=20.0)


def world(pools: dict[str, PoolConfig] | None = None, *scripts: Script, **more: Any) -> World:
    return World(pools=pools, scripts=(*scripts, PLAIN), **more)


def request(name: str, pool: str = CPU, count: int = 1, **more: Any) -> TrainingRequest:
    return TrainingRequest(name=name, pools=((pool, count),), **more)


def path(of: World, name: str) -> list[str]:
    return [t.status for t in of.trainings[name].transitions]


def run_out(of: World) -> None:
    while (at := of.next_event_at()) is not None:
        of.advance(at)


def test_a_training_goes_through_its_phases_at_their_times():
    w = world()
    t = w.create(0, request("a"))
    seen = []
    for now in (0, 9.9, 10, 20, 119.9, 120, 130):
        w.advance(now)
        seen.append((t.status, t.secondary))
    assert seen == [
        ("InProgress", "Starting"),
        ("InProgress", "Starting"),
        ("InProgress", "Downloading"),
        ("InProgress", "Training"),
        ("InProgress", "Training"),
        ("InProgress", "Uploading"),
        ("Completed", "Completed"),
    ]
    assert (t.started_at, t.ended_at, t.busy) == (10, 130, 120)
    assert w.next_event_at() is None


def test_a_name_is_used_once_until_it_is_deleted():
    w = world()
    w.create(0, request("a"))
    with pytest.raises(Refused) as told:
        w.create(1, request("a"))
    assert told.value.code == "ResourceInUse"
    with pytest.raises(Refused, match="in status InProgress"):
        w.delete(2, "a")
    run_out(w)
    w.delete(w.now, "a")
    assert w.create(w.now, request("a")).status == "InProgress"


def test_a_full_quota_refuses_with_the_numbers_filled_in():
    w = world({CPU: PoolConfig(quota=3)})
    w.create(0, request("a", count=2))
    with pytest.raises(Refused) as told:
        w.create(1, request("b", count=2))
    assert told.value.code == "ResourceLimitExceeded"
    quota = jobcore.failures.find_quota(told.value.text, failure_rules())
    assert quota is not None
    assert (quota.name, quota.limit, quota.used, quota.requested) == (
        "ml.m5.large for training job usage",
        3,
        2,
        2,
    )
    run_out(w)
    w.create(w.now, request("b", count=2))


def test_a_total_quota_counts_over_pools():
    w = world(quota_total=1)
    w.create(0, request("a"))
    with pytest.raises(Refused, match="across training jobs' is 1 Instances"):
        w.create(1, request("b", GPU))


def test_an_unknown_pool_is_not_available_where_there_is_no_default():
    w = World(pools={CPU: PoolConfig()}, default_pool=None)
    with pytest.raises(Refused, match=r"training-job/ml.g5.xlarge is not available in this region"):
        w.create(0, request("a", GPU))


def test_accelerated_trainings_wait_pending_first_come_first():
    w = world({GPU: PoolConfig(capacity=1)})
    for n, name in enumerate("abc"):
        w.create(n, request(name, GPU))
    w.advance(50)
    assert [w.trainings[n].secondary for n in "abc"] == ["Training", "Pending", "Pending"]
    assert w.trainings["b"].transitions[-1].message == "Training job waiting for capacity"
    w.stop(60, "b")
    w.advance(61)
    assert path(w, "b") == ["Starting", "Pending", "Stopping", "Stopped"]
    w.advance(131)
    assert w.trainings["c"].secondary == "Starting"
    run_out(w)
    assert path(w, "c")[:4] == ["Starting", "Pending", "Starting", "Downloading"]
    assert w.trainings["c"].status == "Completed"


def test_pending_too_long_is_stopped_and_never_started():
    w = world({GPU: PoolConfig(capacity=0)})
    w.create(0, request("a", GPU, max_pending=1800))
    run_out(w)
    t = w.trainings["a"]
    assert (t.status, t.started_at, t.ended_at) == ("Stopped", None, 1805)
    assert path(w, "a") == ["Starting", "Pending", "Stopped"]


def test_the_pending_limit_means_nothing_without_accelerators():
    w = world({CPU: PoolConfig(capacity=0, shortage=Shortage.WAIT)})
    w.create(0, request("a", max_pending=1800))
    run_out(w)
    assert w.trainings["a"].secondary == "Pending"


def test_a_shortage_can_come_late_as_a_capacity_error():
    w = world({CPU: PoolConfig(capacity=0, capacity_error_after=300)})
    w.create(0, request("a"))
    run_out(w)
    t = w.trainings["a"]
    assert (t.status, t.ended_at, t.started_at) == ("Failed", 300, None)
    assert t.failure_reason.startswith("CapacityError: ")


def test_a_shortage_can_be_refused_at_once():
    w = world({CPU: PoolConfig(capacity=1, shortage=Shortage.REFUSE)})
    w.create(0, request("a"))
    with pytest.raises(Refused, match="is 1 Instances, with current utilization of 1"):
        w.create(0, request("b"))


def test_capacity_follows_its_steps_and_begins_again():
    w = world({GPU: PoolConfig(capacity=((0, 0), (100, 1), (200, 0)), period=1000)})
    seen = []
    for now in (0, 100, 200, 999, 1000, 1100, 1200, 2100):
        w.advance(now)
        seen.append(w.pools[GPU].capacity)
    assert seen == [0, 1, 0, 0, 0, 1, 0, 1]


def test_spot_is_interrupted_restarts_and_resumes_from_its_checkpoint():
    steps = ((0.0, 1), (70.0, 0), (200.0, 1))
    for checkpoints, ends_at in ((True, 280), (False, 330)):
        w = world({SPOT: PoolConfig(capacity=steps)})
        w.create(0, request("a", SPOT, max_wait=10_000, checkpoints=checkpoints))
        w.advance(75)
        assert (w.trainings["a"].status, w.trainings["a"].secondary) == (
            "InProgress",
            "Interrupted",
        )
        w.advance(10_000)
        assert w.trainings["a"].status == "Completed"
        assert w.trainings["a"].ended_at == ends_at


def test_the_youngest_spot_training_is_interrupted_first():
    w = world({SPOT: PoolConfig(capacity=2)})
    for name in "ab":
        w.create(w.now, request(name, SPOT, max_wait=10_000))
    w.advance(50)
    w.set_pool(SPOT, PoolConfig(capacity=1))
    assert [w.trainings[n].secondary for n in "ab"] == ["Training", "Interrupted"]


def test_interruptions_do_not_lengthen_the_time_that_a_training_may_run():
    script = Script(starting=0.0, downloading=0.0, training=100.0, restarting=0.0, stopping=0.0, interruptions=(30.0, 30.0))  # fmt: skip
    w = world(None, script)
    w.create(0, request("a", SPOT, max_runtime=70, max_wait=10_000))
    run_out(w)
    assert (w.trainings["a"].secondary, w.trainings["a"].ended_at) == ("MaxRuntimeExceeded", 70)


def test_quota_left_for_another_pool_goes_to_who_waits_for_it():
    pools = {
        GPU: PoolConfig(capacity=1, quota=2),
        CPU: PoolConfig(capacity=((0.0, 0), (60.0, 1)), quota=2),
        SPOT: PoolConfig(capacity=0, quota=9),
    }
    w = world(pools)
    w.create(0, TrainingRequest(name="a", pools=((GPU, 2), (CPU, 1))))  # holds the GPU quota
    w.create(0, TrainingRequest(name="b", pools=((SPOT, 1), (GPU, 1)), max_wait=10_000))
    w.advance(59)
    assert w.trainings["b"].pool is None
    w.advance(60)
    assert (w.trainings["a"].pool, w.trainings["b"].pool) == (CPU, GPU)


def test_spot_that_finds_nothing_is_stopped_when_the_wait_is_over():
    w = world({SPOT: PoolConfig(capacity=0)})
    w.create(0, request("a", SPOT, max_wait=500))
    w.advance(500)
    assert (w.trainings["a"].status, w.trainings["a"].secondary) == (
        "Stopped",
        "MaxWaitTimeExceeded",
    )


def test_scripted_interruptions_happen_on_spot_only():
    script = Script(training=100.0, interruptions=(30.0,))
    w = world(None, script)
    w.create(0, request("a", SPOT, max_wait=10_000))
    w.create(0, request("b", CPU))
    run_out(w)
    assert path(w, "a").count("Interrupted") == 1
    assert path(w, "b").count("Interrupted") == 0
    assert w.trainings["a"].status == w.trainings["b"].status == "Completed"


def test_a_training_that_runs_too_long_is_stopped():
    w = world()
    w.create(0, request("a", max_runtime=50))
    run_out(w)
    t = w.trainings["a"]
    assert (t.status, t.secondary, t.ended_at) == ("Stopped", "MaxRuntimeExceeded", 80)


def test_stopping_takes_its_time_and_ends_stopped():
    w = world()
    w.create(0, request("a"))
    w.stop(60, "a")
    w.stop(61, "a")
    assert w.trainings["a"].status == "Stopping"
    w.advance(80)
    assert w.trainings["a"].status == "Stopped"
    with pytest.raises(Refused, match=r"is in status Stopped\."):
        w.stop(81, "a")


def test_a_script_decides_who_fails_where_and_with_what():
    bad = Script(
        name="bad-*",
        where={"Tags.team": "v*"},
        failure_rate=1,
        failures=("AlgorithmError: " + "x" * 2000,),
        fails_in="Downloading",
        downloading=10.0,
        starting=10.0,
    )
    w = world(None, bad)
    w.create(0, request("bad-1", labels={"Tags.team": "vision"}))
    w.create(0, request("bad-2", labels={"Tags.team": "nlp"}))
    run_out(w)
    t = w.trainings["bad-1"]
    assert (t.status, t.ended_at, len(t.failure_reason)) == ("Failed", 20, 1024)
    assert w.trainings["bad-2"].status == "Completed"


def test_a_script_can_refuse_so_many_times():
    no = Script(refusal=Refusal(code="InternalFailure", text="no"), times=2)
    w = world(None, no)
    for _ in range(2):
        with pytest.raises(Refused):
            w.create(0, request("a"))
    w.create(0, request("a"))


def test_an_internal_error_is_retried_under_the_same_name():
    bad = Script(
        failure_rate=1, failures=("InternalServerError: We encountered an internal error.",)
    )
    w = world(None, bad)
    w.create(0, request("a", retries=2))
    run_out(w)
    assert w.trainings["a"].status == "Failed"
    assert path(w, "a").count("Training") == 3


def test_the_first_pool_that_has_instances_is_used_and_charged():
    w = world({GPU: PoolConfig(capacity=0, quota=5), CPU: PoolConfig(quota=5)})
    w.create(0, TrainingRequest(name="a", pools=((GPU, 2), (CPU, 3))))
    t = w.trainings["a"]
    assert (t.pool, t.count) == (CPU, 3)
    assert (w.pools[GPU].quota_used, w.pools[CPU].quota_used) == (0, 3)


def test_an_open_ended_training_lasts_until_it_is_finished():
    w = world(None, Script(open_ended=True, starting=1.0, downloading=1.0, uploading=1.0))
    a, b = w.create(0, request("a")), w.create(0, request("b"))
    assert not w.finish(1, a)
    w.advance(5000)
    assert w.finish(5000, a)
    assert w.finish(5000, b, failure="AlgorithmError: no")
    run_out(w)
    assert (a.status, b.status) == ("Completed", "Failed")


def test_time_runs_forwards():
    w = world()
    w.advance(5)
    with pytest.raises(ValueError, match="forwards"):
        w.advance(4)


POOLS = (CPU, GPU, SPOT)
acts = st.lists(
    st.tuples(
        st.sampled_from(["create", "create", "create", "stop", "delete", "pass"]),
        st.integers(0, 11),
        st.sampled_from(POOLS),
        st.integers(1, 3),
        st.floats(0, 200, allow_nan=False),
    ),
    max_size=40,
)
capacities = st.lists(st.integers(0, 4), min_size=1, max_size=5).map(
    lambda sizes: tuple((60.0 * n, size) for n, size in enumerate(sizes))
)


@given(acts=acts, sizes=st.tuples(capacities, capacities, capacities), seed=st.integers(0, 99))
def test_whatever_is_asked_capacity_and_quota_hold_and_everything_ends(acts, sizes, seed):
    traces = []
    for _ in range(2):
        pools = {
            name: PoolConfig(capacity=(*steps, (400.0, 4)), quota=6)
            for name, steps in zip(POOLS, sizes, strict=True)
        }
        script = Script(
            training=(1.0, 300.0), failure_rate=0.3, interruptions=(20.0,), fails_in="Training"
        )
        w = World(pools=pools, scripts=[script], seed=seed)
        trace: list[tuple[float, str, str, str]] = []

        def look(now, training, w=w, trace=trace):
            trace.append((now, training.name, training.status, training.secondary))
            for pool in w.pools.values():
                assert pool.used == sum(t.count for t in pool.running.values())
                assert 0 <= pool.quota_used <= 6

        def place(training, pool, count, place=w._place):
            assert pool.used + count <= pool.capacity
            place(training, pool, count)
            assert pool.quota_used <= 6

        w._place = place
        w.listeners.append(look)
        for what, n, pool, count, seconds in acts:
            name = f"t{n}"
            now = w.now + seconds
            try:
                if what == "create":
                    other = POOLS[(POOLS.index(pool) + 1) % 3]
                    pools_asked = ((pool, count), (other, 1)) if n % 2 else ((pool, count),)
                    limits = {"max_wait": 2000.0, "max_pending": 1800.0, "retries": n % 2}
                    w.create(now, TrainingRequest(name=name, pools=pools_asked, **limits))
                elif what == "stop":
                    w.stop(now, name)
                elif what == "delete":
                    w.delete(now, name)
                else:
                    w.advance(now)
            except (KeyError, Refused):
                pass
            spot = w.pools[SPOT]
            assert spot.used <= spot.capacity
        run_out(w)
        assert all(t.is_terminal for t in w)
        assert all(p.used == p.quota_used == 0 and not p.queue for p in w.pools.values())
        assert w.total_used == 0
        for t in w:
            assert t.ended_at >= t.created_at
            spans = [(x.start, x.end) for x in t.transitions]
            assert all(a[1] == b[0] for a, b in pairwise(spans))
        traces.append(trace)
    assert traces[0] == traces[1]
