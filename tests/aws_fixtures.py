"""
Stand-ins for AWS.

`ministack`: the address of a MiniStack server of this test session, or of whatever
JOBCORE_TEST_AWS_ENDPOINT names: a server of one's own, or "aws" for the real thing (then the
tests use the credentials and the region of the environment, and make and delete tables there).
`moto`: moto in this process, for what runs in one thread.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from patience import SECONDS

ENDPOINT = "JOBCORE_TEST_AWS_ENDPOINT"
MINISTACK = Path(__file__).parents[1] / ".venv-ministack" / "bin" / "ministack"

FAKE_ACCOUNT = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",  # of nobody: the stand-ins check no signature
    "AWS_DEFAULT_REGION": "us-east-1",
    # Else boto3 puts the account into host names, which moto does not know.
    "AWS_ACCOUNT_ID_ENDPOINT_MODE": "disabled",
}


def free_port() -> int:
    """
    Find a port for a server that cannot choose its own.

    Below the range that systems give to clients and to servers that ask for any port: tests run
    beside each other, and one of those would take it before the server is up. Drawn from the
    system, not from `random`, which is seeded alike in every worker.
    """
    for _ in range(100):
        port = 20_000 + secrets.randbelow(12_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError("no free port between 20000 and 32000")


@pytest.fixture(scope="session")
def ministack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an emulated AWS; one server per worker and session, so name things apart."""
    given = os.environ.get(ENDPOINT)
    if given:
        yield "" if given == "aws" else given
        return
    if not MINISTACK.exists():
        pytest.skip(f"no {MINISTACK.parent.parent.name}: run make test, or set {ENDPOINT}")
    port = free_port()
    folder = tmp_path_factory.mktemp("ministack")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "MINISTACK_HOST": "127.0.0.1",
    } | FAKE_ACCOUNT
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [str(MINISTACK)],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{address}/_ministack/health", server, folder / "log")
        yield address
    finally:
        server.terminate()
        try:
            server.wait(60)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for(url: str, server: subprocess.Popen, log: Path) -> None:
    end = time.monotonic() + SECONDS
    while True:
        try:
            with urllib.request.urlopen(url, timeout=60):
                return
        except OSError:
            if server.poll() is not None or time.monotonic() > end:
                sys.stderr.write(log.read_text(errors="replace"))
                raise
        time.sleep(0.05)


def connect(service: str, address: str, **config: Any) -> Any:
    """Make a client of *service* at a stand-in; an empty address is AWS itself."""
    import boto3
    from botocore.config import Config

    settings = {
        "retries": {"mode": "standard", "total_max_attempts": 1},
        "connect_timeout": SECONDS,
        "read_timeout": SECONDS,
        "max_pool_connections": 32,
        "s3": {"addressing_style": "path"},
    } | config
    if not address:
        return boto3.client(service, config=Config(**settings))
    return boto3.client(
        service,
        endpoint_url=address,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(**settings),
    )


@pytest.fixture
def moto(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """AWS in this process, empty, for one test. Its conditional writes are not atomic under threads."""
    from moto import mock_aws

    for name, value in FAKE_ACCOUNT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    with mock_aws():
        yield


def table_name() -> str:
    return f"jobcore-test-{uuid4().hex[:12]}"
