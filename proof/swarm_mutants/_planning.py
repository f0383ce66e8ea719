"""Bugs of the store and of planning: lost updates, indexes, capacity, quotas."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from unittest.mock import patch

from jobcore import FailureClass
from jobcore.lifecycle import Tick, due_at
from jobcore_simulation.simulator import _store
from jobcore_simulation.simulator._store import ObjectStore

from ._tools import both, launch, mutant, pools, room


@mutant
def no_compare_and_set():
    """The store overwrites any version."""
    save = ObjectStore.save

    def blind(self, jobs):
        return save(self, [replace(job, version=self._jobs[job.job_id].version) for job in jobs])

    return patch.object(ObjectStore, "save", blind)


@mutant
def launching_is_never_rescued():
    """A launch that was begun by a tick that died is not due again."""

    def wrong(job, tick):
        return None if tick is Tick.LAUNCH else due_at(job, tick)

    return patch.object(_store, "due_at", wrong)


@mutant
def a_throttled_relaunch_is_lost():
    """A job whose launch was throttled is not in the queue again."""
    waiting_of = ObjectStore.waiting

    def wrong(self, *, now, depth):
        rows = waiting_of(self, now=now, depth=depth)
        return [
            row
            for row in rows
            if (after := self._jobs[row.job_id].state.after) is None
            or after.failure_class is not FailureClass.THROTTLE
        ]

    return patch.object(ObjectStore, "waiting", wrong)


@mutant
def reuse_and_bets_have_a_room_each():
    """The slots that a plan has requested are forgotten when the quota is compared."""
    obstacle = room.Capacity._quota_obstacle

    def wrong(self, pool, count, used):
        requested, self._requested = self._requested, type(self._requested)()
        try:
            return obstacle(self, pool, count, used - requested[pool])
        finally:
            self._requested = requested

    return patch.object(room.Capacity, "_quota_obstacle", wrong)


@mutant
def external_use_is_believed_for_ever():
    """The use of a quota by other customers is believed for ever, and no launch tests it."""
    ever = timedelta(days=36500)
    return both(
        patch.object(pools, "EXTERNAL_BELIEVED", ever),
        patch.object(room, "EXTERNAL_BELIEVED", ever),
        patch.object(room, "LIMIT_BELIEVED", ever),
    )


@mutant
def bets_stay_in_the_first_pool():
    """Of the pools in a shortage, the first of the job's list gets every speculative launch."""
    choose = room.Capacity.choose

    def wrong(self, job):
        choice = choose(self, job)
        if isinstance(choice, room.Choice) and choice.bet:
            for place in job.placements:
                is_free = self._share_obstacle(job.share, place.count) is None
                if is_free and self._pool_obstacle(place) is None:
                    return replace(choice, placement=place)
        return choice

    return patch.object(room.Capacity, "choose", wrong)


@mutant
def an_unanswered_launch_closes_its_pool():
    """A launch that is never answered closes its pool for ever."""
    return patch.object(pools, "_is_unanswered", lambda state, now: False)


@mutant
def an_unreadable_job_takes_room():
    """Jobs that cannot be read keep their place in the plan."""

    def wrong(run, snapshot):
        plan = run.settings.scheduler.plan(snapshot, run.settings.limits, now=run.now)
        return plan, run.read([choice.job_id for choice in plan.launches])

    return patch.object(launch, "_decide", wrong)
