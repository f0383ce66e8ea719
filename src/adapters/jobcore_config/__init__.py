"""
One way to read configuration and to refuse it: attrs classes, structured by cattrs.

A class of settings says the kind of each field by its annotation and what is allowed by its
validator (`jobcore_config.checks`). `jobcore_config.reading.read` makes an instance of decoded
data, or raises `jobcore.errors.InvalidSetting` with every problem. Import it late: cattrs takes
10 ms, and most commands of a laptop have no settings to read.
"""
