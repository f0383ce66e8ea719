"""The laptop and the sandbox start a script exactly as SageMaker's training toolkit does.

For each case the AWS adapter builds a CreateTrainingJob request, the toolkit runs it, and its script
writes down all that it was given. The local trainer runs the same job, the sandbox the same request.
Every field has to be equal, but for the exceptions below.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import jobcore_contract
from jobcore import Placement
from jobcore_aws import build_request
from jobcore_code import CodeStore, pack
from jobcore_contract import Container
from jobcore_local import LocalTrainer, write_pools
from jobcore_local._contract import host_folder, prepare
from jobcore_simulation.sandbox import SandboxConfig, serve
from patience import until
from sagemaker_fixtures import client, request, settings
from toolkit_oracle import (
    PROBE,
    PROBE_FILE,
    Server,
    calls_of_pip,
    container_files,
    need_toolkit,
    probe_of,
    train,
)

# --- exceptions: a field, and why it differs -------------------------------------------------

EVERYWHERE = {
    "environment.PYTHONPATH": "the toolkit adds the rest of its own sys.path, which another "
    "interpreter has no use for; the first entries are compared as `path`",
    "environment.PYTHONUNBUFFERED": "set so that output appears at once; many images set it",
    "environment.SM_STUDIO_LOCAL_MODE": "set by this test, see toolkit_oracle",
    "environment.PROBE_FILE": "the place where the script of this test writes to",
}
OF_THE_MACHINE = dict.fromkeys(
    (f"environment.{name}" for name in (
        "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH",
        "CONDA_PREFIX", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE",
        "*_PROXY", "*_proxy", "XDG_*", "LC_*", "OMP_*", "MKL_*", "OPENBLAS_*", "NUMEXPR_*", "NVIDIA_*",
    )),
    "passed on from this machine; an image sets its own",
)  # fmt: skip
NO_REGION = "there is no AWS region on this machine"
LOOPBACK = "all hosts are this machine, which has its own loopback"
BY_STARTER = {
    "files.hyperparameters.json.sagemaker_program": "SageMaker's toolkit passes no arguments but "
    "hyperparameters; so it starts a starter, which starts the script",
    "files.hyperparameters.json.sagemaker_submit_directory": "an archive with the starter",
    "environment.SM_MODULE_DIR": "an archive with the starter",
    "environment.SM_TRAINING_ENV.module_dir": "an archive with the starter",
}
LAPTOP = {
    **EVERYWHERE,
    "environment.CUDA_VISIBLE_DEVICES": "a job sees the GPUs of its slots only",
    "environment.JOBCORE_SPEC_HASH": "part of the owner's mark on AWS; here it is in a record",
    "environment.JOBCORE_TRAINING": "finds processes that outlive their supervisor",
    "environment.TRAINING_JOB_ARN": "a training of this machine has no ARN",
    "environment.SAGEMAKER_REGION": NO_REGION,
    "files.hyperparameters.json.sagemaker_region": NO_REGION,
    "environment.SM_NETWORK_INTERFACE_NAME": LOOPBACK,
    "*.network_interface_name": LOOPBACK,
    "environment.SM_CURRENT_INSTANCE_TYPE": "local, as the toolkit calls it outside of SageMaker",
    "*instance_type": "local, as the toolkit calls it outside of SageMaker",
}
SANDBOX = {
    **EVERYWHERE,
    "environment.PATH": "python is the sandbox's own, as on AWS it is the image's",
}

# --- cases ---------------------------------------------------------------------------------

VALUES: dict[str, Any] = {
    "whole": 3, "negative": -7, "large": 10**30, "float": 0.1, "small": 1e-05, "round": 1.0,
    "huge": 1e22, "minus-zero": -0.0, "yes": True, "no": False, "nothing": None, "text": "plain",
    "empty": "", "space": " ", "spaces": "two  words ", "single": "it's", "double": 'say "x"',
    "both": "'\"'", "back": "a\\b", "dollar": "$HOME ${HOME} $(id) `id`", "lines": "a\nb\tc",
    "star": "* ? [a] ~ ; & | > # !", "percent": "%s %(x)s", "accents": "é ß 日本 😀",
    "zeros": "0123", "number-like": "1e5", "true-like": "true", "null-like": "null",
    "list-like": "[1, 2]", "table-like": '{"a": 1}', "quoted": '"x"', "flag": "--verbose",
    "assigned": "a=b", "comma": "a,b", "list": ["a", "b"], "list-of-all": [1, 0.5, None, True, "é'"],
    "empty-list": [], "nested-list": [[1], {"b": [2]}], "table": {"lr": 0.1, "name": "sgd"},
    "empty-table": {}, "unsorted": {"b": 1, "a": None, "Ä": True},
    "nested": {"x": {"y": [1, {"z": None}]}}, "x": 1, "Y": "one letter", "é": "one letter, too",
    "with space": 1, "with.dot": 1, "with_underscore": 1, "CamelCase": 1, "lr": 1, "LR": 2, "1": "digit",
    "s": "SM_HPS is another", "per%cent": 1, "-dash": 1, "_tuning_objective_metric": "loss",
    "default_user_module_name": "m", "sagemaker_container_log_level": 10,
    "sagemaker_custom": {"a": [1]}, "sagemaker_s3_output": None,
}  # fmt: skip
WORDS = (
    "--fast",
    "data.csv",
    "two  words",
    "it's",
    'say "x"',
    "",
    "$HOME `id` * \\",
    "é 日本 😀",
    "a\nb",
    "--",
)
PYTHON = f'exec "{sys.executable}" probe.py "$@"\n'


@dataclass(frozen=True)
class Case:
    """A job: the files of its code (mode 644), and fields of its job file."""

    files: Mapping[str, str] = field(default_factory=lambda: {"train.py": PROBE})
    script: str = "train.py"
    channels: tuple[str, ...] = ()
    hyperparameters: Mapping[str, Any] = field(default_factory=lambda: {"lr": 0.1, "x": None})
    environment: Mapping[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    count: int = 1


def shell(first_line: str) -> Mapping[str, str]:
    say = 'export SEEN_SHELL="${BASH_VERSION:+bash}" SEEN_NAME="$0"\n'
    return {"probe.py": PROBE, "run.sh": f"{first_line}{say}{PYTHON}"}


CASES = {
    "nothing": Case(hyperparameters={}),
    "values": Case(hyperparameters=VALUES),
    "channels": Case(channels=("train", "Test-2.a", "s")),
    "subfolder": Case(files={"a/b-c/train.py": PROBE}, script="a/b-c/train.py"),
    "package": Case(files={"train.py": PROBE, "setup.py": ""}),
    "module": Case(files={"pack/__init__.py": "", "pack/go.py": PROBE, "setup.py": ""}, script="pack.go"),
    "shell": Case(files=shell("#!/usr/bin/env bash\n"), script="run.sh", hyperparameters=VALUES),
    "plain shell": Case(files=shell(""), script="run.sh", hyperparameters=VALUES),
    "shell of a package": Case(files={**shell("#!/bin/sh\n"), "setup.py": ""}, script="run.sh"),
    "executable": Case(
        files={"bin/go": f"#!{sys.executable}\n{PROBE}"}, script="bin/go", hyperparameters=VALUES
    ),
    "distributed": Case(hyperparameters={"sagemaker_parameter_server_enabled": True, "a": 1}),
    "groups": Case(
        hyperparameters={"sagemaker_distribution_instance_groups": ["homogeneousCluster", "b"]}
    ),
    "no distribution": Case(hyperparameters={"sagemaker_mpi_enabled": False}),
    "environment": Case(
        environment={"PYTHONPATH": "/more:/paths", "TEXT": "é $HOME 'x'", "CURRENT_HOST": "me"}
    ),
    "folders": Case(
        channels=("train",),
        hyperparameters={
            "model": "${SM_MODEL_DIR}",
            "all": ["${SM_OUTPUT_DIR}/a ${SM_OUTPUT_DATA_DIR}", {"x": "${SM_CHANNEL_TRAIN}/a.csv"}],
            "other": "${HOME} $SM_MODEL_DIR ${sm_x}",
            "resume": "${SM_CHECKPOINT_DIR}/last",
        },
        environment={"CACHE": "${SM_CHECKPOINT_DIR}/cache"},
        arguments=("${SM_CHANNEL_TRAIN}/b.csv", "--out=${SM_MODEL_DIR}:$HOME:${HOME}"),
    ),
    "arguments": Case(hyperparameters=VALUES, arguments=WORDS),
    "flags": Case(
        hyperparameters={**VALUES, "amp": True, "z": True, "slow": False, "f": False, "true-text": "True"},
        flags=("amp", "z", "slow", "f", "absent"),
        arguments=("--more",),
    ),
    "flags alone": Case(hyperparameters={"lr": 0.1, "amp": True, "slow": False}, flags=("amp", "slow")),
    "flags of a shell script": Case(
        files=shell("#!/usr/bin/env bash\n"), script="run.sh",
        hyperparameters={"amp": True, "slow": False, "x": None}, flags=("amp", "slow"),
    ),
    "a flag": Case(hyperparameters={}, arguments=("--verbose",)),
    "long arguments": Case(arguments=("é" * 3000,), channels=("train",)),
    "arguments of a package": Case(files={"train.py": PROBE, "setup.py": ""}, arguments=WORDS),
    "arguments of a module": Case(
        files={"pack/__init__.py": "", "pack/go.py": PROBE, "setup.py": ""},
        script="pack.go",
        arguments=WORDS,
    ),
    "arguments of a shell script": Case(
        files=shell("#!/usr/bin/env bash\n"), script="run.sh", hyperparameters=VALUES, arguments=WORDS
    ),
    "arguments of a plain one": Case(files=shell(""), script="run.sh", arguments=WORDS),
    "arguments of an executable": Case(
        files={"bin/go": f"#!{sys.executable}\n{PROBE}"}, script="bin/go", arguments=WORDS
    ),
}  # fmt: skip
SETTINGS = settings(network_isolation=False, local_code=True)


@pytest.fixture(autouse=True)
def toolkit(monkeypatch: pytest.MonkeyPatch) -> None:
    need_toolkit()
    # As in a container: python3 is an interpreter, and not a shim that adds to the environment.
    path = f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"
    monkeypatch.setenv("PATH", path)


def write_code(case: Case, folder: Path) -> Path:
    source = folder / "source"
    for name, text in case.files.items():
        file = source / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(0o644)
    return source


def args_of(case: Case, source: Path, probe: Path, channels: Mapping[str, str]) -> dict[str, Any]:
    return {
        "script": case.script,
        "source_dir": str(source),
        "hyperparameters": dict(case.hyperparameters),
        "channels": dict(channels),
        "environment": {**case.environment, PROBE_FILE: str(probe)},
        "arguments": list(case.arguments),
        "flags": list(case.flags),
    }


def aws_request(case: Case, source: Path, probe: Path) -> dict[str, Any]:
    channels = {name: f"s3://data/{name}" for name in case.channels}
    if case.arguments or case.flags:
        source = pack_with_starter(case, source)
    args = {"image": "torch", **args_of(case, source, probe, channels)}
    return build_request(request(args=args, placement=Placement("cpu", case.count)), SETTINGS)


def pack_with_starter(case: Case, source: Path) -> Path:
    """Pack the code as `jobcore submit` does for a job with arguments."""
    store = CodeStore(source.parent / "code-store", durable=False)
    more = jobcore_contract.starter_files(case.script)
    archive = source.parent / jobcore_contract.STARTED_ARCHIVE
    archive.write_bytes(pack(store.path, store.take(source).id, more))
    return archive


def seen_by_toolkit(case: Case, folder: Path, host: int = 1) -> dict[str, Any]:
    source = write_code(case, folder)
    base = folder / "ml"
    asked = aws_request(case, source, folder / "probe")
    outcome = train(asked, base, folder / "probe", f"algo-{host}")
    assert outcome.exit_code == 0, outcome.output
    assert outcome.seen is not None
    return fields(
        outcome.seen, {str(base / "code"): "CODE", str(source): "SOURCE", str(base): "ML"}
    )


def seen_on_laptop(case: Case, folder: Path, host: int = 1) -> dict[str, Any]:
    source = write_code(case, folder)
    channels = {name: str(folder) for name in case.channels}
    probe = folder / "probe"
    asked = request(
        placement=Placement("cpu", case.count), args=args_of(case, source, probe, channels)
    )
    write_pools(folder, {"cpu": case.count})
    trainer = LocalTrainer(folder)
    try:
        trainer.launch([asked])
        until(lambda: trainer.describe([asked.name])[asked.name].state.is_terminal)
        seen = json.loads(probe_of(probe, f"algo-{host}").read_text())
        ml = f"{host_folder(trainer.directory(asked.name), host)}/ml"
        checkpoints = trainer.checkpoint_dir(asked.job_id)
    finally:
        trainer.close()
    # The code is run where it is: the folder is both its place and the working directory.
    for name in ("cwd", "argv", "path"):
        seen[name] = json.loads(json.dumps(seen[name]).replace(str(source), "CODE"))
    environment = seen["environment"]
    for name in ("PWD", "PYTHONPATH"):
        if name in environment:
            environment[name] = environment[name].replace(str(source), "CODE")
    return fields(
        seen, {str(source): "SOURCE", str(ml): "ML", str(checkpoints): "/opt/ml/checkpoints"}
    )


def described_in_sandbox(case: Case, folder: Path) -> dict[str, Any]:
    asked = aws_request(case, write_code(case, folder), folder / "probe")
    with serve(SandboxConfig(speed=1000, run_scripts=folder)) as server:
        api = client(server.url)
        api.create_training_job(**asked)

        def ended() -> Any:
            shown = api.describe_training_job(TrainingJobName=asked["TrainingJobName"])
            return shown if shown["TrainingJobStatus"] != "InProgress" else None

        shown: dict[str, Any] = until(ended)
        api.close()
    return shown


def seen_in_sandbox(case: Case, folder: Path) -> dict[str, Any]:
    shown = described_in_sandbox(case, folder)
    assert shown["TrainingJobStatus"] == "Completed", shown["FailureReason"]
    seen = json.loads((folder / "probe").read_text())
    base, source = os.path.dirname(seen["environment"]["SM_MODEL_DIR"]), str(folder / "source")
    return fields(seen, {f"{base}/code": "CODE", source: "SOURCE", base: "ML"})


OTHERS = {"laptop": (seen_on_laptop, LAPTOP), "sandbox": (seen_in_sandbox, SANDBOX)}
_OF_JSON = (
    "SM_TRAINING_ENV", "SM_RESOURCE_CONFIG", "SM_INPUT_DATA_CONFIG", "SM_INSTANCE_GROUPS_DICT",
    "SM_HPS", "SM_USER_ARGS", "SM_FRAMEWORK_PARAMS",
)  # fmt: skip


def fields(seen: dict[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Flatten what a script saw: one entry for each variable, and each leaf of those that are JSON."""
    text = json.dumps(seen, ensure_ascii=False)
    for path in sorted(names, key=len, reverse=True):
        text = text.replace(path, "/opt/ml" if names[path] == "ML" else names[path])
    seen = json.loads(text)
    environment = seen["environment"]
    # Of the path the first entries: the folder of the script, then PYTHONPATH.
    path = environment.get("PYTHONPATH", "").split(":")
    given_path = [entry for entry in path[1:] if entry in ("/more", "/paths")]
    found = {
        "argv": seen["argv"],
        "cwd": seen["cwd"],
        "path": [seen["path"][0], path[0], *given_path],
    }
    found["folders"] = sorted(seen["folders"])
    for name, value in environment.items():
        found[f"environment.{name}"] = value
        if name in _OF_JSON:
            decoded = json.loads(value)
            found[f"environment.{name}"] = "JSON"
            found[f"written as.{name}"] = (
                value == json.dumps(decoded, sort_keys=True, separators=(",", ":")) or "otherwise"
            )
            found.update(leaves(f"environment.{name}", decoded))
    for name, content in seen["files"].items():
        found.update(leaves(f"files.{name}", content))
    return found


def leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from leaves(f"{name}.{key}", item)
    elif isinstance(value, list) and value:
        for place, item in enumerate(value):
            yield from leaves(f"{name}[{place}]", item)
    else:
        yield name, value


def differences(expected: dict[str, Any], got: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    names = sorted(expected.keys() | got.keys())
    absent = "(absent)"
    return {
        name: (expected.get(name, absent), got.get(name, absent))
        for name in names
        if repr(expected.get(name, absent)) != repr(got.get(name, absent))
    }


def unexplained(found: Mapping[str, Any], reasons: Mapping[str, str]) -> dict[str, Any]:
    patterns = [*reasons, *OF_THE_MACHINE]
    return {
        name: values
        for name, values in found.items()
        if not any(fnmatchcase(name, pattern) for pattern in patterns)
    }


@pytest.mark.parametrize("name", CASES)
def test_every_field_is_as_the_toolkit_has_it(tmp_path: Path, name: str) -> None:
    case = CASES[name]
    expected = seen_by_toolkit(case, tmp_path / "toolkit")
    assert len(expected) > 100
    for where, (run, reasons) in OTHERS.items():
        got = run(case, tmp_path / where)
        more = BY_STARTER if (case.arguments or case.flags) and where == "laptop" else {}
        assert unexplained(differences(expected, got), {**reasons, **more}) == {}, where


HOSTS = {
    "nothing": Case(hyperparameters={}, count=2),
    "distributed": Case(hyperparameters={"sagemaker_parameter_server_enabled": True}, count=2),
    "a file for each": Case(channels=("train",), arguments=("--out=${SM_OUTPUT_DATA_DIR}",), count=2),
}  # fmt: skip


@pytest.mark.parametrize("host", [1, 2])
@pytest.mark.parametrize("name", HOSTS)
def test_every_host_of_the_laptop_has_what_the_toolkit_gives_it(
    tmp_path: Path, name: str, host: int
) -> None:
    """The sandbox starts the script of such a training once, as the only host."""
    case = HOSTS[name]
    expected = seen_by_toolkit(case, tmp_path / "toolkit", host)
    assert json.loads(expected["environment.SM_HOSTS"]) == ["algo-1", "algo-2"]
    assert expected["environment.SM_TRAINING_ENV.is_master"] is (host == 1)
    got = seen_on_laptop(case, tmp_path / "laptop", host)
    more = BY_STARTER if case.arguments else {}
    assert unexplained(differences(expected, got), {**LAPTOP, **more}) == {}


@pytest.mark.parametrize("where", OTHERS)
def test_every_exception_is_needed(tmp_path: Path, where: str) -> None:
    """And an exception hides a difference of the field that it names, in the simplest job."""
    run, reasons = OTHERS[where]
    expected = seen_by_toolkit(CASES["nothing"], tmp_path / "toolkit")
    found = differences(expected, run(CASES["nothing"], tmp_path / where))
    unneeded = [p for p in reasons if not any(fnmatchcase(name, p) for name in found)]
    assert unneeded == []
    assert all(len(reason.split()) > 3 for reason in reasons.values())


# --- without a process for each case ---------------------------------------------------------

# No process can be given a NUL; jobs with one are refused.
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
#: As texts: JSON, and texts that other clients send, some of which are JSON by chance.
VALUE_TEXTS = (
    JSON.map(json.dumps) | TEXT | st.sampled_from(["NaN", "1e999", "[1", " 1", "-", "'a'"])
)
TOOLKITS = (
    "sagemaker_container_log_level", "sagemaker_custom", "sagemaker_s3_output", "sagemaker_region",
    "sagemaker_parameter_server_enabled", "sagemaker_pytorch_ddp_enabled",
    "sagemaker_job_name", "_tuning_objective_metric", "lr", "LR",
)  # fmt: skip
NAMES = TEXT.filter(lambda name: "=" not in name) | st.sampled_from(TOOLKITS)
HYPERPARAMETERS = st.dictionaries(NAMES, VALUE_TEXTS, max_size=5)
CHANNELS = st.lists(st.from_regex(r"[A-Za-z0-9._-]{1,8}", fullmatch=True), max_size=3, unique=True)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    need_toolkit()
    started = Server(tmp_path_factory.mktemp("server") / "ml", BASIC)
    yield started
    started.close()


BASIC = {
    "TrainingJobName": "basic",
    "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
    "AlgorithmSpecification": {"TrainingInputMode": "File"},
}


@hypothesis_settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(HYPERPARAMETERS, CHANNELS, st.sampled_from(["train.py", "a/b.py", "run.sh", "go"]))
def test_any_hyperparameters_and_channels(
    server: Server, given: dict[str, str], channels: list[str], script: str
) -> None:
    texts = {"sagemaker_program": json.dumps(script), **given}
    files = container_files({
        **BASIC,
        "HyperParameters": texts,
        "InputDataConfig": [{"ChannelName": name} for name in channels],
    })  # fmt: skip
    theirs = server.ask(files=files)
    container = Container(
        base=str(server.base),
        hyperparameters=texts,
        channels={name: jobcore_contract.channel_config() for name in channels},
        resources=jobcore_contract.resource_config("ml.m5.large"),
        environment={"TRAINING_JOB_NAME": "basic"},
        cpus=os.cpu_count() or 1,
    )
    wrong = "error" in theirs
    with pytest.raises(jobcore_contract.BadInput) if wrong else nullcontext():
        ours = jobcore_contract.start(container, str(server.base / "code"))
    if wrong:
        return
    variables = {k: v for k, v in ours.environment.items() if k.startswith("SM_")}
    assert variables == theirs["environment"]
    assert [word.rstrip() for word in ours.command(sys.executable, package=False)] == [
        word.rstrip() for word in theirs["command"]
    ]


NAMES_OF_SCRIPTS = (
    "train.py", "a/train.py", "a/b/train.sh", "_x.py", ".hidden.py", "..py", "a+b-c.py", "9.py", "go",
    "", "/train.py", "../train.py", "a/../b.py", "./a.py", "a/./b.py", "a//b.py", "a/", "-x.py",
    "+x.py", "a/-x.py", "my train.py", "é.py", "a;b.py", "a\n.py", "a.py\n", "a\\b.py", "~/a.py", "..",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES_OF_SCRIPTS)
def test_the_same_names_of_scripts_are_allowed(server: Server, name: str) -> None:
    refused = "error" in server.ask(name=name) or name in NARROWER
    with pytest.raises(jobcore_contract.BadInput) if refused else nullcontext() as caught:
        jobcore_contract.check_entry_point(name)
    assert caught is None or caught.value.field == "script"


# Python's $ also matches before a last line end, so the toolkit lets one pass.
NARROWER = ("a.py\n",)


REQUIRING = {
    "train.py": {"train.py": PROBE},
    "run.sh": {"run.sh": "exec python train.py\n", "train.py": PROBE},
    "run": {"run": "exec python train.py\n", "train.py": PROBE},
    "train": {"setup.py": "", "train.py": PROBE},
    "run.sh of a package": {"setup.py": "", "run.sh": "exec python train.py\n", "train.py": PROBE},
}


@pytest.mark.parametrize("name", REQUIRING)
def test_requirements_are_installed_where_the_toolkit_does(tmp_path: Path, name: str) -> None:
    need_toolkit()
    case = Case(
        files={**REQUIRING[name], "requirements.txt": "a\n"}, script=name.split(maxsplit=1)[0]
    )
    source = write_code(case, tmp_path)
    outcome = train(
        aws_request(case, source, tmp_path / "probe"), tmp_path / "ml", tmp_path / "probe"
    )
    assert outcome.seen is not None, outcome
    installs = any("-r requirements.txt" in call for call in calls_of_pip(tmp_path / "ml"))
    assert jobcore_contract.installs_requirements(case.script, case.files) is installs


# --- failures ------------------------------------------------------------------------------


FAILING = Case(
    files={"train.py": "import sys\nprint('why', file=sys.stderr)\nsys.exit(3)\n"},
    hyperparameters={"lr": 0.1},
)


def test_the_sandbox_reports_a_failed_script_as_the_toolkit_does(tmp_path: Path) -> None:
    folder = tmp_path / "toolkit"
    asked = aws_request(FAILING, write_code(FAILING, folder), folder / "probe")
    outcome = train(asked, folder / "ml", folder / "probe")
    assert outcome.exit_code == 1
    # The command `train` alone does not read the script's errors. The frameworks' images do.
    expected = outcome.failure.replace('ErrorMessage ""', 'ErrorMessage "why"')
    shown = described_in_sandbox(FAILING, tmp_path / "sandbox")
    assert shown["FailureReason"] == f"AlgorithmError: {expected}, exit code: 1"


@pytest.mark.parametrize(
    ("case", "field"),
    [
        (Case(files={"a/train.py": PROBE, "setup.py": ""}, script="a/train.py"), "script"),
        (Case(hyperparameters={"a=b": 1}), "hyperparameters.a=b"),
    ],
)
def test_what_the_toolkit_cannot_start_is_refused(tmp_path: Path, case: Case, field: str) -> None:
    source = write_code(case, tmp_path)
    outcome = train(
        aws_request(case, source, tmp_path / "probe"), tmp_path / "ml", tmp_path / "probe"
    )
    assert outcome.exit_code == 1
    assert outcome.seen is None
    asked = request(args=args_of(case, source, tmp_path / "probe", {}))
    with pytest.raises(jobcore_contract.BadInput) as caught:
        prepare(asked, tmp_path / "t", tmp_path / "c", {})
    assert caught.value.field == field
