"""The trainer on SageMaker: calls are paced and made once; an uncertain outcome is UNCLEAR, never a guess.

A training name is unique for ever in its account and region, and it is the only idempotency key
that CreateTrainingJob has. So "it exists already" is an answer (EXISTS), after which the launch tick
runs the ownership check.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from jobcore import Unavailable
from jobcore.lifecycle import parse_training_name
from jobcore.ports import Evidence, LaunchReply, LaunchRequest, LaunchResult, Training

from ._clients import client as make_client
from ._errors import error_code, error_text, evidence_of, is_refusal, is_throttle
from ._pace import TokenBucket
from ._request import BadRequest, build_request, pool_of
from ._settings import SageMakerSettings
from ._trainings import training_of

if TYPE_CHECKING:
    from mypy_boto3_sagemaker import SageMakerClient

__all__ = ["SageMakerTrainer"]

_T = TypeVar("_T")
_U = TypeVar("_U")

# A training ends at the latest 28 days (waiting) and 30 days (running and upload) after its creation.
LIVES_AT_MOST = timedelta(days=60)
PAGE = 100
# Tries of one create, each with a token of its own. With one try, a call that arrives a millisecond
# early would close its pool.
THROTTLED_TRIES = 3
SEARCH_VALUE_CHARS_MAX = 1024
HINTS_MAX = 20_000
# The service's texts for an unknown training and for one that is over already. It has no error code
# for them: all are ValidationException.
_UNKNOWN = ("requested resource not found", "could not find job to update")
_OVER = "the request was rejected because the training job is in status"


class SageMakerTrainer:
    """
    The `jobcore.Trainer` of an AWS account.

    Args:
        settings: pools, roles, places and rates.
        client: used for all calls in the deployment's own region instead of new clients.
        clients: returns the client of a region ("" for the deployment's own), which makes each call
            once; without it new clients are made.
    """

    def __init__(
        self,
        settings: SageMakerSettings,
        *,
        client: SageMakerClient | None = None,
        clients: Callable[[str], SageMakerClient] | None = None,
    ) -> None:
        self.settings = settings
        self._home = settings.region or _region_of(client)
        self._regions = settings.regions(self._home)
        self._clients: dict[tuple[str | None, bool], Any] = {}
        if client is not None:
            self._clients = {(None, False): client, (None, True): client}
        self._make = clients
        self._guard = threading.Lock()
        self._create_pace = {
            region: TokenBucket(settings.create_rate, settings.create_burst)
            for region in self._regions
        }
        self._read_pace = TokenBucket(settings.describe_rate, settings.at_once)
        self._region_hints: dict[str, str | None] = {}  # of trainings seen before; they save calls
        self._threads: ThreadPoolExecutor | None = None

    # --- the port -------------------------------------------------------------------

    def capacity(self) -> Mapping[str, int | None]:
        """Return the deployment's pools and their slots; None where they are not known."""
        return {name: pool.slots for name, pool in self.settings.pools.items()}

    def launch(self, requests: Sequence[LaunchRequest]) -> Sequence[LaunchReply]:
        """
        Create trainings, several at once, at the account's rate at most.

        An error that is not certainly a refusal is UNCLEAR; throttling is a refusal. A training that
        is created only to be stopped has a run time of a minute.
        """
        return self._map(self._launch, requests, self.settings.at_once)

    def describe(self, names: Sequence[str]) -> Mapping[str, Training | None]:
        """
        Read trainings by name; one that cannot be read now is left out.

        Raises:
            Unavailable: none could be read.
        """
        wanted = list(dict.fromkeys(names))
        threshold = self.settings.search_from
        if threshold is None or len(wanted) < threshold:
            return self._read(wanted)
        answer = self._search(wanted)
        # A training that Search does not know may be too new for its index.
        rest = [name for name in wanted if name not in answer]
        return self._read(rest, answer)

    def stop(self, name: str) -> None:
        """
        Request a stop: SIGTERM, and SIGKILL 120 s later.

        Raises:
            Unavailable: it is not certain that the request was accepted.
        """
        for region in self._regions_of(name):
            try:
                self._client(region, mutating=True).stop_training_job(TrainingJobName=name)
            except Exception as error:
                if _text_begins(error, _OVER):
                    return
                if not _is_unknown(error):
                    raise _unavailable(error, f"stop of {name}") from None
            else:
                return

    def running(self) -> Iterator[Training]:
        """
        Iterate over the trainings that jobcore created and that are not over.

        ListTrainingJobs filters by status after it has made the pages, so a filter would save no
        calls. The list is read once, back to the oldest training that can still be alive.

        Raises:
            Unavailable: the list could not be read to its end.
        """
        unread: list[str] = []
        for region in self._regions:
            listed = self._list(region)
            while names := list(islice(listed, PAGE)):
                for name in names:
                    self._note_region(name, region)
                found = self._read(names)
                unread += [name for name in names if name not in found]
                for training in found.values():
                    if training is not None and training.job_id and not training.state.is_terminal:
                        yield training
        if unread:
            msg = f"{len(unread)} trainings could not be read, {unread[0]} for one"
            raise Unavailable(msg)

    def close(self) -> None:
        """End the threads."""
        if self._threads is not None:
            self._threads.shutdown(wait=True)
            self._threads = None

    # --- launching ------------------------------------------------------------------

    def _launch(self, request: LaunchRequest) -> LaunchReply:
        """Create one training; errors are answers."""
        regions: Iterable[str | None] = self._regions
        try:
            region = self._region(pool_of(request.placement.pool, self.settings).region)
            regions = (region,)
            reply = self._create(request, region)
            if reply.result in (LaunchResult.ACCEPTED, LaunchResult.EXISTS):
                self._note_region(request.name, region)
        except BadRequest as error:
            evidence = Evidence(where="create", error_code="ParamValidationError", text=str(error))
            reply = LaunchReply(LaunchResult.REFUSED, evidence)
        except Exception as error:
            return LaunchReply(LaunchResult.UNCLEAR, evidence_of(error, "create"))
        if reply.result is LaunchResult.REFUSED and (request.to_stop or len(self._regions) > 1):
            return self._confirm_refusal(request.name, regions, reply)
        return reply

    def _create(self, request: LaunchRequest, region: str | None) -> LaunchReply:
        made = build_request(request, self.settings)
        pace = self._create_pace[region]
        client = self._client(region, mutating=True)
        for tries_left in reversed(range(THROTTLED_TRIES)):
            pace.take()
            try:
                client.create_training_job(**made)
            except Exception as error:
                if not is_refusal(error):
                    return LaunchReply(LaunchResult.UNCLEAR, evidence_of(error, "create"))
                if is_throttle(error):
                    pace.slow_down()
                    if tries_left:
                        continue  # certainly not applied
                else:
                    pace.recover()
                if error_code(error) == "ResourceInUse":
                    return LaunchReply(LaunchResult.EXISTS)
                return LaunchReply(LaunchResult.REFUSED, evidence_of(error, "create"))
            pace.recover()
            break
        return LaunchReply(LaunchResult.ACCEPTED)

    def _confirm_refusal(
        self, name: str, regions: Iterable[str | None], refusal: LaunchReply
    ) -> LaunchReply:
        """
        Check that a refused training does not exist from an earlier call of unclear outcome.

        The service may report a full quota before it checks the name. Usually the next launch, which
        has the same name, finds the training. This check is needed in two cases: the refusal of a
        launch that is only to be stopped ends the job, and the next launch of a job refused here may
        go to another region.
        """
        found = self._describe(name, regions)
        if isinstance(found, Exception):
            return LaunchReply(LaunchResult.UNCLEAR, evidence_of(found, "describe"))
        return refusal if found is None else LaunchReply(LaunchResult.EXISTS)

    # --- reading --------------------------------------------------------------------

    def _read(
        self, names: Sequence[str], known: Mapping[str, Training | None] | None = None
    ) -> dict[str, Training | None]:
        """
        Read trainings one by one, and add those that are *known* already.

        Raises:
            Unavailable: none could be read, and none is known.
        """
        answer = dict(known or {})
        errors = []
        described = self._map(self._describe, names, self.settings.at_once)
        for name, found in zip(names, described, strict=True):
            if isinstance(found, Exception):
                errors.append(found)
            else:
                answer[name] = found
        if errors and not answer:
            raise _unavailable(errors[0], "describe")
        return answer

    def _describe(
        self, name: str, regions: Iterable[str | None] | None = None
    ) -> Training | Exception | None:
        """Read one training; None if no region has it, the error if that is not certain."""
        failed: Exception | None = None
        for region in self._regions_of(name) if regions is None else regions:
            found = self._describe_in(region, name)
            if isinstance(found, Training):
                self._note_region(name, region)
                return found
            failed = found or failed
        return failed

    def _describe_in(self, region: str | None, name: str) -> Training | Exception | None:
        self._read_pace.take()
        try:
            description = self._client(region).describe_training_job(TrainingJobName=name)
            training = training_of(description)
        except Exception as error:
            if _is_unknown(error):
                return None
            if is_throttle(error):
                self._read_pace.slow_down()
            return error
        return training or Unavailable(f"{name}: {description.get('TrainingJobStatus')}")

    def _search(self, names: Sequence[str]) -> dict[str, Training | None]:
        """
        Read the trainings of *names* that the search index has; a call that fails is skipped.

        The index lags behind. That delays an observation and makes none wrong: a training that is
        over stays over, and one that is missing is described by name.
        """
        answer: dict[str, Training | None] = {}
        wanted = frozenset(names)
        for region in self._regions:
            for part in _filter_values(names):
                with suppress(Exception):
                    self._read_pace.take()
                    page = self._client(region).search(
                        Resource="TrainingJob",
                        SearchExpression={
                            "Filters": [
                                {"Name": "TrainingJobName", "Operator": "In", "Value": part}
                            ]
                        },
                        MaxResults=PAGE,
                    )
                    for result in page.get("Results", ()):
                        training = training_of(result.get("TrainingJob", {}))
                        if training is not None and training.name in wanted:
                            answer[training.name] = training
                            self._note_region(training.name, region)
        return answer

    def _list(self, region: str | None) -> Iterator[str]:
        """Iterate over the names of jobcore's trainings that are not over according to the list, newest first."""
        oldest = datetime.fromtimestamp(time.time(), UTC) - LIVES_AT_MOST
        query: dict[str, Any] = {
            "NameContains": "jc-",
            "CreationTimeAfter": oldest,
            "SortBy": "CreationTime",
            "SortOrder": "Descending",
            "MaxResults": PAGE,
        }
        client = self._client(region)
        pace = TokenBucket(self.settings.list_rate)  # between the pages of one list
        while True:
            pace.take()
            try:
                page = client.list_training_jobs(**query)
            except Exception as error:
                raise _unavailable(error, "list") from None
            for summary in page.get("TrainingJobSummaries", ()):
                is_over = summary.get("TrainingJobStatus") in ("Completed", "Failed", "Stopped")
                if not is_over and parse_training_name(summary["TrainingJobName"]) is not None:
                    yield summary["TrainingJobName"]
            token = page.get("NextToken")
            if not token:  # an empty page may not be the last one
                return
            if token == query.get("NextToken"):
                msg = "list: the service gave the same page twice"
                raise Unavailable(msg)
            query["NextToken"] = token

    # --- clients, regions, threads ----------------------------------------------------

    def _region(self, region: str | None) -> str | None:
        return None if region == self._home else region

    def _regions_of(self, name: str) -> Iterable[str | None]:
        """Return the regions in which a training may be, the likeliest first."""
        if len(self._regions) == 1:
            return self._regions
        first = self._region_hints.get(name, self._regions[0])
        return (first, *(region for region in self._regions if region != first))

    def _note_region(self, name: str, region: str | None) -> None:
        if len(self._regions) > 1:
            with self._guard:
                if len(self._region_hints) >= HINTS_MAX:
                    self._region_hints.clear()
                self._region_hints[name] = region

    def _client(self, region: str | None, *, mutating: bool = False) -> SageMakerClient:
        key = (region, mutating)
        if key not in self._clients:
            with self._guard:  # a session of botocore is not safe for threads
                if key not in self._clients:
                    self._clients[key] = self._new_client(region, mutating)
        found: SageMakerClient = self._clients[key]
        return found

    def _new_client(self, region: str | None, mutating: bool) -> SageMakerClient:
        if self._make is not None:
            return self._make(region or "")
        made: SageMakerClient = make_client(
            "sagemaker",
            region=region or self.settings.region,
            endpoint_url=self.settings.endpoint_url,
            mutating=mutating,
        )
        return made

    def _map(self, work: Callable[[_T], _U], items: Sequence[_T], together: int) -> list[_U]:
        """Do *work* for each item, at most *together* at once; the results are in order."""
        if len(items) <= 1 or together == 1:
            return [work(item) for item in items]
        if self._threads is None:
            self._threads = ThreadPoolExecutor(together, thread_name_prefix="sagemaker")
        slots = threading.Semaphore(together)

        def bounded(item: _T) -> _U:
            with slots:
                return work(item)

        return list(self._threads.map(bounded, items))


def _region_of(client: Any) -> str | None:
    """Return the region of a client, or the one that new clients take from the environment."""
    if client is not None:
        return getattr(getattr(client, "meta", None), "region_name", None)
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")


def _text_begins(error: Exception, *texts: str) -> bool:
    return " ".join(error_text(error).casefold().split()).startswith(texts)


def _is_unknown(error: Exception) -> bool:
    """
    Check whether the error means that there is no training of that name.

    Only the texts of `_UNKNOWN` do: another ValidationException is no evidence about the training.
    """
    code = error_code(error)
    if code in ("ResourceNotFound", "ResourceNotFoundException"):
        return True
    return code == "ValidationException" and _text_begins(error, *_UNKNOWN)


def _unavailable(error: Exception, what: str) -> Unavailable:
    return Unavailable(f"{what}: {error_code(error)}: {error_text(error)}")


def _filter_values(names: Sequence[str]) -> Iterator[str]:
    """Join names with commas, as many as the value of one filter of Search may have."""
    part = ""
    for name in names:
        if part and len(part) + 1 + len(name) > SEARCH_VALUE_CHARS_MAX:
            yield part
            part = ""
        part = f"{part},{name}" if part else name
    if part:
        yield part
