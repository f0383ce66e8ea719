"""The operations of the service, on one world for each region."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from jobcore_simulation._texts import (
    INSTANCES_PER_TRAINING,
    INVALID,
    LIMIT_EXCEEDED,
    Refused,
    over_limit,
)
from jobcore_simulation._training import Training
from jobcore_simulation._world import World

from ._config import SandboxConfig
from ._requests import check_create, check_tags, request_for
from ._search import holds, names_asked, page, value_of
from ._validation import Validator, refusal
from ._views import describe, event, summary

__all__ = ["OPERATIONS", "Service"]

Document = dict[str, Any]

OPERATIONS = (
    "CreateTrainingJob", "DescribeTrainingJob", "ListTrainingJobs", "Search", "StopTrainingJob",
    "DeleteTrainingJob", "AddTags", "ListTags", "DeleteTags",
)  # fmt: skip
_PAGE, _SEARCH_PAGE = 10, 100
_TAGS_MAX = 50
_NOT_FOUND = "Requested resource not found."
_SORT_KEYS: Mapping[str, Callable[[Training], Any]] = {
    "Name": lambda t: t.name,
    "CreationTime": lambda t: t.created_at,
    "Status": lambda t: t.status,
}


class _Region:
    """One region's world, with the tags of its trainings and the index of Search."""

    def __init__(self, service: Service, name: str) -> None:
        config = service.config
        self.name = name
        self.arn = f"arn:aws:sagemaker:{name}:{config.account}:training-job/"
        self.tags: dict[str, dict[str, str]] = {}
        self.indexed: dict[str, list[tuple[float, Document]]] = {}
        self.world = World(
            pools={n: p for n, p in config.pools.items() if n.startswith(f"{name}/")},
            default_pool=config.default_pool,
            scripts=config.scripts,
            seed=config.seed,
            start=service.now(),
            quota_total=config.quota_total,
            arn=self.arn,
        )
        self.world.listeners.append(self._changed)
        self._service = service

    def _changed(self, at: float, training: Training) -> None:
        arn = self.arn + training.name
        if len(training.transitions) == 1:  # just created: the call has not returned yet
            tags = training.request.document.get("Tags", ())
            self.tags[training.name] = {tag["Key"]: tag["Value"] for tag in tags}
        if self._service.config.search_lag > 0:
            self.indexed.setdefault(training.name, []).append((at, describe(training, arn)))
        for listener in self._service.listeners:
            listener(training)
        if self._service.on_event is not None:
            account = self._service.config.account
            self._service.on_event(
                event(
                    training,
                    arn,
                    self.tags[training.name],
                    at=at,
                    region=self.name,
                    account=account,
                )
            )

    def record(self, training: Training) -> Document | None:
        """Show a training as Search does; None: the index of Search does not have it yet."""
        lag = self._service.config.search_lag
        shown = describe(training, self.arn + training.name)
        if lag > 0:
            versions = self.indexed.get(training.name, [])
            while len(versions) > 1 and versions[1][0] <= self.world.now - lag:
                versions.pop(0)
            if not versions or versions[0][0] > self.world.now - lag:
                return None
            shown = versions[0][1]
        tags = self.tags.get(training.name, {})
        return shown | {"Tags": [{"Key": k, "Value": v} for k, v in tags.items()]}


class Service:
    """
    Answers requests: checks them concurrently, and carries them out one at a time.

    Args:
        now: tells the sandbox's time.
        on_event: called with the EventBridge event of every status change.
    """

    def __init__(
        self,
        config: SandboxConfig,
        now: Callable[[], float],
        on_event: Callable[[Document], None] | None = None,
    ) -> None:
        import botocore.session  # heavy; reading a configuration does not need it

        self.config = config
        self.now = now
        self.on_event = on_event
        self.is_open_ended: Callable[[Document], bool] = lambda request: False
        self.listeners: list[Callable[[Training], None]] = []
        self.lock = threading.RLock()
        self.regions: dict[str, _Region] = {}
        model: Any = botocore.session.get_session().get_service_model("sagemaker")
        self._validators = {name: Validator(model.operation_model(name)) for name in OPERATIONS}
        self._searchable = frozenset(model.shape_for("TrainingJob").members)
        self._calls: dict[str, Callable[[_Region, Document], Document | None]] = {
            "CreateTrainingJob": self._create,
            "DescribeTrainingJob": self._describe,
            "ListTrainingJobs": self._list,
            "Search": self._search,
            "StopTrainingJob": self._stop,
            "DeleteTrainingJob": self._delete,
            "AddTags": self._add_tags,
            "ListTags": self._list_tags,
            "DeleteTags": self._delete_tags,
        }

    def call(self, operation: str, region: str, request: Document) -> Document | None:
        """
        Carry out an operation.

        Returns:
            The answer; None: an empty one.

        Raises:
            Refused: the service refuses the request.
            Malformed: the request has a value of the wrong type.
        """
        if problems := self._validators[operation].problems(request):
            raise Refused(INVALID, refusal(problems))
        request = _without_nulls(request)  # to the service, null means not given
        if operation == "CreateTrainingJob":
            check_create(request)
        with self.lock:
            here = self.region(region)
            here.world.advance(max(self.now(), here.world.now))
            return self._calls[operation](here, request)

    def region(self, name: str) -> _Region:
        """Return a region; it is created at its first call."""
        with self.lock:
            if name not in self.regions:
                self.regions[name] = _Region(self, name)
            return self.regions[name]

    def advance(self) -> None:
        """Advance all worlds to the present time."""
        with self.lock:
            for region in tuple(self.regions.values()):
                region.world.advance(max(self.now(), region.world.now))

    def next_event_at(self) -> float | None:
        """Return when the next event of any region is due; None: there is none."""
        with self.lock:
            times = [region.world.next_event_at() for region in self.regions.values()]
        return min((at for at in times if at is not None), default=None)

    # --- operations -----------------------------------------------------------------------

    def _create(self, here: _Region, request: Document) -> Document:
        wanted = request_for(request, here.name, open_ended=self.is_open_ended(request))
        most = self.config.instances_per_job_max
        for _, count in wanted.pools:
            if count > most:
                raise over_limit(INSTANCES_PER_TRAINING, most, 0, count)
        here.world.create(here.world.now, wanted)
        return {"TrainingJobArn": here.arn + wanted.name}

    def _describe(self, here: _Region, request: Document) -> Document:
        training = _found(here, request)
        return describe(training, here.arn + training.name)

    def _stop(self, here: _Region, request: Document) -> None:
        here.world.stop(here.world.now, _found(here, request).name)

    def _delete(self, here: _Region, request: Document) -> None:
        name = _found(here, request).name
        here.world.delete(here.world.now, name)
        here.tags.pop(name, None)
        here.indexed.pop(name, None)

    def _list(self, here: _Region, request: Document) -> Document:
        sort_by = request.get("SortBy", "CreationTime")
        sort = _SORT_KEYS[sort_by]
        found, token = page(
            here.world,
            lambda t: (sort(t), t.name),
            descending=request.get("SortOrder", "Descending") == "Descending",
            size=request.get("MaxResults", _PAGE),
            token=request.get("NextToken"),
            sorted_by=sort_by,
        )
        shown = [summary(t, here.arn + t.name) for t in found if _listed(t, request)]
        return {"TrainingJobSummaries": shown} | ({"NextToken": token} if token else {})

    def _search(self, here: _Region, request: Document) -> Document:
        if request["Resource"] != "TrainingJob":
            raise Refused(INVALID, "The sandbox searches resources of type TrainingJob only")
        expression = request.get("SearchExpression", {})
        sort_by = request.get("SortBy", "LastModifiedTime")
        if sort_by.partition(".")[0] not in self._searchable:
            raise Refused(INVALID, f"Invalid property name: {sort_by}")
        holds(expression, {}, self._searchable)  # refuses a bad filter even if there are no records
        names = names_asked(expression)
        wanted = (
            here.world
            if names is None
            else [t for n in dict.fromkeys(names) if (t := here.world.trainings.get(n))]
        )
        records = [r for t in wanted if (r := here.record(t)) is not None]

        def key(record: Document) -> tuple[Any, ...]:
            value = value_of(record, sort_by)
            is_number = isinstance(value, int | float)
            return (
                value is not None,
                is_number,
                value if is_number else str(value),
                record["TrainingJobName"],
            )

        found, token = page(
            (r for r in records if holds(expression, r, self._searchable)),
            key,
            descending=request.get("SortOrder", "Descending") == "Descending",
            size=request.get("MaxResults", _SEARCH_PAGE),
            token=request.get("NextToken"),
            sorted_by=sort_by,
        )
        results = [
            {"TrainingJob": {k: v for k, v in r.items() if k in self._searchable}} for r in found
        ]
        return {"Results": results} | ({"NextToken": token} if token else {})

    def _add_tags(self, here: _Region, request: Document) -> Document:
        check_tags(request["Tags"])
        tags = _tags_of(here, request)
        merged = tags | {tag["Key"]: tag["Value"] for tag in request["Tags"]}
        if len(merged) > _TAGS_MAX:
            raise Refused(LIMIT_EXCEEDED, f"A resource can have {_TAGS_MAX} tags at most")
        tags.update(merged)
        return {"Tags": [{"Key": k, "Value": v} for k, v in tags.items()]}

    def _list_tags(self, here: _Region, request: Document) -> Document:
        return {"Tags": [{"Key": k, "Value": v} for k, v in _tags_of(here, request).items()]}

    def _delete_tags(self, here: _Region, request: Document) -> Document:
        tags = _tags_of(here, request)
        for key in request["TagKeys"]:
            tags.pop(key, None)
        return {}


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def _found(here: _Region, request: Document) -> Training:
    training = here.world.trainings.get(request["TrainingJobName"])
    if training is None:
        raise Refused(INVALID, _NOT_FOUND)
    return training


def _tags_of(here: _Region, request: Document) -> dict[str, str]:
    arn: str = request["ResourceArn"]
    name = arn.removeprefix(here.arn)
    if name == arn or name not in here.world.trainings:
        raise Refused(INVALID, _NOT_FOUND)
    return here.tags[name]


def _listed(training: Training, request: Document) -> bool:
    """Apply the filters of a list; as in the real service, to a page that is cut already."""
    created, modified = training.created_at, training.modified_at
    return (
        request.get("StatusEquals", training.status) == training.status
        and request.get("NameContains", "").casefold() in training.name.casefold()
        and request.get("CreationTimeAfter", created) <= created
        and request.get("CreationTimeBefore", created) >= created
        and request.get("LastModifiedTimeAfter", modified) <= modified
        and request.get("LastModifiedTimeBefore", modified) >= modified
        and "WarmPoolStatusEquals" not in request
        and "TrainingPlanArnEquals" not in request
    )
