"""An emulated SageMaker: training jobs over HTTP, in a world of pools that tests configure."""

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
