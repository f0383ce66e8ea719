"""The trainer on SageMaker: create or adopt, describe, stop; never more calls than the quota allows."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from jobcore import (
    Evidence,
    LaunchReply,
    LaunchRequest,
    LaunchResult,
    Training,
    TrainingState,
    Unavailable,
    parse_training_name,
)

from ._calls import THROTTLES, Crowd, chunks, error_code, error_status, error_text, is_passing
from ._request import ATTEMPT, JOB_ID, SPEC_HASH, BadRequest, build_request
from ._settings import SageMakerSettings, parse_pool

__all__ = ["SageMakerTrainer"]

#: A call may overtake the one before it; a little slower than the quota, hardly any is throttled.
_MARGIN = 1.02
# Search takes 1,024 characters in one value of In; a training name of ours has 31 or so.
_NAMES_PER_SEARCH = 30
_SEARCH_FROM = 8  # fewer names than this are described one by one
#: A missing training is a ValidationException in these words, and not ResourceNotFound.
_NOT_FOUND = re.compile(
    r"Requested resource not found|Could not find|does not exist|cannot find", re.IGNORECASE
)
_OVER = re.compile(
    r"training job is in status|is in status (Completed|Failed|Stopp)", re.IGNORECASE
)
_STATES = {
    "Completed": TrainingState.COMPLETED,
    "Failed": TrainingState.FAILED,
    "Stopped": TrainingState.STOPPED,
    "Stopping": TrainingState.STOPPING,
}
#: Secondary statuses before the script runs. Unknown ones (AWS: "subject to change") are running.
_BEFORE = frozenset(
    {
        "Downloading",
        "DownloadingTrainingImage",
        "LaunchingMLInstances",
        "Pending",
        "PreparingTrainingStack",
        "Restarting",
        "Starting",
    }
)


class _Pace:
    """Spaces calls evenly: a shared token bucket of one token."""

    def __init__(self, rate: float, sleep: Callable[[float], None]) -> None:
        self._gap = _MARGIN / rate
        self._sleep = sleep
        self._lock = threading.Lock()
        self._next = 0.0

    def wait(self) -> None:
        """Wait for one's turn."""
        with self._lock:
            now = time.monotonic()
            turn = max(now, self._next)
            self._next = turn + self._gap
        if turn > now:
            self._sleep(turn - now)


class SageMakerTrainer:
    """
    A `jobcore.Trainer` on Amazon SageMaker training jobs.

    The training's name is the only idempotency key that CreateTrainingJob has, so a create whose
    answer was lost is repeated under the same name and answered with "exists". Whose a training
    is stands in its environment (job id, attempt, hash of the spec), because Describe gives that
    back with no further call; the tags say the same, for people and for IAM.

    Args:
        settings: what trainings may use.
        clients: region ("" for the default) -> SageMaker client that makes one attempt per call;
            made when needed if not given.
        sleep: waits between calls; for tests.
    """

    def __init__(
        self,
        settings: SageMakerSettings,
        *,
        client: Any = None,
        clients: Callable[[str], Any] | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Use *settings*; no call is made yet."""
        self.settings = settings
        self._make = (lambda _: client) if client is not None else clients or _client
        self._clients: dict[str, Any] = {}
        self._crowd = Crowd(settings.at_once)
        self._pace = _Pace(settings.create_rate, sleep)
        self._lock = threading.Lock()

    def close(self) -> None:
        """End the threads."""
        self._crowd.close()

    def capacity(self) -> Mapping[str, int | None]:
        """Name the pools and their sizes, as the settings say; SageMaker tells only by refusing."""
        return dict(self.settings.pools)

    # --- launch -------------------------------------------------------------------------

    def launch(self, requests: Sequence[LaunchRequest]) -> Sequence[LaunchReply]:
        """Create trainings, several at once, no faster than the quota for creates."""
        return list(self._crowd.map(self._launch, list(requests)))

    def _launch(self, request: LaunchRequest) -> LaunchReply:
        try:
            made = build_request(request, self.settings)
            client = self._client(parse_pool(request.placement.pool).region)
        except (BadRequest, ValueError) as error:
            return _refused("ValidationException", str(error))
        self._pace.wait()
        try:
            client.create_training_job(**made)
        except Exception as error:
            return _create_failed(error)
        return LaunchReply(LaunchResult.ACCEPTED)

    # --- describe -----------------------------------------------------------------------

    def describe(self, names: Sequence[str]) -> Mapping[str, Training | None]:
        """
        Read trainings: a few by Describe, many by Search, 30 a call.

        What Search does not find is asked of Describe, because its index lags behind. Old news
        from it is harmless: a training that is over is seen so one look later.

        Raises:
            Unavailable: none of them could be read.
        """
        wanted = list(dict.fromkeys(names))
        readings = [self._read(self._client(region), wanted) for region in self._regions()]
        answer: dict[str, Training | None] = {}
        for name in wanted:
            found = [reading[name] for reading in readings if name in reading]
            there = [training for training in found if training is not None]
            if there:
                answer[name] = there[0]
            elif len(found) == len(readings):  # every region says that there is none
                answer[name] = None
        if wanted and not answer:
            msg = "SageMaker: no training could be read (throttled, or no connection)"
            raise Unavailable(msg)
        return answer

    def _read(self, client: Any, names: Sequence[str]) -> dict[str, Training | None]:
        found: dict[str, Training | None] = {}
        if len(names) >= _SEARCH_FROM:
            parts = chunks(names, _NAMES_PER_SEARCH)
            for part in self._crowd.map(partial(_search_names, client), parts):
                found.update(part)
        missing = [name for name in names if name not in found]
        for part in self._crowd.map(partial(_describe, client), missing):
            found.update(part)
        return found

    def _regions(self) -> list[str]:
        """Say where the pools are; "" is the client's own region."""
        return sorted({parse_pool(pool).region for pool in self.settings.pools} or {""})

    # --- stop, list ---------------------------------------------------------------------

    def stop(self, name: str) -> None:
        """
        Ask a training to stop; that it is over or unknown is no error.

        Raises:
            Unavailable: the request did not arrive, or perhaps not.
        """
        for region in self._regions():
            try:
                self._client(region).stop_training_job(TrainingJobName=name)
            except Exception as error:
                text = error_text(error)
                if _is_missing(error) or (
                    error_code(error) == "ValidationException" and _OVER.search(text)
                ):
                    continue
                msg = f"SageMaker: stop {name}: {error_code(error) or type(error).__name__}: {text}"
                raise Unavailable(msg) from None

    def running(self) -> Iterator[Training]:
        """
        Walk the trainings of ours that are not over; pages may be empty and yet not the last.

        Raises:
            Unavailable: the list could not be read to its end.
        """
        for region in self._regions():
            client = self._client(region)
            for status in ("InProgress", "Stopping"):
                token: dict[str, str] = {}
                while True:
                    try:
                        page = client.list_training_jobs(
                            StatusEquals=status, NameContains="jc-", MaxResults=100, **token
                        )
                    except Exception as error:
                        msg = f"SageMaker: list: {error_text(error)}"
                        raise Unavailable(msg) from None
                    names = [row["TrainingJobName"] for row in page["TrainingJobSummaries"]]
                    for name in names:
                        if parse_training_name(name) is None:
                            continue
                        training = _describe(client, name).get(name)
                        if training is not None and not training.state.is_terminal:
                            yield training
                    if not page.get("NextToken"):
                        break
                    token = {"NextToken": page["NextToken"]}

    def _client(self, region: str) -> Any:
        with self._lock:
            if region not in self._clients:
                self._clients[region] = self._make(region)
            return self._clients[region]


# --- calls and answers ------------------------------------------------------------------


def _client(region: str) -> Any:
    from ._clients import client

    return client("sagemaker", region=region or None, mutating=True)


def _refused(code: str, text: str) -> LaunchReply:
    evidence = Evidence(where="create", error_code=code, text=text)
    return LaunchReply(LaunchResult.REFUSED, evidence)


def _create_failed(error: Exception) -> LaunchReply:
    """Tell a definite refusal from doubt: doubt is settled by looking, never by guessing."""
    code, text = error_code(error), error_text(error)
    if code == "ResourceInUse":
        return LaunchReply(LaunchResult.EXISTS)
    if code in THROTTLES or (400 <= error_status(error) < 500 and not is_passing(error)):
        return _refused(code, text)
    from botocore.exceptions import (
        EndpointConnectionError,
        NoCredentialsError,
        ParamValidationError,
    )

    if isinstance(error, ParamValidationError):
        return _refused("ValidationException", text)
    if isinstance(error, EndpointConnectionError | NoCredentialsError):
        # It never left this machine; but that is ours to mend, and nothing about the job.
        code = type(error).__name__
    evidence = Evidence(where="create", error_code=code or type(error).__name__, text=text)
    return LaunchReply(LaunchResult.UNCLEAR, evidence)


def _is_missing(error: Exception) -> bool:
    code = error_code(error)
    if code in ("ResourceNotFound", "ResourceNotFoundException"):
        return True
    return code == "ValidationException" and bool(_NOT_FOUND.search(error_text(error)))


def _describe(client: Any, name: str) -> dict[str, Training | None]:
    """Read one training; {} if it could not be read."""
    try:
        return _known(client.describe_training_job(TrainingJobName=name))
    except Exception as error:
        return {name: None} if _is_missing(error) else {}


def _search_names(client: Any, names: Sequence[str]) -> dict[str, Training | None]:
    """Read trainings by Search; what it does not give, or if it fails, is left out."""
    asked = {"Name": "TrainingJobName", "Operator": "In", "Value": ",".join(names)}
    try:
        answer = client.search(
            Resource="TrainingJob", SearchExpression={"Filters": [asked]}, MaxResults=100
        )
    except Exception:  # Describe is asked instead
        return {}
    found: dict[str, Training | None] = {}
    for row in answer.get("Results", []):
        if "TrainingJob" in row and row["TrainingJob"].get("TrainingJobName") in names:
            found.update(_known(row["TrainingJob"]))
    return found


def _known(document: Mapping[str, Any]) -> dict[str, Training | None]:
    training = _training(document)
    return {} if training is None else {training.name: training}


def _training(document: Mapping[str, Any]) -> Training | None:
    """Read a training; None while SageMaker is deleting it, which tells nothing."""
    status = str(document.get("TrainingJobStatus", ""))
    secondary = str(document.get("SecondaryStatus", ""))
    if status == "Deleting":
        return None
    started = document.get("TrainingStartTime")
    state = _STATES.get(status)
    if state is None:  # InProgress, or what a later release calls it
        state = TrainingState.PENDING if secondary in _BEFORE else TrainingState.RUNNING
    environment = document.get("Environment") or {}
    attempt = str(environment.get(ATTEMPT, ""))
    evidence = None
    if state in (TrainingState.FAILED, TrainingState.STOPPED):
        evidence = Evidence(
            where="describe",
            status=status,
            secondary_status=_why(document, secondary),
            text=str(document.get("FailureReason", "")),
        )
    return Training(
        name=str(document["TrainingJobName"]),
        state=state,
        job_id=environment.get(JOB_ID),
        attempt=int(attempt) if attempt.isdigit() else None,
        spec_hash=environment.get(SPEC_HASH),
        detail=secondary,
        started_at=_aware(started),
        ended_at=_aware(document.get("TrainingEndTime")) if state.is_terminal else None,
        evidence=evidence,
    )


def _why(document: Mapping[str, Any], secondary: str) -> str:
    """
    Give the secondary status, or Pending for a training that was given up while it waited.

    SageMaker ends a wait for capacity (MaxPendingTimeInSeconds) as Stopped, under a secondary
    status that no model lists. This needs no literal: it never started, and was Pending last.
    """
    if document.get("TrainingJobStatus") != "Stopped" or document.get("TrainingStartTime"):
        return secondary
    seen = [str(step.get("Status")) for step in document.get("SecondaryStatusTransitions") or []]
    before = [status for status in seen if status not in ("Stopping", "Stopped", secondary)]
    return "Pending" if before and before[-1] == "Pending" else secondary


def _aware(moment: Any) -> datetime | None:
    return moment.astimezone(UTC) if isinstance(moment, datetime) else None
