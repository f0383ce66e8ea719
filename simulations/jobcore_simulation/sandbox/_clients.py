"""Clients of the emulated AWS beside the sandbox, such as MiniStack."""

from __future__ import annotations

from typing import Any

__all__ = ["client_of"]


def client_of(service: str, endpoint: str, region: str, account: str) -> Any:
    """Make a boto3 client of an emulator; it takes any credentials."""
    import boto3
    from botocore.config import Config

    make: Any = boto3.client
    return make(
        service,
        endpoint_url=endpoint,
        region_name=region,
        aws_access_key_id=account,
        aws_secret_access_key="sandbox",  # noqa: S106  (an emulator's; anything goes)
        config=Config(
            s3={"addressing_style": "path"},
            connect_timeout=3,
            read_timeout=60,
            retries={"mode": "standard", "total_max_attempts": 3},
        ),
    )
