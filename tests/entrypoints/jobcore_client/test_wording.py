"""The command's words for the codes of the core: the next step of a message, and what helps a job."""

from __future__ import annotations

import pytest

from core_strategies import T0, accepted, after, decided, ended, make_job
from jobcore import Limits, Placement, Snapshot, classify, explain
from jobcore.messages import WordedNotifier, message_for
from jobcore.ports import Evidence, NextStep
from jobcore.scheduling import Explanation, WaitCode
from jobcore_client.wording import help_for, next_step_words
from jobcore_local import failure_rules
from jobcore_memory import RecordingNotifier
from message_cases import CASES, ID

NEXT = {
    "completed": f"jobcore show {ID}",
    "failed": f"jobcore logs {ID}, then jobcore retry {ID}",
    "failed without an attempt": f"jobcore retry {ID}",
    "stopped": f"jobcore retry {ID}",
    "held": f"jobcore why {ID}, then jobcore release {ID}",
    "held with its group": "jobcore list --group g, then jobcore release --group g",
    "held with its group, and released since": f"jobcore why {ID}, then jobcore release {ID}",
}


@pytest.mark.parametrize("case", CASES)
def test_a_message_ends_with_the_commands_of_its_next_step(case):
    job, body, _ = CASES[case]
    notifier = RecordingNotifier()
    WordedNotifier(notifier, next_step_words).publish(message_for(job, job.outbox[0]))
    (message,) = notifier.messages
    assert message.body == f"{body}\nNext: {NEXT[case]}\n"


def test_every_next_step_is_worded():
    assert set(CASES) == set(NEXT)
    assert {step for _, _, step in CASES.values()} == set(NextStep)


ROOM = "wait for a job in this pool to end, "
LARGE = {"limit": 4, "used": 0, "count": 5, "share": "ada", "pool": "a", "external": 0}
HELP = [
    (WaitCode.NEXT, {"pool": "a", "count": 2}, "see that the manager runs: jobcore run"),
    (WaitCode.BEHIND, {}, "wait, or submit with a higher priority"),
    (WaitCode.BACKING_OFF, {}, "wait, or release the job to try at once"),
    (WaitCode.POOL_UNKNOWN, {"pool": "a"}, "add pool 'a', or submit the job to another one"),
    (WaitCode.POOL_TOO_SMALL, {}, "give the pool more slots, or ask for fewer"),
    (WaitCode.POOL_FULL, {}, ROOM + "give it more slots, or name a second pool"),
    (WaitCode.POOL_LIMIT, LARGE | {"count": 4}, ROOM + "or raise limits.pools"),
    (WaitCode.POOL_LIMIT, LARGE, "ask for fewer slots, or raise limits.pools"),
    (
        WaitCode.SHARE_LIMIT,
        LARGE | {"count": 4},
        "wait for a job of this share to end, or raise limits.shares",
    ),
    (WaitCode.SHARE_LIMIT, LARGE, "ask for fewer slots, or raise limits.shares"),
    (WaitCode.POOL_CLOSED, {}, "wait, or name a second pool"),
    (WaitCode.PROBING, {}, "wait, or name a second pool"),
    (WaitCode.QUOTA_FULL, LARGE | {"count": 4}, ROOM + "or ask for a higher quota"),
    (WaitCode.QUOTA_FULL, LARGE, "ask for a higher quota, or for fewer slots"),
    (WaitCode.HELD, {"status": "Held"}, "release it when the cause is gone"),
    (WaitCode.OVER, {"status": "Failed"}, "read the logs, mend the cause, then retry"),
    (
        WaitCode.OVER,
        {"status": "Failed", "rule": "local: module not installed"},
        (
            "install the module in its interpreter, then retry; or name another interpreter in the job file "
            '(python = "...") and submit it again'
        ),
    ),
    (
        WaitCode.OVER,
        {"status": "Failed", "rule": "local: file not taken"},
        (
            "see what is left out (jobcore submit --dry-run); include it with a line !PATH in "
            ".jobcoreignore, name its folder as a channel, or name a source_dir that contains it, and "
            "submit the job file again"
        ),
    ),
    (WaitCode.OVER, {"status": "Completed"}, ""),
    (WaitCode.OVER, {"status": "Stopped"}, ""),
    (WaitCode.LAUNCHING, {"status": "Launching"}, ""),
    (WaitCode.RUNNING, {"status": "InProgress"}, ""),
    (WaitCode.STOPPING, {"status": "Stopping"}, ""),
]


@pytest.mark.parametrize(("code", "facts", "helps"), HELP)
def test_each_code_has_words_for_what_helps(code, facts, helps):
    assert help_for(Explanation(code=code, facts=facts), is_aws=False) == helps


def test_every_code_is_asked_for():
    assert {code for code, _, _ in HELP} == set(WaitCode)


def test_on_aws_the_functions_launch_and_not_a_manager():
    why = Explanation(code=WaitCode.NEXT, facts={"pool": "a", "count": 1})
    assert help_for(why, is_aws=True) == "see that the deployment is not paused: jobcore status"


def test_a_job_that_waits_for_a_slot_that_it_can_never_have_is_not_told_to_wait():
    """Its share may use one slot, and it asks for two: no job of the share has to end first."""
    job = make_job(placements=(Placement("a", 2),))
    snapshot = Snapshot(waiting=(), capacity={"a": 8})
    for limits, name in ((Limits(share_default=1), "shares"), (Limits(pools={"a": 1}), "pools")):
        why = explain(job, snapshot, limits, now=T0)
        assert help_for(why, is_aws=False) == f"ask for fewer slots, or raise limits.{name}"


def test_a_missing_module_is_not_answered_with_a_mere_retry():
    """The next step of its message names the two ways out: install it, or another interpreter."""
    text = "No module named 'torch' (not installed in /opt/x/bin/python)"
    failure = classify(
        Evidence(
            where="describe",
            status="Failed",
            text=f'AlgorithmError: ExecuteUserScriptError:\nExitCode 1\nErrorMessage "ModuleNotFoundError: {text}", exit code: 1',
        ),
        failure_rules(),
    )
    job = after(make_job(), decided(), accepted(), ended(failure=failure))
    notifier = RecordingNotifier()
    WordedNotifier(notifier, next_step_words).publish(message_for(job, job.outbox[0]))
    (message,) = notifier.messages
    assert text in message.body
    assert f"Next: install the module, then jobcore retry {ID}; or name another" in message.body
    why = explain(job, Snapshot(waiting=()), Limits(), now=T0)
    assert text in why.sentence
    helps = help_for(why, is_aws=False, python="/opt/x/bin/python")
    assert helps.startswith("install the module in /opt/x/bin/python, then retry; or name another")
