"""The failure rules that hold wherever a training runs: signals, exit codes, memory, disk, exceptions.

A document as `jobcore.failures.parse_rules` reads it, in Python because the core reads no files.
Adapters put the rules of their service in front. Rules with ``own`` concern texts that the training
itself wrote: texts that begin with words of Python's (below) or of the adapter's reading. ``bare``
rules concern a reason without such words.
"""

from __future__ import annotations

from .rules import Rules, parse_rules

__all__ = ["GENERIC_RULES"]

_FRAGMENTS = {
    "oom": [
        r"out[ _]of[ _]memory", r"outofmemory", r"memoryerror", r"bad_alloc",
        r"cannot allocate memory", r"can't allocate memory", r"not enough memory",
        r"unable to allocate", r"failed to allocate", r"resourceexhausted", r"resource exhausted",
        r"oom when allocating", r"alloc_failed", r"oom[- ]kill", r"std::length_error",
        r"java heap space", r"more memory", r"memory limit",
    ],
    "killed": [
        r"sigkill", r"signal[: ]+\(?9\b", r"signal: killed", r"died with <signals\.sigkill",
        r"exit ?code ?:? ?-9\b",
    ],
    "disk": [
        r"insufficient disk", r"disk space", r"no space left", r"enospc", r"errno 28", r"disk quota",
    ],
    # Collective libraries, and the network providers that they name.
    "cluster": [
        r"\bnccl", r"dist\w*error\b", r"\bgloo\b", r"collective operation timeout",
        r"connection reset by peer", r"\bhorovod\b", r"\bmpi_", r"\befa\b", r"libfabric",
        r"rendezvous",
    ],
    # A crash in native code: 128 + SIGILL, SIGABRT, SIGBUS, SIGFPE or SIGSEGV, or their negatives.
    "crashed": [r"132", r"134", r"135", r"136", r"139", r"-4", r"-6", r"-7", r"-8", r"-11"],
    "exited": r"exit(?:ed)? ?(?:with )?(?:code|status)",
}  # fmt: skip

_READING = {
    "codes": [r"(?:[\w]+\.)*(?P<code>\w+): ?"],  # "ThrottlingException: …"
    "not_codes": ["error", "exception", "unknown"],
    "own_words": [r"uncaught exception(?: during training)?", r"traceback \(most"],
    "preamble": [r"exit ?code:? \d+,?"],
}

_RULES = [
    # --- the training's own words --------------------------------------------------------
    {
        "name": "training: out of memory",
        "class": "oom",
        "retry": "no",
        "own": True,
        "pattern": r".*{{oom}}",
    },
    {
        "name": "training: killed, mostly for memory",
        "class": "oom",
        "retry": "limited",
        "own": True,
        "pattern": [r"exit ?code:? 137\b", r".*, exit code: 137$", r".*{{killed}}"],
    },
    {
        "name": "training: disk full",
        "class": "data_access",
        "retry": "no",
        "own": True,
        "error": r"[\w.]*error\b.{0,80}{{disk}}",
    },
    {
        "name": "training: collective communication",
        "class": "algorithm",
        "retry": "limited",
        "own": True,
        "error": [
            r"[\w.]*error\b.{0,120}{{cluster}}",
            r"[\w.]*dist(?:backend|network|store)error\b",
        ],
    },
    {
        "name": "training: a worker crashed",
        "class": "algorithm",
        "retry": "limited",
        "own": True,
        "error": r"[\w.]*childfailederror\b.*exitcode ?: ?{{crashed}}\b",
    },
    {
        "name": "training: crashed",
        "class": "algorithm",
        "retry": "limited",
        "own": True,
        "pattern": [r"exit ?code:? {{crashed}}\b", r".*, exit code: {{crashed}}$"],
    },
    {
        "name": "training: failed",
        "class": "algorithm",
        "retry": "no",
        "own": True,
    },
    # --- statuses of the port ------------------------------------------------------------
    {
        "name": "run time over",
        "class": "timeout",
        "retry": "no",
        "statuses": ["MaxRuntimeExceeded"],
    },
    {
        "name": "stopped, not by us",
        "class": "stopped_by_user",
        "retry": "no",
        "statuses": ["Stopped"],
    },
    # --- a reason without such words -----------------------------------------------------
    {
        "name": "bare: out of memory",
        "class": "oom",
        "retry": "no",
        "error": r"(?:[\w.:]*(?:error|exception|bad_alloc)\b.{0,400}|.{0,160}){{oom}}",
    },
    {
        "name": "bare: killed, mostly for memory",
        "class": "oom",
        "retry": "limited",
        "pattern": [r"{{exited}}:? 137\b", r"killed$", r".{0,120}{{killed}}"],
    },
    {
        "name": "bare: disk full",
        "class": "data_access",
        "retry": "no",
        "error": r"(?:[\w.]*error\b.{0,80}|.{0,40}){{disk}}",
    },
    {
        "name": "bare: collective communication",
        "class": "algorithm",
        "retry": "limited",
        "error": [
            r"[\w.]*error\b.{0,120}{{cluster}}",
            r"[\w.]*dist(?:backend|network|store)error\b",
            r"\bnccl",
        ],
    },
    {
        "name": "bare: crashed",
        "class": "algorithm",
        "retry": "limited",
        "pattern": [r"{{exited}}:? {{crashed}}\b", r"segmentation fault", r"core dumped"],
    },
    {
        "name": "bare: an exception or an exit code",
        "class": "algorithm",
        "retry": "no",
        "pattern": [
            r"(?:[a-z_]\w*\.)*[a-z_]\w*(?:error|exception|warning|interrupt|exit)\b",
            r"{{exited}}",
            r"(?:no|all) training jobs? ",
            r"training (?:execution|script|job) (?:failed|execution failed)",
            r'command "',
            r"script ",
        ],
    },
]

#: The rules that hold for every trainer; those of an adapter and of the user go in front.
GENERIC_RULES: Rules = parse_rules(
    {"fragments": _FRAGMENTS, "reading": _READING, "rule": _RULES}, compile_patterns=False
)
