"""The metrics in a log, found by a process of its own: a slow regular expression stops no other work."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from jobcore.metrics import Metric, decode_metrics

from . import _supervisor
from ._supervisor.metrics import SECONDS_MAX

__all__ = ["metrics_in_log"]

_START_SECONDS_MAX = 10.0  # of an interpreter, on a busy machine


def metrics_in_log(log: Path, regexes: Mapping[str, str]) -> tuple[Metric, ...]:
    """Search a log for the values of metrics, as a training on this machine does at its end; no errors."""
    if not regexes:
        return ()
    command = [sys.executable, "-I", "-S", _supervisor.METRICS_SCRIPT, str(log)]
    try:
        answer = subprocess.run(
            command,
            input=json.dumps(dict(regexes)).encode(),
            capture_output=True,
            timeout=SECONDS_MAX + _START_SECONDS_MAX,
            check=True,
        )
        return decode_metrics(json.loads(answer.stdout))
    except (OSError, subprocess.SubprocessError, TypeError, ValueError):
        return ()
