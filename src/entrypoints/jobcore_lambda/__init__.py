"""The Lambda handlers: thin shells around the ticks and the submission (extra: lambda).

Each module that has no underscore holds the `handler` of one function. They share one
seam, `_wiring`, that builds the adapters once per container from the environment.
"""
