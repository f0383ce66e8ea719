"""Clients with explicit timeouts and retries: the SDK's defaults differ between its releases."""

from __future__ import annotations

from functools import cache
from typing import Any

CONNECT_SECONDS = 3
READ_SECONDS = 10
CONNECTIONS = 32


@cache
def _session() -> Any:
    # boto3's session adds resources, which are not used here and take time to import.
    import botocore.session

    return botocore.session.get_session()


def client(
    service: str,
    *,
    region: str | None = None,
    endpoint_url: str | None = None,
    mutating: bool = False,
) -> Any:
    """
    Make a client.

    Args:
        service: "dynamodb", "sagemaker", "sns", ...
        region, endpoint_url: None for those of the environment.
        mutating: whether its calls change something. Then it makes one attempt for each call, and
            the caller retries, because a repeated call may meet its own earlier effect.
    """
    from botocore.config import Config

    config = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": 1 if mutating else 3},
        max_pool_connections=CONNECTIONS,
        tcp_keepalive=True,
        user_agent_extra="jobcore",
    )
    return _session().create_client(
        service, region_name=region, endpoint_url=endpoint_url, config=config
    )
