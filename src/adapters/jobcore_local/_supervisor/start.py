"""
Start the fork server: ``python -I -S start.py FD`` with the manager's socket as FD.

The package of this file is imported under its own name. Imported as ``jobcore_local._supervisor``
it would load all of jobcore first, into the memory of every shim. `jobcore_code`, which is beside
``jobcore_local``, needs nothing of jobcore.
"""

from __future__ import annotations

import importlib
import os
import socket
import sys

if __name__ == "__main__":
    # After the standard library: no module beside these packages may hide one of its modules.
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    sys.path += [package, os.path.dirname(package)]
    server = importlib.import_module("_supervisor.server")
    server.serve(socket.socket(fileno=int(sys.argv[1])))
