"""The texts of the next step for users of this command: commands and settings, by the core's codes."""

from __future__ import annotations

from jobcore import Status
from jobcore.ports import Message, NextStep
from jobcore.scheduling import Explanation, WaitCode


def next_step_words(message: Message) -> str:
    """Write the next step of a message as commands."""
    job = message.job_id
    group = f"--group {message.attributes.get('group', '')}"
    if message.data.get("rule") == _MODULE_MISSING:
        return f"install the module, then jobcore retry {job}; or {_OTHER_PYTHON}"
    if message.data.get("rule") == _FILE_NOT_TAKEN:
        return _TAKE_FILE
    return {
        NextStep.SHOW: f"jobcore show {job}",
        NextStep.READ_LOGS_AND_RETRY: f"jobcore logs {job}, then jobcore retry {job}",
        NextStep.RETRY: f"jobcore retry {job}",
        NextStep.RELEASE: f"jobcore why {job}, then jobcore release {job}",
        NextStep.RELEASE_GROUP: f"jobcore list {group}, then jobcore release {group}",
    }[message.next_step]


#: Rules of jobcore_local/failure_rules.toml; its texts name the interpreter.
_MODULE_MISSING = "local: module not installed"
_OTHER_PYTHON = 'name another interpreter in the job file (python = "...") and submit it again'
_FILE_NOT_TAKEN = "local: file not taken"
_TAKE_FILE = (
    "see what is left out (jobcore submit --dry-run); include it with a line !PATH in .jobcoreignore, "
    "name its folder as a channel, or name a source_dir that contains it, and submit the job file again"
)
_HELP_OF_RULE = {
    _FILE_NOT_TAKEN: _TAKE_FILE,
    _MODULE_MISSING: f"install the module in {{python}}, then retry; or {_OTHER_PYTHON}",
}
_HELP_WITH_PACKAGES = {
    _MODULE_MISSING: (
        "add the module to requirements.txt, and submit the job again; or install it in {python}, "
        "then retry"
    )
}

_IN_POOL = "wait for a job in this pool to end, "
_HELP = {
    WaitCode.NEXT: "see that the manager runs: jobcore run",
    WaitCode.BEHIND: "wait, or submit with a higher priority",
    WaitCode.BACKING_OFF: "wait, or release the job to try at once",
    WaitCode.POOL_FULL: _IN_POOL + "give it more slots, or name a second pool",
    WaitCode.POOL_CLOSED: "wait, or name a second pool",
    WaitCode.PROBING: "wait, or name a second pool",
    WaitCode.POOL_TOO_SMALL: "give the pool more slots, or ask for fewer",
    WaitCode.POOL_UNKNOWN: "add pool {pool!r}, or submit the job to another one",
    WaitCode.QUOTA_FULL: _IN_POOL + "or ask for a higher quota",
    WaitCode.POOL_LIMIT: _IN_POOL + "or raise limits.pools",
    WaitCode.SHARE_LIMIT: "wait for a job of this share to end, or raise limits.shares",
    WaitCode.HELD: "release it when the cause is gone",
}
#: For a job that is larger than the limit: the end of another job does not help it.
_HELP_TOO_LARGE = {
    WaitCode.QUOTA_FULL: "ask for a higher quota, or for fewer slots",
    WaitCode.POOL_LIMIT: "ask for fewer slots, or raise limits.pools",
    WaitCode.SHARE_LIMIT: "ask for fewer slots, or raise limits.shares",
}
_HELP_NEXT_ON_AWS = "see that the deployment is not paused: jobcore status"
_HELP_FAILED = "read the logs, mend the cause, then retry"


def help_for(
    why: Explanation, *, is_aws: bool, python: object = None, has_packages: bool = False
) -> str:
    """
    Return the user's next step; empty if there is none.

    Args:
        python: the interpreter of the job's script, if it is known.
        has_packages: whether the job runs with packages of its requirements.txt.
    """
    if why.code is WaitCode.NEXT and is_aws:
        return _HELP_NEXT_ON_AWS
    if why.facts.get("status") == Status.FAILED:
        of_rule = _HELP_WITH_PACKAGES if has_packages else _HELP_OF_RULE
        help_text = of_rule.get(str(why.facts.get("rule")), _HELP_FAILED)
        return help_text.format(python=python or "its interpreter")
    count, limit = why.facts.get("count"), why.facts.get("limit")
    if isinstance(count, int) and isinstance(limit, int) and count > limit:
        return _HELP_TOO_LARGE[why.code]
    return _HELP.get(why.code, "").format(**why.facts)
