"""Errors of settings, as values that an entry point can word for its users."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["InvalidSetting"]


class InvalidSetting(ValueError):  # noqa: N818  (reads well in `except`)
    """
    Settings that cannot be used.

    The text has every problem on one line: ``where: field: message; field: message``.

    Args:
        problems: pairs of a field's path and a message, such as ``("pools.cpu", "expected a whole
            number of 0 or more, got '2'")``. An empty path stands for the settings as a whole.
        where: the source of the settings, such as a file's path; empty for none.
    """

    def __init__(self, problems: Iterable[tuple[str, str]], where: str = "") -> None:
        """Keep the problems in their order."""
        self.problems: tuple[tuple[str, str], ...] = tuple(problems)
        self.where = where
        super().__init__(self.problems, where)  # the arguments, so that it can be pickled

    def __str__(self) -> str:
        told = "; ".join(f"{f}: {m}" if f else m for f, m in self.problems)
        return f"{self.where}: {told}" if self.where else told
