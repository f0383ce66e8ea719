"""The words of a deployment's messages: commands that work on its jobs."""

from __future__ import annotations

import json

import pytest

from jobcore.messages import message_for
from jobcore_lambda._wiring import Wiring
from jobcore_lambda._wording import next_step_words
from message_cases import CASES, ID

NEXT = {
    "completed": f"jobcore show {ID} --backend aws",
    "failed": f"jobcore logs {ID} --backend aws, then jobcore retry {ID} --backend aws",
    "failed without an attempt": f"jobcore retry {ID} --backend aws",
    "stopped": f"jobcore retry {ID} --backend aws",
    "held": f"jobcore why {ID} --backend aws, then jobcore release {ID} --backend aws",
    "held with its group": (
        "jobcore list --group g --backend aws, then jobcore release --group g --backend aws"
    ),
    "held with its group, and released since": (
        f"jobcore why {ID} --backend aws, then jobcore release {ID} --backend aws"
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_next_step_is_commands_for_the_deployment(case):
    job, _, _ = CASES[case]
    assert next_step_words(message_for(job, job.outbox[0])) == NEXT[case]


class Topic:
    """Stands for the client: keeps what is published."""

    def __init__(self):
        self.published = []

    def publish(self, **request):
        self.published.append(request)


@pytest.mark.parametrize("case", CASES)
def test_the_mail_of_the_notify_function_says_what_to_do_next(case):
    arn = "arn:aws:sns:us-east-1:123456789012:jobs"
    config = {"JOBCORE_TABLE": "t", "JOBCORE_TOPIC_ARN": arn}
    wired, topic = Wiring(config), Topic()
    notifier = wired.notifier
    notifier._notifier._made = topic
    job, _, step = CASES[case]
    notifier.publish(message_for(job, job.outbox[0]))
    (request,) = topic.published
    texts = json.loads(request["Message"])
    assert f"Next: {NEXT[case]}\n" in texts["email"]
    assert json.loads(texts["default"])["next_step"] == step.value
