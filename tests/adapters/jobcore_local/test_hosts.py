"""A job with a count starts its script so many times at once, as hosts algo-1, algo-2 and so on."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import jobcore
import jobcore_local
from jobcore import Placement
from jobcore.ports import LaunchReply, LaunchRequest, LaunchResult, Training, TrainingState
from jobcore_code import CodeStore
from jobcore_local import LocalTrainer, _supervisor, code_path, failure_rules, write_pools
from jobcore_local._supervisor import OPT_ML_NOTE, OPT_ML_SCRIPT
from patience import until


@pytest.fixture
def trainer(tmp_path: Path) -> Iterator[LocalTrainer]:
    home = tmp_path / "home"
    home.mkdir()
    write_pools(home, {"cpu": 4, "gpu": 4, "gpu-pair": 2}, {"gpu-pair": 2})
    made = LocalTrainer(home, stop_grace=timedelta(seconds=0.5))
    yield made
    for training in made.running():
        made.stop(training.name)
    made.close()


def request(trainer: LocalTrainer, script: str, count: int = 2, **more: Any) -> LaunchRequest:
    """A shell script, unless it begins as Python does."""
    source = trainer.home.parent / "source"
    source.mkdir(exist_ok=True)
    name = "train.py" if script.startswith("import ") else "train.sh"
    (source / name).write_text(script)
    pool, args = more.pop("pool", "cpu"), more.pop("args", {})
    job_id = jobcore.job_id_from_token("hosts", script)
    return LaunchRequest(
        name=jobcore.lifecycle.training_name(job_id, 1),
        job_id=job_id,
        attempt=1,
        spec_hash="h",
        placement=Placement(pool, count),
        args={"script": name, "source_dir": str(source), **args},
        **more,
    )


def launch(trainer: LocalTrainer, asked: LaunchRequest) -> str:
    assert trainer.launch([asked]) == [LaunchReply(LaunchResult.ACCEPTED)]
    return asked.name


def ended(trainer: LocalTrainer, name: str) -> Training:
    def over() -> Training | None:
        training = trainer.describe([name]).get(name)
        return training if training is not None and training.state.is_terminal else None

    training: Training = until(over)
    return training


def reason(training: Training) -> str:
    assert training.state is TrainingState.FAILED
    assert training.evidence is not None
    return training.evidence.text


def logs(trainer: LocalTrainer, name: str, count: int = 2) -> list[str]:
    return [trainer.log_path(name, host).read_text() for host in range(1, count + 1)]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def pids_in(folder: Path, count: int = 2) -> list[int]:
    """Wait for the scripts to write their pids, each into a file of the shared model folder."""
    hosts = [f"pid-algo-{number}" for number in range(1, count + 1)]
    return [int(until((folder / host).read_text)) for host in until_all(folder, hosts)]


def until_all(folder: Path, names: list[str]) -> list[str]:
    until(lambda: all((folder / name).exists() for name in names))
    return names


WRITE_PID = (
    'echo $$ > "$SM_MODEL_DIR/.$$"; mv "$SM_MODEL_DIR/.$$" "$SM_MODEL_DIR/pid-$SM_CURRENT_HOST"\n'
)


# --- what a host has -----------------------------------------------------------------------

SEEN = """\
import json, os
base, host = os.environ["SAGEMAKER_BASE_DIR"], os.environ["SM_CURRENT_HOST"]
read = lambda name: json.load(open(f"{base}/input/config/{name}.json"))
seen = {
    "host": [host, os.environ["CURRENT_HOST"], read("resourceconfig")["current_host"]],
    "hosts": [os.environ["SM_HOSTS"], json.dumps(read("resourceconfig")["hosts"], separators=(",", ":"))],
    "data": os.listdir(os.environ["SM_CHANNEL_TRAIN"]),
    "cwd": os.getcwd(),
    "same": os.path.samefile(f"{base}/code", os.getcwd()),
    "sessions": os.getsid(0) == os.getpid(),
}
for folder in (os.environ["SM_MODEL_DIR"], os.environ["SM_OUTPUT_DATA_DIR"], f"{base}/checkpoints"):
    os.makedirs(folder, exist_ok=True)
    open(f"{folder}/of-{host}", "w").close()
print(json.dumps(seen))
"""


@pytest.mark.parametrize("frozen", [False, True])
def test_each_host_has_its_own_folders_and_code_and_shares_results(
    trainer: LocalTrainer, tmp_path: Path, frozen: bool
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "a.csv").touch()
    asked = request(trainer, SEEN, 3, args={"channels": {"train": str(data)}})
    if frozen:
        store = CodeStore(code_path(trainer.home), durable=False)
        snapshot = store.take(tmp_path / "source").id
        asked = request(trainer, SEEN, 3, args={**asked.args, "code": {"snapshot": snapshot}})
    name = launch(trainer, asked)
    assert ended(trainer, name).state is TrainingState.COMPLETED, logs(trainer, name, 3)
    seen = [json.loads(text) for text in logs(trainer, name, 3)]
    everyone = ["algo-1", "algo-2", "algo-3"]
    for host, one in zip(everyone, seen, strict=True):
        assert one["host"] == [host] * 3
        assert one["hosts"] == [json.dumps(everyone, separators=(",", ":"))] * 2
        assert one["data"] == ["a.csv"]
        assert one["same"]
        assert one["sessions"]
    assert len({one["cwd"] for one in seen}) == (3 if frozen else 1)
    shared = trainer.model_dir(name), trainer.output_dir(name), trainer.checkpoint_dir(asked.job_id)
    for folder in shared:
        assert sorted(os.listdir(folder)) == [f"of-{host}" for host in everyone]


def test_one_host_has_no_files_for_others(trainer: LocalTrainer) -> None:
    name = launch(trainer, request(trainer, "true", 1))
    assert ended(trainer, name).state is TrainingState.COMPLETED
    files = sorted(os.listdir(trainer.directory(name)))
    assert files == ["exit.json", "lock", "ml", "output.log", "started.json"]


@pytest.mark.parametrize(
    ("pool", "count", "devices", "gpus"),
    [("gpu", 2, ["0", "1"], "1"), ("gpu-pair", 2, ["0,1", "2,3"], "2"), ("gpu-pair", 1, ["0,1"], "2"), ("cpu", 2, ["", ""], "0")],
)  # fmt: skip
def test_each_host_has_the_gpus_of_its_slot(
    trainer: LocalTrainer, pool: str, count: int, devices: list[str], gpus: str
) -> None:
    script = 'echo "$CUDA_VISIBLE_DEVICES;$SM_NUM_GPUS"'
    name = launch(trainer, request(trainer, script, count, pool=pool))
    assert ended(trainer, name).state is TrainingState.COMPLETED
    assert logs(trainer, name, count) == [f"{device};{gpus}\n" for device in devices]


def test_a_count_takes_so_many_slots(trainer: LocalTrainer) -> None:
    name = launch(trainer, request(trainer, "exec sleep 600 #2", 3))
    refused = trainer.launch([request(trainer, "true")])[0]
    assert refused.evidence is not None
    assert refused.evidence.text.endswith("'cpu' has 4 slots, 3 in use, 2 asked for")
    trainer.stop(name)
    ended(trainer, name)


# --- names of hosts ------------------------------------------------------------------------

MEET = """\
import os, socket, time
host = os.environ["SM_CURRENT_HOST"]
place = os.environ["SM_MODEL_DIR"] + "/port"
if host == "algo-1":
    with socket.create_server(("algo-1", 0)) as server:
        open(place + ".part", "w").write(str(server.getsockname()[1]))
        os.rename(place + ".part", place)
        print(server.accept()[0].recv(100).decode())
else:
    while not os.path.exists(place):
        time.sleep(0.01)
    with socket.create_connection(("algo-1", int(open(place).read()))) as met:
        met.sendall(b"hello from " + host.encode())
    print(socket.gethostbyname("algo-2"), socket.gethostbyname("localhost"))
"""


def test_hosts_meet_by_their_names(trainer: LocalTrainer, tmp_path: Path) -> None:
    words = [sys.executable, "-I", "-S", OPT_ML_SCRIPT, "", "/etc/hosts", str(tmp_path / "note")]
    subprocess.run([*words, "/bin/true"], check=True)
    if (tmp_path / "note").exists():
        pytest.skip("this kernel gives no mount namespaces to this user")
    before = Path("/etc/hosts").read_bytes()
    name = launch(trainer, request(trainer, MEET))
    state = ended(trainer, name).state
    assert logs(trainer, name) == ["hello from algo-2\n", "127.0.0.1 127.0.0.1\n"]
    assert state is TrainingState.COMPLETED
    assert Path("/etc/hosts").read_bytes() == before


def test_a_failure_says_that_names_do_not_resolve(trainer: LocalTrainer) -> None:
    """The note is what the script that mounts leaves where the kernel does not allow it."""
    note = f'"$SAGEMAKER_BASE_DIR/../{OPT_ML_NOTE}"'
    script = f"printf 'not permitted (unshare)' > {note}; echo 'cannot connect to algo-2'; exit 1"
    text = reason(ended(trainer, launch(trainer, request(trainer, script))))
    assert "Names of hosts do not resolve on this machine (not permitted (unshare)); all" in text
    other = f"printf 'not permitted (unshare)' > {note}; echo 'no such column'; exit 1"
    assert "resolve" not in reason(ended(trainer, launch(trainer, request(trainer, other))))


def test_a_command_that_cannot_be_run_after_the_mount_is_named(tmp_path: Path) -> None:
    words = [sys.executable, "-I", "-S", OPT_ML_SCRIPT, "", "/etc/hosts", str(tmp_path / "note")]
    done = subprocess.run([*words, "/nowhere/python"], check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == "/nowhere/python cannot be run: No such file or directory\n"


# --- the end -------------------------------------------------------------------------------

WAIT = "trap 'touch $SM_MODEL_DIR/told-'$SM_CURRENT_HOST'; exit 0' TERM\n"
FAIL = f"""{WAIT}{WRITE_PID}
if [ $SM_CURRENT_HOST = algo-2 ]; then
    while [ ! -e "$SM_MODEL_DIR/pid-algo-1" ]; do sleep 0.01; done
    ACTION
fi
while :; do sleep 0.05; done
"""


def test_a_failed_host_ends_the_others_and_fails_the_training(trainer: LocalTrainer) -> None:
    script = FAIL.replace("ACTION", "echo 'ValueError: bad batch' >&2; exit 7")
    name = launch(trainer, request(trainer, script))
    text = reason(ended(trainer, name))
    assert text == (
        'AlgorithmError: ExecuteUserScriptError:\nExitCode 7\nErrorMessage "ValueError: bad batch"'
        " on algo-2, exit code: 7"
    )
    assert (trainer.model_dir(name) / "told-algo-1").exists()
    record = json.loads((trainer.directory(name) / "exit.json").read_text())
    assert (record["outcome"], record["exit_code"]) == ("Failed", 7)


def test_a_host_that_ignores_the_end_is_killed_after_the_grace(trainer: LocalTrainer) -> None:
    script = FAIL.replace("ACTION", "exit 3").replace(WAIT, "trap '' TERM\n")
    name = launch(trainer, request(trainer, script))
    assert reason(ended(trainer, name)).endswith(" on algo-2, exit code: 3")
    assert [is_alive(pid) for pid in pids_in(trainer.model_dir(name))] == [False, False]


def test_the_failure_file_of_the_host_that_failed_counts(trainer: LocalTrainer) -> None:
    script = FAIL.replace("ACTION", 'echo "no data" > "$SM_OUTPUT_DIR/failure"; exit 1').replace(
        "trap 'touch", "trap 'echo told > $SM_OUTPUT_DIR/failure; touch"
    )
    text = reason(ended(trainer, launch(trainer, request(trainer, script))))
    assert text == "AlgorithmError: no data on algo-2, exit code: 1"


@pytest.mark.parametrize(
    ("action", "failure_class"),
    [
        ("os.kill(os.getpid(), 9)", "spot_interrupted"),
        ("sys.exit(137)", "oom"),
        ("sys.exit(139)", "algorithm"),
    ],
)
def test_failures_of_a_host_are_classified_as_those_of_one_alone(
    trainer: LocalTrainer, action: str, failure_class: str
) -> None:
    one_fails = f"if os.environ['SM_CURRENT_HOST'] == 'algo-2': {action}\ntime.sleep(600)"
    asked = request(trainer, f"import os, sys, time\n{one_fails}")
    training = ended(trainer, launch(trainer, asked))
    assert " on algo-2" in reason(training)
    alone = ended(trainer, launch(trainer, request(trainer, f"import os, sys\n{action}", 1)))
    classes = [jobcore.classify(one.evidence, failure_rules()) for one in (training, alone)]
    assert [one.failure_class for one in classes] == [failure_class] * 2
    assert classes[0].rule == classes[1].rule


def test_a_training_completes_when_its_last_host_does(trainer: LocalTrainer) -> None:
    go = trainer.home / "go"
    script = f"[ $SM_CURRENT_HOST = algo-1 ] && exit 0\n{WRITE_PID}while [ ! -e {go} ]; do sleep 0.01; done"
    name = launch(trainer, request(trainer, script))
    until_all(trainer.model_dir(name), ["pid-algo-2"])
    assert trainer.describe([name])[name].state is TrainingState.RUNNING
    go.touch()
    assert ended(trainer, name).state is TrainingState.COMPLETED


@pytest.mark.parametrize("early", ["", "[ $SM_CURRENT_HOST = algo-1 ] && exit 0\n"])
def test_a_stop_reaches_every_host_that_runs(trainer: LocalTrainer, early: str) -> None:
    script = f"{WAIT}{WRITE_PID}{early}while :; do sleep 0.05; done"
    name = launch(trainer, request(trainer, script))
    pids = pids_in(trainer.model_dir(name))
    if early:
        until(lambda: not Path(f"/proc/{pids[0]}").exists())
    trainer.stop(name)
    assert ended(trainer, name).state is TrainingState.STOPPED
    told = sorted(path.name for path in trainer.model_dir(name).glob("told-*"))
    assert told == (["told-algo-2"] if early else ["told-algo-1", "told-algo-2"])
    assert [is_alive(pid) for pid in pids] == [False, False]


def test_the_time_limit_ends_every_host(trainer: LocalTrainer) -> None:
    asked = request(
        trainer, f"{WAIT}while :; do sleep 0.05; done", run_at_most=timedelta(seconds=1)
    )
    training = ended(trainer, launch(trainer, asked))
    assert training.evidence is not None
    assert training.evidence.secondary_status == "MaxRuntimeExceeded"
    told = [path.name for path in trainer.model_dir(training.name).glob("told-*")]
    assert len(told) == 2


def test_a_killed_shim_leaves_no_host_running(trainer: LocalTrainer) -> None:
    name = launch(trainer, request(trainer, f"{WRITE_PID}exec sleep 600"))
    pids = pids_in(trainer.model_dir(name))
    shim = json.loads((trainer.directory(name) / "started.json").read_text())["pid"]
    os.kill(shim, signal.SIGKILL)
    assert reason(ended(trainer, name)).startswith("Interrupted: ")
    assert [is_alive(pid) for pid in pids] == [False, False]


# --- hosts that cannot be started ----------------------------------------------------------

#: The fork server, where one thing does not work for the second host.
BROKEN = """
import errno, os, socket, sys
sys.path += [{folder!r}, os.path.dirname({folder!r})]
from _supervisor import hosts, server
real = hosts.{function}
def broken(*given, **named):
    if "hosts/algo-2" in str(given):
        raise OSError({number}, os.strerror({number}), {path!r})
    return real(*given, **named)
hosts.{function} = broken
server.serve(socket.socket(fileno=int(sys.argv[1])))
"""


def break_second(
    trainer: LocalTrainer, monkeypatch: pytest.MonkeyPatch, function: str, number: int, path: str
) -> None:
    wrapper = trainer.home / "wrapper.py"
    folder = os.path.dirname(jobcore_local.__file__)
    wrapper.write_text(BROKEN.format(folder=folder, function=function, number=number, path=path))
    monkeypatch.setattr(_supervisor, "START_SCRIPT", str(wrapper))


def test_a_host_that_cannot_be_started_ends_those_before_it(
    trainer: LocalTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_second(trainer, monkeypatch, "spawn_script", errno.EAGAIN, "/bin/sh")
    name = launch(trainer, request(trainer, f"{WRITE_PID}exec sleep 600"))
    text = reason(ended(trainer, name))
    said = os.strerror(errno.EAGAIN)
    assert text == f"LocalBadInput: script: /bin/sh cannot be run on algo-2: {said}"
    record = json.loads((trainer.directory(name) / "exit.json").read_text())
    assert record["exit_code"] is None
    assert jobcore_local._processes.marked_processes(trainer.directory(name)) == []


def test_a_full_disk_for_the_code_of_the_second_host_starts_none(
    trainer: LocalTrainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_second(trainer, monkeypatch, "lay_out", errno.ENOSPC, "hosts/algo-2/code/train.sh")
    script = "touch $SM_MODEL_DIR/ran"
    request(trainer, script)  # writes the source
    snapshot = CodeStore(code_path(trainer.home), durable=False).take(tmp_path / "source").id
    name = launch(trainer, request(trainer, script, args={"code": {"snapshot": snapshot}}))
    text = reason(ended(trainer, name))
    assert text.endswith("hosts/algo-2/code/train.sh: No space left on device; free some space")
    assert not (trainer.model_dir(name) / "ran").exists()


@pytest.mark.parametrize("value", ["a\0b", "\udcff" * 3, "x" * 3_000_000])
def test_values_that_no_process_can_have_start_no_host(trainer: LocalTrainer, value: str) -> None:
    script = "touch $SM_MODEL_DIR/ran"
    name = launch(trainer, request(trainer, script, args={"environment": {"TEXT": value}}))
    training = ended(trainer, name)
    if training.state is TrainingState.COMPLETED:  # bytes that are no UTF-8 can be given
        assert value.startswith("\udcff")
        return
    assert reason(training).startswith("LocalBadInput: script: ")
    assert not (trainer.model_dir(name) / "ran").exists()
