"""Trainings of the world: requests, scripts and fates, and their present state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import attrs

from jobcore.lifecycle import hash_fraction
from jobcore_config.checks import each, one_of, report_all

from ._checks import COUNT, FRACTION, SECONDS, SPAN, Span
from ._texts import Refused

__all__ = [
    "Fate",
    "Refusal",
    "Script",
    "ScriptBook",
    "Training",
    "TrainingRequest",
    "Transition",
]

PHASES = ("Starting", "Downloading", "Training", "Uploading")
TERMINAL = ("Completed", "Failed", "Stopped")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRequest:
    """
    A request to create a training.

    Args:
        pools: (pool name, instances), the preferred one first; exactly one is used.
        max_runtime: seconds on instances, after which the training is stopped.
        max_wait: seconds from creation, waiting and running; for spot, or with *retries*.
        max_pending: seconds that it may be Pending; counts for accelerated instances only.
        retries: the restarts under the same name after an InternalServerError.
        checkpoints: whether it resumes after an interruption; else it starts again.
        labels: values that scripts can match, e.g. ``Tags.team`` or ``HyperParameters.lr``.
        open_ended: its training phase lasts until `World.finish`, instead of its script's duration.
        document: the caller's own record; the world does not read it.
    """

    name: str
    pools: tuple[tuple[str, int], ...]
    max_runtime: float = 86400.0
    max_wait: float | None = None
    max_pending: float | None = None
    retries: int = 0
    checkpoints: bool = False
    open_ended: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    document: Mapping[str, Any] = field(default_factory=dict)


@attrs.frozen(kw_only=True, field_transformer=report_all)
class Refusal:
    """An answer to a create that was not carried out."""

    code: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """
    The course of one training; all durations in seconds.

    Args:
        noticing: until a shortage of instances is shown as Pending.
        starting, downloading, training, uploading: the phases; *training* None: it lasts
            until `World.finish`.
        stopping: from a stop request to Stopped, at most 120 s on the real service.
        restarting: from an interruption to the next try.
        failure: the failure reason; empty: it completes.
        fails_in: the phase at whose end it fails.
        interruptions: on spot, after so many seconds of training each, counted from the last start.
        metrics: the last value of each metric, if it completes.
    """

    noticing: float = 5.0
    starting: float = 60.0
    downloading: float = 30.0
    training: float | None = 600.0
    uploading: float = 20.0
    stopping: float = 10.0
    restarting: float = 60.0
    failure: str = ""
    fails_in: str = "Training"
    interruptions: tuple[float, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)


@attrs.frozen(kw_only=True, field_transformer=report_all)
class Script:
    """
    The course of the trainings that match.

    Durations are numbers, or bounds between which each training draws its own; the draw is a
    hash of the world's seed and the training's name, so that it is the same in every run.

    Attributes:
        name, pool: shell patterns for the training's name and its preferred pool.
        where: label → shell pattern; all must match.
        times: the number of trainings that it applies to; None: all.
        failure_rate: the share of trainings that fail, with one of *failures*.
        fails_in: the phase at whose end they fail.
        metrics: by name, the last value that they report, or the bounds of a draw.
        refusal: their create is answered with this.
        open_ended: training lasts until `World.finish`.
    """

    name: str = "*"
    pool: str = "*"
    where: Mapping[str, str] = attrs.field(factory=dict)
    times: int | None = attrs.field(default=None, validator=COUNT)
    noticing: Span = attrs.field(default=5.0, validator=SPAN)
    starting: Span = attrs.field(default=60.0, validator=SPAN)
    downloading: Span = attrs.field(default=30.0, validator=SPAN)
    training: Span = attrs.field(default=600.0, validator=SPAN)
    uploading: Span = attrs.field(default=20.0, validator=SPAN)
    stopping: Span = attrs.field(default=10.0, validator=SPAN)
    restarting: Span = attrs.field(default=60.0, validator=SPAN)
    failure_rate: float = attrs.field(default=0.0, validator=FRACTION)
    failures: tuple[str, ...] = ("AlgorithmError: ExecuteUserScriptError: ExitCode 1",)
    fails_in: str = attrs.field(default="Training", validator=one_of(*PHASES))
    interruptions: tuple[float, ...] = attrs.field(default=(), validator=each(SECONDS))
    metrics: Mapping[str, Span] = attrs.field(factory=dict)
    refusal: Refusal | None = None
    open_ended: bool = False

    def matches(self, request: TrainingRequest) -> bool:
        """Check whether the script is for this training."""
        return (
            fnmatchcase(request.name, self.name)
            and fnmatchcase(request.pools[0][0], self.pool)
            and all(
                label in request.labels and fnmatchcase(request.labels[label], pattern)
                for label, pattern in self.where.items()
            )
        )

    def draw(self, seed: str, name: str) -> Fate:
        """Draw the fate of a training."""

        def drawn(span: Span, what: str) -> float:
            low, high = _bounds(span)
            if low == high:
                return low
            return low + (high - low) * hash_fraction(seed, name, what)

        def seconds(what: str) -> float:
            return drawn(getattr(self, what), what)

        fails = self.failure_rate > hash_fraction(seed, name, "fails")
        which = int(hash_fraction(seed, name, "failure") * len(self.failures))
        return Fate(
            noticing=seconds("noticing"),
            starting=seconds("starting"),
            downloading=seconds("downloading"),
            training=None if self.open_ended else seconds("training"),
            uploading=seconds("uploading"),
            stopping=min(seconds("stopping"), 120.0),
            restarting=seconds("restarting"),
            failure=self.failures[which] if fails and self.failures else "",
            fails_in=self.fails_in,
            interruptions=self.interruptions,
            metrics={key: drawn(span, f"metric {key}") for key, span in self.metrics.items()},
        )


def _bounds(span: Span) -> tuple[float, float]:
    return span if isinstance(span, tuple) else (span, span)


class ScriptBook:
    """Scripts in the order in which they are tried, with the number of trainings left for each."""

    def __init__(self, scripts: Iterable[Script] = ()) -> None:
        """Begin with *scripts*."""
        self._scripts: list[tuple[Script, list[int | None]]] = [(s, [s.times]) for s in scripts]

    def add(self, script: Script) -> None:
        """Add a script in front of the others."""
        self._scripts.insert(0, (script, [script.times]))

    def clear(self) -> None:
        """Drop all scripts."""
        self._scripts.clear()

    def draw(self, request: TrainingRequest, seed: str) -> Fate:
        """
        Draw a training's fate from the first script that matches.

        Raises:
            Refused: the script refuses it.
        """
        for script, left in self._scripts:
            if left[0] == 0 or not script.matches(request):
                continue
            if left[0] is not None:
                left[0] -= 1
            if script.refusal is not None:
                raise Refused(script.refusal.code, script.refusal.text)
            return script.draw(seed, request.name)
        return Script().draw(seed, request.name)


@dataclass(slots=True)
class Transition:
    """A secondary status, from when to when, with the service's message."""

    status: str
    start: float
    message: str
    end: float | None = None


@dataclass(slots=True)
class Training:
    """
    A training in the world; only the world changes it.

    Args:
        pool: the pool of its instances; None while it has none.
        charged: the pool whose quota it counts against; None once it is over.
        started_at: when it first started on instances; None if it never did.
        busy: seconds on instances before the last start.
        done: seconds of training that interruptions did not undo.
        metrics: the last value of each metric, as its script's log has it.
    """

    request: TrainingRequest
    fate: Fate
    created_at: float
    status: str = "InProgress"
    secondary: str = "Starting"
    failure_reason: str = ""
    transitions: list[Transition] = field(default_factory=list)
    pool: str | None = None
    charged: str | None = None
    count: int = 1
    selected: str | None = None  # the pool of its last instances
    started_at: float | None = None
    ended_at: float | None = None
    modified_at: float = 0.0
    placed_at: float | None = None
    phase_since: float = 0.0
    busy: float = 0.0
    done: float = 0.0
    metrics: Mapping[str, float] = field(default_factory=dict)
    interrupted: int = 0
    retried: int = 0
    ends_as: str = ""  # the secondary status that Stopping leads to
    generation: int = 0  # events planned before the last change of status are void

    @property
    def name(self) -> str:
        """The training's name."""
        return self.request.name

    @property
    def is_terminal(self) -> bool:
        """Whether its status is terminal."""
        return self.status in TERMINAL
