"""A deployment to test with, and clients of a sandbox."""

from __future__ import annotations

from typing import Any

import boto3
from botocore.config import Config

import jobcore
from jobcore import Placement
from jobcore.ports import LaunchRequest
from jobcore_aws import Pool, SageMakerSettings
from patience import SECONDS

REGION = "us-east-1"
ROLE = "arn:aws:iam::123456789012:role/training"
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/train:1"
CPU = Pool(name="cpu", instance_types=("ml.m5.large",), slots=2)
ARGS = {"image": "torch", "hyperparameters": {"lr": 0.1}}


def settings(**changes: Any) -> SageMakerSettings:
    values: dict[str, Any] = {
        "output": "s3://models/jobcore",
        "pools": {"cpu": CPU},
        "roles": {"train": ROLE},
        "images": {"torch": IMAGE},
        "region": REGION,
        "create_rate": 1000.0,
        "create_burst": 1000,
        "describe_rate": 1000.0,
        "list_rate": 1000.0,
        "search_from": None,
    }
    return SageMakerSettings(**values | changes)


def request(token: str = "a", attempt: int = 1, **changes: Any) -> LaunchRequest:
    job_id = jobcore.job_id_from_token("tests", token)
    values: dict[str, Any] = {
        "name": jobcore.lifecycle.training_name(job_id, attempt),
        "job_id": job_id,
        "attempt": attempt,
        "spec_hash": "5" * 64,
        "placement": Placement("cpu"),
        "args": ARGS,
    }
    return LaunchRequest(**values | changes)


def client(url: str, *, service: str = "sagemaker") -> Any:
    """A boto3 client that makes each call once."""
    return boto3.client(
        service,
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(
            retries={"mode": "standard", "total_max_attempts": 1},
            read_timeout=SECONDS,
            connect_timeout=SECONDS,
            max_pool_connections=50,
        ),
    )
