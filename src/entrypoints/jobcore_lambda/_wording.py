"""The next step of a message, for users of a deployment: the command with the AWS backend."""

from __future__ import annotations

from jobcore.ports import Message, NextStep

__all__ = ["next_step_words"]


def next_step_words(message: Message) -> str:
    """Write the next step of *message* as commands for this deployment's jobs."""
    job = message.job_id
    group = f"--group {message.attributes.get('group', '')}"
    commands = {
        NextStep.SHOW: (f"show {job}",),
        NextStep.READ_LOGS_AND_RETRY: (f"logs {job}", f"retry {job}"),
        NextStep.RETRY: (f"retry {job}",),
        NextStep.RELEASE: (f"why {job}", f"release {job}"),
        NextStep.RELEASE_GROUP: (f"list {group}", f"release {group}"),
    }[message.next_step]
    return ", then ".join(f"jobcore {command} --backend aws" for command in commands)
