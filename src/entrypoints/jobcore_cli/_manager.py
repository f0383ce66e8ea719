"""The manager's loop: all ticks, repeated on hints and on a schedule.

The ticks make all decisions. They are level-triggered, as in the Lambda functions, so the loop may
end at any point, and the next pass finishes the work.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import fields
from types import FrameType, TracebackType
from typing import Any, Self

import jobcore
from jobcore_client.wording import next_step_words
from jobcore_client.words import counts_line, plain
from jobcore_local import DesktopNotifier, FanOut, FileNotifier, SystemClock, WakeSocket

from ._session import Session

_PASS_SECONDS = 0.5  # between passes without a hint
_REAP_SECONDS = 60.0
_GATHER_SECONDS = 0.0015  # after a hint, so that trainings that end together share a pass
_NOTIFY_SECONDS = 0.1  # the longest wait of messages while trainings start and end
_TROUBLE_SECONDS_MAX = 10.0
#: Launches whose shims work at the same time; more would wait for processors.
_LAUNCHES_TOGETHER = 16
_BUSY = frozenset(s for s in jobcore.Status if not s.is_terminal and s is not jobcore.Status.HELD)


class ManagerLock:
    """The lock of a home's manager. Two managers would be safe, but would do the same work twice."""

    def __init__(self, session: Session) -> None:
        session.home_path.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path = session.home_path / "manager.lock"
        self.held = False
        self.holder = "?"

    def __enter__(self) -> Self:
        """Try to lock; *held* is True if the lock was free."""
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.holder = os.pread(self._fd, 20, 0).decode("ascii", "replace").strip() or "?"
        else:
            self.held = True
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, str(os.getpid()).encode(), 0)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Release the lock."""
        os.close(self._fd)


class Manager:
    """
    The ticks over one home's store and trainer.

    Args:
        live: draw a progress display on the terminal instead of logging.
        quiet: log problems only.
        log_json: log JSON lines.
    """

    def __init__(self, session: Session, *, live: bool, quiet: bool, log_json: bool) -> None:
        self._session = session
        self._quiet = quiet
        self._log = _logger(log_json)
        self._display = Display(session) if live else None
        self._stop = False
        self.interrupted = False  # by a signal
        self._troubled = False
        self._troubles: set[str] = set()  # reported already
        session.on_trouble = self._trouble
        self.ended: dict[jobcore.Status, int] = {}
        notifiers: list[jobcore.Notifier] = [FileNotifier(session.home_path / "messages.jsonl")]
        if session.is_aws and session.aws.topic_arn:
            from jobcore_aws import SnsNotifier

            notifiers.insert(0, SnsNotifier(session.aws.topic_arn))
        if session.settings.desktop:
            notifiers.append(DesktopNotifier())
        self._notifier = jobcore.messages.WordedNotifier(FanOut(notifiers), next_step_words)
        self._clock = SystemClock()
        self._settings = jobcore.Settings(
            limits=session.limits,
            rules=session.rules(),
            launch_lease=session.settings.launch_lease,
            launches_together=_LAUNCHES_TOGETHER,
            on_change=self._changed,
            on_trouble=self._trouble,
            go_on=lambda: not self._stop,
        )

    def __enter__(self) -> Self:
        """Start the display."""
        if self._display is not None:
            self._display.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the display and the fork server; trainings go on."""
        if self._display is not None:
            self._display.close()
        close = getattr(self._session.trainer, "close", None)
        if close is not None:
            close()

    # --- the loop -------------------------------------------------------------------

    def run(self, *, until_done: bool) -> None:
        """Do passes until SIGTERM or SIGINT, or (*until_done*) until all jobs are over or held."""
        previous = {
            number: signal.signal(number, self._on_signal)
            for number in (signal.SIGTERM, signal.SIGINT)
        }
        try:
            with WakeSocket(self._session.wake_path) as wake:
                self._loop(wake, until_done=until_done)
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _loop(self, wake: WakeSocket, *, until_done: bool) -> None:
        next_reap = next_notify = 0.0
        pause = 0.0
        while not self._stop:
            names = ["monitor", "launch"]
            if time.monotonic() >= next_reap:
                names.append("reap")
                next_reap = time.monotonic() + _REAP_SECONDS
            self._troubled = False
            try:
                self.passes(names)
                if time.monotonic() < next_notify and wake.wait(0):
                    time.sleep(_GATHER_SECONDS)
                    continue  # free slots may be used before messages are sent
                self.passes(["notify"])
                next_notify = time.monotonic() + _NOTIFY_SECONDS
                if until_done and self._is_done():
                    return
                if not self._troubled:
                    self._troubles.clear()
                pause = 0.0
            except (jobcore.Unavailable, OSError) as error:
                # The store is busy or its disk is full. Nothing is lost: report it once and try again.
                self._trouble("", str(error))
                pause = min(_TROUBLE_SECONDS_MAX, pause * 2 + 0.5)
            wake.wait(max(_PASS_SECONDS, pause))

    def passes(self, names: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Run the named ticks once, in order; return their reports."""
        store, trainer = self._session.store, self._session.trainer
        ticks: dict[str, Callable[[], jobcore.ticks.TickReport]] = {
            "monitor": lambda: jobcore.monitor_tick(store, trainer, self._clock, self._settings),
            "launch": lambda: jobcore.launch_tick(store, trainer, self._clock, self._settings),
            "notify": lambda: jobcore.notify_tick(
                store, self._notifier, self._clock, self._settings
            ),
            "reap": lambda: jobcore.reap_tick(store, trainer, self._clock, self._settings),
        }
        reports = {}
        for name in names:
            report = ticks[name]()
            reports[name] = {f.name: getattr(report, f.name) for f in fields(report)}
        return reports

    def _is_done(self) -> bool:
        store = self._session.store
        if store.find(jobcore.ports.JobQuery(statuses=_BUSY, limit=1)).jobs:
            return False
        return not store.due(jobcore.lifecycle.Tick.NOTIFY, before=self._clock.now(), limit=1)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._stop = self.interrupted = True
        self._session.poke()

    # --- log and display ------------------------------------------------------------

    def _changed(self, change: jobcore.ticks.Change) -> None:
        job = change.job
        if job.status is change.before:
            return  # no transition, but a published message or a new detail
        if job.status.is_terminal:
            self.ended[job.status] = self.ended.get(job.status, 0) + 1
        if self._display is not None:
            self._display.changed(change)
        elif not self._quiet:
            # Never hyperparameters or environment: they may hold secrets.
            self._log.info(
                "transition",
                job=job.job_id,
                name=plain(job.spec.name),
                attempt=job.attempt_number,
                before=str(change.before),
                after=str(job.status),
                reason=plain(jobcore.redact.redact(change.note)),
            )

    def _trouble(self, job_id: str, what: str) -> None:
        self._troubled = True
        key = f"{job_id} {what}"
        if key in self._troubles:
            return
        self._troubles.add(key)
        if self._display is not None:
            self._display.add_event(f"trouble {job_id[:8]} {what}")
        else:
            self._log.warning("trouble", job=job_id or None, what=plain(what))


def _logger(log_json: bool) -> Any:
    """Make the logger: lines of key=value or JSON on standard error."""
    import structlog

    renderer: Any = structlog.processors.JSONRenderer()
    if not log_json:
        renderer = structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"])
    return structlog.wrap_logger(
        structlog.PrintLogger(sys.stderr),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(20),
    )


class Display:
    """The live progress display: a bar, slots by pool, the last events."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._events: deque[str] = deque(maxlen=8)
        self._begun = time.monotonic()

    def start(self) -> None:
        """Start to draw."""
        from rich.console import Console
        from rich.live import Live

        console = Console(stderr=True, no_color=self._session.no_color or None)
        self._live = Live(
            console=console, refresh_per_second=4, get_renderable=self._draw, transient=False
        )
        self._live.start()

    def close(self) -> None:
        """Draw a last time, and leave the display on the terminal."""
        self._live.stop()

    def add_event(self, text: str) -> None:
        """Add a line to the events."""
        self._events.append(f"{time.strftime('%H:%M:%S')}  {plain(text)}")

    def changed(self, change: jobcore.ticks.Change) -> None:
        """Add a transition to the events, except for the steps of a launch."""
        job = change.job
        steps = (jobcore.Status.LAUNCHING, jobcore.Status.LAUNCHED)
        if job.status not in steps:
            note = f"  {change.note}" if change.note else ""
            self.add_event(f"{job.spec.name:<14} {job.status:<10} try {job.attempt_number}{note}")

    def _draw(self) -> Any:
        from rich.console import Group
        from rich.padding import Padding
        from rich.progress_bar import ProgressBar
        from rich.text import Text

        counts: dict[jobcore.Status, int] = {}
        pools = ""
        with contextlib.suppress(jobcore.Unavailable):
            counts = dict(self._session.store.counts())
            pools = self._pools()
        total = sum(counts.values())
        over = sum(n for status, n in counts.items() if status.is_terminal)
        seconds = int(time.monotonic() - self._begun)
        head = f"{over}/{total} over  {seconds // 60}:{seconds % 60:02d}  slots {pools}"
        lines = [Text(line, overflow="ellipsis", no_wrap=True) for line in self._events]
        return Group(
            Text(head, style="bold", overflow="ellipsis", no_wrap=True),
            # A bar ends no line; in a Padding it does.
            Padding(ProgressBar(total=max(total, 1), completed=over, width=60), 0),
            Text(counts_line(counts), overflow="ellipsis", no_wrap=True),
            *lines,
        )

    def _pools(self) -> str:
        used: dict[str, int] = {}
        for usage in self._session.store.usage():
            used[usage.pool] = used.get(usage.pool, 0) + usage.slots
        capacity = self._session.trainer.capacity()
        return ", ".join(f"{name} {used.get(name, 0)}/{size}" for name, size in capacity.items())
