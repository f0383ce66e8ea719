"""Puts a mutant into the loaded modules of the core."""

from __future__ import annotations

import ast
import dataclasses
import enum
import importlib.abc
import importlib.util
import sys
import types
from collections.abc import Sequence
from typing import Any

from ._code_mutants import Mutant
from ._mutation_tests import path_of

__all__ = ["Loader", "NeedsLoadingError", "apply"]


class NeedsLoadingError(Exception):
    """The module has to be loaded again to put the mutant in."""


def _plain(value: Any) -> Any:
    """Find the function behind a property, a static method or a cache."""
    if isinstance(value, property):
        value = value.fget
    if isinstance(value, staticmethod | classmethod):
        value = value.__func__
    return getattr(value, "__wrapped__", value)


def _code_named(code: types.CodeType, names: Sequence[str]) -> types.CodeType:
    for name in names:
        code = next(
            c for c in code.co_consts if isinstance(c, types.CodeType) and c.co_name == name
        )
    return code


def apply(mutant: Mutant) -> None:
    """Put the wrong code in; raise `NeedsLoadingError` where that cannot be done."""
    module = sys.modules[f"jobcore.{mutant.module}"]
    tree = ast.fix_missing_locations(ast.Module([mutant.tree], []))
    names = mutant.owner.split(".")
    match mutant.tree:
        case ast.FunctionDef() | ast.ClassDef() if mutant.in_function:
            place: Any = module
            for name in names[:-1]:
                place = place.__dict__[name]
            function = _plain(place.__dict__[names[-1]])
            code = compile(tree, module.__file__ or "", "exec", dont_inherit=True)
            function.__code__ = _code_named(code, names)
            node = next(
                n
                for n in ast.walk(mutant.tree)
                if isinstance(n, ast.FunctionDef) and n.name == names[-1]
            )
            _set_defaults(function, node.args, module)
        case ast.ClassDef():
            _apply_to_class(mutant, module.__dict__[names[0]], names, module)
        case ast.Assign() | ast.AnnAssign():
            _assign_anew(mutant, module)
        case _:
            raise NeedsLoadingError
    for value in vars(module).values():
        if hasattr(value, "cache_clear"):
            value.cache_clear()


def _value(node: ast.expr, module: types.ModuleType) -> Any:
    code = compile(ast.fix_missing_locations(ast.Expression(node)), "mutant", "eval")
    return eval(code, vars(module))


def _set_defaults(function: Any, args: ast.arguments, module: types.ModuleType) -> None:
    if function.__defaults__:
        function.__defaults__ = tuple(_value(node, module) for node in args.defaults)
    if function.__kwdefaults__:
        function.__kwdefaults__ = {
            arg.arg: _value(node, module)
            for arg, node in zip(args.kwonlyargs, args.kw_defaults, strict=True)
            if node is not None
        }


def _apply_to_class(
    mutant: Mutant, cls: Any, names: Sequence[str], module: types.ModuleType
) -> None:
    """Change the default of a dataclass's field; it lives on in the constructor."""
    assert isinstance(mutant.tree, ast.ClassDef)
    if issubclass(cls, enum.Enum) or len(names) < 2:
        raise NeedsLoadingError
    for node in mutant.tree.body:
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == names[1]:
            break
    else:
        raise NeedsLoadingError
    if node.value is None or "ClassVar" in ast.unparse(node.annotation):
        raise NeedsLoadingError
    value = _value(node.value, module)
    if isinstance(value, dataclasses.Field):
        raise NeedsLoadingError
    made = cls.__init__
    if made.__kwdefaults__ and names[1] in made.__kwdefaults__:
        made.__kwdefaults__ = {**made.__kwdefaults__, names[1]: value}
    elif made.__defaults__:
        arguments = made.__code__.co_varnames[: made.__code__.co_argcount]
        offset = arguments.index(names[1]) - (len(arguments) - len(made.__defaults__))
        defaults = list(made.__defaults__)
        defaults[offset] = value
        made.__defaults__ = tuple(defaults)
    else:
        raise NeedsLoadingError


def _assign_anew(mutant: Mutant, module: types.ModuleType) -> None:
    """Execute the changed assignment, and those after it, which may have used its value."""
    space = vars(module)
    before = dict(space)
    body = ast.parse(path_of(mutant.module).read_text()).body
    body[mutant.top] = mutant.tree
    again = [
        statement
        for statement in body[mutant.top :]
        if isinstance(statement, ast.Assign | ast.AnnAssign)
        and "TypeVar" not in ast.unparse(statement)[:200]
    ]
    code = compile(
        ast.fix_missing_locations(ast.Module([*again], [])), module.__file__ or "", "exec",
        flags=__import__("__future__").annotations.compiler_flag, dont_inherit=True,
    )  # fmt: skip
    exec(code, space)
    changed = {
        name: value for name, value in space.items() if name in before and before[name] is not value
    }
    for other in list(sys.modules.values()):
        names = getattr(other, "__dict__", None)
        if names is None or other is module:
            continue
        for name, value in changed.items():
            if names.get(name) is before[name] and name != "__builtins__":
                names[name] = value


class Loader(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Loads one module of the core with a mutant in it."""

    def __init__(self, mutant: Mutant) -> None:
        self.mutant = mutant
        self.path = path_of(mutant.module)

    def find_spec(self, fullname: str, path: object, target: object = None) -> Any:
        if fullname != f"jobcore.{self.mutant.module}":
            return None
        return importlib.util.spec_from_file_location(fullname, self.path, loader=self)

    def create_module(self, spec: object) -> None:
        return None

    def exec_module(self, module: types.ModuleType) -> None:
        tree = ast.parse(self.path.read_text())
        tree.body[self.mutant.top] = self.mutant.tree
        exec(compile(ast.fix_missing_locations(tree), str(self.path), "exec"), vars(module))
