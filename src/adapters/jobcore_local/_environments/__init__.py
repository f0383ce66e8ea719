"""
Environments with the packages of a job's requirements.txt.

An environment lies on top of the submitter's interpreter: it has what requirements.txt adds or
upgrades, and sees the other packages of that interpreter, which is not changed. It is named after a hash
of what decides about its content, so jobs with the same requirements share one.
"""

from ._installer import InstallError
from ._store import Environment, Environments, InstallOptions

__all__ = ["Environment", "Environments", "InstallError", "InstallOptions"]
