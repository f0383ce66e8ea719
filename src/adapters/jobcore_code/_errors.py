"""The error of the code store."""

from __future__ import annotations

import os

__all__ = ["CodeError"]


class CodeError(ValueError):
    """Code that cannot be taken or laid out; the text names the file, the reason and what to do."""

    @classmethod
    def of(cls, path: str | os.PathLike[str], error: OSError) -> CodeError:
        """Make the error of a file of the source folder that the system refuses."""
        hint = "; list it in .jobcoreignore if the job does not need it"
        return cls(f"{printable(os.fspath(path))}: {error.strerror}{hint}")


def printable(path: str) -> str:
    """Write a path for people: bytes that are no text, line ends and the like are escaped."""
    return path if path.isprintable() else ascii(path)
