"""Words of other tools for the fields of a job file, so that an unknown field names the right one.

Keys are words in lower case, without anything but letters and digits (`plain_word`): one entry covers
``entry_point``, ``entry-point`` and ``EntryPoint``. Values complete the sentence "unknown field; ...".
"""

from __future__ import annotations

import re
from collections.abc import Mapping

__all__ = [
    "CLOCK_WORDS", "JOB_WORDS", "METRIC_WORDS", "POOL_WORDS", "RETRY_WORDS", "plain_word",
]  # fmt: skip


def plain_word(name: str) -> str:
    """Reduce a field's name to its letters and digits, in lower case."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _called(field: str, *words: str) -> dict[str, str]:
    return dict.fromkeys(words, f"the field is called {field}")


def _say(text: str, *words: str) -> dict[str, str]:
    return dict.fromkeys(words, text)


_SPOT = "whether instances may be interrupted is a property of the pool; name such a pool in pools"
_SERVICE = "a member of one service's request; set it in the table of that service"
_DEPLOYMENT = "the backend's settings decide it; leave it out"

#: For the fields of a job file.
JOB_WORDS: Mapping[str, str] = {
    **_called("script", "entrypoint", "entryscript", "program", "main", "trainingscript", "file"),
    **_called(
        "source_dir",
        "source", "sourcecode", "sourcedirectory", "codedir", "codelocation", "workdir", "workingdir",
        "workingdirectory", "cwd",
    ),
    **_called("python", "interpreter", "pythonversion", "pyversion", "venv", "conda"),
    **_called(
        "image", "imageuri", "trainingimage", "container", "containerimage", "docker", "dockerimage"
    ),
    **_say("the image decides it; name one in image", "frameworkversion", "framework"),
    **_called("role", "rolearn", "executionrole", "iamrole"),
    **_called("hyperparameters", "params", "parameters", "hparams", "hp", "config"),
    **_called("arguments", "args", "argv", "cmdargs", "containerarguments", "scriptargs"),
    **_called("flags", "switches", "switch", "booleans", "booleanflags"),
    **_say("write its script into script and its options into arguments", "command", "cmd", "run"),
    **_called("environment", "env", "envs", "envvars", "environmentvariables", "variables"),
    **_called(
        "channels", "inputs", "input", "inputdata", "inputdataconfig", "data", "datasets", "dataset"
    ),
    **_say(
        "fields for one backend are in the table backend, under the backend's name",
        "backends", "overrides", "override", "profile", "profiles", "target", "targets", "on",
    ),
    **_called("name", "jobname", "basejobname", "trainingjobname", "title"),
    **_called("owner", "user"),
    **_called("share", "account", "team", "project"),
    **_called("volume_gb", "volumesize", "volumesizeingb", "disk", "disksize"),
    **_called("stop_grace", "grace", "graceperiod", "stoptimeout", "terminationgraceperiod"),
    **_called("tags", "labels", "metadata"),
    **_called(
        "pools, such as pools = [\"cpu\"]",
        "instancetype", "instancetypes", "instance", "computeresource", "compute", "queue", "partition",
        "queues", "resources",
    ),
    **_called(
        'count, and stands beside the pool: pools = [{ pool = "gpu", count = 2 }]',
        "instancecount", "count", "slots", "gpus", "numgpus", "ngpus", "cpus", "numcpus", "nodes",
        "numnodes", "replicas",
    ),
    **_say(_SPOT, "usespotinstances", "usespot", "spot", "enablemanagedspottraining", "preemptible"),
    **_called(
        "run_at_most, in [clocks]",
        "maxrun", "maxruntime", "maxruntimeinseconds", "maxruntimeseconds", "timeout", "timelimit",
        "walltime", "runatmost",
    ),
    **_called(
        "wait_at_most, in [clocks]; it bounds the wait alone, and run_at_most the run",
        "maxwait", "maxwaittimeinseconds", "maxpendingtimeinseconds", "waitatmost",
    ),
    **_called("finish_by, in [clocks]", "deadline", "finishby"),
    **_called(
        "retry, a table of retries by failure class",
        "retries", "maxretries", "maxretry", "maxretryattempts", "maxattempts", "retrystrategy",
    ),
    **_called("backoff, in [retry]", "backoff", "retrydelay"),
    **_called(
        'metrics, a table of regular expressions by name: [metrics] loss = "loss=([0-9.]+)"',
        "metricdefinitions", "metric", "objective", "objectivemetricname",
    ),
    **_called("sweep, a table with grid", "grid", "search", "space", "searchspace", "matrix", "tuner"),
    **_say(
        _SERVICE,
        "inputmode", "debuggerhookconfig",
        "tensorboardoutputconfig", "profilerconfig", "experimentconfig", "keepaliveperiodinseconds",
        "containerentrypoint", "distribution", "algorithmspecification", "resourceconfig",
        "stoppingcondition",
    ),
    **_say(
        _DEPLOYMENT,
        "output", "outputpath", "outputdir", "outputdataconfig", "modeldir", "subnets",
        "securitygroupids", "vpcconfig", "outputkmskey", "volumekmskey", "enablenetworkisolation",
        "encryptintercontainertraffic",
    ),
    **_say(
        "a script writes its checkpoints into the folder that SM_CHECKPOINT_DIR names",
        "checkpoints", "checkpointdir", "checkpointconfig", "checkpoints3uri", "checkpointlocalpath",
    ),
}  # fmt: skip

#: For the fields of an entry of ``pools``.
POOL_WORDS: Mapping[str, str] = {
    **_called("pool", "name", "instancetype", "type", "queue", "partition"),
    **_called("count", "instancecount", "slots", "gpus", "numgpus", "cpus", "nodes", "replicas"),
    **_say(_SPOT, "usespotinstances", "usespot", "spot", "market"),
}

#: For the fields of ``[clocks]``.
CLOCK_WORDS: Mapping[str, str] = {
    **_called("run_at_most", "maxrun", "maxruntime", "timeout", "timelimit", "walltime", "run"),
    **_called("wait_at_most", "maxwait", "wait"),
    **_called("finish_by", "deadline", "until", "by"),
}

#: For the fields of ``[retry]``.
RETRY_WORDS: Mapping[str, str] = _say(
    "retries are counted by failure class, such as spot_interrupted = 5",
    "max", "count", "retries", "maxretries", "attempts", "maxattempts",
)  # fmt: skip

#: For the fields of an entry of ``metrics``.
METRIC_WORDS: Mapping[str, str] = {
    **_called("regex", "regexp", "pattern", "expression"),
    **_called("goal", "direction", "mode", "objective", "objectivetype", "type"),
}
