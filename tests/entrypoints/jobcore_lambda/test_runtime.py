"""The handlers under Lambda's own runtime client: start, answer, error, death, time running out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lambda_fixtures import http
from patience import SECONDS
from runtime_api import Environment

TESTS = Path(__file__).parents[2]

# The module that stands for a deployed function: the handler proper, over ports in memory.
FUNCTION = """
import os, sys, time
sys.path.insert(0, {tests!r})
from lambda_fixtures import FakeWiring
from jobcore_lambda import _wiring

wired = FakeWiring(dict(os.environ))
_wiring.use(wired)
from jobcore_lambda import launch, monitor, notify, reap, stream, submit

def life(event, context):
    # One environment has one memory: the whole life of a job goes through it.
    from datetime import timedelta
    ids = submit.handler({{"jobs": [{{"image": "trainer", "pool": "cpu"}}]}}, context)["ids"]
    launched = launch.handler({{}}, context)["launched"]
    wired.clock.advance(timedelta(minutes=5))
    monitor.handler({{}}, context)
    published = notify.handler({{}}, context)["published"]
    reap.handler({{}}, context)
    return {{"ids": ids, "launched": launched, "published": published,
             "request_id": context.aws_request_id, "left_ms": context.get_remaining_time_in_millis(),
             "arn": context.invoked_function_arn}}

def api(event, context):
    return submit.handler(event, context)

def unavailable(event, context):
    from jobcore import Unavailable
    def nothing(*_, **__):
        raise Unavailable("no answer")
    wired.store.due = nothing
    return monitor.handler(event, context)

def slow(event, context):
    # Only launches move this clock, so the machine's speed does not matter.
    from jobcore_memory import MemoryTrainer
    quick = MemoryTrainer.launch
    now = [time.time() + context.get_remaining_time_in_millis() / 1000 - event["left"]]
    def launch_slowly(self, requests):
        now[0] += event["each"] * len(requests)
        return quick(self, requests)
    time.time = lambda: now[0]
    MemoryTrainer.launch = launch_slowly
    wired.trainer.slots["cpu"] = 100
    jobs = [{{"image": "trainer", "pool": "cpu", "name": f"j{{n}}"}} for n in range(50)]
    submit.handler({{"jobs": jobs}}, context)
    return launch.handler(event, context)

def hang(event, context):
    time.sleep(600)

def die(event, context):
    os._exit(3)
"""


@pytest.fixture
def function(tmp_path):
    (tmp_path / "function.py").write_text(FUNCTION.format(tests=str(TESTS)))
    opened: list[Environment] = []

    def make(handler: str, **environ: str) -> Environment:
        opened.append(Environment(handler, environ=environ, path=tmp_path))
        return opened[-1]

    yield make
    for environment in opened:
        environment.__exit__()


def test_a_cold_function_starts_and_answers_and_stays_warm(function):
    environment = function("function.life")
    cold = environment.invoke({})
    assert cold.error is None
    assert (cold.payload["launched"], cold.payload["published"]) == (1, 1)
    assert cold.payload["request_id"].startswith("request-")
    assert 0 < cold.payload["left_ms"] <= SECONDS * 1000
    assert cold.payload["arn"].startswith("arn:aws:lambda:")
    warm = environment.invoke({})
    assert warm.error is None
    assert environment.starts == 1
    written = environment.lines()
    assert {line["status"] for line in written if line.get("message") == "transition"} >= {
        "Launching",
        "Launched",
        "Completed",
    }
    assert any("_aws" in line for line in written)


def test_http_events_are_answered_in_the_form_that_api_gateway_wants(function):
    environment = function("function.api")
    body = {"jobs": [{"image": "trainer", "pool": "cpu"}], "token": "t"}
    first = environment.invoke(http("POST", "/jobs", body)).payload
    again = environment.invoke(http("POST", "/jobs", body)).payload
    assert first["statusCode"] == again["statusCode"] == 201
    assert isinstance(first["body"], str)
    assert json.loads(first["body"])["ids"] == json.loads(again["body"])["ids"]
    assert first["isBase64Encoded"] is False
    missing = environment.invoke(http("GET", "/nothing")).payload
    assert missing["statusCode"] == 404


def test_an_error_is_reported_by_its_type_and_the_function_lives_on(function):
    environment = function("function.unavailable")
    outcome = environment.invoke({})
    assert outcome.error["errorType"] == "Unavailable"
    assert outcome.error["errorMessage"] == "no answer"
    assert environment.invoke({}).error["errorType"] == "Unavailable"
    assert environment.starts == 1


def test_a_tick_ends_before_its_time_and_says_what_it_has_done(function):
    environment = function("function.slow")
    outcome = environment.invoke({"each": 2.0, "left": 60.0})
    assert outcome.error is None, outcome.error
    assert 1 <= outcome.payload["launched"] < 30


def test_a_function_that_hangs_is_killed_and_the_next_invocation_starts_anew(function):
    environment = function("function.hang")
    outcome = environment.invoke({}, timeout=1.5)
    assert "timed out after 1.50 seconds" in outcome.error["errorMessage"]
    environment.handler = "function.life"
    assert environment.invoke({}).error is None
    assert environment.starts == 2


def test_a_process_that_dies_is_reported_and_started_anew(function):
    environment = function("function.die")
    assert environment.invoke({}).error["errorType"] == "Runtime.ExitError"
    environment.handler = "function.life"
    assert environment.invoke({}).error is None
    assert environment.starts == 2


@pytest.mark.parametrize(
    ("handler", "kind"),
    [
        ("function.nothing", "Runtime.HandlerNotFound"),
        ("absent.handler", "Runtime.ImportModuleError"),
    ],
)
def test_a_wrong_handler_is_told_at_the_start(function, handler, kind):
    assert function(handler).invoke({}).error["errorType"] == kind


@pytest.mark.parametrize("name", ["submit", "launch", "monitor", "notify", "stream", "reap"])
def test_the_handlers_that_the_template_names_start_as_they_are(function, name):
    config = json.dumps(
        {
            "roles": {"train": "arn:aws:iam::123456789012:role/train"},
            "output": "s3://bucket/output",
            "pools": {"us-east-1/ml.m5.large/on-demand": 2},
        }
    )
    environment = function(
        f"jobcore_lambda.{name}.handler",
        JOBCORE_TABLE="t",
        JOBCORE_TOPIC_ARN="arn:aws:sns:us-east-1:123456789012:t",
        JOBCORE_BUCKET="bucket",
        JOBCORE_CONFIG=config,
        # Nobody listens there: what the handler needs of AWS fails, but it starts.
        AWS_ENDPOINT_URL="http://127.0.0.1:9",
    )
    event = {"submit": {"jobs": []}, "stream": {"Records": []}, "monitor": [{}]}.get(name, {})
    outcome = environment.invoke(event)
    if name == "submit":
        assert outcome.payload["error"]["problems"][0]["field"] == "jobs"
    elif name == "stream":
        assert outcome.payload == {"batchItemFailures": []}
    else:
        assert outcome.error is not None
        assert outcome.error["errorType"] == "Unavailable"
