"""The composition root of the functions: adapters are made once per container, on first use.

A function loads only what it uses: the notify function never loads SageMaker's model. Tests set
fakes with `use`.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jobcore import Clock, CorruptRecord, JobStore, Limits, Notifier, Spec, Trainer
    from jobcore.errors import Problem
    from jobcore.failures import Rules
    from jobcore_aws import AwsSettings

__all__ = ["RULES_FILE", "Wiring", "prepare", "use", "wiring"]

#: The user's own failure rules, beside the packages: `jobcore deploy` puts the file into the
#: functions' zip file; the build of an image copies it to ``${LAMBDA_TASK_ROOT}``.
RULES_FILE = "user_rules.toml"


class SystemClock:
    """The machine's clock: aware times in UTC."""

    def now(self) -> datetime:
        """Return the current time."""
        return datetime.now(UTC)


class Wiring:
    """
    The parts that a handler uses; each may be replaced by assignment.

    Args:
        environ: the function's environment (see `jobcore_aws.settings_from`).
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        #: Called with each record that the store left out of an answer; the invocation's log.
        self.on_corrupt: Callable[[CorruptRecord], None] = lambda error: None

    def report_corrupt(self, error: CorruptRecord) -> None:
        """Report a record to the invocation that runs now; the store lives as long as the container."""
        self.on_corrupt(error)

    @cached_property
    def clock(self) -> Clock:
        """The time."""
        return SystemClock()

    @cached_property
    def settings(self) -> AwsSettings:
        """The table, topic, pools, roles and limits of the deployment."""
        from jobcore_aws import settings_from

        return settings_from(self.environ)

    @cached_property
    def store(self) -> JobStore:
        """The store."""
        from jobcore_aws import DynamoStore, client

        # All clients share one session: a second one would load the SDK's data again.
        dynamodb = client("dynamodb", mutating=True)
        return DynamoStore(
            self.settings.table,
            client=dynamodb,
            bucket=self.settings.bucket,
            on_corrupt=self.report_corrupt,
        )

    @cached_property
    def trainer(self) -> Trainer:
        """The trainer."""
        from jobcore_aws import SageMakerTrainer

        return SageMakerTrainer(self.settings.sagemaker, clients=self._sagemaker)

    def _sagemaker(self, region: str) -> Any:
        from jobcore_aws import client

        return self.sagemaker if not region else client("sagemaker", region=region, mutating=True)

    @cached_property
    def sagemaker(self) -> Any:
        """SageMaker in the function's own region."""
        from jobcore_aws import client

        return client("sagemaker", mutating=True)

    @cached_property
    def notifier(self) -> Notifier:
        """The topic; messages have the next step in commands."""
        from jobcore.messages import WordedNotifier
        from jobcore_aws import SnsNotifier

        from ._wording import next_step_words

        return WordedNotifier(SnsNotifier(self.settings.topic_arn), next_step_words)

    @cached_property
    def limits(self) -> Limits:
        """The limits of the planner."""
        return self.settings.limits

    @cached_property
    def rules(self) -> Rules:
        """
        The failure rules: the user's own file, if one was deployed, in front of the adapter's.

        Raises:
            ValueError: the file is wrong; `jobcore deploy` checks it, an image's build does not.
        """
        from jobcore_aws import failure_rules

        root = self.environ.get("LAMBDA_TASK_ROOT")
        file = Path(root, RULES_FILE) if root else None
        if file is None or not file.is_file():
            return failure_rules()
        import tomllib

        from jobcore.failures import parse_rules

        try:
            return parse_rules(tomllib.loads(file.read_text("utf-8")), failure_rules())
        except ValueError as error:
            msg = f"{file}: {error}"
            raise ValueError(msg) from None

    @cached_property
    def launches_together(self) -> int:
        """The number of launches in flight: as many as the quota allows in a second."""
        sagemaker = self.settings.sagemaker
        return max(1, min(sagemaker.at_once, round(sagemaker.create_rate)))

    @property
    def stack(self) -> str:
        """The deployment's name in metrics."""
        return self.environ.get("JOBCORE_STACK", "jobcore")

    @property
    def repeat_seconds(self) -> float:
        """The interval at which a scheduled tick is repeated within its invocation; 0 for never."""
        text = self.environ.get("JOBCORE_REPEAT_SECONDS") or "0"
        try:
            seconds = float(text)
        except ValueError:
            seconds = -1.0
        if not 0 <= seconds < math.inf:
            from jobcore.errors import InvalidSetting
            from jobcore_config.checks import Wrong

            problem = str(Wrong("0 seconds or more", text))
            raise InvalidSetting([("JOBCORE_REPEAT_SECONDS", problem)])
        return seconds

    def resolve_pools(self, spec: Spec) -> Spec:
        """Replace the deployment's names of several pools by the pools."""
        from jobcore_aws import resolve_pools

        return resolve_pools(spec, self.settings.sagemaker.pool_names)

    def check(self, spec: Spec) -> Sequence[Problem]:
        """Check a job against the limits of AWS and the deployment's allow-lists."""
        from jobcore_aws import check

        return check(spec, self.settings, shape=self._shape)

    @cached_property
    def _shape(self) -> Any:
        """CreateTrainingJob in botocore's model; loaded at the first submission."""
        from jobcore_aws import create_shape

        return create_shape()

    @cached_property
    def _lambda(self) -> Any:
        from jobcore_aws import client

        return client("lambda", mutating=True)

    def nudge(self, tick: str, payload: Mapping[str, Any]) -> None:
        """
        Run another function of the deployment now, without waiting for it.

        Args:
            tick: "launch" or "notify"; ``JOBCORE_LAUNCH_FUNCTION`` and so on name the functions.
        """
        self._lambda.invoke(
            FunctionName=self.environ[f"JOBCORE_{tick.upper()}_FUNCTION"],
            InvocationType="Event",
            Payload=json.dumps(payload).encode(),
        )


_current: Wiring | None = None


def wiring() -> Wiring:
    """Return the container's wiring."""
    global _current  # noqa: PLW0603  (one wiring per container)
    if _current is None:
        _current = Wiring(os.environ)
    return _current


def use(replacement: Wiring | None) -> None:
    """Replace the container's wiring, or drop it (None); for tests."""
    global _current  # noqa: PLW0603  (one wiring per container)
    _current = replacement


def prepare(*parts: str) -> None:
    """
    Make *parts* now if this is a Lambda container.

    Called while a handler's module is imported: Lambda does not limit the processor before the first
    request, and a wrong setting fails at once.
    """
    if "AWS_LAMBDA_RUNTIME_API" in os.environ:
        for part in parts:
            getattr(wiring(), part)
