"""Hundreds of secrets in jobs that live, fail and are refused: no output shows one of them."""

from __future__ import annotations

import io
import json
import os
import shlex
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest

import jobcore
from jobcore import Placement, Spec, Status
from jobcore_aws import DynamoStore, SageMakerTrainer, SnsNotifier, create_table
from jobcore_cli import main
from jobcore_lambda import _wiring, launch, monitor, notify, reap, submit
from jobcore_lambda._wiring import Wiring
from jobcore_memory import ManualClock
from jobcore_simulation._training import Refusal, Script
from jobcore_simulation.sandbox import SandboxConfig, serve
from lambda_fixtures import FakeContext, http
from sagemaker_fixtures import client as sagemaker_client
from sagemaker_fixtures import settings
from secret_canaries import Canaries, found_in

PLANTED_MIN = 200


@pytest.fixture
def canaries() -> Canaries:
    return Canaries()


# --- on this machine --------------------------------------------------------------------


def _job_file(folder: Path, name: str, canaries: Canaries, **fields: Any) -> str:
    document = {
        "name": name,
        "script": "train.sh",
        "hyperparameters": canaries.hyperparameters(),
        "environment": canaries.environment(),
        "tags": canaries.tags(),
        "arguments": canaries.arguments(),
        **fields,
    }
    (folder / f"{name}.json").write_text(json.dumps(document))
    return str(folder / f"{name}.json")


def test_no_output_on_this_machine_shows_a_secret(
    canaries: Canaries,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    home = tmp_path / "home"
    for name in [name for name in os.environ if name.startswith("JOBCORE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("JOBCORE_HOME", str(home))
    monkeypatch.setenv("JOBCORE_OWNER", "ada")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "no-config"))
    monkeypatch.setenv("COLUMNS", "4000")  # nothing is hidden by being cut off
    said = [canaries.text() for _ in range(2)]
    # It tells all that it was given, as a trainer's traceback and command line do, and fails.
    (tmp_path / "train.sh").write_text(
        f"echo {shlex.quote(said[0])} >&2\n"
        'echo "Command: train.sh $*" >&2; env | grep CNRY >&2; echo "$PASSWORD_0" >&2\n'
        f'echo {shlex.quote(said[1])} "$PASSPHRASE_6" >&2\n'
        # As a script that names its metrics by what it was given.
        'echo "{\\"loss $PASSWORD_0\\": 1, \\"other\\": 2}" > "$SM_OUTPUT_DATA_DIR/metrics.json"\n'
        '[ "$JOBCORE_ATTEMPT" = 2 ] || exit "${SM_HP_CODE:-3}"\n'
    )
    fails = _job_file(tmp_path, "fails", canaries, group="g")
    retried = _job_file(
        tmp_path, "retried", canaries, group="g", retry={"algorithm": 1, "backoff": 0}
    )
    held = _job_file(tmp_path, "held", canaries, pools=["gpu"])
    (tmp_path / "data").mkdir()
    refused = _job_file(tmp_path, "refused", canaries, channels={"token": str(tmp_path / "data")})
    wrong = _job_file(
        tmp_path,
        "wrong",
        canaries,
        environment={"API_KEY": {"x": canaries.one()}, "A-B": canaries.one()},
        tags=[canaries.one()],
        hyperparameters={"password": canaries.one() * 400},
        arguments=[1, canaries.one()],
    )

    def run(*words: str) -> int:
        return main(list(words))

    assert run("pools", "set", "gpu=1") == 0
    assert run("submit", "--dry-run", fails) == 0
    assert run("submit", "--dry-run", "--json", fails) == 0
    assert run("submit", wrong) == 2
    for file in (fails, retried, held, refused):
        assert run("submit", file) == 0
    (tmp_path / "data").rmdir()  # what was there at submission is gone: the launch is refused
    assert run("hold", "held", "--reason", f"password={canaries.one()}") == 0
    ended = run("run", "--until-done", "--log-json")
    shown = [
        run(*words)
        for words in (
            ("list", "-a"), ("list", "-a", "--json"), ("show", "fails", "retried", "held"),
            ("show", "--json", "fails", "retried", "held", "refused"), ("results", "g"),
            ("results", "g", "--json"), ("results", "g", "--csv"), ("why", "fails", "retried", "held"),
            ("why", "--json", "fails", "retried", "held"), ("pools",), ("pools", "--json"),
            ("doctor", "--deep"), ("doctor", "--deep", "--json"), ("wait", "fails"), ("retry", "fails"),
            ("stop", "held"), ("list",),
        )
    ]  # fmt: skip
    out = capfd.readouterr()
    messages = (home / "messages.jsonl").read_text()
    assert len(canaries.planted) >= PLANTED_MIN
    assert ended == 1
    assert shown
    assert "loss ***" in out.out
    assert "ErrorMessage" in out.out + messages  # the failure is told, and that of user code
    assert out.out.count("***") > 100
    for what, text in (("stdout", out.out), ("stderr", out.err), ("messages.jsonl", messages)):
        assert found_in(text) == [], f"{what}: {_around(text)}"
    # By design they are where the training finds them, for its owner's eyes only.
    assert home.stat().st_mode & 0o077 == 0
    assert any(b"CNRY" in path.read_bytes() for path in home.rglob("*.db*"))


def _around(text: str) -> str:
    at = text.upper().find("CNRY")
    return f"{sorted(set(found_in(text)))} {text[max(0, at - 150) : at + 40]}"


# --- on an emulated AWS -----------------------------------------------------------------


class _Topic:
    """A client of SNS that writes down what it is asked to publish."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []

    def publish(self, **request: Any) -> None:
        self.requests.append(request)


class _EmulatedWiring(Wiring):
    """DynamoDB by moto, SageMaker by the sandbox, SNS by a client that keeps what it gets."""

    _lambda = None

    def __init__(self, url: str, dynamodb: Any) -> None:
        super().__init__({"JOBCORE_STACK": "test", "JOBCORE_ACCOUNT": "123456789012"})
        self.clock = ManualClock()
        create_table(dynamodb, "jobs")
        self.store = DynamoStore("jobs", client=dynamodb)
        self.sagemaker = sagemaker_client(url)
        self.trainer = SageMakerTrainer(settings(any_image=True, at_once=1), client=self.sagemaker)
        self.topic = _Topic()
        self.notifier = SnsNotifier("arn:aws:sns:us-east-1:123456789012:t", client=self.topic)
        self.limits = jobcore.Limits()
        self.launches_together = 1

    def nudge(self, tick: str, payload: Any) -> None:
        raise AssertionError(f"nobody asked for {tick}")

    def check(self, spec: Spec) -> list[jobcore.errors.Problem]:
        from jobcore_aws import validate_request

        found = validate_request(self.trainer.settings, spec)
        return [jobcore.errors.Problem(*text.split(": ", 1)) for text in found]


def test_no_output_on_aws_shows_a_secret(canaries: Canaries, moto: None) -> None:
    import boto3

    job: dict[str, Any] = {"image": "torch", "pool": "cpu", "retry": {"backoff": 0}}
    with serve(SandboxConfig(manual=True, start=1_767_225_600.0)) as sandbox:
        wired = _EmulatedWiring(sandbox.url, boto3.client("dynamodb"))
        sandbox.script(Script(failure_rate=1.0, failures=(canaries.text(),)))
        sandbox.script(
            Script(
                where={"Tags.jobcore:group": "refused"},
                refusal=Refusal(code="ValidationException", text=canaries.text()),
            )
        )
        answers: list[str] = []
        log = io.StringIO()
        context = FakeContext()

        def call(method: str, path: str, body: object = None) -> dict[str, Any]:
            answer = submit.handler(http(method, path, body), context)
            answers.append(json.dumps(answer))
            return json.loads(answer["body"])

        def planted(**fields: Any) -> dict[str, Any]:
            return (
                job
                | {
                    "hyperparameters": canaries.hyperparameters(),
                    "environment": canaries.environment(),
                    "tags": canaries.tags(),
                }
                | fields
            )

        # A text that quotes the values themselves, as the training toolkit quotes its command line.
        quoted = planted()
        values = [*quoted["hyperparameters"].values(), *quoted["environment"].values()]
        told = f"AlgorithmError: ExitCode 1 ErrorMessage {' '.join(map(str, values[1:12]))}"
        sandbox.script(
            Script(
                where={"Tags.jobcore:group": "quoted"}, failure_rate=1.0, failures=(told[:1024],)
            )
        )
        _wiring.use(wired)
        try:
            with redirect_stdout(log):
                ids = [
                    call("POST", "/jobs", {"jobs": [document], "group": group})["ids"][0]
                    for group, document in (
                        ("quoted", quoted), ("failed", planted()), ("refused", planted()), ("held", planted()),
                    )
                ]  # fmt: skip
                wrong = planted(
                    environment={"API_KEY": [canaries.one()]}, tags={"k": {"x": canaries.one()}}
                )
                assert "error" in call("POST", "/jobs", {"jobs": [wrong]})
                wrong = planted(hyperparameters={"password": canaries.one() * 400})
                assert "error" in call("POST", "/jobs", {"jobs": [wrong]})
                call("POST", f"/jobs/{ids[3]}/hold", {"reason": f"password={canaries.one()}"})
                for _ in range(8):
                    ticks = (launch.handler, monitor.handler, notify.handler, reap.handler)
                    answers += [json.dumps(handler({}, context)) for handler in ticks]
                    sandbox.advance(1500)
                    wired.clock.advance(jobcore.jobfile.parse_duration(1500))
                for job_id in ids:
                    call("GET", f"/jobs/{job_id}")
                call("GET", "/jobs")
                call("POST", f"/jobs/{ids[3]}/stop")
        finally:
            _wiring.use(None)
        statuses = {wired.store.get([job_id])[job_id].status for job_id in ids[:3]}
        # By design the request has them: it is what the training is given.
        described = json.dumps([dict(t.request.document) for t in sandbox.world], default=str)
        wired.trainer.close()
    assert statuses == {Status.FAILED}
    assert found_in(described)
    assert len(canaries.planted) >= PLANTED_MIN
    assert wired.topic.requests
    assert "ErrorMessage" in str(answers)
    assert "***" in str(wired.topic.requests)
    texts = {"answers": "\n".join(answers), "log": log.getvalue()}
    texts["messages"] = json.dumps(wired.topic.requests)
    for what, text in texts.items():
        assert found_in(text) == [], f"{what}: {_around(text)}"


def test_errors_and_reprs_show_no_secret(canaries: Canaries) -> None:
    spec = Spec(
        name="x", owner="ada", placements=(Placement("cpu"),), tags=canaries.tags(),
        args={"environment": canaries.environment(), "hyperparameters": canaries.hyperparameters()},
    )  # fmt: skip
    job = jobcore.new_job(jobcore.job_id_from_token("ada", "1"), spec, now=ManualClock().now())
    request = jobcore.ports.LaunchRequest(
        name=job.training_name, job_id=job.job_id, attempt=1, spec_hash="0" * 64,
        placement=Placement("cpu"), args=spec.args, tags=spec.tags,
    )  # fmt: skip
    assert (
        found_in(f"{spec!r} {job!r} {request!r} {jobcore.CorruptRecord(job.job_id, repr(job))}")
        == []
    )
