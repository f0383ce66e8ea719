"""Which failure rules the command uses, and which it puts into the functions' zip file."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

import jobcore_aws
import jobcore_local
from jobcore import classify
from jobcore.errors import InvalidSetting
from jobcore.ports import Evidence
from jobcore_cli import main
from jobcore_cli._rules import RULES_FILE, refuse_rules, rules_to_deploy
from jobcore_cli._session import Session
from jobcore_client.errors import RequestError
from jobcore_client.rules import default_rules
from jobcore_lambda import _wiring

MINE = '[[rule]]\nname = "mine"\nclass = "capacity"\nretry = "yes"\npattern = "no {{disk}}"\n'
BAD = '[[rule]]\nname = "mine"\nclass = "nope"\n'


class FakeStack:
    name = "jc"

    def __init__(self, **parameters: str) -> None:
        self.parameters = parameters

    def describe(self) -> dict[str, Any] | None:
        if not self.parameters:
            return None
        listed = [{"ParameterKey": k, "ParameterValue": v} for k, v in self.parameters.items()]
        return {"Parameters": listed}


class FakeS3:
    """Holds one zip file; None: it may not be read."""

    def __init__(self, **files: str) -> None:
        self.files = files

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803
        assert (Bucket, Key) == ("code", "a.zip")
        if "denied" in self.files:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "GetObject")
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            for name, text in self.files.items():
                archive.writestr(name, text)
        return {"Body": io.BytesIO(out.getvalue())}


DEPLOYED = FakeStack(CodeBucket="code", CodeKey="a.zip")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "aws.toml"
    path.write_text('rules = "my/rules.toml"\noutput = "s3://a/b"\n')
    (tmp_path / "my").mkdir()
    (tmp_path / "my" / "rules.toml").write_text(MINE)
    return path


def test_the_name_of_the_file_is_the_one_that_the_functions_read():
    assert RULES_FILE == _wiring.RULES_FILE


def test_the_backend_chooses_the_rules():
    aws = jobcore_aws.failure_rules()
    assert default_rules(is_aws=True) is aws
    assert default_rules(is_aws=False) is jobcore_local.failure_rules(aws)


@pytest.mark.parametrize("backend", ["local", "aws"])
def test_the_users_rules_are_tried_first(backend, tmp_path, monkeypatch):
    monkeypatch.setenv("JOBCORE_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    file = tmp_path / "rules.toml"
    file.write_text(MINE)
    (tmp_path / "config.toml").write_text(f'backend = "{backend}"\nrules = "{file}"\n')
    session = Session()
    evidence = Evidence(where="describe", text="no disk space is left")
    assert classify(evidence, session.rules()).rule == "mine"
    assert classify(evidence, default_rules(is_aws=session.is_aws)).rule == "bare: disk full"
    file.write_text(BAD)
    with pytest.raises(InvalidSetting, match=r"rules\.toml: rule 'mine': class: 'nope'"):
        session.rules()
    with pytest.raises(RequestError, match=r"absent\.toml: No such file"):
        session.rules(str(tmp_path / "absent.toml"))


def test_classify_uses_the_rules_of_the_backend(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("JOBCORE_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    text = {"where": "describe", "text": "LocalBadInput: script: there is none"}
    (tmp_path / "texts.jsonl").write_text(json.dumps(text))
    for backend, expected in (("local", "local: bad input"), ("aws", "no rule matched")):
        assert main(["--backend", backend, "classify", str(tmp_path / "texts.jsonl")]) == 0
        assert json.loads(capsys.readouterr().out)["rule"] == expected


# --- a deployment -----------------------------------------------------------------------


def test_a_configuration_names_the_rules_that_are_deployed(config):
    assert rules_to_deploy(config, FakeStack(), FakeS3()) == MINE.encode()
    assert rules_to_deploy(config, DEPLOYED, FakeS3(**{RULES_FILE: "old"})) == MINE.encode()


def test_a_configuration_without_rules_takes_them_away(config):
    config.write_text('output = "s3://a/b"\n')
    assert rules_to_deploy(config, DEPLOYED, FakeS3(**{RULES_FILE: MINE})) is None


def test_without_a_configuration_the_deployed_rules_are_kept():
    assert rules_to_deploy(None, DEPLOYED, FakeS3(**{RULES_FILE: MINE})) == MINE.encode()
    assert rules_to_deploy(None, DEPLOYED, FakeS3(**{"jobcore/x.py": ""})) is None
    assert rules_to_deploy(None, FakeStack(), FakeS3()) is None
    assert rules_to_deploy(None, FakeStack(CodeKey="", ImageUri="x"), FakeS3()) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (BAD, r"my/rules\.toml: rule 'mine': class: 'nope' is not one of"),
        ("[[rule]\n", r"my/rules\.toml: "),
        ('[[rule]]\nname = "a"\nclass = "oom"\npattern = "{{x}}"\n', "there is no fragment {{x}}"),
    ],
)
def test_wrong_rules_are_refused_before_anything_is_deployed(config, text, words):
    (config.parent / "my" / "rules.toml").write_text(text)
    with pytest.raises(InvalidSetting, match=words):
        rules_to_deploy(config, FakeStack(), FakeS3())


def test_other_mistakes_of_a_deployment_are_named(config):
    (config.parent / "my" / "rules.toml").unlink()
    with pytest.raises(RequestError, match=r"my/rules\.toml: No such file"):
        rules_to_deploy(config, FakeStack(), FakeS3())
    config.write_text("rules = 3\n")
    with pytest.raises(
        RequestError, match=r"aws\.toml: rules: expected the path of a TOML file, got 3"
    ):
        rules_to_deploy(config, FakeStack(), FakeS3())
    with pytest.raises(
        RequestError, match=r"s3://code/a\.zip, the present code, cannot be read .* --config"
    ):
        rules_to_deploy(None, DEPLOYED, FakeS3(denied=""))
    with pytest.raises(InvalidSetting, match=r"the rules of stack jc: rule 'mine': class: 'nope'"):
        rules_to_deploy(None, DEPLOYED, FakeS3(**{RULES_FILE: BAD}))


def test_an_image_brings_its_own_rules(config):
    with pytest.raises(RequestError, match="copy the file into the image"):
        refuse_rules(config)
    config.write_text('output = "s3://a/b"\n')
    refuse_rules(config)
    refuse_rules(None)
