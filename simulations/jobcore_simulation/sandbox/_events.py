"""Delivery of state changes to a function and to an EventBridge endpoint."""

from __future__ import annotations

import json
import logging
import queue
import threading
from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from jobcore.lifecycle import hash_fraction

__all__ = ["EventSink"]

_KEPT = 20_000
_BATCH = 10  # the most that PutEvents takes
_log = logging.getLogger(__name__)

Event = Mapping[str, Any]


class EventSink:
    """
    Accepts events without delay and delivers them from a thread of its own.

    Delivery is best effort, as SageMaker's is: events are lost if the endpoint does not answer.

    Args:
        on_event: called with every event.
        endpoint: an EventBridge for the events. It must accept sources ``aws.*``, which AWS itself
            does not.
        lost, twice: the share of events that is not delivered, or delivered twice.
    """

    def __init__(
        self,
        *,
        on_event: Callable[[Event], None] | None,
        endpoint: str | None,
        region: str,
        lost: float = 0.0,
        twice: float = 0.0,
    ) -> None:
        self.events: deque[Event] = deque(maxlen=_KEPT)
        self.undelivered = 0
        self._on_event = on_event
        self._lost, self._twice = lost, twice
        self._queue: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._client = _client(endpoint, region) if endpoint else None
        self._thread: threading.Thread | None = None
        if on_event is not None or endpoint is not None:
            self._thread = threading.Thread(target=self._deliver, name="events", daemon=True)
            self._thread.start()

    def put(self, event: Event) -> None:
        """Accept an event for delivery."""
        self.events.append(event)
        if self._thread is None or hash_fraction("lost", event["id"]) < self._lost:
            return
        for _ in range(2 if hash_fraction("twice", event["id"]) < self._twice else 1):
            self._queue.put(event)

    def close(self) -> None:
        """Deliver the waiting events, and end."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join(timeout=10)
            self._thread = None

    def _deliver(self) -> None:
        ended = False
        while not ended:
            batch = [self._queue.get()]
            while len(batch) < _BATCH and not self._queue.empty():
                batch.append(self._queue.get())
            ended = None in batch
            events = [event for event in batch if event is not None]
            if events:
                self._hand_over(events)

    def _hand_over(self, events: list[Event]) -> None:
        for event in events if self._on_event is not None else ():
            try:
                assert self._on_event is not None
                self._on_event(event)
            except Exception:
                _log.exception("on_event failed")
        if self._client is None:
            return
        try:
            answer = self._client.put_events(Entries=[_entry(event) for event in events])
            failed = answer["FailedEntryCount"]
            if failed:
                _log.warning("%d events were refused: %s", failed, answer["Entries"])
        except Exception as error:
            failed = len(events)
            _log.warning("%d events were not delivered: %s", failed, error)
        self.undelivered += failed


def _entry(event: Event) -> dict[str, Any]:
    return {
        "Source": event["source"],
        "DetailType": event["detail-type"],
        "Resources": list(event["resources"]),
        "Time": datetime.fromisoformat(event["time"]),
        "Detail": json.dumps(event["detail"]),
    }


def _client(endpoint: str, region: str) -> Any:
    import boto3
    from botocore.config import Config

    return boto3.client(
        "events",
        endpoint_url=endpoint,
        region_name=region,
        aws_access_key_id="sandbox",
        aws_secret_access_key="sandbox",  # noqa: S106  (an emulator's; anything goes)
        config=Config(
            connect_timeout=3,
            read_timeout=10,
            retries={"mode": "standard", "total_max_attempts": 3},
        ),
    )
