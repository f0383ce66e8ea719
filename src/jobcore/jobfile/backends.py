"""Parts of a job file that are for one backend, so that one file serves several."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from jobcore.errors import InvalidJob, Problem

from .fields import FieldReader
from .parse import job_fields
from .synonyms import JOB_WORDS

__all__ = ["PARTS", "job_for_backend"]

#: The table of a job file with a table for each backend. (``on`` would be a boolean in YAML.)
PARTS = "backend"
_POOLS = frozenset({"pool", "pools"})  # two spellings of one field


def job_for_backend(
    document: object,
    backend: str,
    *,
    backends: Collection[str],
    service_tables: Collection[str] = (),
) -> object:
    """
    Lay a job file's part for one backend over the rest of it.

    ``backend`` has a table for each backend, with fields of a job file. Those of *backend* take the place
    of the same fields outside; of a field that is a table, entry by entry. Of the other parts only
    the names of their fields are checked.

    Args:
        document: the decoded file; anything but a table is left for `parse_job` to refuse.
        backends: the names of all backends.
        service_tables: as for `parse_job`.

    Raises:
        InvalidJob: a backend or a field is unknown.
    """
    if not isinstance(document, Mapping) or PARTS not in document:
        return document
    problems: list[Problem] = []
    read = FieldReader(FieldReader(document, problems).table(PARTS), problems, f"{PARTS}.")
    parts = {name: read.table(name) for name in backends}
    read.unknown_fields()
    for name, part in parts.items():
        inner = FieldReader(part, problems, f"{PARTS}.{name}.")
        inner.known |= dict.fromkeys(job_fields(service_tables), "")
        inner.unknown_fields(JOB_WORDS)
    if problems:
        raise InvalidJob(problems)
    over = parts[backend]
    hidden = {PARTS, *(_POOLS if _POOLS.intersection(over) else ())}
    merged = {name: value for name, value in document.items() if name not in hidden}
    for name, value in over.items():
        below = merged.get(name)
        if isinstance(value, Mapping) and isinstance(below, Mapping):
            merged[name] = {**below, **value}
        else:
            merged[name] = value
    return merged
