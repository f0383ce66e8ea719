"""``python -m jobcore_cli`` is the command `jobcore`."""

from __future__ import annotations

import sys

from ._app import main

sys.exit(main())
