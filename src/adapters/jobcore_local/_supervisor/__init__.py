"""
The fork server and the shims: processes that supervise trainings and record their ends.

They use the standard library only, and little of it: a Python interpreter for each training would
take 20 ms and more. The fork server is started as a script (`start`), which imports this package
by itself and nothing else of jobcore.

    manager ──socket──▶ fork server ──socket──▶ shim ──fork, exec──▶ the user's script

Each manager has one fork server, which ends when the manager's socket closes. It keeps a few shims
forked in advance, so that an order does not wait for a fork. Each attempt has one shim, in a
session of its own. It lays out the job's code, starts the script, once for each host of the training
(`hosts`), and waits for it. Once a shim has its order, the manager and the fork server may be killed
at any time.

The files of a training's folder, which its shim writes:

* ``lock``: flock-ed by the shim for life, and inherited by the script. The kernel releases it when
  both are dead, so a held lock means that the training is alive, without process ids.
* ``started.json``: synced under another name and then linked to this one, before the script runs,
  so it is whole or absent. It is never removed: a name with this file is reserved for ever.
* ``stop``: made by the process that requests a stop.
* ``exit.json``: synced and renamed into place when no process of the training is left, with the
  metrics of the script (`metrics`).
* ``no-opt-ml``: why the folder ``ml/`` could not be mounted on /opt/ml, for a script that wants it
  there (`opt_ml`). The same file has the reason why the names of hosts do not resolve.
* ``etc-hosts``: a copy of /etc/hosts with the hosts' names, if there are several.
* ``hosts/algo-2``: the folder ``ml/``, the code, ``output.log`` and ``no-opt-ml`` of another host.
"""

from __future__ import annotations

import os

#: The script by which the manager starts its fork server.
START_SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "start.py")
#: The script that mounts a training's folder on /opt/ml and then runs a command.
OPT_ML_SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "opt_ml.py")
#: The script that prints the metrics in a log.
METRICS_SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "metrics.py")
#: The file of a training's folder with the reason why /opt/ml could not be mounted.
OPT_ML_NOTE = "no-opt-ml"
