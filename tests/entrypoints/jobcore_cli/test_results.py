"""The results of a sweep: what differs beside the metrics, sorted, the best marked; tables, CSV, JSON."""

from __future__ import annotations

import csv
import gc
import io
import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import jobcore
from ended_jobs import NOW, job, loss
from jobcore import Status
from jobcore.metrics import Goal, Metric
from jobcore_cli import main
from jobcore_cli._results import compare, table
from jobcore_memory import MemoryStore
from jobcore_sqlite import SqliteStore


def names(jobs: Any) -> list[str]:
    return [each.spec.name for each in jobs]


# --- comparison ---------------------------------------------------------------------------


def test_the_best_comes_first_and_jobs_without_the_metric_last():
    jobs = [job(1, loss(0.5)), job(2), job(3, loss(0.2)), job(4, status=Status.NEW)]
    results = compare("g", jobs)
    assert names(results.jobs) == ["j3", "j1", "j2", "j4"]
    assert results.best is results.jobs[0]
    assert (results.by, results.differ) == ("loss", ["lr"])


def test_larger_is_better_with_that_goal():
    jobs = [job(n, loss(n), goals={"loss": {"goal": "maximize"}}) for n in (1, 3, 2)]
    assert names(compare("g", jobs).jobs) == ["j3", "j2", "j1"]
    assert names(compare("g", jobs, goal=Goal.MINIMIZE).jobs) == ["j1", "j2", "j3"]


def test_a_job_that_has_not_completed_is_never_the_best():
    jobs = [job(1, loss(0.1), status=Status.FAILED), job(2, loss(0.9))]
    results = compare("g", jobs)
    assert names(results.jobs) == ["j2", "j1"]
    assert results.best is results.jobs[0]
    assert compare("g", jobs[:1]).best is None


def test_without_a_goal_no_job_is_the_best():
    results = compare("g", [job(n, loss(n), goals={}) for n in (2, 1)])
    assert names(results.jobs) == ["j1", "j2"]
    assert results.best is None


def test_the_first_metric_with_a_goal_decides():
    found = Metric(name="accuracy", final=0.5), loss(0.3)
    assert compare("g", [job(1, *found)]).by == "loss"
    assert compare("g", [job(1, *found, goals={})]).by == "accuracy"
    assert compare("g", [job(1, *found)], by="accuracy").by == "accuracy"


def test_parameters_that_some_jobs_lack_differ():
    jobs = [job(1, given={"a": 1, "b": 2, "c": "x"}), job(2, given={"a": 1, "b": 3})]
    assert compare("g", jobs).differ == ["b", "c"]


def test_a_secret_is_not_shown_where_it_differs():
    jobs = [job(n, loss(n), given={"api_key": f"hunter2-{n}", "n": n}) for n in (1, 2)]
    results = compare("g", jobs)
    assert results.differ == ["n"]
    assert "hunter2" not in "\n".join(table(results))


# --- the table ----------------------------------------------------------------------------


def test_the_table_has_what_differs_beside_the_metrics():
    jobs = [
        job(1, loss(0.5, lowest=0.25, lowest_step=3, highest=1.0), Metric(name="acc", final=0.9)),
        job(2, loss(0.123456789, lowest=0.123456789, highest=1.0)),
        job(3, status=Status.FAILED),
    ]
    ids = {each.spec.name: each.job_id[:8] for each in jobs}
    assert table(compare("g", jobs)) == [
        "   ID        lr   STATUS     RAN    loss      best loss  acc",
        f"*  {ids['j2']}  0.2  Completed  1m30s  0.123457  0.123457   -",
        f"   {ids['j1']}  0.1  Completed  1m30s  0.5       0.25 @3    0.9",
        f"   {ids['j3']}  0.3  Failed     1m30s  -         -          -",
    ]


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_the_table_fits_the_terminal_and_says_what_is_missing(columns):
    many = {f"parameter-{n}": "x" * n for n in range(20)}
    metrics = [Metric(name=f"metric/{n}", final=n) for n in range(10)]
    jobs = [job(n, loss(n), *metrics, given={**many, "parameter-3": n}) for n in (1, 2)]
    jobs += [job(3, given=dict.fromkeys(many, "other"))]
    lines = table(compare("g", jobs), limit=columns)
    assert max(map(len, lines)) <= columns
    assert "loss" in lines[0]
    told = " ".join(" ".join(lines[4:]).split())
    assert told.startswith("not shown, for want of room: ")
    assert told.endswith("metric/9 (--csv and --json have all)")
    assert "not shown" not in "\n".join(table(compare("g", jobs)))


def test_a_column_is_cut_before_others_are_left_out_and_no_further_than_it_must():
    jobs = [job(n, loss(n), given={"data": f"/a/long/path/{n}", "n": n}) for n in (1, 2)]
    assert table(compare("g", jobs), limit=60)[1].split()[2] == "/a/long/path/1"
    short = table(compare("g", jobs), limit=50)
    assert (max(map(len, short)), short[1].split()[2]) == (50, "/a/long/p…")
    assert len(short) == 3


def test_text_of_jobs_cannot_control_the_terminal():
    jobs = [job(n, loss(n), given={"\x1b[2J": "\x1b[31m" * n}) for n in (1, 2)]
    assert "\x1b" not in "\n".join(table(compare("g", jobs)))


# --- the command --------------------------------------------------------------------------


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """A home with jobs of a group, and a way to call the command there."""
    monkeypatch.setenv("JOBCORE_HOME", str(tmp_path))
    monkeypatch.setenv("JOBCORE_OWNER", "ada")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "none"))
    jobs = [
        job(1, loss(0.5, lowest=0.25, lowest_step=3, highest=1.0)),
        job(2, loss(0.125)),
        job(3, status=Status.FAILED),
        job(4, loss(0.1), owner="bob"),
        job(5, group="empty", status=Status.NEW),
        job(6, loss(1.0), group="aimless", goals={}),
    ]
    with SqliteStore(tmp_path / "jobcore.db") as store:
        store.add([replace(each, state=jobcore.lifecycle.New(since=NOW)) for each in jobs])
        store.save(jobs)

    def run(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["results", *words])
        out = capsys.readouterr()
        return code, out.out, out.err

    return run


def test_a_group_is_shown_with_a_summary(call):
    code, out, _ = call("g")
    assert code == 0
    assert out.splitlines()[0].split() == ["ID", "lr", "STATUS", "RAN", "loss", "best", "loss"]
    assert out.splitlines()[1].startswith("*  ")
    assert out.splitlines()[-1] == "g: 2 Completed, 1 Failed; sorted by loss (minimize)"
    assert call("--group", "g")[1] == out


def test_jobs_of_other_owners_are_not_compared_unless_they_are_named(call):
    assert len(json.loads(call("g", "--json")[1])["jobs"]) == 3
    (row,) = json.loads(call("g", "--owner", "bob", "--json")[1])["jobs"]
    assert row["name"] == "j4"


def test_without_a_group_it_is_that_of_the_newest_job(call, tmp_path):
    newer = replace(job(7, loss(2.0), group="new"), submitted_at=NOW + timedelta(days=1))
    with SqliteStore(tmp_path / "jobcore.db") as store:
        store.add([newer])
    assert call()[1].splitlines()[-1].startswith("new: ")
    code, _, err = call("--owner", "carl")
    assert (code, "none of the newest jobs of carl is in a group" in err) == (3, True)


def test_the_best_id_can_be_used_by_a_script(call):
    assert call("g", "--best")[:2] == (0, job(2).job_id + "\n")
    assert call("aimless", "--best")[0] == 3
    assert "loss has no goal; give --goal minimize or maximize" in call("aimless", "--best")[2]
    assert "no completed job has metrics" in call("empty", "--best")[2]
    assert call("aimless", "--best", "--goal", "maximize")[0] == 0


def test_json_has_everything(call):
    document = json.loads(call("g", "--json")[1])
    assert document["best"] == document["jobs"][0]["id"]
    assert document["goals"] == {"loss": "minimize"}
    second = document["jobs"][1]
    assert second["hyperparameters"] == {"epochs": 9, "lr": 0.1}
    assert second["metrics"]["loss"] == {
        "final": 0.5, "step": None, "count": None, "lowest": 0.25, "lowest_step": 3,
        "highest": 1.0, "highest_step": None,
    }  # fmt: skip
    assert second["ran_seconds"] == 90.0
    assert len(json.loads(call("g", "--json", "--top", "1")[1])["jobs"]) == 1


def test_csv_has_the_columns_of_the_table_and_the_best_values(call):
    rows = list(csv.DictReader(io.StringIO(call("g", "--csv")[1])))
    assert [row["loss"] for row in rows] == ["0.125", "0.5", ""]
    assert rows[1] == {
        "id": job(1).job_id, "name": "j1", "status": "Completed", "ran_seconds": "90.0",
        "lr": "0.1", "loss": "0.5", "best loss": "0.25", "best loss step": "3",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("nothing",), "there is no group 'nothing'"),
        (("g", "--sort", "acc"), "--sort: no job of group g has a metric 'acc'; there are: loss"),
        (("g", "--group", "h"), "give one group"),
        (("g", "--csv", "--json"), "give either --csv or --json"),
    ],
)
def test_what_cannot_be_answered_is_said(call, words, says):
    code, _, err = call(*words)
    assert code != 0
    assert says in err


def test_a_group_without_metrics_says_where_they_come_from(call):
    line = call("empty")[1].splitlines()[-1]
    assert "no metrics yet: a script writes metrics.json into SM_OUTPUT_DATA_DIR" in line
    assert "[metrics]" in line
    assert "without a goal (--goal minimize or maximize)" in call("aimless")[1]


def test_show_has_the_metrics(call, capsys):
    assert main(["show", "j1"]) == 0
    assert "  loss        0.5  best 0.25 @3\n" in capsys.readouterr().out
    assert main(["show", "j1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["metrics"]["loss"]["final"] == 0.5


def test_the_collector_of_garbage_is_on_again(call):
    call("g")
    call("nothing")
    assert gc.isenabled()


def test_a_group_is_read_once():
    store = MemoryStore()
    store.add([replace(job(n), state=jobcore.lifecycle.New(since=NOW)) for n in range(30)])
    from jobcore_cli._session import Session

    reads = []
    session = Session()
    session.owner = "ada"
    session.store = store
    find = store.find
    store.find = lambda query: reads.append(query) or find(query)
    assert len(session.find_jobs([], "g", None)) == 30
    assert len(reads) == 1
