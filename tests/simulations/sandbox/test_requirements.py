"""The sandbox installs a requirements.txt before it runs a script, as SageMaker's training toolkit does."""

from __future__ import annotations

import json
import os
from pathlib import Path

import boto3
import pytest

from jobcore_simulation.sandbox import SandboxConfig, serve
from patience import until
from wheels import make_wheel, offline

REQUEST = {
    "AlgorithmSpecification": {"TrainingImage": "image", "TrainingInputMode": "File"},
    "RoleArn": "arn:aws:iam::123456789012:role/training",
    "OutputDataConfig": {"S3OutputPath": "s3://bucket/out"},
    "ResourceConfig": {
        "InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 10,
    },
    "StoppingCondition": {"MaxRuntimeInSeconds": 28 * 86_400},
}  # fmt: skip


@pytest.mark.parametrize("isolated", [False, True])
def test_packages_are_installed_where_there_is_a_network(
    tmp_path: Path, monkeypatch, isolated: bool
) -> None:
    code = tmp_path / "code"
    code.mkdir()
    make_wheel(tmp_path / "wheels", "surely_only_here", "1.0")
    (code / "requirements.txt").write_text("surely_only_here\n")
    (code / "train.py").write_text(
        "import surely_only_here as s\nopen('../output/failure', 'w').write('has ' + s.VERSION)\n1/0\n"
    )
    for name in [*os.environ]:
        if name.startswith(("PIP_", "UV_")):
            monkeypatch.delenv(name)
    for name, value in offline(tmp_path / "wheels", "pip", tmp_path).items():
        monkeypatch.setenv(name, value)
    own = {"sagemaker_program": "train.py", "sagemaker_submit_directory": str(code)}
    with serve(SandboxConfig(speed=1000, run_scripts=tmp_path)) as server:
        client = boto3.client(
            "sagemaker",
            endpoint_url=server.url,
            region_name="us-east-1",
            aws_access_key_id="x",
            aws_secret_access_key="x",
        )
        client.create_training_job(
            TrainingJobName="a",
            EnableNetworkIsolation=isolated,
            HyperParameters={name: json.dumps(value) for name, value in own.items()},
            **REQUEST,
        )

        def reason() -> str:
            return client.describe_training_job(TrainingJobName="a").get("FailureReason", "")

        said = until(reason)
        client.close()
    if isolated:
        assert said.startswith(
            "AlgorithmError: InstallRequirementsError:\nExitCode 1\nErrorMessage "
        )
        assert "No matching distribution found for surely" in said
        assert said.endswith('pip install -r requirements.txt", exit code: 1')
    else:
        assert said == "AlgorithmError: has 1.0, exit code: 1"
