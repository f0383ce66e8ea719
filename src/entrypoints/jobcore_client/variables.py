"""The environment variables that the command reads itself; docs/make_tables.py lists them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple


class Variable(NamedTuple):
    """An environment variable: its name, and its meaning in the reference. An empty one is not set."""

    name: str
    meaning: str

    def value(self, environ: Mapping[str, str] = os.environ) -> str | None:
        """Read the variable; None if it is not set."""
        return environ.get(self.name) or None


HOME = Variable("JOBCORE_HOME", "The home: the folder in which jobs, logs and models are kept.")
OWNER = Variable("JOBCORE_OWNER", "Your name as an owner of jobs.")
BACKEND = Variable("JOBCORE_BACKEND", "Where jobs are kept and run: `local` or `aws`.")
STACK = Variable("JOBCORE_STACK", "The stack of the deployment on AWS; default `jobcore`.")
DEBUG = Variable("JOBCORE_DEBUG", "Any text: an unexpected error shows its traceback.")
NO_COLOR = Variable("NO_COLOR", "Any text: no colours.")
