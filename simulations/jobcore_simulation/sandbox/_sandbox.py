"""The sandbox without its network: time, faults, rates, and the answers of the service."""

from __future__ import annotations

import json
import re
import threading
from collections import Counter, deque
from collections.abc import Mapping
from itertools import count
from typing import Any

from jobcore_simulation._texts import Refused
from jobcore_simulation._training import Script, Training
from jobcore_simulation._world import World

from ._answers import ConnectionCut, Denied, throttled
from ._clock import SandboxClock
from ._config import SandboxConfig
from ._events import EventSink
from ._limits import Bucket, Fault, FaultKind
from ._service import OPERATIONS, Service
from ._validation import Malformed

__all__ = ["Sandbox"]

_CALLS_KEPT = 100_000
_TARGET = "SageMaker."
_SCOPE = re.compile(r"Credential=[^/]+/\d{8}/([a-z]{2}(?:-[a-z]+)+-\d)/sagemaker/aws4_request")
_INTERNAL = "The request processing has failed because of an unknown error, exception or failure."
_NO_JSON = "The request body is not a JSON object"
_TOO_DEEP = "The request body is nested too deeply"


class Sandbox:
    """
    The state of a sandbox. It starts no thread and opens no socket; `Server` does.

    Attributes:
        clock: the sandbox's time.
        faults: the faults to come; a list to append to.
        calls: the number of calls by operation, throttled and faulty ones included.
        log: the calls in order: (operation, training's name, outcome).
        latency: seconds that each call waits.
        service: carries the operations out.
        closing: set when the sandbox ends.
        wake: set when something may happen earlier than planned.
    """

    def __init__(self, config: SandboxConfig) -> None:
        """Set up the service, with a world for the configured region."""
        self.config = config
        self.clock = SandboxClock(start=config.start, speed=config.speed, manual=config.manual)
        self.faults: list[Fault] = []
        self.calls: Counter[str] = Counter()
        self.log: deque[tuple[str, str, str]] = deque(maxlen=_CALLS_KEPT)
        self.latency = config.latency
        self.buckets: dict[str, Bucket] = {}
        self.set_rates(config.rates)
        self._sink = EventSink(
            on_event=config.on_event,
            endpoint=config.events_endpoint,
            region=config.region,
            lost=config.events_lost,
            twice=config.events_twice,
        )
        self.service = Service(config, self.clock.now, self._sink.put)
        self.service.region(config.region)
        self.closing = threading.Event()
        self.wake = threading.Event()
        self._faults_lock = threading.Lock()
        self._requests = count(1)

    # --- looking in and setting up ----------------------------------------------------------

    @property
    def world(self) -> World:
        """The world of the configured region. Hold `Service.lock` when time is not manual."""
        return self.service.region(self.config.region).world

    @property
    def events(self) -> list[Mapping[str, Any]]:
        """The EventBridge events so far, delivered or not."""
        return list(self._sink.events)

    @property
    def events_undelivered(self) -> int:
        """The number of events that the endpoint did not accept."""
        return self._sink.undelivered

    def advance(self, seconds: float) -> None:
        """Advance the time, and apply each event that is due by then."""
        self.clock.skip(seconds)
        self.service.advance()
        self.wake.set()

    def script(self, script: Script) -> None:
        """Add a script for trainings yet to come; it goes before the earlier ones."""
        with self.service.lock:
            for region in self.service.regions.values():
                region.world.add_script(script)

    def fault(self, kind: FaultKind | str, **settings: Any) -> Fault:
        """Add a fault for calls yet to come."""
        fault = Fault(kind=FaultKind(kind), **settings)
        with self._faults_lock:
            self.faults.append(fault)
        return fault

    def set_rates(self, rates: Mapping[str, tuple[float, float]]) -> None:
        """Limit operations to (calls per second, burst); those not named are not limited."""
        self.buckets = {name: Bucket(rate, burst) for name, (rate, burst) in rates.items()}

    def finish(self, region: str, training: Training, failure: str) -> None:
        """End the training phase of a training that runs a script."""
        with self.service.lock:
            world = self.service.region(region).world
            world.finish(max(self.clock.now(), world.now), training, failure=failure)
        self.wake.set()

    # --- a call -----------------------------------------------------------------------------

    def answer(self, target: str, authorization: str, body: bytes) -> bytes:
        """
        Answer a call of the service.

        Raises:
            Refused, Denied: the answer is an error.
            Malformed: the answer is a SerializationException.
            ConnectionCut: there is no answer.
        """
        operation = target.removeprefix(_TARGET)
        if not target.startswith(_TARGET) or operation not in OPERATIONS:
            raise Denied(400, "UnknownOperationException", f"The sandbox has no {target[:100]!r}")
        scope = _SCOPE.search(authorization)
        if scope is None:
            raise Denied(403, "MissingAuthenticationTokenException", "Missing Authentication Token")
        request = _document(body)
        name = str(request.get("TrainingJobName") or request.get("ResourceArn") or "")
        name = name.rpartition("/")[2]
        self.calls[operation] += 1
        outcome = "no reply"
        try:
            answer = self._carry_out(operation, scope[1], request, name)
            outcome = "ok"
        except (Refused, Denied) as error:
            outcome = error.code
            raise
        except Malformed:
            outcome = "SerializationException"
            raise
        finally:
            self.log.append((operation, name, outcome))
        return b"" if answer is None else json.dumps(answer, separators=(",", ":")).encode()

    def _carry_out(
        self, operation: str, region: str, request: dict[str, Any], name: str
    ) -> dict[str, Any] | None:
        if self.latency:
            self.closing.wait(self.latency)
        fault = self._fault_for(operation, name)
        if fault is not None:
            self._strike_before(fault)
        bucket = self.buckets.get(operation)
        if bucket is not None:
            with self._faults_lock:
                allowed = bucket.take(self.clock.real())
            if not allowed:
                raise throttled()
        try:
            answer = self.service.call(operation, region, request)
        except RecursionError:
            raise Malformed(_TOO_DEEP) from None
        self.wake.set()
        if fault is not None:
            self._strike_after(fault)
        return answer

    def _fault_for(self, operation: str, name: str) -> Fault | None:
        with self._faults_lock:
            return next((f for f in self.faults if f.strikes(operation, name)), None)

    def _strike_before(self, fault: Fault) -> None:
        if fault.kind is FaultKind.THROTTLE:
            raise throttled()
        if fault.kind is FaultKind.ERROR:
            raise Denied(fault.status, fault.code, fault.text)
        if fault.kind is FaultKind.FAIL_BEFORE:
            raise Denied(500, "InternalFailure", _INTERNAL)
        if fault.kind is FaultKind.RESET_BEFORE:
            raise ConnectionCut(reset=True)
        if fault.kind is FaultKind.LATE_APPLY:
            self.closing.wait(fault.seconds)

    def _strike_after(self, fault: Fault) -> None:
        if fault.kind is FaultKind.FAIL_AFTER:
            raise Denied(500, "InternalFailure", _INTERNAL)
        if fault.kind in {FaultKind.RESET_AFTER, FaultKind.LOSE_REPLY}:
            raise ConnectionCut(reset=fault.kind is FaultKind.RESET_AFTER)
        if fault.kind is FaultKind.LATE_REPLY:
            self.closing.wait(fault.seconds)

    def request_id(self) -> str:
        """Make the id of an answer."""
        return f"00000000-0000-4000-8000-{next(self._requests):012x}"


def _document(body: bytes) -> dict[str, Any]:
    try:
        request = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        raise Malformed(_NO_JSON) from None
    if not isinstance(request, dict):
        raise Malformed(_NO_JSON)
    return request
