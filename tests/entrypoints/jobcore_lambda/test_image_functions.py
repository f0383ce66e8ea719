"""Functions packed as images: the real runtime client and the real adapters, invoked through Lambda's API.

An emulator has no container to run. It hands each invocation to a URL, and there the function runs
under the runtime client that is in the image, with the command that the template gives the image.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from aws_fixtures import FAKE_ACCOUNT, connect, table_name
from jobcore_aws import create_table
from jobcore_simulation._pools import PoolConfig
from jobcore_simulation.sandbox import SandboxConfig, serve
from patience import until
from runtime_api import Environment
from template_tools import raw

ACCOUNT, POOL = "000000000000", "us-east-1/ml.m5.large/on-demand"
FUNCTIONS = ("submit", "launch", "monitor", "notify")


def commands() -> dict[str, str]:
    """What the template has the image run, by function."""
    found = {}
    for resource in raw()["Resources"].values():
        if resource["Type"] == "AWS::Lambda::Function":
            image = resource["Properties"]["ImageConfig"]["Fn::If"][1]
            (command,) = image["Command"]
            found[command.split(".")[1]] = command
    return found


class Proxy:
    """Where the emulator posts invocations; one execution environment."""

    def __init__(self, environment: Environment) -> None:
        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def do_POST(self) -> None:  # noqa: N802
                event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outcome = environment.invoke(event)
                body = json.dumps(outcome.error or outcome.payload).encode()
                self.send_response(500 if outcome.error else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def invoke(ministack: str, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    table = table_name()
    create_table(connect("dynamodb", ministack), table)
    topic = connect("sns", ministack).create_topic(Name=table)["TopicArn"]
    queue = connect("sqs", ministack).create_queue(QueueName=table)["QueueUrl"]
    arn = f"arn:aws:sqs:us-east-1:{ACCOUNT}:{table}"
    connect("sns", ministack).subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    functions = connect("lambda", ministack)
    config = {
        "output": "s3://models/jobcore",
        "roles": {"default": f"arn:aws:iam::{ACCOUNT}:role/train"},
        "pools": {POOL: None},
    }
    sandbox = SandboxConfig(speed=2000.0, account=ACCOUNT, pools={POOL: PoolConfig(quota=4)})
    proxies: list[tuple[Proxy, Environment]] = []
    with serve(sandbox) as sagemaker:
        environ = FAKE_ACCOUNT | {
            "AWS_ENDPOINT_URL": ministack,
            "AWS_ENDPOINT_URL_SAGEMAKER": sagemaker.url,
            "JOBCORE_TABLE": table,
            "JOBCORE_TOPIC_ARN": topic,
            "JOBCORE_CONFIG": json.dumps(config),
        }
        for name in FUNCTIONS:
            environment = Environment(commands()[name], environ=environ, path=tmp_path)
            proxy = Proxy(environment)
            proxies.append((proxy, environment))
            functions.create_function(
                FunctionName=f"{table}-{name}",
                PackageType="Image",
                Code={"ImageUri": f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/jobcore:1"},
                Role=f"arn:aws:iam::{ACCOUNT}:role/function",
                Timeout=600,
                Environment={"Variables": {"MINISTACK_LAMBDA_PROXY_URL": proxy.url}},
            )

        def call(name: str, event: object) -> Any:
            answer = functions.invoke(
                FunctionName=f"{table}-{name}", Payload=json.dumps(event).encode()
            )
            body = json.loads(answer["Payload"].read())
            assert "FunctionError" not in answer, body
            return body

        call.messages = lambda: (
            connect("sqs", ministack)
            .receive_message(  # type: ignore[attr-defined]
                QueueUrl=queue, MaxNumberOfMessages=10
            )
            .get("Messages", [])
        )
        yield call
        for proxy, environment in proxies:
            proxy.server.shutdown()
            proxy.server.server_close()
            environment.__exit__()


def test_a_job_lives_its_whole_life_in_image_functions(invoke):
    job = {"image": f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/train:1", "pool": POOL}
    submitted = invoke("submit", {"jobs": [job, {**job, "name": "two"}], "token": "t"})
    again = invoke("submit", {"jobs": [job, {**job, "name": "two"}], "token": "t"})
    assert submitted["ids"] == again["ids"]
    assert invoke("launch", {})["launched"] == 2
    told = []

    def all_told() -> bool:
        invoke("monitor", {})
        invoke("notify", {})
        told.extend(invoke.messages())
        return len(told) >= 2

    until(all_told, pause=0.3)
    assert len(told) == 2
    assert all(any(job_id in m["Body"] for m in told) for job_id in submitted["ids"])


def test_bad_input_is_answered_and_the_field_is_named(invoke):
    answer = invoke("submit", {"jobs": [{"image": "x", "poool": POOL}]})
    assert answer["status"] == 400
    assert "poool" in json.dumps(answer)
