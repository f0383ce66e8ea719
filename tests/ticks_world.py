"""A store in memory, a trainer that follows a script and a clock set by hand: what the tests of the ticks share."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from core_strategies import T0, accepted, decided, make_job
from jobcore import (
    Placement,
    Settings,
    StopRequested,
    TrainingSeen,
    launch_tick,
    monitor_tick,
    notify_tick,
)
from jobcore.lifecycle import (
    GroupTally,
    PoolState,
    spec_hash,
    training_name,
)
from jobcore.ports import (
    Evidence,
    LaunchReply,
    LaunchResult,
    Training,
    TrainingState,
)
from jobcore.scheduling import DEFAULT_SCHEDULER
from jobcore.ticks import apply_request
from jobcore_aws import failure_rules
from jobcore_memory import ManualClock, MemoryStore

MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)
FULL = Evidence(
    where="create",
    error_code="ResourceLimitExceeded",
    text="The account-level service limit 'a for training job usage' is 9 Instances, with current "
    "utilization of 9 Instances and a request delta of 1 Instances.",
)
FAST = Evidence(where="create", error_code="ThrottlingException", text="Rate exceeded")
WRONG = Evidence(
    where="create", error_code="ValidationException", text="1 validation error detected"
)
STOP = StopRequested(by="ada")
RUN = TrainingSeen(attempt=1, running=True)


class Scripted:
    """A trainer that answers as it is told; by default each launch is accepted."""

    def __init__(self, capacity=None):
        self.replies, self.trainings, self.listed = {}, {}, []
        self.asked, self.described, self.stopped = [], [], []
        self.sizes = {"a": None, "b": None} if capacity is None else capacity
        self.broken = {}

    def check(self, call):
        if call in self.broken:
            raise self.broken[call]

    def launch(self, requests):
        self.asked.append([request.name for request in requests])
        self.requests = list(requests)
        self.check("launch")
        for request in requests:
            self.check(request.name)
        return [self.replies.get(r.name, LaunchReply(LaunchResult.ACCEPTED)) for r in requests]

    def describe(self, names):
        self.described.append(list(names))
        self.check("describe")
        return {name: self.trainings[name] for name in names if name in self.trainings}

    def stop(self, name):
        self.stopped.append(name)
        self.check("stop")

    def capacity(self):
        self.check("capacity")
        return self.sizes

    def running(self):
        self.check("running")
        return iter(self.listed)


class Planned:
    """A scheduler that plans as the core's and learns nothing, but notes what it is taught."""

    def __init__(self):
        self.taught = []

    plan = staticmethod(DEFAULT_SCHEDULER.plan)

    def learn(self, state, facts, **known):
        self.taught.append((state, list(facts), known))
        return state


class World:
    def __init__(self, count=1, *, jobs=None, capacity=None, **settings):
        self.clock, self.store, self.trainer = ManualClock(T0), MemoryStore(), Scripted(capacity)
        self.changes, self.troubles = [], []
        self.settings = Settings(
            on_change=self.changes.append,
            on_trouble=lambda job_id, what: self.troubles.append((job_id, what)),
            **{"rules": failure_rules(), **settings},
        )
        self.jobs = [make_job(str(n)) for n in range(count)] if jobs is None else jobs
        self.store.add(self.jobs)
        self.ids = [job.job_id for job in self.jobs]
        self.names = [training_name(job_id, 1) for job_id in self.ids]

    def get(self, number=0):
        return self.store.get(self.ids)[self.ids[number]]

    def states(self):
        jobs = self.store.get(self.ids)
        return [str(jobs[job_id].status) for job_id in self.ids]

    def launch(self):
        return launch_tick(self.store, self.trainer, self.clock, self.settings)

    def monitor(self):
        return monitor_tick(self.store, self.trainer, self.clock, self.settings)

    def put(self, number, *events):
        """Take the stored job further."""
        for event in events:
            apply_request(self.ids[number], event, store=self.store, now=self.clock.now())

    def training(self, number=0, state=TrainingState.RUNNING, **more):
        job = self.get(number)
        values = {"job_id": job.job_id, "attempt": 1, "spec_hash": spec_hash(job.spec)} | more
        return Training(name=self.names[number], state=state, **values)

    def pool(self, name="a", **state):
        known = self.store.pools().get(name, PoolState(name=name))
        assert self.store.save_pool(replace(known, **state))

    def tally(self, key, **counted):
        group, owner = key
        assert self.store.save_tally(GroupTally(group=group, owner=owner, at=T0, **counted))

    def used(self, *shares):
        return {name: usage.hours for name, usage in self.store.shares(shares).items()}


class Contended(MemoryStore):
    """Somebody else is faster, so many times."""

    def __init__(self, losses=0):
        super().__init__()
        self.losses, self.saves = losses, 0

    def save(self, jobs):
        self.saves += 1
        if self.losses:
            self.losses -= 1
            return [None] * len(jobs)
        return super().save(jobs)


def two_in(pool, count, other_count=1):
    return [
        make_job("0", placements=(Placement(pool, count),), priority=1),  # it goes first
        make_job("1", placements=(Placement("a", other_count),)),
        make_job("2", placements=(Placement("b"),)),
    ]


def looked_at(world, training, *events):
    world.put(0, decided(), accepted(), *events)
    world.trainer.trainings[world.names[0]] = training
    world.pool()
    world.clock.advance(MINUTE)
    return world.monitor()


def notify(world, notifier):
    return notify_tick(world.store, notifier, world.clock, world.settings)


class Counting(MemoryStore):
    """Notes each call, and may hand out a list of waiting jobs that is old by now."""

    def __init__(self):
        super().__init__()
        self.calls, self.old, self.lost_tallies = [], None, 0

    def get(self, job_ids):
        self.calls.append("get")
        return super().get(job_ids)

    def save(self, jobs):
        self.calls.append("save")
        return super().save(jobs)

    def usage(self):
        self.calls.append("usage")
        return super().usage()

    def pools(self):
        self.calls.append("pools")
        return super().pools()

    def due(self, tick, *, before, limit):
        self.calls.append(f"due {limit}")
        return super().due(tick, before=before, limit=limit)

    def find(self, query):
        self.calls.append(f"find {query.limit}")
        return super().find(query)

    def waiting(self, *, now, depth):
        return super().waiting(now=now, depth=depth) if self.old is None else self.old

    def save_pool(self, state):
        self.calls.append("save_pool")
        return super().save_pool(state)

    def next_wake(self, tick, *, after):
        self.calls.append("next_wake")
        return super().next_wake(tick, after=after)

    def shares(self, names):
        self.calls.append("shares")
        return super().shares(names)

    def save_shares(self, usages):
        self.calls.append("save_shares")
        return super().save_shares(usages)

    def tallies(self, keys):
        self.calls.append("tallies")
        return super().tallies(keys)

    def tallies_to_pause(self):
        self.calls.append("tallies_to_pause")
        return super().tallies_to_pause()

    def save_tally(self, tally):
        self.calls.append("save_tally")
        if self.lost_tallies:
            self.lost_tallies -= 1
            return False
        return super().save_tally(tally)


def counted(world):
    world.store.__class__ = Counting
    world.store.old, world.store.lost_tallies, world.store.calls = None, 0, []
    return world.store.calls
