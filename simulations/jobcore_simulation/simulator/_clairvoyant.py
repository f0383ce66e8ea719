"""The clairvoyant policy: a bound that the other policies are compared with.

It reads the present capacity and quota of every pool without delay (and nothing of the future),
places jobs at once, has no limit on its calls, and takes jobs by age, skipping those that do not
fit. Trainings start up, train, fail and are interrupted by the same random draws as in the world of
the other policies.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ._engine import Engine, seconds
from ._outcome import SAMPLES_MAX, Outcome, Sample
from ._scenario import Scenario, Task
from ._world import Draws, checkpointed, victims

__all__ = ["clairvoyant"]


class _Pool:
    def __init__(self, name: str, capacity: int, quota: int | None, *, spot: bool) -> None:
        self.name, self.capacity, self.quota, self.spot = name, capacity, quota, spot
        self.others = self.used = 0
        self.held: dict[str, _Held] = {}

    def room(self) -> int:
        room = self.capacity - self.used
        if self.quota is None:
            return room
        return min(room, self.quota - self.others - self.used)


class _Held:
    __slots__ = ("attempt", "done", "name", "plan", "pool", "started", "task")

    def __init__(self, task: Task) -> None:
        self.task = task
        self.name = str(task.number)
        self.attempt, self.done, self.plan = 1, 0.0, 0
        self.pool: _Pool | None = None
        self.started: int | None = None


class _Clairvoyant:
    def __init__(self, scenario: Scenario, seed: str) -> None:
        self.engine = Engine()
        self.scenario = scenario
        self.draws = Draws(seed, scenario.provider)
        self.out = Outcome(scenario=scenario.name, policy="clairvoyant", seed=seed, jobs=0)
        self.pools: dict[str, _Pool] = {}
        self.waiting: dict[int, _Held] = {}
        self.sample_every = seconds(300)
        self.left = 0
        self.open: dict[int, Task] = {}

    def run(self) -> Outcome:
        engine, out = self.engine, self.out
        for spec in self.scenario.pools:
            steps = iter(spec.steps(self.draws.seed))
            pool = self.pools[spec.name] = _Pool(
                spec.name, next(steps)[1], spec.quota, spot=spec.spot
            )
            engine.stream(_changes(pool, steps), self._resize)
            engine.stream(_changes(pool, spec.quotas), self._change_quota)
            engine.stream(_changes(pool, spec.others), self._change_others)
        tasks = self.scenario.tasks(self.draws.seed)
        self.left = out.jobs = len(tasks)
        self.open = {task.number: task for task in tasks}
        engine.stream(((seconds(t.submitted), t) for t in tasks), self._arrive)
        engine.at(0, self._sample)
        out.completed = engine.run(
            until=lambda: self.left == 0, horizon=seconds(self.scenario.horizon)
        )
        for task in self.open.values():
            out.never_ended(max(out.makespan, engine.now / 1e6), task)
        out.events = engine.events
        return out

    def _sample(self, _: object) -> None:
        used = sum(pool.used for pool in self.pools.values())
        capacity = sum(pool.capacity for pool in self.pools.values())
        at = self.engine.now / 1e6
        self.out.samples.append(Sample(at, capacity, used, used, self.left, {}))
        if len(self.out.samples) >= SAMPLES_MAX:
            del self.out.samples[1::2]
            self.sample_every *= 2
        self.engine.after(self.sample_every, self._sample)

    def _arrive(self, task: Task) -> None:
        self._wait(_Held(task))
        self._assign()

    def _wait(self, held: _Held) -> None:
        held.pool = held.started = None
        late = next(reversed(self.waiting), -1) > held.task.number
        self.waiting[held.task.number] = held
        if late:
            self.waiting = dict(sorted(self.waiting.items()))

    def _assign(self) -> None:
        rooms = {name: pool.room() for name, pool in self.pools.items()}
        free = sum(room for room in rooms.values() if room > 0)
        if free <= 0:
            return
        placed = []
        for number, held in self.waiting.items():
            for name in held.task.pools:
                if rooms[name] >= held.task.count:
                    rooms[name] -= held.task.count
                    free -= held.task.count
                    self._place(held, self.pools[name])
                    placed.append(number)
                    break
            if free <= 0:
                break
        for number in placed:
            del self.waiting[number]

    def _place(self, held: _Held, pool: _Pool) -> None:
        held.pool = pool
        pool.used += held.task.count
        pool.held[held.name] = held
        self.out.calls += 1
        self._plan(held, self.draws.start_up(held.task.number, held.attempt), self._begin)

    def _begin(self, held: _Held) -> None:
        held.started = self.engine.now
        self._plan(held, held.task.runs_for(held.attempt, held.done), self._finish)

    def _finish(self, held: _Held) -> None:
        self._free(held)
        task = held.task
        if task.failure_of(held.attempt) is not None and not task.bug:
            held.attempt += 1
            self._wait(held)
        else:
            self.left -= 1
            del self.open[task.number]
            self.out.ended(self.engine.now / 1e6, task)
        self._assign()

    def _free(self, held: _Held) -> None:
        assert held.pool is not None
        held.plan += 1
        held.pool.used -= held.task.count
        del held.pool.held[held.name]

    def _resize(self, what: tuple[_Pool, int]) -> None:
        pool, pool.capacity = what[0], what[1]
        if pool.spot and pool.used > pool.capacity:
            for name in victims(pool.held, self.draws.seed, self.engine.now):
                if pool.used <= pool.capacity:
                    break
                held = pool.held[name]
                if held.started is not None:
                    held.done += checkpointed((self.engine.now - held.started) / 1e6)
                self._free(held)
                held.attempt += 1
                self._wait(held)
        self._assign()

    def _change_quota(self, what: tuple[_Pool, int]) -> None:
        what[0].quota = what[1]
        self._assign()

    def _change_others(self, what: tuple[_Pool, int]) -> None:
        what[0].others = what[1]
        self._assign()

    def _plan(self, held: _Held, delay: float, act: object) -> None:
        held.plan += 1
        self.engine.after(seconds(delay), self._act, (held, held.plan, act))

    def _act(self, what: tuple[_Held, int, object]) -> None:
        held, plan, act = what
        if held.plan == plan:
            act(held)  # type: ignore[operator]


def _changes(
    pool: _Pool, steps: Iterable[tuple[float, int]]
) -> Iterator[tuple[int, tuple[_Pool, int]]]:
    return ((seconds(at), (pool, number)) for at, number in steps)


def clairvoyant(scenario: Scenario, seed: str = "1") -> Outcome:
    """Run *scenario* under the clairvoyant policy."""
    return _Clairvoyant(scenario, seed).run()
