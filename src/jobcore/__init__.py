"""A pure core for fire-and-forget training jobs: life cycle, retries, scheduling, ports and ticks."""

from ._codec import *  # noqa: F403
from ._events import *  # noqa: F403
from ._failures import *  # noqa: F403
from ._messages import *  # noqa: F403
from ._model import *  # noqa: F403
from ._names import *  # noqa: F403
from ._planner import *  # noqa: F403
from ._ports import *  # noqa: F403
from ._retry import *  # noqa: F403
from ._transitions import *  # noqa: F403
