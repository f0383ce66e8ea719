"""
The invariants of every run, checked at its port calls.

An `Oracle` wraps the ports of a run below every injected fault. So it gets each call with its real
effect. It keeps a copy of the stored jobs, and records each broken invariant in `Oracle.found`. It
never raises into the code under test, which may catch exceptions; the driver of the run reads
`found` after each step.

======  ============================================================  ===========================
Code    Invariant                                                     Checked where
======  ============================================================  ===========================
S1      At most one live training per job.                            each create that took effect
S2      Attempts go up by one, and only after the previous attempt     each write, each create,
        was seen to end (rule A); retries stay within the budget of   `jobcore.lifecycle.violations`
        their failure class.
S3      A terminal status is final.                                   each write, `violations`
S4      Status changes follow the transition table. Each write        each write, `violations`
        replaces the stored version and counts it up by one: no
        update is lost.
S5      A Completed job has a training that completed.                each write (asks the trainer)
S6      No training without an intent stored before.                  each create
S7      The end of a job adds one message to the outbox in the same   each write, each publish,
        write, with the id of its event; no entry leaves the outbox   the end of a run
        before it was published.
S8      No message contradicts the stored job.                        each publish
S9      A stop request is never taken back.                           each write
S10     No launch begins after a stop was recorded.                   each write
S11     No write without a change.                                    each write
S12     No end is written while the attempt's training is alive.      each write (asks the trainer)
        Exception: another tick created it to reserve the name
        after the writer's own attempt to do so was refused; that
        tick or the reaper stops it.
S13     Stopped, and Stopping for a user, only if a stop was          `violations`
        requested.
S14     A healthy training is stopped only if its job is Stopping,    each stop
        over, or past that attempt.
S15     A training that a job adopts carries the job's id, attempt    each write
        and spec hash.
S16     Counts, usage and due lists agree with the jobs.              `Oracle.check_store`
S17     A plan stays within known quotas, pool sizes and the          each plan
        operator's limits.
S18     The actor's tenant may act on the job.                        the AWS adapters' tests
S19     The role passed is in the tenant's list.                      the AWS adapters' tests
S20     No secret value in any output.                                the canary tests
J1      Each job waits, is in flight, is held or is over, and the     `Oracle.check_store`
        indexes that the ticks read list it accordingly.
J2      Speculative launches rotate: of a job's pools in a shortage,  each plan
        the pool with the oldest speculative launch is tried first.
L1      After the last fault every job ends, no training is left      `Oracle.check_end`, and the
        without a job, and no message stays unpublished.              driver's bound of rounds
L2      A tick ends after a bounded number of port calls.             the driver counts
L3      A poisoned job does not block other jobs.                     the driver: others converge
L4      A recorded stop ends the job.                                 the driver's bound
L5      No job waits long while its pool has capacity; the recorded   the driver's bound, with
        external use of a quota expires.                              `FORGOTTEN_AFTER`
======  ============================================================  ===========================

The drivers are `jobcore_simulation.swarm` (random worlds, faults at each port) and
`jobcore_simulation.simulator` (pass a `jobcore_simulation.simulator.Watch` as ``check``).
"""

from ._oracle import Oracle
from ._plans import FORGOTTEN_AFTER

__all__ = ["FORGOTTEN_AFTER", "Oracle"]
