"""The simulator: the same every time, nothing lost, and judged by what a person can check by hand."""

from __future__ import annotations

import gzip
import re
import subprocess
import sys
import threading
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from jobcore import Status
from jobcore.ports import LaunchResult
from jobcore_memory import MemoryStore
from jobcore_simulation.simulator import (
    POLICIES,
    TITLES,
    Engine,
    PoolSpec,
    Provider,
    Scenario,
    Simulation,
    Task,
    Watch,
    Work,
    builtin,
    by_hand,
    clairvoyant,
    compare,
    load,
    parse,
    runs,
    simulate,
    summary,
)
from jobcore_simulation.simulator._charts import report_parts, ticks
from jobcore_simulation.simulator._compare import _context, rate
from jobcore_simulation.simulator._outcome import jain
from jobcore_simulation.simulator._report import page, table
from jobcore_simulation.simulator._traces import capacity_from, scenario_from, work_from
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


def test_a_name_that_exists_is_not_accepted_again():
    run = Simulation(SMALL, "3")
    run.run()
    fleet = run.fleet
    accepted, calls = fleet.accepted, fleet.calls
    assert accepted == len(fleet.runs) > 0, "each is kept"
    (again,) = fleet.launch([next(iter(fleet.runs.values())).request])
    assert again.result is LaunchResult.EXISTS
    assert (fleet.accepted, fleet.calls) == (accepted, calls + 1)


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
    batches = list(evolve(SMALL, work=work).arrivals("1"))
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


class Sound(Watch):
    """All invariants at every port call, and after each tick what the world can tell besides."""

    def __call__(self, simulation):
        super().__call__(simulation)
        sound(simulation)


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
    watch = Sound()
    run = Simulation(scenario, str(seed), check=watch)
    outcome = run.run()
    watch.end(run)
    assert outcome.completed
    assert sum(outcome.statuses.values()) == 12
    assert outcome.messages == 12
    assert run.mailbox.published >= 12


# --- the judge --------------------------------------------------------------------------


def test_alone_in_a_large_pool_nobody_waits_but_for_the_start():
    tasks = [Task(n, 0.0, "a", (POOL,), 1, 600.0) for n in range(5)]
    scenario = evolve(SMALL, pools=[PoolSpec(name=POOL, capacity=((0.0, 10),))], tasks_given=tasks)
    for outcome in (clairvoyant(scenario), simulate(scenario)):
        assert outcome.calls == 5
        assert outcome.wasted == 0
        assert all(90 <= wait <= 240 + 10 for wait in outcome.waits)


def test_the_clairvoyant_keeps_one_slot_always_busy():
    tasks = [Task(n, 0.0, "a", (POOL,), 1, 600.0) for n in range(3)]
    start_up = evolve(Provider(), start_up=(100.0, 100.0))
    scenario = evolve(
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


def test_jains_index_counts_a_share_by_its_weight():
    assert jain([1.0, 1.0, 0.0], [50.0, 50.0, 0.1]) == pytest.approx(1.0, abs=0.01)
    assert jain([1.0, 0.0], [1.0, 3.0]) == pytest.approx(1 / 4)


def test_ours_wastes_far_less_than_timers_per_job_and_waits_no_longer():
    rows = {row.policy: row for row in compare([load("few-jobs")])}
    ours, backoff = rows["jobcore"], rows["backoff"]
    assert set(rows) == set(TITLES)
    assert ours.wasted_per_job < backoff.wasted_per_job / 5
    assert ours.mean_ratio < backoff.mean_ratio + 0.03
    assert ours.jain > 0.95


def test_a_comparison_does_not_depend_on_how_many_processes_run_it():
    names = ("jobcore", "cache")
    alone = compare([SMALL], policies=names)
    assert compare([SMALL], policies=names, processes=2) == alone
    assert set(summary(alone)) == set(names)


def test_a_process_that_has_threads_is_not_forked():
    ended = threading.Event()
    thread = threading.Thread(target=ended.wait)
    thread.start()
    try:
        assert _context().get_start_method() != "fork"
    finally:
        ended.set()
        thread.join()


@pytest.mark.parametrize("name", ["jobcore", "cache"])
def test_a_pending_limit_and_a_provider_that_does_not_listen_are_survived(name):
    for change in ({"max_pending": 7200.0}, {"listens": False}):
        scenario = evolve(SMALL, provider=evolve(SMALL.provider, **change))
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
        ("[[pool]]\nname='a'\n[[outage]]\nport='mail'\nbegins=0\nends=1", "outage[0].port"),
    ],
)
def test_a_bad_scenario_is_refused_by_the_name_of_the_field(text, field):
    with pytest.raises(ValueError, match=r"scenario x") as error:
        parse(text, "x")
    assert field in str(error.value)


def test_real_traces_run():
    traces = Path(__file__).parents[3].parent / "shared" / "traces"
    if not traces.is_dir():
        pytest.skip(f"{traces}: not on this machine")
    scenario = scenario_from(
        traces / "capacity_rle.csv.gz",
        traces / "workload.csv.gz",
        pattern="1-node/aws-10-26-2022",
        source="philly",
        jobs_max=300,
        scale=4,
    )
    # Of the jobs some take months, on instances that are taken away every half hour.
    short = [task for task in scenario.tasks("1") if task.work < 6 * 3600][:60]
    (row,) = compare([evolve(scenario, tasks_given=short)], policies=["jobcore"])
    assert row.completed
    assert row.mean_ratio < 1.5


# --- reports ----------------------------------------------------------------------------


def test_the_page_is_self_contained_and_escapes_names():
    evil = evolve(SMALL, name="<img src=x>")
    made = runs([evil], policies=["jobcore"])
    html = page([run.row for run in made], report_parts(made))
    assert "<img" not in html
    assert "<script" not in html
    assert "http" not in html.replace("http-equiv", "")
    assert "default-src 'none'" in html
    assert html.count("<svg") == 5
    ET.fromstring(re.sub(r"<meta[^>]*>|<!doctype html>", "", html))  # well-formed


def test_a_comparison_draws_every_policy_and_leaves_the_person_to_the_table():
    made = runs([SMALL, SPOT], policies=["jobcore", "cache", "by-hand"], seeds=["1", "2"])
    overall, *each = report_parts(made)
    assert [list(chart.rows) for chart in overall.charts] == [["jobcore", "cache"]] * 2
    assert [part.heading for part in each] == ["small: 30 jobs", "spot: 20 jobs"]
    for part in each:
        use, waits, beyond = part.charts
        assert [line.name for line in use.lines] == ["capacity", "jobcore", "cache"]
        assert [line.name for line in waits.lines] == ["jobcore", "cache", "clairvoyant"]
        assert [line.name for line in beyond.lines] == ["jobcore", "cache"]
        assert len(part.details) == 5


def test_the_charts_say_what_happened():
    (made,) = runs([SMALL], policies=["jobcore"])
    capacity, waits, launches, shares, unfinished = report_parts([made])[0].charts
    there, asked, used = capacity.lines
    assert max(there.ys) == 8
    assert max(used.ys) <= 7  # the quota
    assert max(asked.ys) >= max(used.ys)
    assert [line.name for line in waits.lines] == ["clairvoyant", "jobcore"]
    assert waits.lines[1].xs[-1] * 60 == pytest.approx(made.row.wait_max)
    assert launches.x == "hours since the start"
    hours = [b - a for a, b in pairwise(launches.lines[0].xs)]
    created = sum(
        h * y for line in launches.lines[:2] for h, y in zip(hours, line.ys, strict=False)
    )
    calls = made.row.calls_per_job * made.row.jobs
    assert created == pytest.approx(calls, abs=5)  # accepted and refused; a sample is 5 min
    assert {line.name for line in shares.lines} <= {f"team-{n}" for n in range(1, 6)}
    assert max(unfinished.lines[0].ys) == 30


def test_the_same_run_gives_the_same_page_and_the_same_png(tmp_path):
    pytest.importorskip("matplotlib")
    from jobcore_simulation.simulator._png import write_pngs

    odd = evolve(SMALL, name="../a $x_1$ <b>")
    seen = []
    for folder in (tmp_path / "one", tmp_path / "two"):
        made = runs([odd], policies=["jobcore"])
        parts = report_parts(made)
        files = write_pngs([*parts[0].charts[:2], parts[0].charts[0]], folder)
        assert all(file.parent == folder for file in files)
        assert len(set(files)) == 3
        seen.append((page([made[0].row], parts), [file.read_bytes() for file in files]))
    assert seen[0] == seen[1]
    assert seen[0][1][0].startswith(b"\x89PNG")


def test_what_a_png_needs_is_said_where_it_is_missing(monkeypatch, tmp_path):
    from jobcore_simulation.simulator._png import MissingLibrary, write_pngs

    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingLibrary, match=r"jobcore-scheduler\[simulation\]"):
        write_pngs([], tmp_path / "out")
    assert not (tmp_path / "out").exists()


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e9))
def test_the_marks_of_an_axis_are_few_and_inside(low, span):
    marks = ticks(low, low + span)
    assert 1 <= len(marks) <= 7
    assert marks == sorted(set(marks))
    assert all(low - span * 1e-6 <= mark <= low + span * (1 + 1e-6) for mark in marks)


def test_the_table_fits_eighty_columns():
    text = table(compare([SMALL, SPOT]))
    assert max(map(len, text.splitlines())) <= 80


# --- what is no scenario and no trace ---------------------------------------------------

_POOL = 'name = "a"\ncapacity = 2\n'


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("=", ""),
        ("pool = 3", ""),
        ("pool = [3]", ""),
        ("[[pool]]\nname = 5", "name"),
        ('[[pool]]\nname = "a"\ncapacity = "many"', "capacity"),
        ('[[pool]]\nname = "a"\ncapacity = [[0, nan]]', "capacity"),
        ('[[pool]]\nname = "a"\nflips = [0.0, 0.0]', "flips"),
        ('[[pool]]\nname = "a"\nrepeat = 1e-9', "repeat"),
        ('[[pool]]\nname = "a"\nquota = inf', "quota"),
        (f"jobs = 3\n[[pool]]\n{_POOL}", ""),
        (f'[jobs]\ncount = "x"\n[[pool]]\n{_POOL}', "jobs"),
        (f'[jobs]\npools = ["b"]\n[[pool]]\n{_POOL}', "jobs.pools"),
        (f"[jobs]\nsizes = {{x = 1}}\n[[pool]]\n{_POOL}", ""),
        (f"[jobs]\nsizes = {{1 = 0.0}}\n[[pool]]\n{_POOL}", "sizes"),
        (f'outage = [{{port = "store"}}]\n[[pool]]\n{_POOL}', ""),
        (f'outage = [{{port = "store", begins = "x", ends = 1}}]\n[[pool]]\n{_POOL}', ""),
        (f"clock_jump = []\n[[pool]]\n{_POOL}", ""),
        (f"horizon = inf\n[[pool]]\n{_POOL}", "horizon"),
        (f"[provider]\nrate = 0\n[[pool]]\n{_POOL}", "rate"),
        ("title = " + "[" * 2000, ""),
    ],
)
def test_what_is_no_scenario_is_refused_with_its_name_and_field(text, field):
    with pytest.raises(ValueError, match=f"^scenario mine: .*{field}"):
        parse(text, "mine")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"a,b\n1,2\n",
        b"trace_id,t_s,available\n",
        b"trace_id,t_s,available\na,1\n",
        b"trace_id,t_s,available\na,nan,1\n",
        b"trace_id,t_s,available\n" + b"a" * 200_000 + b",0,1\n",
        b'{"metadata": {"gap_seconds": 1e999}, "data": [1]}',
        b'{"metadata": {"gap_seconds": 1}, "data": [Infinity]}',
        b'{"metadata": [], "data": [1]}',
        b'{"a":' * 100_000,
    ],
)
@pytest.mark.parametrize("ending", ["csv", "json", "csv.gz"])
def test_what_is_no_trace_is_refused_with_the_file(tmp_path, content, ending):
    path = tmp_path / f"trace.{ending}"
    path.write_bytes(gzip.compress(content)[:-9] if ending == "csv.gz" else content)
    with pytest.raises(ValueError, match=r"trace\."):
        capacity_from(path)
    with pytest.raises(ValueError, match=r"trace\."):
        work_from(path)


def test_a_workload_with_what_is_no_number_is_refused_with_its_line(tmp_path):
    path = tmp_path / "work.csv"
    path.write_text("submit_s,duration_s,gpus\n0,60,8\n1,x,8\n")
    with pytest.raises(ValueError, match="line 3"):
        work_from(path)


def test_the_table_fits_eighty_columns_whatever_the_figures():
    (row,) = compare([SMALL], policies=["jobcore"])
    large = replace(
        row, makespan=3e7, wait_p50=3e7, wait_p95=3e7, mean_ratio=93.2, p95_ratio=212.1,
        wasted_per_job=250.5, interventions=66237, policy="failover",
    )  # fmt: skip
    assert max(map(len, table([row, large]).splitlines())) <= 80


def test_jobs_given_up_and_left_over_are_told_and_count_as_waiting():
    # One slot for half an hour in each hour: who trains for three hours is interrupted for ever.
    pool = PoolSpec(name=POOL, capacity=((0.0, 1), (1800.0, 0)), repeat=3600.0, spot=True)
    tasks = [Task(n, 0.0, "a", (POOL,), 1, 40000.0) for n in range(2)]
    scenario = evolve(SMALL, pools=[pool], tasks_given=tasks, horizon=60000.0)
    outcome, bound = simulate(scenario), clairvoyant(scenario)
    assert not outcome.completed
    row = rate(outcome, bound)
    assert row.left + row.gave_up == 2
    assert row.wait_max >= 60000.0 - 40000.0 - 3600.0
    assert "not over at the horizon" in table([row])
    assert "1 job given up" in table([replace(row, gave_up=1)])


# --- by hand ----------------------------------------------------------------------------


def test_a_person_resubmits_at_the_next_full_hour_and_reads_every_failure():
    # Nothing for 30 min: the launch is given up after 10 min or so, and seen at 10:00.
    tasks = [Task(0, 0.0, "a", (POOL,), 1, 600.0)]
    provider = evolve(Provider(), start_up=(100.0, 100.0), gives_up_sigma=0.0)
    pool = PoolSpec(name=POOL, capacity=((0.0, 0), (1800.0, 1)))
    scenario = evolve(SMALL, pools=[pool], tasks_given=tasks, provider=provider)
    outcome = by_hand(scenario)
    assert outcome.makespan == pytest.approx(3600 + 100 + 600)
    assert (outcome.by_hand.looks, outcome.by_hand.readings, outcome.by_hand.resubmissions) == (
        1,
        1,
        1,
    )


def test_a_person_is_not_there_at_night_nor_at_the_weekend():
    tasks = [Task(0, 4 * 86400 + 8.5 * 3600, "a", (POOL,), 1, 600.0)]  # Friday, 17:30
    pool = PoolSpec(name=POOL, capacity=((0.0, 0), (5 * 86400.0, 1)))
    scenario = evolve(SMALL, pools=[pool], tasks_given=tasks)
    outcome = by_hand(scenario)
    assert outcome.by_hand.looks == 5 * 9 - 1 + 1  # not the first of Monday; Monday, 9:00
    assert 7 * 86400 < outcome.makespan < 7 * 86400 + 1200


def test_the_script_submits_as_fast_as_the_service_takes_jobs():
    tasks = [Task(n, 0.0, "a", (POOL,), 1, 600.0) for n in range(100)]
    provider = evolve(Provider(), start_up=(100.0, 100.0))  # 20 at once, then two a second
    pool = PoolSpec(name=POOL, capacity=((0.0, 100),))
    outcome = by_hand(evolve(SMALL, pools=[pool], tasks_given=tasks, provider=provider))
    assert 700 + 40 <= outcome.makespan <= 700 + 60
    assert (outcome.by_hand.looks, outcome.by_hand.resubmissions) == (0, 0)


def test_a_bug_is_read_and_left_alone_and_ours_needs_no_hand():
    scenario = evolve(SMALL, work=evolve(SMALL.work, fails=1.0, flaky=0.0))
    scenario = evolve(scenario, pools=[PoolSpec(name=POOL, capacity=((0.0, 50),))])
    rows = {row.policy: row for row in compare([scenario], policies=["jobcore", "by-hand"])}
    assert rows["by-hand"].interventions == rows["jobcore"].interventions == 0
    assert rows["by-hand"].readings == rows["jobcore"].readings == 30
    assert rows["jobcore"].polls == 0


def test_by_hand_is_the_same_every_time_and_finishes_what_ours_does():
    for scenario in (SMALL, SPOT):
        one, two = by_hand(scenario), by_hand(scenario)
        assert one.digest == two.digest
        assert one.completed
        assert one.statuses["Failed"] == sum(bool(t.bug) for t in scenario.tasks("1"))


def test_the_ten_thousand_are_a_mix_and_stay_out_of_a_comparison_of_all():
    scenario = load("ten-thousand")
    tasks = scenario.tasks("1")
    assert len(tasks) == 10_000
    assert scenario.apart
    assert sum(bool(task.bug) for task in tasks) > 300
    assert sum(task.flaky for task in tasks) > 300
    assert any(pool.spot for pool in scenario.pools)
