"""Bad input gets one line that names what is wrong, and its exit code; output fits 80 columns."""

from __future__ import annotations

import io
import json
import sqlite3
from pathlib import Path

import pytest

from jobcore_cli import main

COMMANDS = [
    "submit",
    "sweep",
    "list",
    "show",
    "why",
    "logs",
    "stop",
    "hold",
    "release",
    "retry",
    "wait",
    "run",
    "tick",
    "pools",
    "classify",
    "doctor",
    "completion",
]


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBCORE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("JOBCORE_OWNER", "ada")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "no-config"))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("JOBCORE_DEBUG", raising=False)
    monkeypatch.chdir(tmp_path)
    Path("train.sh").write_text("true\n")


def call(*words: str) -> int:
    return main(list(words))


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.toml", "script = ", "not valid TOML"),
        ("train.py", "import os\n", "a script; name it in a job file"),
        ("train.py", "import os\n", 'script = "train.py"'),
        ("a.json", '{"script": }', "line 1"),
        ("a.yaml", "script: [train.sh\n", "not valid YAML"),
        ("a.json", "[1]", "list"),
        ("a.toml", 'script = "train.sh"\nprioritty = 1\n', "did you mean 'priority'"),
        ("a.toml", 'script = "train.sh"\npriority = "high"\n', "priority: expected a whole number"),
        ("a.toml", 'script = "absent.sh"\n', "absent.sh does not exist"),
        ("a.toml", 'script = "train.sh"\nsource_dir = "nowhere"\n', "is not a folder"),
        ("a.toml", 'name = "no script"\n', "script: missing"),
    ],
)
def test_bad_job_files(name: str, text: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path(name).write_text(text)
    assert call("submit", name) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"jobcore: {name}: ")
    assert says in error
    assert error.count("\n") == 1


def test_a_module_of_a_package_is_a_script(capsys: pytest.CaptureFixture[str]) -> None:
    """A folder with setup.py is a package: SageMaker's toolkit starts its modules by name."""
    Path("a.toml").write_text('script = "pack.train"\n')
    assert call("submit", "--dry-run", "a.toml") == 2
    assert "pack.train does not exist" in capsys.readouterr().err
    Path("setup.py").write_text("")
    assert call("submit", "--dry-run", "a.toml") == 0


@pytest.mark.parametrize("script", ["./train.sh", "sub/../train.sh", "{folder}/train.sh"])
def test_a_script_is_named_relative_to_its_folder(
    script: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """SageMaker's toolkit takes no other names."""
    Path("sub").mkdir()
    Path("a.toml").write_text(f'script = "{script.format(folder=tmp_path)}"\n')
    assert call("submit", "--json", "a.toml") == 0
    (job_id,) = json.loads(capsys.readouterr().out)["ids"]
    assert call("show", "--json", job_id) == 0
    assert json.loads(capsys.readouterr().out)["args"]["script"] == "train.sh"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('hyperparameters = {data = "${SM_CHANNEL_TRAIN}"}', "hyperparameters.data: ${SM_CHANNEL_TRAIN}"),
        ('script = "../train.sh"', "script: '../train.sh' is not a path inside source_dir"),
        ('environment = {SAGEMAKER_REGION = "x"}', "environment.SAGEMAKER_REGION: reserved"),
    ],
)  # fmt: skip
def test_what_the_contract_refuses_is_refused_at_submit(
    line: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("sub").mkdir()
    script = "" if line.startswith("script") else 'script = "train.sh"\n'
    Path("sub/a.toml").write_text(f"{script}{line}\n")
    Path("sub/train.sh").write_text("")
    assert call("submit", "sub/a.toml") == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("word", ["../../etc/passwd", "a/../b", "zzzz", "x" * 500, "%s", ""])
@pytest.mark.parametrize("command", ["show", "why", "logs", "stop", "hold", "release", "wait"])
def test_ids_that_are_none(command: str, word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(command, word) == 3
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        ["lst"],
        ["list", "--nope"],
        ["submit"],
        ["stop"],
        ["list", "--status", "Nope"],
        ["tick", "x"],
    ],
)
def test_bad_words(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert call(*words) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_an_error_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--json", "show", "absent") == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert json.loads(err)["error"]["code"] == 3


def test_global_options_before_and_after(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--json", "list") == 0
    before = json.loads(capsys.readouterr().out)
    assert call("list", "--json") == 0
    assert json.loads(capsys.readouterr().out) == before


def test_tables_fit_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    long = "n" * 120
    Path("a.toml").write_text(f'name = "{long}"\nscript = "train.sh"\npool = "{"p" * 60}"\n')
    assert call("pools", "set", f"{'p' * 60}=1") == 0
    assert call("submit", "a.toml") == 0
    capsys.readouterr()
    for words in (["list"], ["show", long], ["pools"]):
        assert call(*words) == 0
        assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_and_is_documented(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(command, "--help") == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80
    page = Path(__file__).parents[3] / "docs" / "reference" / "cli.md"
    assert f"`{command}" in page.read_text()


def test_classify_answers_line_by_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [
        '{"where": "create", "error_code": "ThrottlingException", "text": "Rate exceeded", "more": 1}',
        "not json",
        '{"where": "describe", "status": "Failed", "text": "AlgorithmError: , exit code: 1"}',
    ]
    data = io.TextIOWrapper(io.BytesIO("\n".join(lines).encode()), encoding="utf-8")
    monkeypatch.setattr("sys.stdin", data)
    assert call("classify") == 2
    out, err = capsys.readouterr()
    first, second, third = map(json.loads, out.splitlines())
    assert set(first) == {"class", "scope", "retry", "rule"}
    assert (first["class"], third["class"]) == ("throttle", "algorithm")
    assert "line 2" in second["error"]
    assert "line 2" in err


@pytest.mark.parametrize(
    "line",
    [
        f'source_dir = "{"x" * 300}"',
        'source_dir = "~nobody-of-that-name/x"',
        f'[channels]\ntrain = "~nobody-of-that-name/{"x" * 300}"',
        "[hyperparameters]\nx = " + "[" * 300 + "]" * 300,
        "[sagemaker]\nx = 2026-01-01",
    ],
)
def test_a_job_file_that_cannot_be_one_gets_one_line(
    line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "train.py").write_text("")
    (tmp_path / "job.toml").write_text(f'script = "train.py"\n{line}\n')
    assert main(["submit", str(tmp_path / "job.toml")]) == 2
    told = capsys.readouterr()
    assert "Traceback" not in told.err
    assert told.err.strip()


def test_doctor_names_a_damaged_pool_and_the_ticks_go_on(capsys, tmp_path) -> None:
    from jobcore.lifecycle import PoolState
    from jobcore_sqlite import SqliteStore

    assert main(["pools", "set", "cpu=1"]) == 0
    with SqliteStore(tmp_path / "home" / "jobcore.db") as store:
        assert store.save_pool(PoolState(name="gpu"))
    db = sqlite3.connect(tmp_path / "home" / "jobcore.db")
    db.execute("UPDATE pool SET body = '{' WHERE name = 'gpu'")
    db.commit()
    db.close()
    (tmp_path / "train.sh").write_text("exit 0")
    (tmp_path / "job.toml").write_text('name = "x"\nscript = "train.sh"\n')
    assert main(["submit", str(tmp_path / "job.toml")]) == 0
    capsys.readouterr()
    assert main(["doctor", "--json"]) == 1
    checks = {c["check"]: c for c in json.loads(capsys.readouterr().out)["checks"]}
    assert [name for name, check in checks.items() if not check["ok"]] == ["store"]
    assert "pool gpu: stored record cannot be read" in checks["store"]["said"]
    assert "pools, shares and groups are learned anew" in checks["store"]["said"]
    assert main(["tick"]) == 0
    assert capsys.readouterr().err.count("pool gpu: stored record cannot be read") == 1
    assert main(["list", "--json"]) == 0
    (job,) = json.loads(capsys.readouterr().out)["jobs"]
    assert job["status"] != "New"


def test_a_list_reports_a_damaged_job_in_one_line_and_shows_the_others(capsys, tmp_path) -> None:
    (tmp_path / "train.sh").write_text("exit 0")
    for name in ("sound", "damaged"):
        (tmp_path / "job.toml").write_text(f'name = "{name}"\nscript = "train.sh"\n')
        assert main(["submit", str(tmp_path / "job.toml")]) == 0
    db = sqlite3.connect(tmp_path / "home" / "jobcore.db")
    db.execute("UPDATE job SET record = '{' WHERE job_id = (SELECT max(job_id) FROM job)")
    db.commit()
    db.close()
    capsys.readouterr()
    assert main(["list", "--json"]) == 0
    said = capsys.readouterr()
    assert len(json.loads(said.out)["jobs"]) == 1
    (line,) = said.err.splitlines()
    assert line.startswith("jobcore: job ")
    assert line.endswith("left out here (see jobcore doctor)")
