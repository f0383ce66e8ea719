"""Launches against the sandbox of SageMaker: the used part of the create quota; cold starts."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace

import jobcore
from jobcore_aws import SageMakerSettings, SageMakerTrainer
from jobcore_simulation import PoolConfig
from jobcore_simulation.sandbox import SandboxConfig, serve

LAUNCHES, RATE, LATENCY = 1000, 50.0, 0.050
POOL = "us-east-1/ml.m5.large/on-demand"
ACCOUNT = {
    "AWS_ACCESS_KEY_ID": "000000000000",
    "AWS_SECRET_ACCESS_KEY": "sandbox",
    "AWS_DEFAULT_REGION": "us-east-1",
}
IMPORTS = 7
BARE = "import boto3; boto3.client('{service}')"
OURS = "import jobcore_lambda.{module}; from jobcore_lambda._wiring import wiring; wiring().{part}"


def requests(count: int) -> list[jobcore.ports.LaunchRequest]:
    """Make launches of jobs that have an image."""
    made = []
    for number in range(count):
        job_id = jobcore.job_id_from_token("bench", str(number))
        request = jobcore.ports.LaunchRequest(
            name=jobcore.lifecycle.training_name(job_id, 1),
            job_id=job_id,
            attempt=1,
            spec_hash="0" * 32,
            placement=jobcore.Placement(POOL),
            args={"image": "default"},
        )
        made.append(request)
    return made


def launches() -> None:
    """Launch as fast as the quota allows, each call taking 50 ms."""
    os.environ.update(ACCOUNT)
    config = SandboxConfig(
        pools={POOL: PoolConfig(quota=LAUNCHES)},
        latency=LATENCY,
        rates={"CreateTrainingJob": (RATE, 2.0)},
    )
    settings = SageMakerSettings(
        pools={POOL: None},
        roles={"default": "arn:aws:iam::000000000000:role/training"},
        images={"default": "000000000000.dkr.ecr.us-east-1.amazonaws.com/train:1"},
        output="s3://bucket/out",
        create_rate=RATE,
    )
    with serve(config) as sandbox:
        os.environ["AWS_ENDPOINT_URL_SAGEMAKER"] = sandbox.url
        trainer = SageMakerTrainer(settings)
        todo = requests(LAUNCHES)
        trainer.launch([replace(todo[0])])  # makes the client and opens the connection
        begun = time.perf_counter()
        replies = trainer.launch(todo[1:])
        seconds = time.perf_counter() - begun
        trainer.close()
    del os.environ["AWS_ENDPOINT_URL_SAGEMAKER"]
    accepted = sum(reply.result is jobcore.ports.LaunchResult.ACCEPTED for reply in replies)
    rate = accepted / seconds
    print(
        f"{accepted} launches, {LATENCY * 1000:.0f} ms each, limit {RATE:.0f}/s: {rate:.1f}/s;",
        end=" ",
    )
    print(f"{rate / RATE:.3f} of the limit (goal >= 0.95), {len(replies) - accepted} throttled")


def _cpu(code: str) -> float:
    import resource

    environment = {**os.environ, **ACCOUNT, "JOBCORE_TABLE": "jobs", "JOBCORE_TOPIC_ARN": ""}
    times = []
    for _ in range(IMPORTS):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", code], env=environment, check=True)  # noqa: S603
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(times)


def cold_starts() -> None:
    """Compare the CPU time of a function's imports and clients with those of bare boto3."""
    for module, part, service in (
        ("launch", "trainer._client('')", "sagemaker"),
        ("monitor", "store", "dynamodb"),
        ("notify", "store", "dynamodb"),
    ):
        bare = _cpu(BARE.format(service=service))
        ours = _cpu(OURS.format(module=module, part=part))
        print(f"cold start of {module}: {ours * 1000:.0f} ms of CPU;", end=" ")
        print(f"{ours / bare:.2f} of a bare {service} client (goal <= 1.15)")


def run() -> None:
    """Measure launches and cold starts."""
    launches()
    cold_starts()


if __name__ == "__main__":
    run()
