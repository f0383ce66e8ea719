"""The events of a run that no tick causes: time, trainings, quotas, late calls, losses."""

from __future__ import annotations

from datetime import timedelta

import jobcore
from jobcore import Placement
from jobcore.ports import LaunchRequest, TrainingState

from ._actors import Actors
from ._draw import IDS
from ._scene import Scene

__all__ = ["Environment"]

_STRANGER = jobcore.job_id_from_token("a stranger", "1")
_SECOND = timedelta(seconds=1)
_MEMORY_STEP = (
    11 * _SECOND
)  # of a round of phase 2: the memory trainer's trainings follow the clock


class Environment:
    """The environment of a run; its events are drawn from the run's seed."""

    def __init__(self, scene: Scene, actors: Actors) -> None:
        """Act on *scene*; *actors* crash when a training vanishes."""
        self.scene = scene
        self.actors = actors

    # --- phase 1 ----------------------------------------------------------------------------

    def set_up(self) -> None:
        """Apply the faults that exist from the beginning of a run."""
        scene, config = self.scene, self.scene.config
        if "others" in config.world:
            for pool in scene.pools.values():
                if not pool.size_known:
                    pool.others = scene.random.randint(0, pool.quota)
                    scene.faults.count("others")
        if config.bad is not None and scene.tiny is not None:
            scene.faults.count("bad")
        if config.stranger is not None:
            self._create_foreign_training(IDS[config.stranger])

    def _create_foreign_training(self, job_id: str) -> None:
        """Create another account's training under the name of the job's first attempt."""
        scene = self.scene
        request = LaunchRequest(
            name=jobcore.lifecycle.training_name(job_id, 1),
            job_id=_STRANGER,
            attempt=1,
            spec_hash="another's",
            placement=Placement(scene.config.pools[0].name),
            args={},
        )
        if scene.tiny is not None:
            scene.tiny.strange(request)
        else:
            scene.base_trainer.launch([request])
        scene.faults.count("stranger")

    def happen(self) -> None:
        """Apply one drawn event."""
        scene = self.scene
        luck = scene.chance()
        if luck < 0.5:
            self._progress()
        elif luck < 0.75:
            self._pass_time()
        elif luck < 0.87:
            self.land()
        elif luck < 0.93:
            self._change_quota()
        elif "vanished" in scene.config.world:
            self._lose_training()
        elif "jumped" in scene.config.world:
            # The memory trainer derives states from the clock, so its clock must not go back.
            least = 0 if scene.tiny is None else -7200
            scene.now += _SECOND * scene.random.randint(least, 7200)
            scene.faults.count("jumped")

    def _pass_time(self) -> None:
        scene = self.scene
        luck = scene.chance()
        if luck < 0.7:
            scene.now += _SECOND * scene.random.randint(1, 90)
        elif luck < 0.9:
            scene.now += _SECOND * scene.random.randint(90, 400)
        else:
            scene.now += _SECOND * scene.random.randint(400, 4000)
        scene.latest = max(scene.latest, scene.now)

    def _progress(self) -> None:
        """Begin and end trainings."""
        scene, tiny, chance = self.scene, self.scene.tiny, self.scene.chance
        if tiny is None:
            self._pass_time()
            return
        for name in list(tiny.alive):
            luck = chance()
            if luck < 0.4:
                continue
            state = tiny.alive[name].state
            if state is TrainingState.PENDING:
                if luck < 0.9:
                    tiny.begin(name, scene.now)
                else:
                    tiny.end(name, "short" if luck < 0.95 else "internal", scene.now)
            elif state is TrainingState.STOPPING:
                tiny.end(name, "stopped" if luck < 0.9 else scene.draw_fate(), scene.now)
            else:
                tiny.end(name, scene.draw_fate(), scene.now)

    def land(self) -> None:
        """Deliver or lose a create call and a stop call in flight."""
        scene = self.scene
        if scene.in_flight:
            request = scene.in_flight.pop(int(scene.chance() * len(scene.in_flight)))
            if scene.chance() < 0.8:
                scene.faults.count("landed")
                scene.trainer.launch([request])
        if scene.stops_in_flight:
            name = scene.stops_in_flight.pop(int(scene.chance() * len(scene.stops_in_flight)))
            if scene.chance() < 0.8:
                scene.trainer.stop(name)

    def _change_quota(self) -> None:
        scene = self.scene
        if scene.tiny is None or "moved_quota" not in scene.config.world:
            return
        pool = scene.random.choice(list(scene.pools.values()))
        pool.quota = scene.random.randint(1, 4)
        if not pool.size_known:
            pool.others = scene.random.randint(0, pool.quota)
        scene.faults.count("moved_quota")

    def _lose_training(self) -> None:
        """
        Let the trainer lose a training and its name.

        Actors and calls in flight end first: a name that is free again while a request for it is
        still in flight is a case that jobcore does not cover (docs/concepts/fault-injection.md).
        """
        scene = self.scene
        names = [n for n in scene.oracle.created if scene.truth(n) is not None]
        if not names:
            return
        self.actors.kill()
        scene.in_flight.clear()
        scene.stops_in_flight.clear()
        name = scene.random.choice(names)
        if scene.tiny is not None:
            scene.tiny.vanish(name)
        else:
            scene.memory.vanish(name)
        scene.oracle.on_vanished(name)
        scene.faults.count("vanished")

    # --- phase 2 ----------------------------------------------------------------------------

    def heal(self) -> None:
        """Deliver or lose all calls in flight, correct the clocks, end the faults, give every pool room."""
        scene, config = self.scene, self.scene.config
        while (scene.in_flight or scene.stops_in_flight) and not scene.oracle.found:
            self.land()
        scene.faults.end()
        scene.now = max(scene.now, scene.latest)
        largest = max(spec.placements[0].count for spec in config.specs)
        need = max(largest, len(config.specs) // 2) + (2 if scene.poisoned else 0)
        for pool in scene.pools.values():
            pool.others = 0
            pool.quota = pool.capacity = need
        if scene.tiny is None:
            scene.memory.slots = dict.fromkeys(scene.memory.slots, need)
        scene.runs_forever = config.healing == "forever"

    def advance(self) -> int:
        """Begin and end trainings by ``config.healing``; return the number of changed ones."""
        scene, tiny = self.scene, self.scene.tiny
        if tiny is None:
            scene.now += _MEMORY_STEP
            return 0
        healing, changed = scene.config.healing, 0
        for name in list(tiny.alive):
            run = tiny.alive[name]
            if run.state is TrainingState.PENDING:
                changed += tiny.begin(name, scene.now)
            if run.state is TrainingState.STOPPING:
                fate = "stopped"
            elif run.state is TrainingState.PENDING or healing == "forever":
                continue
            elif healing == "complete":
                fate = "completed"
            else:
                fate = "bug" if scene.chance() < 0.5 else "internal"
            tiny.end(name, fate, scene.now)
            changed += 1
        return changed
