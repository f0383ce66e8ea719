"""What the tests of the functions share: a wiring of fakes, a context, events as AWS sends them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from jobcore import Limits, Spec
from jobcore.errors import Problem
from jobcore_lambda._wiring import Wiring
from jobcore_memory import ManualClock, MemoryStore, MemoryTrainer, RecordingNotifier

ACCOUNT = "123456789012"


class FakeWiring(Wiring):
    """Every port in memory; hints are written down."""

    _lambda = sagemaker = None

    def __init__(self, environ: dict[str, str] | None = None, *, slots: int = 4) -> None:
        super().__init__({"JOBCORE_STACK": "test", "JOBCORE_ACCOUNT": ACCOUNT} | (environ or {}))
        self.clock = ManualClock()
        self.store = MemoryStore(on_corrupt=self.report_corrupt)
        self.trainer = MemoryTrainer(clock=self.clock, slots={"cpu": slots})
        self.notifier = RecordingNotifier()
        self.limits = Limits()
        self.launches_together = 1
        self.nudges: list[tuple[str, Any]] = []
        self.broken_hints: set[str] = set()
        self.allowed_images = {"trainer"}

    def check(self, spec: Spec) -> list[Problem]:
        problems = [
            Problem(f"tags.{name}", "expected at most 256 characters")
            for name, value in spec.tags.items()
            if len(value) > 256
        ]
        image = spec.args.get("image", "trainer")
        if image not in self.allowed_images:
            problems.append(Problem("image", "not an allowed image"))
        return problems

    def nudge(self, tick: str, payload: Any) -> None:
        if tick in self.broken_hints:
            raise ConnectionError("no answer: AKIAIOSFODNN7EXAMPLE")
        self.nudges.append((tick, payload))


@dataclass
class FakeContext:
    """Lambda's context: *left_ms* is used up by *cost_ms* each time it is asked for."""

    left_ms: float = 60_000
    cost_ms: float = 0
    aws_request_id: str = "request-1"
    function_name: str = "jobcore-test"
    asked: int = field(default=0)

    def get_remaining_time_in_millis(self) -> int:
        self.asked += 1
        self.left_ms -= self.cost_ms
        return int(self.left_ms)


def http(
    method: str,
    path: str,
    body: object = None,
    *,
    arn: str | None = f"arn:aws:iam::{ACCOUNT}:user/alice",
    query: dict[str, str] | None = None,
    raw: str | None = None,
) -> dict[str, Any]:
    """Make the event that API Gateway sends for a signed request (payload format 2.0)."""
    context: dict[str, Any] = {
        "accountId": ACCOUNT,
        "apiId": "api",
        "stage": "$default",
        "requestId": "r",
        "http": {"method": method, "path": path, "sourceIp": "127.0.0.1", "protocol": "HTTP/1.1"},
    }
    if arn is not None:
        iam = {"userArn": arn, "accountId": arn.split(":")[4], "accessKey": "AKIAIOSFODNN7EXAMPLE"}
        context["authorizer"] = {"iam": iam}
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": f"{method} {path}",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {"content-type": "application/json"},
        "requestContext": context,
        "isBase64Encoded": False,
    }
    if query:
        event["queryStringParameters"] = query
    if raw is not None:
        event["body"] = raw
    elif body is not None:
        event["body"] = json.dumps(body)
    return event


def state_change(name: str, status: str = "Completed") -> dict[str, Any]:
    """Make SageMaker's event, as its documentation shows it (members that nobody reads left out)."""
    arn = f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:training-job/{name}"
    return {
        "version": "0",
        "id": "844e2571-85d4-695f-b930-0153b71dcb42",
        "detail-type": "SageMaker Training Job State Change",
        "source": "aws.sagemaker",
        "account": ACCOUNT,
        "time": "2018-10-06T12:26:13Z",
        "region": "us-east-1",
        "resources": [arn],
        "detail": {
            "TrainingJobName": name,
            "TrainingJobArn": arn,
            "TrainingJobStatus": status,
            "SecondaryStatus": status,
            "HyperParameters": {"password": "hunter2"},
            "Tags": {},
        },
    }


def lines(text: str) -> list[dict[str, Any]]:
    """Read what a function wrote: every line is JSON."""
    return [json.loads(line) for line in text.splitlines()]


def metrics(text: str) -> dict[str, float]:
    """Read the metrics out of what a function wrote, as CloudWatch would."""
    found: dict[str, float] = {}
    for document in lines(text):
        for directive in document.get("_aws", {}).get("CloudWatchMetrics", []):
            for metric in directive["Metrics"]:
                found[metric["Name"]] = document[metric["Name"]]
    return found
