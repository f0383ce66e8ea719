"""Capacity and work from files that somebody else wrote: read if they can be, refused by name if not."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobcore_simulation.simulator import clairvoyant, simulate
from jobcore_simulation.simulator._traces import capacity_from, scenario_from, work_from

SHARED = Path(__file__).parents[3].parent / "shared" / "traces"


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def rle(*rows):
    return "trace_id,t_s,available\n" + "".join(f"{row}\n" for row in rows)


# --- capacity ---------------------------------------------------------------------------


def test_run_length_csv_is_read_gzipped_or_not_whatever_the_name(tmp_path):
    text = rle("a/one,0,3", "a/one,60,0", "b,0,1")
    packed = tmp_path / "capacity.csv"  # the suffix does not say so
    packed.write_bytes(gzip.compress(text.encode()))
    for path in (packed, write(tmp_path / "plain.gz", text)):
        (name, trace), *rest = capacity_from(path, "a/").items()
        assert (name, trace.steps, rest) == ("a/one", ((0.0, 3), (60.0, 0)), [])


def test_skypilots_json_is_read_and_its_end_is_known(tmp_path):
    sky = {"metadata": {"gap_seconds": 600}, "data": [1, 1, 0, 0, 16], "prices": [0.9] * 5}
    path = write(tmp_path / "us-east-2b_v100_1.json", json.dumps(sky))
    trace = capacity_from(path)["us-east-2b_v100_1"]
    assert trace.steps == ((0.0, 1), (1200.0, 0), (2400.0, 16))
    assert trace.ends == 3000.0
    assert scenario_from(path, None).pools[0].repeat == 3000.0


def test_a_trace_that_no_scenario_can_hold_names_its_file(tmp_path):
    path = write(tmp_path / "far.csv", rle("a,0,3", "a,2.6e18,0"))
    with pytest.raises(ValueError, match=r"far\.csv: capacity: expected .*; repeat: expected"):
        scenario_from(path, None)


def test_several_files_and_folders_are_several_pools(tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        sky = {"metadata": {"gap_seconds": 60}, "data": [1, 0]}
        write(tmp_path / folder / "zone.json", json.dumps(sky))
    write(tmp_path / "one" / "README.md", "not a trace")
    extra = write(tmp_path / "extra.csv", "t_s,available\n0,5\n")  # one trace needs no name
    scenario = scenario_from([tmp_path / "one", tmp_path / "two", extra], None)
    assert [pool.name for pool in scenario.pools] == ["extra", "two/zone", "zone"]
    assert len(scenario_from([tmp_path / "one", extra], None, pools_max=1).pools) == 1


def test_all_that_match_become_pools_not_the_first_few(tmp_path):
    path = write(tmp_path / "c.csv", rle(*(f"t{n},0,1" for n in range(40))))
    assert len(scenario_from(path, None).pools) == 40
    assert len(scenario_from(path, None, pattern="t3").pools) == 11


def test_traces_keep_their_time_relative_to_each_other(tmp_path):
    path = write(
        tmp_path / "c.csv", rle("late,1700,4", "early,1000,2", "late,1900,0", "early,900,1")
    )
    early, late = scenario_from(path, None).pools
    assert early.capacity == ((0.0, 1), (100.0, 2))
    assert late.capacity == ((0.0, 0), (800.0, 4), (1000.0, 0))


def test_the_last_of_two_rows_of_one_moment_counts(tmp_path):
    path = write(tmp_path / "c.csv", rle("a,0,9", "a,0,2", "a,60,0", "a,60,5"))
    assert capacity_from(path)["a"].steps == ((0.0, 2), (60.0, 5))


def test_a_trace_that_hardly_changes_does_not_begin_again_every_hour(tmp_path):
    rows = [f"often,{n * 60},{n % 2}" for n in range(6)]
    path = write(tmp_path / "c.csv", rle("once,0,0", "once,30,1", *rows, "never,0,4"))
    never, often, once = scenario_from(path, None).pools
    assert (never.repeat, often.repeat, once.repeat) == (0.0, 300 + 3600.0, 30 + 86400.0)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("x.csv", "a,b\n1,2\n", ["line 1", "t_s,available", "a,b"]),
        ("x.csv", "", ["line 1", "an empty file"]),
        ("x.csv", "trace_id,t_s,available\n", ["no line below the header"]),
        ("x.csv", rle("q,0,1", "q,soon,1"), ["line 3", "t_s", "soon"]),
        ("x.csv", rle("q,0,1", "q,60"), ["line 3", "available", "''"]),
        ("x.csv", rle("q,0,-1"), ["line 2", "available", "0 or more"]),
        ("x.csv", rle("q,0,1.5"), ["line 2", "available", "whole"]),
        ("x.csv", rle("q,nan,1"), ["line 2", "t_s"]),
        ("x.csv", rle("q,0,inf"), ["line 2", "available"]),
        ("x.json", '{"data": []}', ["metadata.gap_seconds"]),
        ("x.json", '{"metadata": {"gap_seconds": 0}, "data": [1]}', ["gap_seconds", "0"]),
        ("x.json", '{"metadata": {"gap_seconds": 60}, "data": []}', ["data"]),
        ("x.json", '{"metadata": {"gap_seconds": 60}, "data": [1, null]}', ["data[1]"]),
        ("x.json", "[1, 2]", ["metadata.gap_seconds"]),
        ("x.json", '{"metadata": ', ["not JSON"]),
    ],
)
def test_a_bad_trace_is_refused_by_file_line_and_field(tmp_path, name, text, told):
    path = write(tmp_path / name, text)
    with pytest.raises(ValueError, match="x") as error:
        capacity_from(path)
    for part in (str(path), *told):
        assert part in str(error.value)


def test_bytes_that_are_no_text_and_names_that_match_nothing_are_refused(tmp_path):
    broken = tmp_path / "broken.csv.gz"
    broken.write_bytes(gzip.compress(b"trace_id,t_s,available" * 99)[:30])
    binary = tmp_path / "binary.csv"
    binary.write_bytes(b"\xff\xfe\x00")
    for path in (broken, binary):
        with pytest.raises(ValueError, match="cannot be read"):
            capacity_from(path)
    with pytest.raises(ValueError, match=r"no trace whose name contains 'zz'; there are 1: a"):
        capacity_from(write(tmp_path / "c.csv", rle("a,0,1")), "zz")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="in this folder"):
        capacity_from(tmp_path / "empty")


def test_a_trace_without_an_instance_is_refused_and_beside_another_it_is_not(tmp_path):
    path = write(tmp_path / "c.csv", rle("never,0,0", "never,60,0", "some,0,2"))
    with pytest.raises(ValueError, match="no job could run"):
        scenario_from(path, None, pattern="never")
    jobs = write(tmp_path / "w.csv", "submit_s,duration_s,gpus\n0,100,16\n")
    scenario = scenario_from(path, jobs)
    assert [pool.name for pool in scenario.pools] == ["never", "some"]
    (task,) = scenario.tasks("1")
    assert (task.pools, task.count) == (("some",), 2)


# --- work -------------------------------------------------------------------------------


def test_a_workload_is_ordered_and_what_never_ran_is_passed_over(tmp_path):
    path = write(
        tmp_path / "w.csv",
        "source,job_id,submit_s,duration_s,gpus,user\n"
        "s,1,500,60,0,ada\ns,2,100,,1,ada\ns,3,-20,0,0.5,\ns,4,300,90,17,bob\ns,5,,5,1,bob\n",
    )
    capacity = write(tmp_path / "c.csv", rle("a,0,64", "b,0,2"))
    tasks = scenario_from(capacity, path).tasks("1")
    assert [task.submitted for task in tasks] == [0.0, 320.0, 520.0]
    assert [task.count for task in tasks] == [1, 3, 1]  # 17 GPUs: three instances of eight
    assert [task.share for task in tasks] == ["all", "bob", "ada"]
    assert tasks[0].work == 1.0
    assert tasks[1].pools == ("a",)  # the other never has three
    assert [t.count for t in scenario_from(capacity, path, gpus_per_instance=1).tasks("1")] == [
        1,
        17,
        1,
    ]
    assert len(scenario_from(capacity, path, jobs_max=2).tasks("1")) == 2


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a,b\n1,2\n", ["line 1", "submit_s,duration_s"]),
        ("submit_s,duration_s\n,5\n3,\n", ["of 2 rows none has both submit_s and duration_s"]),
        ("submit_s,duration_s\n1,2\nx,2\n", ["line 3", "submit_s", "'x'"]),
        ("submit_s,duration_s\n1,-2\n", ["line 2", "duration_s", "0 or more"]),
        ("submit_s,duration_s,gpus\n1,2,many\n", ["line 2", "gpus", "many"]),
        ("submit_s,duration_s,gpus\n1,2,-1\n", ["line 2", "gpus", "0 or more"]),
        ("submit_s,duration_s\n1,inf\n", ["line 2", "duration_s"]),
    ],
)
def test_a_bad_workload_is_refused_by_file_line_and_field(tmp_path, text, told):
    path = write(tmp_path / "w.csv", text)
    with pytest.raises(ValueError, match=r"w\.csv") as error:
        work_from(path)
    for part in told:
        assert part in str(error.value)


def test_thirty_thousand_rows_are_read_and_the_earliest_are_taken(tmp_path):
    rows = "".join(f"{30000 - n},{60 + n % 7},{n % 9},u{n % 400}\n" for n in range(30000))
    path = write(tmp_path / "w.csv", "submit_s,duration_s,gpus,user\n" + rows)
    read = work_from(path)
    assert len(read) == 30000
    assert read[0].submitted == 1.0
    capacity = write(tmp_path / "c.csv", rle("a,0,100"))
    scenario = scenario_from(capacity, path, jobs_max=300)
    assert max(task.submitted for task in scenario.tasks("1")) == 299.0
    assert simulate(scenario).completed


# --- whatever comes ---------------------------------------------------------------------

FIELDS = st.one_of(
    st.integers(-5, 10**7).map(str),
    st.floats().map(str),
    st.sampled_from(["", " ", "NaN", "1e400", "0x10", "ten", "1_000", "٣", '"', "\x00"]),
    st.text(max_size=5),
)


@settings(max_examples=150, deadline=None)
@given(
    header=st.sampled_from(
        ["trace_id,t_s,available", "t_s,available", "submit_s,duration_s,gpus,user"]
    ),
    rows=st.lists(st.lists(FIELDS, max_size=5), max_size=6),
)
def test_whatever_a_csv_holds_it_is_read_or_refused_with_its_name(tmp_path_factory, header, rows):
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    path = tmp_path_factory.getbasetemp() / "fuzz.csv"
    path.write_bytes((header + "\n" + out.getvalue()).encode("utf-8", "surrogatepass"))
    for read in (capacity_from, work_from):
        try:
            read(path)
        except ValueError as error:
            assert "fuzz.csv" in str(error)  # noqa: PT017  (any other error fails)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["metadata", "data", "gap_seconds", "x"]), inner, max_size=3
        )
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(["metadata", "data"]), JSON))
def test_whatever_a_json_holds_it_is_read_or_refused_with_its_name(tmp_path_factory, document):
    path = write(tmp_path_factory.getbasetemp() / "fuzz.json", json.dumps(document))
    try:
        traces = capacity_from(path)
    except ValueError as error:
        assert "fuzz.json" in str(error)  # noqa: PT017
    else:
        assert all(count >= 0 for trace in traces.values() for _, count in trace.steps)


@settings(max_examples=10, deadline=None)
@given(
    steps=st.lists(st.tuples(st.integers(0, 40000), st.integers(0, 90)), min_size=1, max_size=6),
    jobs=st.lists(
        st.tuples(
            st.integers(0, 5000), st.integers(0, 4000), st.sampled_from([0, 0.5, 1, 8, 64, 600])
        ),
        min_size=1,
        max_size=12,
    ),
    scale=st.sampled_from([1, 3]),
)
def test_whatever_can_be_read_runs_to_its_end(tmp_path_factory, steps, jobs, scale):
    folder = tmp_path_factory.mktemp("any")
    text = rle(*(f"one,{at},{count}" for at, count in steps), "two,0,1")
    capacity = write(folder / "c.csv", text)
    rows = "".join(f"{at},{run},{gpus},\n" for at, run, gpus in jobs)
    work = write(folder / "w.csv", "submit_s,duration_s,gpus,user\n" + rows)
    scenario = scenario_from(capacity, work, scale=scale)
    outcome = simulate(scenario)
    assert outcome.completed
    assert outcome.jobs == len(jobs)
    assert clairvoyant(scenario).completed


def test_the_real_traces_can_all_be_pools_at_once():
    if not SHARED.is_dir():
        pytest.skip(f"{SHARED}: not on this machine")
    scenario = scenario_from(
        SHARED / "capacity_rle.csv.gz", SHARED / "workload.csv.gz", source="alibaba", jobs_max=60
    )
    assert len(scenario.pools) > 3
    short = [task for task in scenario.tasks("1") if task.work < 86400]
    assert len(short) > 10
