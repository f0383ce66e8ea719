"""The Lambda handlers: thin wrappers of the ticks and the submission (extra: lambda).

Each module without an underscore has the `handler` of one function. They share `_wiring`, which makes
the adapters once per container from the environment.
"""
