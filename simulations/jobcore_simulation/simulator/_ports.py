"""Stores, trainers and notifiers as the simulator hands them to the ticks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from jobcore import JobStore, Status, Unavailable
from jobcore.lifecycle import Tick
from jobcore.ports import Due, Message

from ._engine import Engine
from ._scenario import Outage

__all__ = ["Hints", "Mailbox", "Outages"]


class Hints:
    """A store whose list of due jobs is the jobs that events have named."""

    def __init__(self, store: JobStore, job_ids: Sequence[str]) -> None:
        """Pass everything but `due` on to *store*."""
        self._store = store
        self._job_ids = job_ids

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def due(self, tick: Tick, *, before: datetime, limit: int) -> Sequence[Due]:
        """List the named jobs."""
        return [Due(job_id, before, Status.LAUNCHED, 1) for job_id in self._job_ids]


class Outages:
    """A port that raises `jobcore.Unavailable` during its outages."""

    def __init__(self, port: object, outages: Sequence[Outage], engine: Engine) -> None:
        """Pass calls on to *port* between the *outages*."""
        self._port, self._outages, self._engine = port, outages, engine

    def __getattr__(self, name: str) -> object:
        if any(o.begins <= self._engine.now < o.ends for o in self._outages):
            msg = "no answer"
            raise Unavailable(msg)
        return getattr(self._port, name)


class Mailbox:
    """A notifier that counts each message once, by its event id."""

    def __init__(self) -> None:
        """Begin with no message."""
        self.published = 0
        self.event_ids: dict[str, set[str]] = {}  # by job
        self.forgotten = 0

    def publish(self, message: Message) -> None:
        """Count a message."""
        self.published += 1
        self.event_ids.setdefault(message.job_id, set()).add(message.event_id)

    def forget(self, job_id: str) -> None:
        """Keep only the number of the messages of a terminal job."""
        self.forgotten += len(self.event_ids.pop(job_id, ()))

    def messages(self) -> int:
        """Count the distinct messages."""
        return self.forgotten + sum(map(len, self.event_ids.values()))
