"""
Puts known protocol bugs into the production code, one at a time, and lets the checker find each.

    python -m proof.mutants            all of them, a line each
    python -m proof.mutants NAME ...   those whose names contain one of these
    python -m proof.mutants --part 2/4 every fourth, from the second

A mutant is a change of a line in a function of the core, of a cell of the table, or of a port. It
must be caught within ten CPU seconds, or be *equivalent*: the promises still hold, and its entry
says why. Fails if a mutant survives, or an equivalent one is caught.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from importlib import import_module
from types import MappingProxyType
from typing import Any

import jobcore
from jobcore import Status
from jobcore.messages import message_for
from jobcore_simulation._rules import RULES
from jobcore_simulation.checker import _actors as actors
from jobcore_simulation.checker import _world as world

from ._hunt import hunt
from ._patches import Mutant, both, edit, swap

# The modules, not the packages' attributes: some are functions of the same name.
effects, handlers, retries, transitions = (
    import_module(f"jobcore.lifecycle.{name}")
    for name in ("effects", "handlers", "retry", "transitions")
)
facts, launch, monitor, notify, reap, ticks = (
    import_module(f"jobcore.ticks.{name}")
    for name in ("facts", "launch", "monitor", "notify", "reap", "run")
)


def cell(status: Status, event: type, new: Any) -> Callable[[], Any]:
    """Change a cell of the table."""
    table = {key: dict(row) for key, row in transitions.TRANSITIONS.items()}
    assert table[status][event] != new
    table[status][event] = new
    return swap(transitions, "TRANSITIONS", MappingProxyType(table))


def ignored(status: Status, event: type) -> Callable[[], Any]:
    """Let an event that matters change nothing."""
    assert isinstance(transitions.TRANSITIONS[status][event], transitions.Go)
    return cell(status, event, transitions.Ignore("a mutant ignores it"))


def go(handler: Callable[..., Any], *to: Status) -> Any:
    """Make a cell with a handler."""
    return transitions.Go(handler, to)


# --- handlers of mutants ---------------------------------------------------------------


def _fails_late(job: Any, state: Any, event: Any, now: Any) -> Any:
    return handlers._over(
        job, jobcore.lifecycle.Failed(since=now, failure=event.failure), now, "late"
    )


def _stopped_at_once(job: Any, state: Any, event: Any, now: Any) -> Any:
    job = replace(job, stop=jobcore.lifecycle.StopRequest(at=now, by=event.by))
    return handlers._over(job, jobcore.lifecycle.Stopped(since=now), now, "stopped")


def _held_at_once(job: Any, state: Any, event: Any, now: Any) -> Any:
    return handlers._held(job, state.attempt.number, jobcore.lifecycle.HoldCode.USER, "held", now)


def _rescued(bump: int) -> Callable[..., Any]:
    def handler(job: Any, state: Any, event: Any, now: Any) -> Any:
        number = state.attempt.number + bump
        return handlers._moved(
            job, jobcore.lifecycle.New(since=now, attempt=number), now, "rescued"
        )

    return handler


def _stop_taken_back(job: Any, state: Any, event: Any, now: Any) -> Any:
    job = replace(job, stop=None)
    return handlers._moved(
        job, jobcore.lifecycle.Launched(since=now, attempt=state.attempt), now, "released"
    )


def _launched_again(job: Any, state: Any, event: Any, now: Any) -> Any:
    attempt = jobcore.lifecycle.Attempt(
        number=event.attempt, placement=event.placement, launching_at=now
    )
    return handlers._moved(
        job, jobcore.lifecycle.Launching(since=now, attempt=attempt), now, "again"
    )


def _over_by_clock(job: Any, state: Any, event: Any, now: Any) -> Any:
    cause = handlers.clock_run_out(job, now)
    return "no clock" if cause is None else handlers._timed_out(job, cause, now)


def _failed_missing(job: Any, state: Any, event: Any, now: Any) -> Any:
    failure = jobcore.classify(
        jobcore.ports.Evidence(where="describe", text="AlgorithmError: gone"), RULES
    )
    return handlers._after_failure(job, failure, state.attempt.number + 1, now)


def _published_before_saved(ports: Any, jobs: Any) -> Any:
    for job in jobs:
        if job.status.is_terminal and job.outbox:
            ports.publish(message_for(job, job.outbox[-1]))
    return _REAL_SAVE(ports, jobs)


_REAL_SAVE = actors.Ports.save
_S, _E = Status, jobcore

# --- the mutants -----------------------------------------------------------------------

_RUN = ticks.TickRun
_UNCLEAR = 'run.trouble(job.job_id, Unavailable(f"launch of {effect.name}: {text}"))'
_REFUSED = (
    "return [LaunchRefused(attempt=effect.attempt, failure=classified("
    "reply.evidence or Evidence(where='create'), job.spec, run.settings.rules))]"
)
_BY_NAME = "the name is the same, so the trainer answers that it exists and the tick adopts it"

_MOVED_ON = (
    "a refusal that lost its save is not applied to a job that has moved on (`_again`): "
    "the table is the second net"
)

MUTANTS: tuple[Mutant, ...] = (
    # Compare-and-set, and tries after a lost save.
    Mutant("the store writes without compare-and-set", swap(world.Worlds, "compare_and_set", False)),
    Mutant(
        "a lost save is written over the winner's",
        edit(_RUN._again, ("moved, cause = self._stepped(fresh, facts)",
                            "import dataclasses\n        moved, cause = self._stepped(stale, events)\n        moved = dataclasses.replace(moved, version=fresh.version)")),
    ),
    Mutant(
        "a lost save is not tried again",
        edit(_RUN.apply, ("self._again(before, events)", "before")),
        equivalent="the next tick sees the job again, and the reaper stops trainings that no job wants",
    ),
    Mutant("facts are not fenced by the attempt's number",
           edit(transitions.step, ("number is not None and number != job.attempt_number", "False"))),
    # Launching.
    Mutant(
        "effect before intent: launched, then saved",
        edit(launch._commit_intents, ("for job in run.apply(todo)", "for job in [run._stepped(*pair)[0] for pair in todo]"),
             ("and job.version != before[job.job_id]", "")),
    ),
    Mutant("each try has a name of its own (version in the name)",
           edit(effects.owed, ("name = training_name(job.job_id, number)",
                                   "name = training_name(job.job_id, number + 10 * job.version)"))),
    Mutant("each refusal leads to a new name",
           edit(handlers.refuse_launch, ("state.attempt.number, now", "state.attempt.number + 1, now")), scopes=('refused',)),
    Mutant(
        "a name that exists counts as a failure",
        edit(launch._facts, ("return _adopt(run, trainer, job, effect)", _REFUSED)),
    ),
    Mutant(
        "a name that exists counts as a hold for a person",
        edit(launch._facts, ("return _adopt(run, trainer, job, effect)",
                             "return [NameTaken(attempt=effect.attempt, reason='taken')]")),
    ),
    Mutant(
        "an unclear launch counts as refused",
        edit(launch._facts, (_UNCLEAR + "\n            return []", _REFUSED)),
    ),
    Mutant(
        "an unclear launch counts as accepted",
        edit(launch._facts, (_UNCLEAR + "\n            return []",
                             "return [LaunchAccepted(attempt=effect.attempt, placement=effect.placement)]")),
        equivalent="the monitor misses a training that does not exist, and it is launched again under its name",
    ),
    Mutant("a launch that was begun is never finished by another tick",
           edit(launch.launch_tick, ("if begun:", "if False:"))),
    Mutant(
        "a launch in flight is requested by every tick that plans it",
        edit(launch._commit_intents, ("and job.version != before[job.job_id]", "")),
        equivalent=_BY_NAME,
    ),
    Mutant("a stranger's training is adopted", edit(facts.is_ours, ("return (", "return True or (")), scopes=('stranger',)),
    Mutant(
        "a name that exists is adopted without a describe",
        edit(launch._facts, ("return _adopt(run, trainer, job, effect)",
                             "return [LaunchAccepted(attempt=effect.attempt, placement=effect.placement)]")), scopes=('stranger',)),
    Mutant("a launch of a job whose stop is known is an ordinary one",
           edit(effects.owed, ("attempt.placement, to_stop=True)", "attempt.placement)"))),
    Mutant(
        "a launch tick does not stop the training of a job that has ended meanwhile",
        edit(launch._commit_outcomes, ("if accepted and job.status.is_terminal:", "if False:")),
        equivalent="the reaper does",
    ),
    Mutant(
        "blind compensation: stopped where the save was lost",
        both(
            edit(_RUN.apply, ("self._again(before, events)", "before")),
            edit(launch._commit_outcomes, ("job.status.is_terminal", "job.status not in ('Launched', 'InProgress')")),
        ),
    ),
    Mutant(
        "blind compensation: an unclear launch is stopped",
        edit(launch._facts, (_UNCLEAR, "stop_training(run, trainer, job.job_id, effect.name)")),
    ),
    # Attempts and budgets.
    Mutant("no bound on attempts", edit(retries.retry, ("used >= allowed", "False"))),
    Mutant("budgets in memory: charges are not stored",
           edit(handlers._after_failure, ("if decision.used:", "if False:"))),
    Mutant("charges are stored twice",
           edit(handlers._after_failure, ("decision.used}", "decision.used + 1}"))),
    Mutant("the next attempt has the same name",
           edit(handlers.end_training, ("attempt.number + 1, now", "attempt.number, now"))),
    Mutant("the next attempt skips a number",
           edit(handlers.end_training, ("attempt.number + 1, now", "attempt.number + 2, now"))),
    Mutant("ended attempts are not kept",
           edit(handlers.end_training, ("waiting_since = now if", "attempts = ()\n    waiting_since = now if"))),
    # Observing.
    Mutant("not found: a new attempt", cell(_S.LAUNCHED, _E.TrainingMissing, go(_failed_missing, _S.NEW, _S.FAILED))),
    Mutant("not found while it ran: a new attempt", cell(_S.IN_PROGRESS, _E.TrainingMissing, go(_failed_missing, _S.NEW, _S.FAILED))),
    Mutant("not found while launching: a new attempt",
           edit(launch._adopt, ("return []",
                                "import jobcore\n        return [jobcore.TrainingEnded(attempt=effect.attempt, outcome=jobcore.Status.FAILED, failure=classified(Evidence(where='describe', text='AlgorithmError: gone'), job.spec, run.settings.rules))]")), scopes=('one, 2 faults', 'pair')),
    Mutant("not found while stopping: stopped",
           edit(handlers.miss_training, ("if state.missing_since is None:",
                                    "if isinstance(state, Stopping):\n        return _stopped(job, state, now, 'gone')\n    if state.missing_since is None:")), scopes=('one, 1 fault', 'vanish')),
    Mutant(
        "a training that is not found once counts as gone",
        edit(handlers.miss_training, ("if state.missing_since is None:", "if False:"),
             ("if now - state.missing_since < MISSING_BELIEVED_AFTER:", "if False:")),
        equivalent="the same name is launched again, which cannot run twice; waiting only saves calls",
    ),
    Mutant(
        "a Describe that fails counts as a failed training",
        both(
            edit(monitor._described, ('run.trouble("", error)', "return 'failed'")),
            edit(monitor._monitor, ("observations = PoolObservations(run)",
                                    "observations = PoolObservations(run)\n    import jobcore.ports\n    if trainings == 'failed':\n        trainings = {n: Training(name=n, state=jobcore.ports.TrainingState.FAILED, job_id=i, attempt=jobs[i].attempt_number, spec_hash=jobcore.lifecycle.spec_hash(jobs[i].spec)) for i, n in names.items()}")),
        ),
    ),
    Mutant("a Describe that fails counts as not found",
           edit(monitor._described, ('run.trouble("", error)', "return dict.fromkeys(names.values())")),
           equivalent="a training that is not found is launched again under its name, never as a new attempt"),
    Mutant("every observation is saved",
           edit(handlers.see_training, ("if event.detail == state.detail and state.missing_since is None:", "if False:"))),
    Mutant("a failed training counts as completed",
           edit(facts.fact_from, ("outcome=_OUTCOMES[training.state]", "outcome=Status.COMPLETED"))),
    Mutant("a training not yet seen to run counts as completed",
           edit(handlers.see_training, ("if event.running and", "if not event.running:\n        return _over(job, Completed(since=now), now, '')\n    if event.running and"))),
    # Stops.
    Mutant("STOPPED is written when the stop is asked for", cell(_S.IN_PROGRESS, _E.StopRequested, go(_stopped_at_once, _S.STOPPED))),
    Mutant("STOPPED is written when the stop is asked for, before it runs", cell(_S.LAUNCHED, _E.StopRequested, go(_stopped_at_once, _S.STOPPED))),
    Mutant("a stop that meets Launching ends the job", cell(_S.LAUNCHING, _E.StopRequested, go(_stopped_at_once, _S.STOPPED))),
    Mutant("a stop that meets Launching counts the training as known",
           edit(handlers._stopping, ("known = not isinstance(state, Launching)", "known = True")),
           equivalent="the monitor misses it, and then its name is reserved (rule B)"),
    Mutant("a spot interruption counts as the user's stop",
           edit(handlers._after_failure, ("decision = retry(job, failure, now=now)",
                                             "if failure.failure_class == 'spot_interrupted':\n        return _over(job, Stopped(since=now), now, 'stopped')\n    decision = retry(job, failure, now=now)")), scopes=('spot',)),
    Mutant("stopped by a clock counts as the user's stop",
           edit(handlers._stopped, ("if state.cause is StopCause.USER:", "if True:")), scopes=('one', 'clocks')),
    Mutant("a stop request is not recorded", edit(handlers.stop_active, ("job = replace(job, stop=", "replace(job, stop="))),
    Mutant("a stop of a waiting job is not recorded", edit(handlers.stop_waiting, ("job = replace(job, stop=", "replace(job, stop="))),
    Mutant("a release takes a stop back", cell(_S.STOPPING, _E.ReleaseRequested, go(_stop_taken_back, _S.LAUNCHED)), scopes=('people',)),
    Mutant("a second stop replaces the first",
           edit(handlers.stop_again, ("if job.stop is not None:", "if False:"),
                ("event.by[:REASON_KEPT_CHARS_MAX]", "event.by + ' again'")), scopes=('people',)),
    Mutant("a stop is sent once, when it is asked for",
           edit(monitor._monitor, ("for job in after:\n", "for job in [a for a in after if a is not jobs[a.job_id]]:\n"))),
    Mutant("a stop is never sent", edit(monitor._monitor, ("if isinstance(effect, StopTraining):", "if False:"))),
    Mutant("a training that is observed is stopped",
           edit(monitor._monitor, ("owed(job) if isinstance(job.state, Stopping) else ()", "owed(job)"),
                ("if isinstance(effect, StopTraining):", "if isinstance(effect, ObserveTraining):"))),
    Mutant("seen while stopping: running again",
           cell(_S.STOPPING, _E.TrainingSeen, go(_rescued(0), _S.NEW))),
    Mutant("a stop ends a job although its training completed, as Stopped without an attempt",
           edit(handlers.end_training, ("if event.outcome is Status.COMPLETED:", "if event.outcome is Status.COMPLETED and not isinstance(state, Stopping):"),
                ("assert event.failure is not None  # TrainingEnded checks it", "")),
           equivalent="a stop was requested and the training is over: Stopped is true as well"),
    # Ends.
    Mutant("the end of a completed job is written again", cell(_S.COMPLETED, _E.TrainingEnded, go(_fails_late, _S.FAILED)), scopes=('monitors',)),
    Mutant("a late refusal fails a completed job", cell(_S.COMPLETED, _E.LaunchRefused, go(_fails_late, _S.FAILED)), equivalent=_MOVED_ON, scopes=('pair, refused',)),
    Mutant("a late refusal fails a launched job", cell(_S.LAUNCHED, _E.LaunchRefused, go(_fails_late, _S.FAILED)), equivalent=_MOVED_ON, scopes=('pair, refused',)),
    Mutant("a late refusal takes a launched job back", cell(_S.LAUNCHED, _E.LaunchRefused, go(handlers.refuse_launch, _S.NEW, _S.HELD, _S.FAILED)), equivalent=_MOVED_ON, scopes=('pair, refused',)),
    Mutant("a late refusal takes a running job back", cell(_S.IN_PROGRESS, _E.LaunchRefused, go(handlers.refuse_launch, _S.NEW, _S.HELD, _S.FAILED)), equivalent=_MOVED_ON, scopes=('pair, refused',)),
    Mutant("a stale plan launches a stopped job", cell(_S.STOPPED, _E.LaunchDecided, go(_launched_again, _S.LAUNCHING))),
    Mutant("a stale plan launches a completed job", cell(_S.COMPLETED, _E.LaunchDecided, go(_launched_again, _S.LAUNCHING))),
    Mutant("a stale plan launches a running job", cell(_S.IN_PROGRESS, _E.LaunchDecided, go(_launched_again, _S.LAUNCHING)), equivalent="the same name: the trainer answers that it exists, and the tick adopts it", scopes=("one", "pair")),
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
    Mutant("a message is published before the job is saved", swap(actors.Ports, "save", _published_before_saved)),
    Mutant("an end is saved without its message", edit(handlers._over, ("outbox = _announced(job, state.status, now, note)", "outbox = job.outbox"))),
    Mutant("the outbox is cleared before the message is published",
           edit(notify.notify_tick, ("run.report.looked_at += 1",
                                    "run.report.looked_at += 1\n        run.apply([(job, [MessagePublished(event_id=entry.event_id) for entry in job.outbox])])"))),
    Mutant("a message that could not be published is cleared",
           edit(notify._publish, ("run.trouble(job.job_id, error)\n            continue", "run.trouble(job.job_id, error)"))),
    Mutant("one message clears the whole outbox", edit(handlers.clear_message, ("outbox=left", "outbox=()")), scopes=("messages",)),
    Mutant("a message has another id at each write", edit(handlers._announced, ("not status.is_terminal", "True"))),
    Mutant("a message is owed twice", edit(handlers._over, ("outbox = _announced(job, state.status, now, note)", "outbox = _announced(job, state.status, now, note) * 2"))),
    Mutant("a new message replaces those that are not published yet",
           edit(handlers._announced, ("return (*job.outbox, OutboxEntry", "return (*job.outbox[:0], OutboxEntry")), scopes=("messages",)),
    Mutant("a message is never cleared", edit(handlers.clear_message, ("if len(left) == len(job.outbox):", "if True:"))),
    # The reaper.
    Mutant("the reaper stops the current attempt as well",
           edit(reap._reap, ("name.attempt < job.attempt_number", "name.attempt <= job.attempt_number"))),
    Mutant("the reaper stops trainings of jobs that are not terminal",
           edit(reap._reap, ("job.status.is_terminal or", "not job.status.is_terminal or"))),
    Mutant("the reaper does nothing", edit(reap.reap_tick, ("in trainer.running():", "in ():")), scopes=('refused', 'pair, refused')),
    Mutant("the reaper leaves the trainings of held jobs alone",
           edit(reap._reap, ("isinstance(job.state, Held) and", "False and")), scopes=('refused', 'pair, refused')),
    # Indexes.
    Mutant("a job that is being stopped is not observed",
           edit(effects.due_at, ("if is_launch_owed or state.status.is_terminal:", "if is_launch_owed or state.status.is_terminal or isinstance(state, Stopping):"))),
    Mutant("a launch begun is not due again", edit(effects.due_at, ("return state.since if is_launch_owed else None", "return None"))),
    Mutant("a stop whose training is not known is not due",
           edit(effects.due_at, ("isinstance(state, Stopping) and not state.known", "False"))),
    Mutant("a job that is over is not due for its message",
           edit(effects.due_at, ("return job.outbox[0].at if job.outbox else None",
                                     "return job.outbox[0].at if job.outbox and not job.status.is_terminal else None"))),
    # One job whose record, launch or message always fails blocks the others.
    Mutant("a record that cannot be read ends the pass", edit(_RUN.read, ("wanted.remove(error.job_id)", "return {}")), scopes=('poison record',)),
    Mutant("a launch that raises ends the pass", edit(launch._request, ("if len(owing) == 1:", "raise\n        if len(owing) == 1:")), scopes=('poison launch',)),
    Mutant("a message that raises ends the pass", edit(notify._publish, ("run.trouble(job.job_id, error)\n            continue", "raise")), scopes=('poison publish',)),
)  # fmt: skip


def cells() -> Iterator[Mutant]:
    """Make a mutant of each cell about launches, observations, ends and stops: it ignores the event."""
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
_PUBLISHED_AGAIN = (
    "the message is published again, and cleared after the next change: at least once"
)
_FOUND_NEXT = "the next launch of the name finds the training and its state"
_REQUESTED_AGAIN = (
    "a refused launch is requested again until it is not refused, or its clock runs out"
)
EQUIVALENT_CELLS: Mapping[tuple[Status, type], str] = {
    (_S.NEW, _E.LaunchAccepted): _FOUND_NEXT,
    (_S.LAUNCHING, _E.LaunchAccepted): _FOUND_NEXT,
    (_S.LAUNCHING, _E.LaunchRefused): _REQUESTED_AGAIN,
    (_S.LAUNCHING, _E.TrainingSeen): "accepted comes with it; the monitor sees the rest",
    (
        _S.IN_PROGRESS,
        _E.TrainingSeen,
    ): "a training that is not found once counts as gone: the same name is launched again",
    (_S.STOPPING, _E.LaunchAccepted): _FOUND_NEXT,
    (_S.STOPPING, _E.LaunchRefused): _REQUESTED_AGAIN,
    (_S.STOPPING, _E.TrainingSeen): "accepted comes with it",
    (_S.NEW, _E.MessagePublished): _PUBLISHED_AGAIN,
    (_S.LAUNCHING, _E.MessagePublished): _PUBLISHED_AGAIN,
    (_S.LAUNCHED, _E.MessagePublished): _PUBLISHED_AGAIN,
    (_S.IN_PROGRESS, _E.MessagePublished): _PUBLISHED_AGAIN,
    (_S.STOPPING, _E.MessagePublished): _PUBLISHED_AGAIN,
}
#: The scope that catches a mutant which the first scopes do not catch.
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
        # No violation is expected of an equivalent mutant, so its search is shorter.
        result = hunt(mutant, seconds=3.0 if mutant.equivalent else 10.0)
        if result.caught_by:
            caught += 1
            if mutant.equivalent:
                wrong.append(f"equivalent, and caught: {mutant.name}")
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
