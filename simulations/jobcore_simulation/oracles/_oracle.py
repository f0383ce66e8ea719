"""The oracle of one run: wrappers for its ports, and the checks between its steps."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from jobcore import JobStore, Notifier, Trainer
from jobcore.ports import Training
from jobcore.scheduling import Scheduler

from ._indexes import in_flight_violations, index_violations
from ._observer import Observer
from ._ports import WatchedNotifier, WatchedScheduler, WatchedStore, WatchedTrainer

__all__ = ["Oracle"]


class Oracle(Observer):
    """An observer that wraps the ports of one run; `Observer` lists its attributes."""

    # --- wrappers ---------------------------------------------------------------------------

    def store(self, base: JobStore) -> JobStore:
        """Wrap a store."""
        return WatchedStore(self, base)  # type: ignore[return-value]

    def trainer(self, base: Trainer) -> Trainer:
        """Wrap a trainer."""
        return WatchedTrainer(self, base)  # type: ignore[return-value]

    def notifier(self, base: Notifier) -> Notifier:
        """Wrap a notifier."""
        return WatchedNotifier(self, base)

    def scheduler(self, base: Scheduler) -> Scheduler:
        """Wrap a scheduler."""
        return WatchedScheduler(self, base)

    # --- checks between steps -----------------------------------------------------------------

    def check_store(self, store: JobStore, now: datetime) -> None:
        """Compare the indexes of *store*, which may not lag at this moment, with its jobs (S16, J1)."""
        self.found.extend(index_violations(self.jobs, store, now))
        self.check_in_flight()

    def check_in_flight(self) -> None:
        """Check that each job in flight is due to exactly one kind of tick (J1)."""
        self.found.extend(in_flight_violations(self.jobs.values()))

    def check_end(self, running: Iterable[Training], poisoned: frozenset[str]) -> None:
        """
        Check the end of a run (L1, S7).

        Args:
            running: the trainings that are still alive.
            poisoned: ids of jobs that cannot end and are left out.
        """
        for job in self.jobs.values():
            if job.job_id in poisoned:
                continue
            if not job.status.is_terminal:
                self.fail("L1", job.job_id, f"it is still {job.status}")
            elif job.outbox:
                self.fail("L1", job.job_id, "its outbox is not empty")
            elif len(self.notified.get(job.job_id, ())) != 1:
                self.fail("S7", job.job_id, "its end was never published")
        for training in running:
            if training.name in self.created and training.job_id not in poisoned:
                self.fail("L1", training.job_id or "", f"{training.name} is left running")
