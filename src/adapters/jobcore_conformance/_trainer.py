"""The conformance suite of trainers."""

from __future__ import annotations

from dataclasses import replace

import jobcore
from jobcore import Placement, Trainer
from jobcore.failures import GENERIC_RULES, Rules
from jobcore.ports import LaunchReply, LaunchRequest, LaunchResult, Training, TrainingState


def launch(trainer: Trainer, request: LaunchRequest) -> LaunchReply:
    """Launch one training."""
    (reply,) = trainer.launch([request])
    return reply


class TrainerContract:
    """
    The contract of `jobcore.Trainer`.

    The trainer to test has a pool "cpu" of 2 slots. The *args* of a request have ``complete``,
    ``fail``, ``measure`` or ``long`` under the key ``act``; `prepare` makes the training behave so.
    One that measures completes, and its metric "loss" ends with 0.25.
    """

    def make_trainer(self) -> Trainer:
        """Make a trainer without trainings."""
        raise NotImplementedError

    def prepare(self, trainer: Trainer, request: LaunchRequest) -> LaunchRequest:
        """Prepare the behaviour that the args of *request* name; return the request to use."""
        raise NotImplementedError

    def settle(self, trainer: Trainer, name: str) -> Training:
        """Wait until the training is over, and return its description."""
        raise NotImplementedError

    def failure_rules(self) -> Rules:
        """Return the rules for the trainer's failure texts."""
        return GENERIC_RULES

    def _request(self, trainer: Trainer, token: str, act: str) -> LaunchRequest:
        job_id = jobcore.job_id_from_token("conformance", token)
        request = LaunchRequest(
            name=jobcore.lifecycle.training_name(job_id, 1),
            job_id=job_id,
            attempt=1,
            spec_hash="hash-of-" + token,
            placement=Placement("cpu"),
            args={"act": act},
        )
        return self.prepare(trainer, request)

    def _launched(self, trainer: Trainer, token: str, act: str) -> LaunchRequest:
        request = self._request(trainer, token, act)
        assert launch(trainer, request).result is LaunchResult.ACCEPTED
        return request

    def test_an_accepted_training_exists_with_its_identity(self) -> None:
        """Its description names the job, attempt and spec, so that it can be adopted."""
        trainer = self.make_trainer()
        request = self._launched(trainer, "a", "long")
        training = trainer.describe([request.name])[request.name]
        assert training is not None
        assert (training.job_id, training.attempt) == (request.job_id, 1)
        assert training.spec_hash == request.spec_hash
        assert not training.state.is_terminal
        trainer.stop(request.name)
        self.settle(trainer, request.name)

    def test_a_name_is_used_once(self) -> None:
        """A second launch is answered EXISTS while the training runs and after it is over."""
        trainer = self.make_trainer()
        request = self._launched(trainer, "a", "complete")
        assert launch(trainer, request).result is LaunchResult.EXISTS
        self.settle(trainer, request.name)
        assert launch(trainer, request).result is LaunchResult.EXISTS

    def test_each_of_a_batch_has_its_own_answer(self) -> None:
        """The answers are in the order of the requests, and independent of one another."""
        trainer = self.make_trainer()
        first = self._launched(trainer, "a", "long")
        batch = [
            self._request(trainer, "b", "long"),
            first,
            self._request(trainer, "c", "complete"),
        ]
        replies = [reply.result for reply in trainer.launch(batch)]
        # One slot is left for two requests that may be made at once: either of them may get it.
        assert replies.pop(1) is LaunchResult.EXISTS
        assert sorted(replies) == [LaunchResult.ACCEPTED, LaunchResult.REFUSED]
        described = trainer.describe([request.name for request in batch])
        there = [described[batch[0].name] is not None, described[batch[2].name] is not None]
        assert there == [reply is LaunchResult.ACCEPTED for reply in replies]
        assert list(trainer.launch([])) == []
        for request in batch:
            trainer.stop(request.name)
            if described[request.name] is not None:
                self.settle(trainer, request.name)

    def test_an_unknown_name_is_none(self) -> None:
        """It is no error, and no failed training."""
        trainer = self.make_trainer()
        name = self._request(trainer, "never", "complete").name
        assert dict(trainer.describe([name])) == {name: None}

    def test_success_is_completed(self) -> None:
        """The description has the times at which it ran."""
        trainer = self.make_trainer()
        training = self.settle(trainer, self._launched(trainer, "a", "complete").name)
        assert training.state is TrainingState.COMPLETED
        assert training.started_at is not None
        assert training.ended_at is not None
        assert training.started_at <= training.ended_at

    def test_metrics_are_described_once_it_is_over(self) -> None:
        """At least the last value of a metric is known; a training that measures nothing has none."""
        trainer = self.make_trainer()
        request = self._launched(trainer, "a", "measure")
        ended = self.settle(trainer, request.name)
        assert {metric.name: metric.final for metric in ended.metrics} == {"loss": 0.25}
        assert self.settle(trainer, self._launched(trainer, "b", "complete").name).metrics == ()

    def test_failure_has_evidence(self) -> None:
        """The classifier finds that the user's code failed."""
        trainer = self.make_trainer()
        training = self.settle(trainer, self._launched(trainer, "a", "fail").name)
        assert training.state is TrainingState.FAILED
        assert training.evidence is not None
        failure = jobcore.classify(training.evidence, self.failure_rules())
        assert failure.failure_class is jobcore.FailureClass.ALGORITHM

    def test_a_stop_ends_in_stopped(self) -> None:
        """A stop may be repeated at any time."""
        trainer = self.make_trainer()
        request = self._launched(trainer, "a", "long")
        trainer.stop(request.name)
        trainer.stop(request.name)
        assert self.settle(trainer, request.name).state is TrainingState.STOPPED
        trainer.stop(request.name)

    def test_stopping_an_unknown_training_is_no_error(self) -> None:
        """There is nothing left to stop."""
        trainer = self.make_trainer()
        trainer.stop(self._request(trainer, "never", "complete").name)

    def test_a_full_pool_refuses_and_is_free_again(self) -> None:
        """The evidence is classified as capacity or quota, and no training was created."""
        trainer = self.make_trainer()
        running = [self._launched(trainer, token, "long") for token in "ab"]
        third = self._request(trainer, "c", "complete")
        reply = launch(trainer, third)
        assert reply.result is LaunchResult.REFUSED
        assert reply.evidence is not None
        failure = jobcore.classify(reply.evidence, self.failure_rules())
        assert failure.failure_class in ("capacity", "quota")
        assert failure.retryable is jobcore.lifecycle.Retryable.YES
        assert trainer.describe([third.name])[third.name] is None
        for request in running:
            trainer.stop(request.name)
            self.settle(trainer, request.name)
        assert launch(trainer, third).result is LaunchResult.ACCEPTED
        self.settle(trainer, third.name)

    def test_a_name_is_reserved_without_running(self) -> None:
        """After `to_stop` nothing runs, and nothing can start under the name later."""
        trainer = self.make_trainer()
        request = replace(self._request(trainer, "a", "long"), to_stop=True)
        launch(trainer, request)
        trainer.stop(request.name)
        assert self.settle(trainer, request.name).state is TrainingState.STOPPED
        again = launch(trainer, replace(request, to_stop=False))
        assert again.result is LaunchResult.EXISTS

    def test_running_lists_live_trainings_only(self) -> None:
        """The reaper reads this list."""
        trainer = self.make_trainer()
        over = self._launched(trainer, "a", "complete")
        self.settle(trainer, over.name)
        alive = self._launched(trainer, "b", "long")
        assert [training.name for training in trainer.running()] == [alive.name]
        trainer.stop(alive.name)
        self.settle(trainer, alive.name)

    def test_capacity_names_the_pools(self) -> None:
        """The sizes are those of the trainer."""
        assert dict(self.make_trainer().capacity())["cpu"] == 2
