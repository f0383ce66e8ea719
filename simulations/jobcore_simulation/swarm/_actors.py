"""The actors of a run: production ticks and users' requests, each in a greenlet of its own."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

from greenlet import greenlet

import jobcore
from jobcore import (
    CorruptRecord,
    HoldRequested,
    ReleaseRequested,
    Status,
    StopRequested,
    Unavailable,
)
from jobcore.lifecycle import Event
from jobcore_simulation.oracles import Oracle

from ._draw import IDS
from ._faults import Crash
from ._ports import Port
from ._scene import Scene

__all__ = ["Actors"]

_SECOND = timedelta(seconds=1)
_CALLS_PER_JOB_MAX = 20
_FOLLOWS_TURNS = 0.85  # probability that `Config.turns` decides a turn; else any actor gets it


class Actors:
    """The running actors; each runs until one of its port calls ends its turn."""

    def __init__(self, scene: Scene) -> None:
        """Begin with no actor."""
        self.scene = scene
        self._running: list[tuple[greenlet, Port]] = []
        self._started = 0

    def __len__(self) -> int:
        return len(self._running)

    # --- turns ------------------------------------------------------------------------------

    def begin(self) -> None:
        """Start an actor and let it run until its first turn ends."""
        scene = self.scene
        luck = scene.chance()
        self._started += 1
        port = Port(scene, self._draw_skew(), self._started)
        work = self._draw_work(port, luck)
        scene.latest = max(scene.latest, port.now())
        port.what = work.func.__name__.removesuffix("_tick")
        actor = greenlet(_run)
        actor.switch(work, scene.oracle)
        if actor.dead:
            self.check_calls(port)
        else:
            self._running.append((actor, port))

    def resume(self) -> None:
        """Give a turn to one actor, or let all of them sleep."""
        index = self._draw_turn()
        if index is None:
            return
        actor, port = self._running[index]
        actor.switch()
        if actor.dead:
            del self._running[index]
            self.check_calls(port)

    def _draw_turn(self) -> int | None:
        """Draw the index of the actor that runs next; None for none."""
        chance, turns, count = self.scene.chance, self.scene.config.turns, len(self._running)
        if turns != "any" and chance() < _FOLLOWS_TURNS:
            if turns == "newest":
                return count - 1
            others = [n for n, (_, port) in enumerate(self._running) if not port.saves_launches]
            return others[int(chance() * len(others))] if others else None
        return int(chance() * count)

    def kill(self) -> None:
        """Crash every actor at its present call."""
        for actor, _ in self._running:
            actor.throw(Crash)
        self._running.clear()

    def check_calls(self, port: Port) -> None:
        """Check the number of port calls of an actor that has ended (L2)."""
        result = self.scene.result
        per_job = port.calls / (1 + len(self.scene.wanted))
        if per_job > result.calls_max:
            result.calls_max = round(per_job)
            if per_job > _CALLS_PER_JOB_MAX:
                self.scene.oracle.fail("L2", "", f"a tick has made {port.calls} calls")

    # --- work -------------------------------------------------------------------------------

    def _draw_skew(self) -> timedelta:
        scene = self.scene
        if "skewed" not in scene.config.world or scene.chance() >= 0.2:
            return timedelta(0)
        skew = _SECOND * scene.random.randint(-86400, 86400)
        scene.faults.count("skewed")
        return skew

    def _draw_work(self, port: Port, luck: float) -> partial[Any]:
        scene, config = self.scene, self.scene.config
        if luck < config.requests:
            return self._draw_request(port)
        if luck < config.requests + 0.04:
            return partial(self.submit, port)
        luck = (luck - config.requests) / (1 - config.requests)
        if luck < 0.4:
            tick: Callable[..., object] = jobcore.launch_tick
        elif luck < 0.75:
            if "hinted" in config.world and scene.chance() < 0.5:
                port.hints = scene.random.choices(IDS, k=scene.random.randint(1, 4))
                scene.faults.count("hinted")
            tick = jobcore.monitor_tick
        elif luck < 0.9:
            tick = jobcore.notify_tick
        else:
            tick = jobcore.reap_tick
        return partial(tick, port, port, port, scene.settings)

    def _draw_request(self, port: Port) -> partial[Any]:
        """Draw a user's request: usually for an active job, half of these for one that is being launched."""
        scene = self.scene
        active = [job for job in scene.oracle.jobs.values() if job.status.is_active]
        if active and scene.chance() < 0.6:
            launching = [job for job in active if job.status is Status.LAUNCHING]
            among = launching if launching and scene.chance() < 0.5 else active
            job_id = scene.random.choice(among).job_id
        else:
            job_id = scene.random.choice(IDS[: len(scene.config.specs)])
        luck = scene.chance()
        event: Event
        if luck < 0.35:
            event = StopRequested(by="ada")
        elif luck < 0.65:
            event = HoldRequested(by="ada")
        else:
            event = ReleaseRequested(by="ada")
        return partial(
            jobcore.ticks.apply_request, job_id, event, store=port, now=port.now(), tries=3
        )

    def submit(self, port: Port, *, all_of: bool = False) -> None:
        """Submit most of the jobs, or all of them; some may have been submitted before."""
        scene = self.scene
        ids = [job_id for job_id in scene.wanted if all_of or scene.chance() < 0.7]
        if any(job_id in scene.oracle.jobs for job_id in ids):
            scene.faults.count("resubmitted")
        specs = [scene.wanted[job_id] for job_id in ids]
        held = "ada" if not all_of and scene.chance() < 0.05 else None
        jobcore.submit(specs, ids, store=port, now=port.now(), held_by=held)


def _run(work: Callable[[], object], oracle: Oracle) -> None:
    """Run an actor; it may crash or report an unavailable port, and raise nothing else (L2)."""
    try:
        work()
    except (Crash, Unavailable, CorruptRecord):
        pass
    except Exception as error:
        oracle.fail("L2", "", f"a tick raised {type(error).__name__}: {error}")
