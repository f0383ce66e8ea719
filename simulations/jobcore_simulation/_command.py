"""`jobcore sandbox`: an emulated AWS: SageMaker from here, the rest from MiniStack."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import botocore  # noqa: F401  (the command is useless without it, and should fail at once)
import click

from jobcore_cli._app import common
from jobcore_cli._errors import OK, UNAVAILABLE, CliError
from jobcore_cli._session import Session

from .sandbox import AWS_RATES, SandboxConfig, Server, load_config, parse_pool, serve

__all__ = ["MiniStack", "sandbox_command"]

_READY_SECONDS_MAX = 60.0
_END_SECONDS_MAX = 10.0
_PLACES = (".venv-ministack/bin/ministack",)
_INSTALL = "python3 -m venv .venv-ministack && .venv-ministack/bin/pip install ministack"

# AWS refuses events with a source "aws.…" from its users, and MiniStack does the same. The sandbox
# sends events in the name of SageMaker, so its MiniStack is started without that check. The name
# patched is private to MiniStack: if it changes, MiniStack starts without these events.
_LAUNCH = """
import sys
try:
    import ministack.services.eventbridge as eventbridge
    eventbridge._put_events.__defaults__ = (True,)
except Exception as error:
    print("events from aws.sagemaker will be refused:", error, file=sys.stderr)
from ministack.app import main
sys.argv = ["ministack"]
main()
"""


@click.command("sandbox")
@common
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="Of SageMaker; 0: a free one."
)
@click.option(
    "--ministack/--no-ministack", default=True, help="Start MiniStack for the rest of AWS."
)
@click.option("--ministack-port", type=click.IntRange(0, 65535), default=0, help="0: a free one.")
@click.option(
    "--speed", type=click.FloatRange(min=0, min_open=True), help="Seconds here in a real one.  [60]"
)
@click.option(
    "--pool",
    "pools",
    multiple=True,
    metavar="POOL=QUOTA",
    help="e.g. ml.m5.large=4, us-east-1/ml.g5.xlarge/spot=quota:8,capacity:2.",
)
@click.option(
    "--config",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A TOML file with pools, scripts, rates ...",
)
@click.option(
    "--run-scripts",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Really run training scripts: those below this folder, and those in MiniStack's S3.",
)
@click.option(
    "--env-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the environment to this file too.",
)
@click.pass_obj
def sandbox_command(
    session: Session,
    /,
    *,
    port: int,
    ministack: bool,
    ministack_port: int,
    speed: float | None,
    pools: tuple[str, ...],
    file: Path | None,
    run_scripts: Path | None,
    env_file: Path | None,
) -> int:
    """
    Start an AWS to try jobcore on: SageMaker's training jobs, and MiniStack beside it.

    Prints the environment to export; Ctrl-C ends both. Nothing is kept.
    """
    settings = _settings(pools, file, speed=speed, run_scripts=run_scripts)
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    stack = MiniStack.start(ministack_port) if ministack else None
    try:
        if stack is not None:
            settings["events_endpoint"] = settings["aws_endpoint"] = stack.url
        with _serve(SandboxConfig(**settings), port) as server:
            environment = environment_of(server, stack.url if stack else None)
            _tell(session, server, stack, environment, env_file)
            while not ended.wait(0.5):
                if stack is not None and stack.process.poll() is not None:
                    msg = f"MiniStack ended with exit code {stack.process.returncode}"
                    raise CliError(msg, UNAVAILABLE)
    finally:
        if stack is not None:
            stack.close()
        if env_file is not None:
            env_file.unlink(missing_ok=True)
    return OK


def environment_of(server: Server, aws: str | None) -> dict[str, str]:
    """Return the environment variables that point boto3 and the AWS CLI at the sandbox."""
    environment = {
        "AWS_ENDPOINT_URL_SAGEMAKER": server.url,
        "AWS_ACCESS_KEY_ID": server.config.account,  # MiniStack takes it for the account
        "AWS_SECRET_ACCESS_KEY": "sandbox",
        "AWS_DEFAULT_REGION": server.config.region,
        "AWS_REGION": server.config.region,
    }
    return environment if aws is None else {"AWS_ENDPOINT_URL": aws} | environment


def _settings(
    pools: Sequence[str], file: Path | None, *, speed: float | None, run_scripts: Path | None
) -> dict[str, Any]:
    settings: dict[str, Any] = {"speed": 60.0, "rates": AWS_RATES}
    if region := os.environ.get("AWS_DEFAULT_REGION"):
        settings["region"] = region
    try:
        if file is not None:
            settings |= load_config(file)
        region = settings.get("region", "us-east-1")
        given = dict(parse_pool(text, region) for text in pools)
        settings["pools"] = {**settings.get("pools", {}), **given}
        if speed is not None:
            settings["speed"] = speed
        if run_scripts is not None:
            settings["run_scripts"] = run_scripts
        SandboxConfig(**settings)
    except (TypeError, ValueError) as error:
        raise CliError(str(error)) from None
    return settings


def _serve(config: SandboxConfig, port: int) -> Server:
    try:
        return serve(config, port=port)
    except OSError as error:
        msg = f"port {port}: {error.strerror}"
        raise CliError(msg, UNAVAILABLE) from None


def _tell(
    session: Session,
    server: Server,
    stack: MiniStack | None,
    environment: Mapping[str, str],
    env_file: Path | None,
) -> None:
    if env_file is not None:
        lines = "".join(f"{name}={value}\n" for name, value in environment.items())
        env_file.write_text(lines, encoding="utf-8")
    if session.as_json:
        urls = {"sagemaker": server.url, "aws": stack.url if stack else None}
        print(json.dumps({"environment": environment, "urls": urls}), flush=True)
        return
    print(f"# SageMaker at {server.url}, {server.config.speed:g} seconds here in a real one.")
    if stack is not None:
        print(f"# The rest of AWS (MiniStack) at {stack.url}.")
    print("# Paste this into the shell in which you use jobcore; Ctrl-C here ends the sandbox.")
    for name, value in environment.items():
        print(f"export {name}={value}")
    sys.stdout.flush()


class MiniStack:
    """A MiniStack process on 127.0.0.1: DynamoDB, SNS, SQS, Lambda, EventBridge ..."""

    def __init__(self, process: subprocess.Popen[bytes], url: str) -> None:
        self.process = process
        self.url = url

    @classmethod
    def start(cls, port: int = 0, *, program: str | None = None) -> MiniStack:
        """
        Start it, and wait until it answers.

        Raises:
            CliError: it is not installed, or does not start; the text says what to do.
        """
        found = program or next((p for p in _PLACES if Path(p).exists()), None)
        found = found or shutil.which("ministack")
        if found is None:
            msg = f"MiniStack is not installed: {_INSTALL}; or go without: --no-ministack"
            raise CliError(msg, UNAVAILABLE)
        python = Path(found).absolute().parent / "python"
        command = [str(python), "-c", _LAUNCH] if python.exists() else [found]
        port = port or _free_port()
        process = subprocess.Popen(
            command,
            env=os.environ
            | {"GATEWAY_PORT": str(port), "BIND_HOST": "127.0.0.1", "MINISTACK_HOST": "127.0.0.1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C reaches the sandbox alone, which then ends MiniStack
        )
        stack = cls(process, f"http://127.0.0.1:{port}")
        try:
            stack._wait()
        except BaseException:
            stack.close()
            raise
        return stack

    def _wait(self) -> None:
        deadline = time.monotonic() + _READY_SECONDS_MAX
        while time.monotonic() < deadline and self.process.poll() is None:
            with suppress(OSError):
                urllib.request.urlopen(f"{self.url}/_ministack/health", timeout=2).close()  # noqa: S310
                return
            time.sleep(0.1)
        msg = "MiniStack did not start (is its port free?); or go without: --no-ministack"
        raise CliError(msg, UNAVAILABLE)

    def close(self) -> None:
        """End MiniStack and its child processes."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=_END_SECONDS_MAX)
                return


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port
