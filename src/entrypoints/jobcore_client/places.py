"""The places of what a job writes: paths on this machine, URIs of S3 on AWS."""

from __future__ import annotations

import jobcore

from .logs import last_attempt
from .session import Session


def places(session: Session, job: jobcore.Job, attempt: int | None = None) -> dict[str, str]:
    """Return the places of a job by name; *attempt* is its last one unless given."""
    number = attempt or last_attempt(job)
    name = jobcore.lifecycle.training_name(job.job_id, number)
    if session.is_aws:
        from .aws import places as places_on_aws

        return places_on_aws(session.aws, job, name, number)
    from jobcore_code import snapshot_id

    trainer = session.local_trainer
    frozen = snapshot_id(job.spec.args) is not None
    return {
        **({"code": str(trainer.code_dir(name))} if frozen else {}),
        "log": str(trainer.log_path(name)),
        "model": str(trainer.model_dir(name)),
        "output": str(trainer.output_dir(name)),
        "checkpoints": str(trainer.checkpoint_dir(job.job_id)),
    }
