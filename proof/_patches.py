"""A protocol bug, and how it gets into the loaded code."""

from __future__ import annotations

import contextlib
import inspect
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FunctionType
from typing import Any

__all__ = ["Mutant", "both", "edit", "swap"]


@dataclass(frozen=True, slots=True)
class Mutant:
    """A bug: its name, how it gets into the code, and why it breaks no promise if it does not."""

    name: str
    patch: Callable[[], contextlib.AbstractContextManager[None]]
    equivalent: str = ""
    scopes: tuple[str, ...] = ()


def edit(function: Any, *changes: tuple[str, str]) -> Callable[[], Any]:
    """Change lines of a function in place, so that every reference to it runs the new ones."""

    @contextlib.contextmanager
    def patch() -> Iterator[None]:
        assert isinstance(function, FunctionType)
        source = textwrap.dedent(inspect.getsource(function))
        for old, new in changes:
            assert source.count(old) == 1, (function.__name__, old, source.count(old))
            source = source.replace(old, new)
        names = dict(function.__globals__)
        exec(compile("from __future__ import annotations\n" + source, "<mutant>", "exec"), names)
        before = function.__code__
        function.__code__ = names[function.__name__].__code__
        try:
            yield
        finally:
            function.__code__ = before

    return patch


def swap(owner: Any, name: str, value: Any) -> Callable[[], Any]:
    """Replace an attribute."""

    @contextlib.contextmanager
    def patch() -> Iterator[None]:
        before = getattr(owner, name)
        setattr(owner, name, value)
        try:
            yield
        finally:
            setattr(owner, name, before)

    return patch


def both(*patches: Callable[[], Any]) -> Callable[[], Any]:
    """Make several changes at once."""

    @contextlib.contextmanager
    def patch() -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            for one in patches:
                stack.enter_context(one())
            yield

    return patch
