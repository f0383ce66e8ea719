"""
Metrics of real processes: what a script leaves is read, whatever it is, and holds no job up.

Without the bounds, an endless file or a slow expression would hold its training up for ever.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

import jobcore
from jobcore.metrics import Metric
from jobcore.ports import LaunchRequest, LaunchResult, Training, TrainingState
from jobcore_local import LocalTrainer, metrics_in_log, write_pools
from jobcore_local._supervisor.metrics import FILE_BYTES_MAX, Reader
from patience import until


@pytest.fixture
def trainer(tmp_path: Path):
    made = LocalTrainer(tmp_path / "home")
    write_pools(made.home, {"cpu": 2})
    yield made
    made.close()


def run(trainer: LocalTrainer, script: str, *, hosts: int = 1, **metrics: str) -> Training:
    """Run a script of the shell, with regular expressions by name, to its end."""
    folder = trainer.home.parent
    (folder / "train.sh").write_text(script)
    job_id = jobcore.job_id_from_token("metrics", script)
    name = jobcore.lifecycle.training_name(job_id, 1)
    regexes = {key: {"regex": regex} for key, regex in metrics.items()}
    request = LaunchRequest(
        name=name,
        job_id=job_id,
        attempt=1,
        spec_hash="h",
        placement=jobcore.Placement("cpu", hosts),
        args={"script": "train.sh", "source_dir": str(folder), "metrics": regexes},
    )
    assert trainer.launch([request])[0].result is LaunchResult.ACCEPTED
    training = until(lambda: (t := trainer.describe([name])[name]) and t.state.is_terminal and t)
    assert isinstance(training, Training)
    return training


def found(training: Training) -> dict[str, Metric]:
    return {metric.name: metric for metric in training.metrics}


def log_of(trainer: LocalTrainer, training: Training) -> str:
    return trainer.log_path(training.name).read_text()


def test_values_are_found_in_the_log(trainer):
    script = "for loss in 0.9 0.25 0.5 nan; do echo epoch loss=$loss; done; echo loss=now"
    training = run(trainer, script, loss=r"loss=([0-9a-z.]+)", acc="acc=(.*)")
    assert found(training) == {
        "loss": Metric(
            name="loss", final=0.5, step=3, count=3, lowest=0.25, lowest_step=2,
            highest=0.9, highest_step=1,
        )
    }  # fmt: skip


def test_the_states_of_a_progress_bar_are_lines(trainer):
    training = run(trainer, r"printf '1 loss=3\r2 loss=1\r3 loss=2\n'", loss="^[0-9] loss=(.)$")
    (metric,) = training.metrics
    assert (metric.final, metric.count, metric.lowest) == (2.0, 3, 1.0)


def test_of_several_hosts_the_log_of_the_first_counts(trainer):
    training = run(trainer, "echo loss=${SM_CURRENT_HOST#algo-}", hosts=2, loss="loss=(.)")
    (metric,) = training.metrics
    assert (metric.final, metric.count) == (1.0, 1)


def test_files_go_before_the_log(trainer):
    script = """
    cd $SM_OUTPUT_DATA_DIR; echo loss=9 acc=8
    echo '{"step": 10, "loss": 0.9, "lr": {"head": 1, "text": "x"}}' > metrics.jsonl
    echo '{"step": 20, "loss": 0.2, "ok": true, "inf": 1e999, "none": null}' >> metrics.jsonl
    echo '{"loss": 0.4}' > metrics.json
    """
    training = run(trainer, script, loss="loss=(.)", acc="acc=(.)")
    metrics = found(training)
    assert set(metrics) == {"loss", "acc", "lr/head"}
    assert metrics["loss"] == Metric(
        name="loss", final=0.4, count=3, lowest=0.2, lowest_step=20, highest=0.9, highest_step=10
    )
    assert (metrics["acc"].final, metrics["lr/head"].step) == (8.0, 10)


def test_a_training_that_failed_or_was_stopped_has_those_that_it_came_to(trainer):
    training = run(trainer, "echo loss=3; exit 1", loss="loss=(.)")
    assert training.state is TrainingState.FAILED
    assert found(training)["loss"].final == 3.0


def test_a_job_without_metrics_leaves_no_trace_of_them(trainer):
    training = run(trainer, "echo hello")
    assert training.metrics == ()
    end = json.loads((trainer.directory(training.name) / "exit.json").read_text())
    assert "metrics" not in end
    assert log_of(trainer, training) == "hello\n"


WRITES = {
    "text": "echo loss > metrics.json",
    "binary": "head -c 9999 /dev/urandom > metrics.json",
    "deep": "yes '{\"a\":' | head -c 900000 | tr -d '\\n' > metrics.json",
    "list": "echo [1,2] > metrics.json",
    "huge": "head -c 99000000 /dev/zero > metrics.json",
    "endless": "truncate -s 1T metrics.json",
    "device": "ln -s /dev/zero metrics.json",
    "pipe": "mkfifo metrics.json",
    "folder": "mkdir metrics.json",
    "digits": "yes 9 | head -c 100000 | tr -d '\\n' > metrics.json",
}


@pytest.mark.parametrize("what", WRITES)
@pytest.mark.parametrize("file", ["metrics.json", "metrics.jsonl"])
def test_whatever_a_script_writes_it_completes_and_is_told_why_it_has_no_metrics(
    trainer, what, file
):
    script = "cd $SM_OUTPUT_DATA_DIR; " + WRITES[what].replace("metrics.json", file)
    training = run(trainer, script + "; echo loss=3", loss="loss=(.)")
    assert training.state is TrainingState.COMPLETED
    assert found(training)["loss"].final == 3.0
    if what not in ("huge", "endless") or file == "metrics.json":
        assert f"jobcore: metrics: {file}: " in log_of(trainer, training)


@pytest.mark.parametrize("what", ["pipe", "device"])
def test_a_log_that_is_none_is_not_read(tmp_path, what):
    log = tmp_path / "log"
    os.mkfifo(log) if what == "pipe" else log.symlink_to("/dev/zero")
    reader = Reader()
    assert reader.search(str(log), {"loss": "(.)"}) == []
    assert reader.notes


def test_a_slow_expression_costs_its_own_time_and_no_other_metric(trainer):
    script = "printf 'a%.0s' $(seq 5000); echo; echo loss=3"
    training = run(trainer, script, slow="(a+)+b", loss="loss=(.)")
    assert found(training).keys() == {"loss"}
    assert "jobcore: metrics: slow: it took more than" in log_of(trainer, training)


def test_of_a_million_lines_the_last_value_is_known(trainer):
    script = """
    cd $SM_OUTPUT_DATA_DIR
    seq 1000000 | sed 's/.*/{"loss": &}/' > metrics.jsonl
    """
    training = run(trainer, script)
    assert found(training)["loss"].final == 1_000_000.0


def test_of_a_file_that_is_too_long_only_the_end_is_known(tmp_path):
    log = tmp_path / "log"
    with log.open("w") as file:
        file.write("loss=1\n")
        file.truncate(FILE_BYTES_MAX + 1)
        file.seek(0, os.SEEK_END)
        file.write("\nloss=5\nloss=4\n")
    assert Reader().search(str(log), {"loss": "loss=(.)"}) == [["loss", 4.0, None]]


def test_there_are_not_too_many(trainer):
    script = """
    cd $SM_OUTPUT_DATA_DIR
    (echo '{'; seq 500 | sed 's/.*/"m&": &,/'; echo '"z": 1}') > metrics.json
    """
    training = run(trainer, script)
    assert [metric.name for metric in training.metrics] == [f"m{n}" for n in range(1, 101)]
    assert "the first 100 are kept" in log_of(trainer, training)


def test_names_that_cannot_be_shown_are_left_out(tmp_path):
    table = {"a\x1b[31m": 1, "": 2, "x" * 101: 3, "good": 4, "in": {"\n": 5, "side": 6}}
    (tmp_path / "metrics.json").write_text(json.dumps(table))
    rows = Reader().read(str(tmp_path), str(tmp_path / "log"), {})
    assert [(row[0], row[1]) for row in rows] == [("good", 4.0), ("in/side", 6.0)]


def test_a_damaged_record_of_metrics_does_not_hide_the_end(trainer):
    training = run(trainer, "echo loss=3", loss="loss=(.)")
    record = trainer.directory(training.name) / "exit.json"
    for metrics in ("x", [["loss"]], [["loss", None]], {"loss": 3}):
        record.write_text(json.dumps(json.loads(record.read_text()) | {"metrics": metrics}))
        described = trainer.describe([training.name])[training.name]
        assert described is not None
        assert (described.state, described.metrics) == (TrainingState.COMPLETED, ())


def test_a_log_can_be_searched_by_a_process_of_its_own(tmp_path):
    log = tmp_path / "log"
    log.write_text("loss=3\nloss=2\n")
    (metric,) = metrics_in_log(log, {"loss": "loss=(.)"})
    assert (metric.final, metric.highest) == (2.0, 3.0)
    assert metrics_in_log(log, {}) == metrics_in_log(tmp_path / "none", {"loss": "(.)"}) == ()
