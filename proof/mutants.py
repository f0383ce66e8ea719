"""
Puts known protocol bugs into the production code, one at a time, and lets the checker find each.

    python -m proof.mutants            all of them, a line each
    python -m proof.mutants NAME ...   those whose names contain one of these
    python -m proof.mutants --part 2/4 every fourth, from the second

A mutant is a change of a line in a function of the core, of a cell of the table, or of what a port
does. It must be caught within ten seconds, or be *equivalent*: the promises still hold, and the
line says why. Fails if a mutant survives, or one that was held equivalent is caught.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import jobcore
from jobcore import Status
from jobcore_aws import failure_rules
from jobcore_simulation.checker import _actors as actors
from jobcore_simulation.checker import _world as world

from ._hunt import hunt
from ._patches import Mutant, both, edit, swap


def cell(status: Status, event: type, new: transitions.Cell) -> Callable[[], Any]:
    """Change a cell of the table."""
    table = {key: dict(row) for key, row in transitions.TRANSITIONS.items()}
    assert table[status][event] != new
    table[status][event] = new
    return swap(transitions, "TRANSITIONS", MappingProxyType(table))


def ignored(status: Status, event: type) -> Callable[[], Any]:
    """Let an event that matters change nothing."""
    assert isinstance(transitions.TRANSITIONS[status][event], transitions.Go)
    return cell(status, event, transitions.Ignore("a mutant ignores it"))


def go(handler: Callable[..., Any], *to: Status) -> transitions.Cell:
    """Make a cell that leads somewhere."""
    return transitions.Go(handler, to)


# --- handlers of mutants ---------------------------------------------------------------


def _fails_late(job: Any, state: Any, event: Any, now: Any) -> Any:
    return transitions._over(
        job, jobcore.lifecycle.Failed(since=now, failure=event.failure), now, "late"
    )


def _stopped_at_once(job: Any, state: Any, event: Any, now: Any) -> Any:
    job = transitions.evolve(job, stop=jobcore.lifecycle.StopRequest(at=now, by=event.by))
    return transitions._over(job, jobcore.lifecycle.Stopped(since=now), now, "stopped")


def _held_at_once(job: Any, state: Any, event: Any, now: Any) -> Any:
    return transitions._held(
        job, state.attempt.number, jobcore.lifecycle.HoldCode.USER, "held", now
    )


def _rescued(bump: int) -> Callable[..., Any]:
    def handler(job: Any, state: Any, event: Any, now: Any) -> Any:
        number = state.attempt.number + bump
        return transitions._moved(
            job, jobcore.lifecycle.New(since=now, attempt=number), now, "rescued"
        )

    return handler


def _stop_taken_back(job: Any, state: Any, event: Any, now: Any) -> Any:
    job = transitions.evolve(job, stop=None)
    return transitions._moved(
        job, jobcore.lifecycle.Launched(since=now, attempt=state.attempt), now, "released"
    )


def _launched_again(job: Any, state: Any, event: Any, now: Any) -> Any:
    attempt = jobcore.lifecycle.Attempt(
        number=event.attempt, placement=event.placement, launching_at=now
    )
    return transitions._moved(
        job, jobcore.lifecycle.Launching(since=now, attempt=attempt), now, "again"
    )


def _over_by_clock(job: Any, state: Any, event: Any, now: Any) -> Any:
    cause = transitions._clock_run_out(job, now)
    return "no clock" if cause is None else transitions._timed_out(job, cause, now)


def _failed_missing(job: Any, state: Any, event: Any, now: Any) -> Any:
    failure = jobcore.classify(
        jobcore.ports.Evidence(where="describe", text="AlgorithmError: gone"), failure_rules()
    )
    return transitions._after_failure(job, failure, state.attempt.number + 1, now)


def _told_before_saved(ports: Any, jobs: Any) -> Any:
    for job in jobs:
        if job.status.is_terminal and job.outbox:
            ports.publish(messages.message_for(job, job.outbox[-1]))
    return _REAL_SAVE(ports, jobs)


_REAL_SAVE = actors.Ports.save
_S, _E = Status, jobcore

# --- the mutants -----------------------------------------------------------------------

_PASS = ticks._Pass
_BY_NAME = "the name is the same, so the trainer answers that it exists and the tick adopts it"

_MOVED_ON = (
    "a refusal that lost its save is not applied to a job that has moved on (`_again`): "
    "the table is the second net"
)

MUTANTS: tuple[Mutant, ...] = (
    # Compare-and-set, and second looks.
    Mutant("the store writes without compare-and-set", swap(world.Worlds, "compare_and_set", False)),
    Mutant(
        "a lost save is written over the winner's",
        edit(_PASS._again, ("moved, cause = self._stepped(fresh, facts)",
                            "import dataclasses\n        moved, cause = self._stepped(stale, events)\n        moved = dataclasses.replace(moved, version=fresh.version)")),
    ),
    Mutant(
        "a lost save is not looked at again",
        edit(_PASS.apply, ("self._again(before, events)", "before")),
        equivalent="what was not saved is seen again at the next tick, and what nobody wants the reaper stops",
    ),
    Mutant("facts are not fenced by the attempt's number",
           edit(transitions.step, ("number is not None and number != job.attempt_number", "False"))),
    # Launching.
    Mutant(
        "effect before intent: launched, then saved",
        edit(ticks._begin, ("for job in run.apply(todo)", "for job in [run._stepped(*pair) for pair in todo]"),
             ("and job.version != before[job.job_id].version", "")),
    ),
    Mutant("a name of its own for each try (version in the name)",
           edit(transitions.owed, ("name = training_name(job.job_id, number)",
                                   "name = training_name(job.job_id, number + 10 * job.version)"))),
    Mutant("a name of its own after each refusal",
           edit(transitions._refuse_launch, ("state.attempt.number, now", "state.attempt.number + 1, now")), scopes=('refused',)),
    Mutant(
        "a name that exists counts as a failure",
        edit(ticks._read_reply, ("return _adopt(run, trainer, job, effect)",
                                 "return [LaunchRefused(attempt=effect.attempt, failure=_failure(reply, run.settings.rules))]")),
    ),
    Mutant(
        "a name that exists counts as a hold for a person",
        edit(ticks._read_reply, ("return _adopt(run, trainer, job, effect)",
                                 "return [NameTaken(attempt=effect.attempt, reason='taken')]")),
    ),
    Mutant(
        "an unclear launch counts as refused",
        edit(ticks._read_reply, ('run.trouble(job.job_id, Unavailable(f"launch of {effect.name}: {what}"))\n            return []',
                                 "return [LaunchRefused(attempt=effect.attempt, failure=_failure(reply, run.settings.rules))]")),
    ),
    Mutant(
        "an unclear launch counts as accepted",
        edit(ticks._read_reply, ('run.trouble(job.job_id, Unavailable(f"launch of {effect.name}: {what}"))\n            return []',
                                 "return [LaunchAccepted(attempt=effect.attempt, placement=effect.placement)]")),
        equivalent="a training that is not there is missed by the monitor and launched again under its name",
    ),
    Mutant("a launch that was begun is never finished by another tick",
           edit(ticks.launch_tick, ("if begun:", "if False:"))),
    Mutant(
        "a launch under way is made by every tick that plans it",
        edit(ticks._begin, ("and job.version != before[job.job_id].version", "")),
        equivalent=_BY_NAME,
    ),
    Mutant("a stranger's training is adopted", swap(ticks, "_is_ours", lambda training, job: True), scopes=('stranger',)),
    Mutant(
        "a name that exists is adopted without a look",
        edit(ticks._read_reply, ("return _adopt(run, trainer, job, effect)",
                                 "return [LaunchAccepted(attempt=effect.attempt, placement=effect.placement)]")), scopes=('stranger',)),
    Mutant("a launch of a job whose stop is known is an ordinary one",
           edit(transitions.owed, ("attempt.placement, to_stop=True)", "attempt.placement)"))),
    Mutant(
        "a training that nobody wants any more is not stopped by its launcher",
        edit(ticks._stop_if_unwanted, ("if not accepted or not job.status.is_terminal:", "if True:")),
        equivalent="the reaper does",
    ),
    Mutant(
        "blind compensation: stopped where the save was lost",
        both(
            edit(_PASS.apply, ("self._again(before, events)", "before")),
            edit(ticks._stop_if_unwanted, ("not job.status.is_terminal", "job.status in ('Launched', 'InProgress')")),
        ),
    ),
    Mutant(
        "blind compensation: an unclear launch is stopped",
        edit(ticks._read_reply, ('run.trouble(job.job_id, Unavailable(f"launch of {effect.name}: {what}"))',
                                 "_stop(run, trainer, job.job_id, effect.name)")),
    ),
    # Attempts and budgets.
    Mutant("no bound on attempts", edit(retries.retry, ("used >= allowed", "False"))),
    Mutant("budgets in memory: charges are not stored",
           edit(transitions._after_failure, ("job = evolve(job, charges={**job.charges, kind: used + 1})", "pass"))),
    Mutant("charges are stored twice",
           edit(transitions._after_failure, ("kind: used + 1", "kind: used + 2"))),
    Mutant("the next attempt has the same name",
           edit(transitions._end, ("attempt.number + 1, now", "attempt.number, now"))),
    Mutant("the next attempt skips a number",
           edit(transitions._end, ("attempt.number + 1, now", "attempt.number + 2, now"))),
    Mutant("ended attempts are not kept",
           edit(transitions._end, ("waiting_since = now if", "attempts = ()\n    waiting_since = now if"))),
    # Looking.
    Mutant("not found: a new attempt", cell(_S.LAUNCHED, _E.TrainingMissing, go(_failed_missing, _S.NEW, _S.FAILED))),
    Mutant("not found while it ran: a new attempt", cell(_S.IN_PROGRESS, _E.TrainingMissing, go(_failed_missing, _S.NEW, _S.FAILED))),
    Mutant("not found while launching: a new attempt",
           edit(ticks._adopt, ("return []  # could not be read, or not yet: the next tick asks again",
                               "return [TrainingEnded(attempt=effect.attempt, outcome=Status.FAILED, failure=classify(Evidence(where='describe', text='AlgorithmError: gone'), run.settings.rules))]")), scopes=('one, 2 faults', 'pair')),
    Mutant("not found while stopping: stopped",
           edit(transitions._miss, ("if state.missing_since is None:",
                                    "if isinstance(state, Stopping):\n        return _stopped(job, state, now, 'gone')\n    if state.missing_since is None:")), scopes=('one, 1 fault', 'vanish')),
    Mutant(
        "not found once is believed",
        edit(transitions._miss, ("if state.missing_since is None:", "if False:"),
             ("if now - state.missing_since < MISSING_BELIEVED_AFTER:", "if False:")),
        equivalent="the same name again, which cannot run twice; time only saves calls",
    ),
    Mutant(
        "a Describe that fails counts as a failed training",
        edit(ticks._observe, ('run.trouble("", error)',
                              "trainings = {n: Training(name=n, state=TrainingState.FAILED, job_id=j.job_id, attempt=j.attempt_number, spec_hash=spec_hash(j.spec)) for n, j in names.items()}")),
    ),
    Mutant("a Describe that fails counts as not found",
           edit(ticks._observe, ('run.trouble("", error)', "trainings = dict.fromkeys(names)")),
           equivalent="not found is answered by the same name again, never by a new attempt"),
    Mutant("every look is written down",
           edit(transitions._see, ("if event.detail == state.detail and state.missing_since is None:", "if False:"))),
    Mutant("a failed training counts as completed",
           edit(ticks._look_at, ("outcome=_OUTCOMES[training.state]", "outcome=Status.COMPLETED"))),
    Mutant("a training not yet seen to run counts as completed",
           edit(transitions._see, ("if event.running and", "if not event.running:\n        return _over(job, Completed(since=now), now, '')\n    if event.running and"))),
    # Stops.
    Mutant("STOPPED is written when the stop is asked for", cell(_S.IN_PROGRESS, _E.StopRequested, go(_stopped_at_once, _S.STOPPED))),
    Mutant("the same, before it runs", cell(_S.LAUNCHED, _E.StopRequested, go(_stopped_at_once, _S.STOPPED))),
    Mutant("a stop that meets Launching ends the job", cell(_S.LAUNCHING, _E.StopRequested, go(_stopped_at_once, _S.STOPPED))),
    Mutant("a stop that meets Launching takes the training for known",
           edit(transitions._stopping, ("known = not isinstance(state, Launching)", "known = True")),
           equivalent="the monitor misses it, and then its name is used up as by rule B"),
    Mutant("a spot interruption counts as the user's stop",
           edit(transitions._after_failure, ("decision = retry(job, failure, now=now)",
                                             "if failure.failure_class == 'spot_interrupted':\n        return _over(job, Stopped(since=now), now, 'stopped')\n    decision = retry(job, failure, now=now)")), scopes=('spot',)),
    Mutant("stopped by a clock counts as the user's stop",
           edit(transitions._stopped, ("if state.cause is StopCause.USER:", "if True:")), scopes=('one', 'clocks')),
    Mutant("a stop request is not recorded", edit(transitions._stop_active, ("job = evolve(job, stop=", "evolve(job, stop="))),
    Mutant("a stop of a waiting job is not recorded", edit(transitions._stop_waiting, ("job = evolve(job, stop=", "evolve(job, stop="))),
    Mutant("a release takes a stop back", cell(_S.STOPPING, _E.ReleaseRequested, go(_stop_taken_back, _S.LAUNCHED)), scopes=('people',)),
    Mutant("a second stop replaces the first",
           edit(transitions._stop_again, ("if job.stop is not None:", "if False:"),
                ("event.by[:REASON_KEPT_CHARS_MAX]", "event.by + ' again'")), scopes=('people',)),
    Mutant("a stop is sent once, when it is asked for",
           edit(ticks._observe, ("for job in after:\n", "for job in [a for a in after if a is not jobs[a.job_id]]:\n"))),
    Mutant("a stop is never sent", edit(ticks._observe, ("if isinstance(effect, StopTraining):", "if False:"))),
    Mutant("what is looked at is stopped",
           edit(ticks._observe, ("owed(job) if isinstance(job.state, Stopping) else ()", "owed(job)"),
                ("if isinstance(effect, StopTraining):", "if isinstance(effect, ObserveTraining):"))),
    Mutant("seen while stopping: running again",
           cell(_S.STOPPING, _E.TrainingSeen, go(_rescued(0), _S.NEW))),
    Mutant("a stop ends a job although its training completed, as Stopped without an attempt",
           edit(transitions._end, ("if event.outcome is Status.COMPLETED:", "if event.outcome is Status.COMPLETED and not isinstance(state, Stopping):"),
                ("assert event.failure is not None  # TrainingEnded checks it", "")),
           equivalent="a stop was asked for and the training is over: Stopped is true as well"),
    # Ends.
    Mutant("the end of a completed job is written again", cell(_S.COMPLETED, _E.TrainingEnded, go(_fails_late, _S.FAILED)), scopes=('monitors',)),
    Mutant("a late refusal fails a completed job", cell(_S.COMPLETED, _E.LaunchRefused, go(_fails_late, _S.FAILED)), equivalent=_MOVED_ON, scopes=('pair, refused',)),
    Mutant("a late refusal fails a launched job", cell(_S.LAUNCHED, _E.LaunchRefused, go(_fails_late, _S.FAILED)), equivalent=_MOVED_ON, scopes=('pair, refused',)),
    Mutant("a late refusal takes a launched job back", cell(_S.LAUNCHED, _E.LaunchRefused, go(transitions._refuse_launch, _S.NEW, _S.HELD, _S.FAILED)), equivalent=_MOVED_ON, scopes=('pair, refused',)),
    Mutant("a late refusal takes a running job back", cell(_S.IN_PROGRESS, _E.LaunchRefused, go(transitions._refuse_launch, _S.NEW, _S.HELD, _S.FAILED)), equivalent=_MOVED_ON, scopes=('pair, refused',)),
    Mutant("a stale plan launches a stopped job", cell(_S.STOPPED, _E.LaunchDecided, go(_launched_again, _S.LAUNCHING))),
    Mutant("a stale plan launches a completed job", cell(_S.COMPLETED, _E.LaunchDecided, go(_launched_again, _S.LAUNCHING))),
    Mutant("a stale plan launches a running job", cell(_S.IN_PROGRESS, _E.LaunchDecided, go(_launched_again, _S.LAUNCHING)), equivalent="the same name: the trainer says that it exists, and the tick adopts it", scopes=("one", "pair")),
    Mutant("a stale plan launches a held job", cell(_S.HELD, _E.LaunchDecided, go(_launched_again, _S.LAUNCHING)), scopes=('people',)),
    # Rescue by time.
    Mutant("rescue by time: Launching goes to a new attempt", cell(_S.LAUNCHING, _E.TimePassed, go(_rescued(1), _S.NEW)), scopes=('one', 'clocks')),
    Mutant("rescue by time: Launched goes to a new attempt", cell(_S.LAUNCHED, _E.TimePassed, go(_rescued(1), _S.NEW)), scopes=('one', 'clocks')),
    Mutant("rescue by time: InProgress goes to a new attempt", cell(_S.IN_PROGRESS, _E.TimePassed, go(_rescued(1), _S.NEW)), scopes=('one', 'clocks')),
    Mutant("rescue by time: InProgress goes back", cell(_S.IN_PROGRESS, _E.TimePassed, go(_rescued(0), _S.NEW)), scopes=('one', 'clocks')),
    Mutant("a clock ends a running job without a stop", cell(_S.IN_PROGRESS, _E.TimePassed, go(_over_by_clock, _S.FAILED)), scopes=('one', 'clocks')),
    Mutant("a clock ends a launched job without a stop", cell(_S.LAUNCHED, _E.TimePassed, go(_over_by_clock, _S.FAILED)), scopes=('one', 'clocks')),
    Mutant("a hold ends a running attempt", cell(_S.IN_PROGRESS, _E.HoldRequested, go(_held_at_once, _S.HELD)), scopes=('people',)),
    # Messages.
    Mutant("told before it is written", swap(actors.Ports, "save", _told_before_saved)),
    Mutant("told without an outbox", edit(transitions._over, ("outbox = _announced(job, state.status, now, note)", "outbox = job.outbox"))),
    Mutant("the outbox is cleared, then told",
           edit(ticks.notify_tick, ("run.report.looked_at += 1",
                                    "run.report.looked_at += 1\n        run.apply([(job, [MessagePublished(event_id=entry.event_id) for entry in job.outbox])])"))),
    Mutant("what could not be told is cleared",
           edit(ticks.notify_tick, ("run.trouble(job.job_id, error)\n                continue", "run.trouble(job.job_id, error)"))),
    Mutant("one message clears the whole outbox", edit(transitions._published, ("_clear_job(job, left)", "_clear_job(job, ())")), scopes=("messages",)),
    Mutant("a message's id is another at each write", edit(transitions._announced, ("if not status.is_terminal:", "if True:"))),
    Mutant("a message is owed twice", edit(transitions._over, ("outbox = _announced(job, state.status, now, note)", "outbox = _announced(job, state.status, now, note) * 2"))),
    Mutant("a new message takes the place of those not told yet",
           edit(transitions._announced, ("return (*job.outbox, _make_entry", "return (*job.outbox[:0], _make_entry")), scopes=("messages",)),
    Mutant("a message is never cleared", edit(transitions._published, ("if len(left) == len(job.outbox):", "if True:"))),
    # The reaper.
    Mutant("the reaper stops the current attempt as well",
           edit(ticks.reap_tick, ("name.attempt < job.attempt_number", "name.attempt <= job.attempt_number"))),
    Mutant("the reaper stops what is not terminal in the store as well",
           edit(ticks.reap_tick, ("job.status.is_terminal or", "not job.status.is_terminal or"))),
    Mutant("the reaper does nothing", edit(ticks.reap_tick, ("in trainer.running():", "in ():")), scopes=('refused', 'pair, refused')),
    Mutant("the reaper leaves the trainings of held jobs alone",
           edit(ticks.reap_tick, ("isinstance(job.state, Held) and", "False and")), scopes=('refused', 'pair, refused')),
    # Indexes.
    Mutant("a job being stopped is not looked at",
           edit(transitions.due_at, ("if to_launch or isinstance(state, _OVER):", "if to_launch or isinstance(state, (*_OVER, Stopping)):"))),
    Mutant("a launch begun is not due again", edit(transitions.due_at, ("return state.since if to_launch else None", "return None"))),
    Mutant("a stop whose training is not known is not due",
           edit(transitions.due_at, ("not state.known if isinstance(state, Stopping) else isinstance(state, Launching)", "isinstance(state, Launching)"))),
    Mutant("a job that is over is not due for its message",
           edit(transitions.due_at, ("return job.outbox[0].at if job.outbox else None",
                                     "return job.outbox[0].at if job.outbox and not job.status.is_terminal else None"))),
    # One poisoned job blocks the others.
    Mutant("a record that cannot be read ends the pass", edit(_PASS.read, ("wanted.remove(error.job_id)", "return {}")), scopes=('poison record',)),
    Mutant("a launch that raises ends the pass", edit(ticks._launch, ("if len(asked) > 1:", "if True:\n            raise\n        if len(asked) > 1:")), scopes=('poison launch',)),
    Mutant("a message that raises ends the pass", edit(ticks.notify_tick, ("run.trouble(job.job_id, error)\n                continue", "raise")), scopes=('poison publish',)),
)  # fmt: skip


def cells() -> Iterator[Mutant]:
    """Make a mutant of each cell that matters to launches, looks, ends and stops: it is ignored."""
    events = (
        _E.LaunchDecided, _E.LaunchAccepted, _E.LaunchRefused, _E.NameTaken, _E.TrainingSeen,
        _E.TrainingEnded, _E.TrainingMissing, _E.StopRequested, _E.MessagePublished,
    )  # fmt: skip
    for status, row in transitions.TRANSITIONS.items():
        for event in events:
            if isinstance(row[event], transitions.Go):
                name = f"ignored: {event.__name__} in {status}"
                why = EQUIVALENT_CELLS.get((status, event), "")
                scopes = CELL_SCOPES.get((status, event), ())
                yield Mutant(name, ignored(status, event), why, scopes)


#: Cells that may be ignored without harm to the promises, and why.
_TOLD_AGAIN = "a message told is told again, and cleared after the next change: at least once"
_FOUND_NEXT = "the next launch of the name finds the training and sees how it is"
_ASKED_AGAIN = "a refused launch is asked again until it is not refused, or its clock runs out"
EQUIVALENT_CELLS: Mapping[tuple[Status, type], str] = {
    (_S.NEW, _E.LaunchAccepted): _FOUND_NEXT,
    (_S.LAUNCHING, _E.LaunchAccepted): _FOUND_NEXT,
    (_S.LAUNCHING, _E.LaunchRefused): _ASKED_AGAIN,
    (_S.LAUNCHING, _E.TrainingSeen): "accepted comes with it; the monitor sees the rest",
    (_S.IN_PROGRESS, _E.TrainingSeen): "what is missing once counts as gone: the same name again",
    (_S.STOPPING, _E.LaunchAccepted): _FOUND_NEXT,
    (_S.STOPPING, _E.LaunchRefused): _ASKED_AGAIN,
    (_S.STOPPING, _E.TrainingSeen): "accepted comes with it",
    (_S.NEW, _E.MessagePublished): _TOLD_AGAIN,
    (_S.LAUNCHING, _E.MessagePublished): _TOLD_AGAIN,
    (_S.LAUNCHED, _E.MessagePublished): _TOLD_AGAIN,
    (_S.IN_PROGRESS, _E.MessagePublished): _TOLD_AGAIN,
    (_S.STOPPING, _E.MessagePublished): _TOLD_AGAIN,
}
#: Where one is caught that the first scopes do not catch.
CELL_SCOPES: Mapping[tuple[Status, type], tuple[str, ...]] = {
    (_S.LAUNCHING, _E.NameTaken): ("stranger",),
    (_S.LAUNCHED, _E.TrainingMissing): ("vanish",),
    (_S.IN_PROGRESS, _E.TrainingMissing): ("vanish",),
    (_S.STOPPING, _E.TrainingMissing): ("vanish",),
    (_S.STOPPING, _E.NameTaken): ("stranger",),
    (_S.STOPPING, _E.StopRequested): ("clocks",),
    (_S.HELD, _E.LaunchAccepted): ("refused",),
    (_S.HELD, _E.StopRequested): ("people",),
    (_S.HELD, _E.MessagePublished): ("refused",),
    **{(status, _E.MessagePublished): ("one",) for status in (_S.COMPLETED, _S.FAILED, _S.STOPPED)},
}


def main(wanted: list[str]) -> int:
    every = [*MUTANTS, *cells()]
    if wanted[:1] == ["--part"]:
        part, _, parts = wanted[1].partition("/")
        chosen = every[int(part) - 1 :: int(parts)]
    else:
        chosen = [m for m in every if not wanted or any(word in m.name for word in wanted)]
    caught = equivalent = 0
    wrong: list[str] = []
    began = time.process_time()
    for mutant in chosen:
        # Not caught where nothing is to be caught: a shorter search says as much.
        result = hunt(mutant, seconds=3.0 if mutant.equivalent else 10.0)
        if result.caught_by:
            caught += 1
            if mutant.equivalent:
                wrong.append(f"held equivalent, and caught: {mutant.name}")
            code = result.caught_by.partition(":")[0]
            what = f"{'raises' if ' raises ' in code else code:8} {result.scope:15}"
            print(f"{mutant.name:75} {what} {result.states:>9,} {result.seconds:>6.1f}", flush=True)
            continue
        if mutant.equivalent:
            equivalent += 1
            print(f"{mutant.name:75} equivalent: {mutant.equivalent}", flush=True)
        else:
            wrong.append(f"survives: {mutant.name}")
            print(
                f"{mutant.name:75} SURVIVES {'':15} {result.states:>9,} {result.seconds:>6.1f}",
                flush=True,
            )
    spent = time.process_time() - began
    print(
        f"{len(chosen)} mutants: {caught} caught, {equivalent} equivalent, in {spent:.0f} s of CPU"
    )
    for line in wrong:
        print(line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
