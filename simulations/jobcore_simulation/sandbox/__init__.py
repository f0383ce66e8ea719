"""A SageMaker to try things on: training jobs over HTTP, on a world of pools that is set up at will."""

from ._config import AWS_RATES, SandboxConfig, load_config, parse_pool
from ._limits import Fault, FaultKind
from ._server import Server, serve

__all__ = [
    "AWS_RATES",
    "Fault",
    "FaultKind",
    "SandboxConfig",
    "Server",
    "load_config",
    "parse_pool",
    "serve",
]
