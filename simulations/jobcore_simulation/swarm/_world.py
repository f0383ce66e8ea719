"""One run of a seed: ticks that interleave at every port call, then rounds without faults."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress
from datetime import timedelta
from zlib import crc32

import jobcore
from jobcore import (
    CorruptRecord,
    Job,
    JobStore,
    ReleaseRequested,
    Status,
    StopRequested,
    Unavailable,
)
from jobcore.lifecycle import Event
from jobcore.scheduling import DEFAULT_SCHEDULER, Scheduler
from jobcore.ticks import TickReport

from ._actors import Actors
from ._draw import EPOCH, Config
from ._environment import Environment
from ._faults import Crash
from ._ports import Port
from ._result import Result
from ._scene import Scene

__all__ = ["ROUNDS_MAX", "World"]

#: The most rounds after the last fault until every job has ended (see docs/concepts/fault-injection.md).
ROUNDS_MAX = 60
_ROUND = timedelta(seconds=61)
_IDLE_ROUND = timedelta(minutes=5)
# While a launch is never answered, a pool that was in a shortage admits one launch an hour.
_IDLE_ROUND_UNANSWERED = timedelta(minutes=65)


class World:
    """
    A run of one seed.

    Args:
        store, scheduler, keep, jobs, note: see `Scene`.
        steps: the most steps of the first phase; None for as many as were drawn.
    """

    def __init__(
        self,
        config: Config,
        *,
        store: JobStore | None = None,
        scheduler: Scheduler = DEFAULT_SCHEDULER,
        keep: Collection[int] | None = None,
        jobs: Collection[int] | None = None,
        steps: int | None = None,
        note: Callable[[str], None] | None = None,
    ) -> None:
        """Set the world up."""
        self.scene = Scene(
            config, store=store, scheduler=scheduler, keep=keep, jobs=jobs, note=note
        )
        self.actors = Actors(self.scene)
        self.environment = Environment(self.scene, self.actors)
        self.steps = config.steps if steps is None else min(steps, config.steps)

    def run(self) -> Result:
        """Run the two phases."""
        scene, result, oracle = self.scene, self.scene.result, self.scene.oracle
        try:
            self._safety()
            self.actors.kill()
            self.environment.heal()
            if not oracle.found:
                oracle.check_store(scene.base, scene.now)
            if not oracle.found:
                self._liveness()
        finally:
            self.actors.kill()
        result.found = list(oracle.found)
        result.edges = oracle.edges
        result.seconds = (max(scene.now, scene.latest) - EPOCH).total_seconds()
        for job in oracle.jobs.values():
            result.ends[job.status] += 1
            line = f"{job.job_id}{job.status}{job.version}{job.attempt_number}"
            result.digest = crc32(line.encode(), result.digest)
        return result

    def _safety(self) -> None:
        """Phase 1: actors, environment and faults interleave; no invariant may break."""
        scene, actors = self.scene, self.actors
        self.environment.set_up()
        self._submit_first()
        for _ in range(self.steps):
            luck = scene.chance()
            if actors and (luck < 0.56 or len(actors) >= scene.config.actors):
                actors.resume()
            elif luck < 0.78:
                actors.begin()
            else:
                self.environment.happen()
            if scene.oracle.found:
                return

    def _submit_first(self) -> None:
        """Submit jobs before the first actor begins; the call itself may fail."""
        faults = self.scene.faults
        faults.takes_turns = False
        with suppress(Unavailable, Crash):
            self.actors.submit(Port(self.scene))
        faults.takes_turns = True

    # --- phase 2 ----------------------------------------------------------------------------

    def _liveness(self) -> None:
        """Phase 2: rounds of all ticks without faults; every job must end."""
        scene, oracle = self.scene, self.scene.oracle
        with suppress(CorruptRecord):
            self.actors.submit(Port(scene), all_of=True)
        for number in range(1, ROUNDS_MAX + 1):
            scene.result.rounds = number
            changed = self._run_tick(jobcore.launch_tick)
            changed += self.environment.advance()
            changed += self._run_tick(jobcore.monitor_tick)
            changed += self._run_tick(jobcore.notify_tick)
            self._run_tick(jobcore.reap_tick)
            changed += self._act_as_people(number)
            if oracle.found:
                return
            if self._is_over():
                break
            idle = _IDLE_ROUND if scene.raises is None else _IDLE_ROUND_UNANSWERED
            scene.now += _ROUND if changed else idle
        oracle.check_end(scene.base_trainer.running(), scene.poisoned)
        oracle.check_store(scene.base, scene.now)

    def _run_tick(self, tick: Callable[..., TickReport]) -> int:
        """Run a tick to its end; return the number of jobs that it has changed."""
        scene = self.scene
        port = Port(scene)
        try:
            return tick(port, port, port, scene.settings).changed
        except Exception as error:
            code = "L3" if scene.poisoned else "L2"
            scene.oracle.fail(code, "", f"a tick raised {type(error).__name__}: {error}")
            return 0
        finally:
            self.actors.check_calls(port)

    def _act_as_people(self, number: int) -> int:
        """Release held jobs, and stop jobs that would run for ever; return the number of requests."""
        scene, requests = self.scene, 0
        for job in list(scene.oracle.jobs.values()):
            event = self._request_for(job, number)
            if event is not None:
                requests += 1
                port = Port(scene)
                jobcore.ticks.apply_request(job.job_id, event, store=port, now=port.now())
        return requests

    def _request_for(self, job: Job, number: int) -> Event | None:
        scene = self.scene
        if job.job_id == scene.corrupt:
            return None
        if job.status is Status.HELD:
            return ReleaseRequested(by="ada")
        is_wanted = job.stop is None and not job.status.is_terminal
        if number >= 2 and scene.runs_forever and is_wanted:
            return StopRequested(by="ada")
        return None

    def _is_over(self) -> bool:
        scene = self.scene
        for job in scene.oracle.jobs.values():
            if job.job_id not in scene.poisoned and (not job.status.is_terminal or job.outbox):
                return False
        return not any(
            training.name in scene.oracle.created and training.job_id not in scene.poisoned
            for training in scene.base_trainer.running()
        )
