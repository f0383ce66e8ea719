"""Looks at many jobs until they are over, and what it writes meanwhile."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Literal

from jobcore import Status

from ._job import Job
from ._polling import pauses, warn_without_manager
from .errors import JobsHeld, WaitTimeout
from .session import Session
from .words import counts_line, plain

__all__ = ["Counts", "ReturnWhen", "Watch", "take_all"]

Counts = Mapping[Status, int]
ReturnWhen = Literal["ALL_COMPLETED", "FIRST_COMPLETED", "FIRST_EXCEPTION"]
_BAD = (Status.FAILED, Status.STOPPED)
_TERMINAL = frozenset(status for status in Status if status.is_terminal)
_REREAD_SECONDS = 60.0  # the jobs are read so often even if the counts say nothing


def take_all(session: Session, jobs: Sequence[Job]) -> None:
    """Read jobs again, with one call."""
    found = session.store.get([job.id for job in jobs]) if jobs else {}
    for job in jobs:
        if (record := found.get(job.id)) is not None:
            job.take(record)


class Watch:
    """
    Looks at a list of jobs: one query a look.

    A list that is a whole group is counted. Of any other list the counts of its owner's jobs are read:
    the jobs themselves are read only when so many jobs came to an end since they were read that the
    wait may be over.
    """

    def __init__(
        self,
        session: Session,
        jobs: Iterable[Job],
        whole: tuple[str, str] | None,
        progress: bool | Callable[[Counts], object] | None,
    ) -> None:
        """
        Begin; nothing is read.

        Args:
            jobs: the list; it may read itself when it is iterated.
            whole: the group and its owner, if the list has all jobs of that group.
            progress: True to write counts on standard error, or a function that is given them.
        """
        self._session, self._jobs, self._whole = session, jobs, whole
        self._is_first = True
        self._over, self._read_at = -1, 0.0
        self._tell = progress if callable(progress) else _Line() if progress else None
        self._left: dict[str, Job] | None = None
        #: The jobs by status at the last look.
        self.counts: Counts = {}

    @property
    def left(self) -> dict[str, Job]:
        """The jobs that were not over when they were last read, by id."""
        if self._left is None:
            self._left = {job.id: job for job in self._jobs}
        return self._left

    def pauses(self, timeout: float | None, is_over: Callable[[], bool]) -> Iterator[float]:
        """Yield the seconds to sleep between looks."""

        def late(trouble: str) -> WaitTimeout:
            if self._whole is not None:
                group, owner = self._whole
                left, total = _unfinished(self.counts), sum(self.counts.values())
                jobs, some = (
                    f"{left:,} of {total:,} jobs of group {plain(group)} are",
                    f"--group {group}",
                )
                some += f" --owner {owner}" if owner != self._session.owner_name else ""
                job_id = None
            else:
                ids = list(self.left)
                jobs, some = (
                    f"{len(ids)} job{'s are' if len(ids) != 1 else ' is'}",
                    " ".join(ids[:3]),
                )
                job_id = ids[0] if ids else None
            msg = f"{jobs} not over after {timeout} s{trouble}"
            return WaitTimeout(msg, job_id, f"jobcore wait {some}")

        return pauses(self._session, is_over, timeout, late)

    def is_over(self, when: ReturnWhen) -> bool:
        """Look once."""
        if self._whole is not None:
            group, owner = self._whole
            counts = self._session.store.counts(group=group, owner=owner)
        else:
            at_least = len(self.left) if when == "ALL_COMPLETED" and self._tell is None else 1
            self._ended(at_least)
            counts = Counter(job.status for job in self._jobs)
        self.counts = counts
        if self._tell is not None:
            self._tell(counts)
        unfinished = _unfinished(counts)
        if not unfinished:
            return True
        if when == "FIRST_COMPLETED" and unfinished < sum(counts.values()):
            return True
        if when == "FIRST_EXCEPTION" and any(counts.get(status) for status in _BAD):
            return True
        self._check(unfinished, counts.get(Status.HELD, 0))
        return False

    def read_ended(self) -> list[Job]:
        """Look once; return the jobs that are over since the last look."""
        ended = self._ended(1)
        held = sum(job.status is Status.HELD for job in self.left.values())
        if self.left and not ended:
            self._check(len(self.left), held)
        return ended

    def _ended(self, at_least: int) -> list[Job]:
        """Read the jobs if *at_least* so many may be over; return those that are, and leave them out."""
        if len(self.left) > 1:  # one job is read as fast as counts are
            over = self._counted_over()
            is_old = time.monotonic() - self._read_at >= _REREAD_SECONDS
            if self._over >= 0 and over - self._over < at_least and not is_old:
                return []
            self._over, self._read_at = over, time.monotonic()
        take_all(self._session, list(self.left.values()))
        ended = [job for job in self.left.values() if job.status.is_terminal]
        for job in ended:
            del self.left[job.id]
        return ended

    def _counted_over(self) -> int:
        """Count the jobs that are over, among the fewest the store can count that include the left ones."""
        groups = {job.group for job in self.left.values()}
        owners = {job.owner for job in self.left.values()}
        group = next(iter(groups)) if len(groups) == 1 else None
        owner = next(iter(owners)) if len(owners) == 1 else None
        counts = self._session.store.counts(group=group, owner=owner)
        return sum(n for status, n in counts.items() if status in _TERMINAL)

    def _check(self, unfinished: int, held: int) -> None:
        """
        Check that a wait can end.

        Raises:
            JobsHeld: only a person can go on with the jobs that are left.
        """
        if held == unfinished:
            some = [job.id for job in self._jobs if job.status is Status.HELD][:1000]
            where = (
                f"--group {self._whole[0]}" if self._whole else " ".join(i[:8] for i in some[:3])
            )
            jobs = f"{held} job{'s are' if held != 1 else ' is'}"
            msg = (
                f"{jobs} held, and the others are over; see jobcore why, then jobcore release "
                f"{where}, and wait again"
            )
            raise JobsHeld(msg, some)
        if self._is_first:
            warn_without_manager(self._session)
        self._is_first = False

    def close(self) -> None:
        """End the line of progress."""
        if isinstance(self._tell, _Line):
            self._tell.end()


def _unfinished(counts: Counts) -> int:
    return sum(n for status, n in counts.items() if status not in _TERMINAL)


class _Line:
    """Writes counts on standard error: over the last line on a terminal, else at most every 10 s."""

    def __init__(self) -> None:
        import sys

        self._file = sys.stderr
        self._last, self._at = "", -10.0

    def __call__(self, counts: Counts) -> None:
        text = counts_line(counts)
        if text == self._last:
            return
        if self._file.isatty():
            print(f"\r\x1b[K{text}", end="", file=self._file, flush=True)
        elif time.monotonic() - self._at < 10:
            return
        else:
            print(text, file=self._file, flush=True)
        self._last, self._at = text, time.monotonic()

    def end(self) -> None:
        if self._last and self._file.isatty():
            print(file=self._file)
