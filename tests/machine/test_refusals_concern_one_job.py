"""A request that AWS refuses fails its own job only; refused credentials fail no job."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

import jobcore
import jobcore_aws
from jobcore import Status
from jobcore.ports import Evidence, LaunchReply, LaunchResult, TrainingState
from jobcore_memory import ManualClock, MemoryStore, MemoryTrainer, Script

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CALLER = "arn:aws:sts::123456789012:assumed-role/jobcore-launch/jobcore-launch"
JOB = "arn:aws:sagemaker:us-east-1:123456789012:training-job/jc-0-1"
ROLE = "arn:aws:iam::123456789012:role/typo"
USER = f"User: {CALLER} is not authorized to perform:"
CREATE = f"{USER} sagemaker:CreateTrainingJob on resource: {JOB}"

#: What AWS answers to a request that a policy does not allow, by the policy.
DENIED = {
    "instance type": (
        "AccessDeniedException",
        f"{CREATE} because no identity-based policy allows the sagemaker:CreateTrainingJob action",
    ),
    "service control policy": (
        "AccessDeniedException",
        f"{CREATE} with an explicit deny in a service control policy",
    ),
    "PassRole": (
        "AccessDeniedException",
        f"{USER} iam:PassRole on resource: {ROLE} because no identity-based policy allows it",
    ),
    "no access": (
        "ValidationException",
        f"RoleArn: Cross-account pass role is not allowed: {ROLE}",
    ),
    "role": (
        "ValidationException",
        f"Could not assume role {ROLE}. Please ensure that the role exists and allows principal",
    ),
    "key": (
        "KMSAccessDeniedException",
        f"{USER} kms:CreateGrant on this resource",
    ),
}


class AnsweringTrainer(MemoryTrainer):
    """Refuses the requests whose args name a refusal, as AWS does: on their own account only."""

    refused_calls = 0

    def launch(self, requests):
        return [reply for request in requests for reply in self._answers(request)]

    def _answers(self, request):
        refusal = request.args.get("refusal")
        if refusal is None:
            return super().launch([request])
        self.refused_calls += 1
        code, text = DENIED[refusal]
        evidence = Evidence(where="create", error_code=code, text=text)
        return [LaunchReply(LaunchResult.REFUSED, evidence)]


class World:
    def __init__(self, refusal: str, good: int = 30) -> None:
        self.clock, self.store = ManualClock(NOW), MemoryStore()
        self.trainer = AnsweringTrainer(clock=self.clock, slots={"a": 64, "b": 64})
        self.settings = jobcore.Settings(rules=jobcore_aws.failure_rules())
        specs = [self._spec("mallory", "a", {"refusal": refusal})]
        specs += [self._spec("ada", "b", {}) for _ in range(good)]
        self.ids = [jobcore.job_id_from_token("t", str(n)) for n in range(len(specs))]
        jobcore.submit(specs, self.ids, store=self.store, now=NOW)

    def _spec(self, owner: str, pool: str, args: dict[str, str]) -> jobcore.Spec:
        place = (jobcore.Placement(pool),)
        return jobcore.Spec(name="j", owner=owner, placements=place, args=args)

    def tick(self, minutes: int = 1) -> None:
        for _ in range(minutes):
            jobcore.launch_tick(self.store, self.trainer, self.clock, self.settings)
            self.clock.advance(timedelta(minutes=1))
            jobcore.monitor_tick(self.store, self.trainer, self.clock, self.settings)

    def statuses(self) -> list[Status]:
        return [self.store.get([job_id])[job_id].status for job_id in self.ids]


@pytest.mark.parametrize("refusal", DENIED)
def test_a_refused_request_leaves_the_jobs_of_others_alone(refusal: str) -> None:
    world = World(refusal)
    world.tick(2)
    statuses = world.statuses()
    assert statuses[1:] == [Status.COMPLETED] * 30
    assert world.trainer.calls["launch"] == 30  # each good job was tried by itself, once


@pytest.mark.parametrize("refusal", DENIED)
def test_a_refused_request_ends_in_a_failure_of_its_own_job(refusal: str) -> None:
    world = World(refusal)
    world.tick(24 * 60)
    assert world.statuses() == [Status.FAILED, *[Status.COMPLETED] * 30]
    assert world.trainer.refused_calls <= 3  # a role that was just made has its retries


@pytest.mark.parametrize(
    "code",
    ["ExpiredTokenException", "InvalidClientTokenId", "SignatureDoesNotMatch", "OptInRequired"],
)
def test_refused_credentials_fail_no_job_and_are_asked_for_once_a_tick(code: str) -> None:
    world = World("role", good=30)
    refused = Evidence(where="create", error_code=code, text="The security token is not valid")
    world.trainer.trouble = [refused] * 100_000
    world.ids = world.ids[1:]
    world.tick(60)
    assert Status.FAILED not in world.statuses()
    world.trainer.trouble = []
    world.tick(120)
    assert world.statuses() == [Status.COMPLETED] * 30


def test_an_internal_error_that_each_attempt_ends_with_has_its_budget() -> None:
    # Three retries: a restore of too large a checkpoint ends so each time.
    world = World("role", good=1)
    (_, job_id) = world.ids
    text = "InternalServerError: We encountered an internal error. Please try again."
    for attempt in range(1, 50):
        name = jobcore.lifecycle.training_name(job_id, attempt)
        world.trainer.scripts[name] = Script(outcome=TrainingState.FAILED, text=text)
    world.tick(24 * 60)
    assert world.statuses()[1] is Status.FAILED
    assert world.trainer.calls["launch"] == 4
