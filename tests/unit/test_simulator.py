"""The simulator: the same every time, nothing lost, and judged by what a person can check by hand."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobcore import Status
from jobcore_memory import MemoryStore
from jobcore_simulation.simulator import (
    POLICIES,
    Engine,
    PoolSpec,
    Provider,
    Scenario,
    Simulation,
    Task,
    Work,
    builtin,
    clairvoyant,
    compare,
    load,
    parse,
    simulate,
    summary,
)
from jobcore_simulation.simulator._report import page, table
from jobcore_simulation.simulator._run import jain
from jobcore_simulation.simulator._traces import capacity_from, scenario_from
from jobcore_sqlite import SqliteStore

POOL = "eu-west-1/ml.g5.xlarge/on-demand"
SMALL = Scenario(
    name="small",
    work=Work(jobs=30, run=(1200.0, 0.5), fails=0.1, flaky=0.2),
    pools=[PoolSpec(name=POOL, capacity=((0.0, 6), (1800.0, 0), (5400.0, 8)), quota=7)],
)
SPOT = Scenario(
    name="spot",
    work=Work(jobs=20, run=(2400.0, 0.5), spread=True),
    pools=[
        PoolSpec(name="a/x/spot", capacity=((0.0, 8),), flips=(3000.0, 1500.0), spot=True),
        PoolSpec(name="b/x/spot", capacity=((0.0, 4),), flips=(5000.0, 2500.0), spot=True),
    ],
)


# --- the engine -------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 9)), max_size=30))
def test_what_is_planned_happens_in_the_order_of_time_then_of_planning(plans):
    engine, seen = Engine(), []
    for number, (at, _) in enumerate(plans):
        engine.at(at, seen.append, (at, number))
    engine.run(until=lambda: False, horizon=100)
    assert seen == sorted((at, number) for number, (at, _) in enumerate(plans))


def test_streams_are_merged_and_only_their_next_step_is_planned():
    engine, seen = Engine(), []

    def endless():
        at = 0
        while True:
            yield at, at
            at += 10

    engine.stream(endless(), seen.append)
    engine.stream([(5, 5), (25, 25)], seen.append)
    assert not engine.run(until=lambda: False, horizon=40)
    assert seen == [0, 5, 10, 20, 25, 30, 40]


# --- determinism ------------------------------------------------------------------------

_HASH = """
from jobcore_simulation.simulator import load, simulate
print(simulate(load("trickle"), "7").digest)
"""


def test_the_same_seed_is_the_same_run_whatever_the_hash_seed():
    digests = {
        subprocess.run(
            [sys.executable, "-c", _HASH],
            env={"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("0", "1", "4711")
    }
    assert len(digests) == 1


@pytest.mark.parametrize("scenario", [SMALL, SPOT], ids=lambda s: s.name)
def test_the_same_seed_gives_the_same_run_twice_and_another_seed_another(scenario):
    one, two, other = (simulate(scenario, seed) for seed in ("1", "1", "2"))
    assert one.digest == two.digest
    assert one.waits == two.waits
    assert other.digest != one.digest


@pytest.mark.parametrize("scenario", [SMALL, SPOT], ids=lambda s: s.name)
def test_every_store_has_the_same_history(scenario, tmp_path):
    with SqliteStore(tmp_path / "jobs.db") as sqlite:
        digests = {
            kind: simulate(scenario, "3", store=store).digest
            for kind, store in (("object", None), ("memory", MemoryStore()), ("sqlite", sqlite))
        }
    assert len(set(digests.values())) == 1, digests


@pytest.mark.parametrize("scenario", [SMALL, SPOT], ids=lambda s: s.name)
def test_who_forgets_what_is_over_sees_the_same_and_keeps_nothing(scenario):
    run = Simulation(scenario, "3", forget=True)
    forgetful, plain = run.run(), simulate(scenario, "3")
    for name in ("waits", "statuses", "calls", "wasted", "describes", "messages", "many_losses"):
        assert getattr(forgetful, name) == getattr(plain, name), name
    assert (forgetful.makespan, forgetful.samples) == (plain.makespan, plain.samples)
    assert not list(run.base.jobs())
    assert not run.fleet.runs
    assert not run.fleet.tasks
    assert not run.mailbox.event_ids


def test_only_the_simulators_own_store_forgets():
    with pytest.raises(ValueError, match="forget"):
        Simulation(SMALL, store=MemoryStore(), forget=True)


def test_the_jobs_of_a_sweep_are_submitted_together():
    work = Work(jobs=7, over=700.0, sweep=3)
    batches = list(replace(SMALL, work=work).arrivals("1"))
    assert [len(tasks) for _, tasks in batches] == [3, 3, 1]
    assert [at // 300 for at, _ in batches] == [0.0, 1.0, 2.0]
    assert [task.number for _, tasks in batches for task in tasks] == list(range(7))


# --- what must hold after every tick ----------------------------------------------------


def sound(simulation: Simulation) -> None:
    """Each job waits, is in flight, or is over; no training is doubled; no quota is broken."""
    fleet = simulation.fleet
    jobs = {job.job_id: job for job in simulation.base.jobs()}
    assert set(jobs) == set(simulation._submitted)
    waiting = {w.job_id for w in simulation.base.waiting(now=simulation.now(), depth=10**6)}
    alive: dict[str, int] = {}
    for run in fleet.runs.values():
        if not run.state.is_terminal:
            alive[run.request.job_id] = alive.get(run.request.job_id, 0) + 1
    for job in jobs.values():
        backing_off = job.status is Status.NEW and job.state.not_before is not None
        assert (
            job.status.is_terminal or job.status.is_active or job.job_id in waiting or backing_off
        )
        assert alive.get(job.job_id, 0) <= 1
        if job.status.is_terminal:
            assert job.job_id not in alive
    for pool in fleet.pools.values():
        assert pool.used <= pool.charged
        assert pool.quota is None or pool.charged <= pool.quota


def outage(port, begins, ends):
    return f'[[outage]]\nport = "{port}"\nbegins = {begins}\nends = {ends}\n'


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    capacity=st.lists(st.integers(0, 6), min_size=1, max_size=5),
    quota=st.none() | st.integers(3, 6),
    sizes=st.sampled_from([{1: 1.0}, {1: 0.7, 3: 0.3}]),
    away=st.lists(st.sampled_from(["store", "trainer", "notifier"]), unique=True),
)
def test_whatever_happens_nothing_is_lost_or_doubled(seed, capacity, quota, sizes, away):
    steps = [(1500.0 * n, c) for n, c in enumerate(capacity)]
    outages = parse(
        '[[pool]]\nname = "a/b/c"\n' + "".join(outage(port, 1000, 1900) for port in away), "x"
    ).outages
    scenario = Scenario(
        name="any",
        work=Work(jobs=12, run=(600.0, 0.5), sizes=sizes, fails=0.2, flaky=0.2, over=2000.0),
        pools=[PoolSpec(name=POOL, capacity=(*steps, (9000.0, 6)), quota=quota)],
        outages=outages,
    )
    run = Simulation(scenario, str(seed), check=sound)
    outcome = run.run()
    assert outcome.completed
    assert sum(outcome.statuses.values()) == 12
    assert outcome.messages == 12
    assert run.mailbox.published >= 12


# --- the judge --------------------------------------------------------------------------


def test_alone_in_a_large_pool_nobody_waits_but_for_the_start():
    tasks = [Task(n, 0.0, "a", (POOL,), 1, 600.0) for n in range(5)]
    scenario = replace(SMALL, pools=[PoolSpec(name=POOL, capacity=((0.0, 10),))], tasks_given=tasks)
    for outcome in (clairvoyant(scenario), simulate(scenario)):
        assert outcome.calls == 5
        assert outcome.wasted == 0
        assert all(90 <= wait <= 240 + 10 for wait in outcome.waits)


def test_the_clairvoyant_keeps_one_slot_always_busy():
    tasks = [Task(n, 0.0, "a", (POOL,), 1, 600.0) for n in range(3)]
    start_up = replace(Provider(), start_up=(100.0, 100.0))
    scenario = replace(
        SMALL,
        pools=[PoolSpec(name=POOL, capacity=((0.0, 1),))],
        tasks_given=tasks,
        provider=start_up,
    )
    best = clairvoyant(scenario)
    assert best.makespan == pytest.approx(2100.0)
    assert sorted(best.waits) == pytest.approx([100.0, 800.0, 1500.0])


def test_jains_index_is_one_for_equals_and_one_nth_for_a_monopoly():
    assert jain([3.0, 3.0, 3.0]) == pytest.approx(1.0)
    assert jain([9.0, 0.0, 0.0]) == pytest.approx(1 / 3)


def test_ours_wastes_far_less_than_timers_per_job_and_waits_no_longer():
    rows = {row.policy: row for row in compare([load("few-jobs")])}
    ours, backoff = rows["jobcore"], rows["backoff"]
    assert set(rows) == set(POLICIES)
    assert ours.wasted_per_job < backoff.wasted_per_job / 5
    assert ours.mean_ratio < backoff.mean_ratio + 0.03
    assert ours.jain > 0.95


def test_a_comparison_does_not_depend_on_how_many_processes_run_it():
    names = ("jobcore", "cache")
    alone = compare([SMALL], policies=names)
    assert compare([SMALL], policies=names, processes=2) == alone
    assert set(summary(alone)) == set(names)


@pytest.mark.parametrize("name", ["jobcore", "cache"])
def test_a_pending_limit_and_a_provider_that_does_not_listen_are_survived(name):
    for change in ({"max_pending": 7200.0}, {"listens": False}):
        scenario = replace(SMALL, provider=replace(SMALL.provider, **change))
        outcome = simulate(scenario, scheduler=POLICIES[name][1](scenario, "1"), policy=name)
        assert outcome.completed


# --- scenarios and traces ---------------------------------------------------------------


def test_there_are_twelve_scenarios_and_more_and_all_can_be_read():
    assert len(builtin()) >= 12
    for name, title in builtin().items():
        scenario = load(name)
        assert title
        assert scenario.tasks("1") == scenario.tasks("1")


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("= 3", "scenario x"),
        ("", "pool"),
        ("[[pool]]\nname = 'a'\ncapcity = 3", "pool[0].capcity"),
        ("[jobs]\nnumber = 3\n[[pool]]\nname = 'a'", "jobs.number"),
        ("speed = 1\n[[pool]]\nname = 'a'", "speed"),
        ("[[pool]]\nname='a'\n[[outage]]\nport='mail'\nbegins=0\nends=1", "outage.port"),
    ],
)
def test_a_bad_scenario_is_refused_by_the_name_of_the_field(text, field):
    with pytest.raises(ValueError, match=r"scenario x") as error:
        parse(text, "x")
    assert field in str(error.value)


def test_both_trace_formats_are_read(tmp_path):
    rle = tmp_path / "capacity.csv.gz"
    rle.write_bytes(gzip.compress(b"trace_id,t_s,available\na/one,0,3\na/one,60,0\nb,0,1\n"))
    assert capacity_from(rle, "a/") == {"a/one": [(0.0, 3), (60.0, 0)]}
    sky = tmp_path / "zone.json"
    sky.write_text(json.dumps({"metadata": {"gap_seconds": 600}, "data": [1, 1, 0, 0, 2]}))
    assert capacity_from(sky) == {"zone": [(0.0, 1), (1200.0, 0), (2400.0, 2)]}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("x.csv", "a,b\n1,2\n"),
        ("x.csv", "trace_id,t_s,available\nq,soon,1\n"),
        ("x.json", '{"data": []}'),
    ],
)
def test_a_bad_trace_is_refused_by_its_name(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ValueError, match="x"):
        capacity_from(path)


def test_real_traces_run():
    traces = Path(__file__).parents[2].parent / "shared" / "traces"
    if not traces.is_dir():
        pytest.skip(f"{traces}: not on this machine")
    scenario = scenario_from(
        traces / "capacity_rle.csv.gz",
        traces / "workload.csv.gz",
        pattern="1-node/aws-10-26-2022",
        jobs_max=60,
        scale=4,
    )
    (row,) = compare([scenario], policies=["jobcore"])
    assert row.completed
    assert row.mean_ratio < 1.5


# --- reports ----------------------------------------------------------------------------


def test_the_page_is_self_contained_and_escapes_names():
    evil = replace(SMALL, name="<img src=x>")
    rows = compare([evil], policies=["jobcore"])
    html = page(rows, [simulate(evil)])
    assert "<img" not in html
    assert "<script" not in html
    assert "http" not in html.replace("http-equiv", "")
    assert html.count("<svg") == 4


def test_the_table_fits_eighty_columns():
    text = table(compare([SMALL, SPOT], policies=["jobcore", "failover"]))
    assert max(map(len, text.splitlines())) <= 80
