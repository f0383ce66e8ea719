"""
Reading configuration, in one way for every source: attrs classes, structured by cattrs.

A class of settings has the kind of each field as its annotation, and the allowed values as its
validator (`jobcore_config.checks`). `jobcore_config.reading.read` makes an instance from decoded
data, or raises `jobcore.errors.InvalidSetting` with every problem. Import it late: cattrs takes
10 ms, and most commands on one machine have no settings to read.
"""

#: The backends of the commands, as ``--backend`` and the tables under ``backend`` of a job file name them.
BACKENDS = ("local", "aws")
