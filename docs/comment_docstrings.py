"""A griffe extension for the habits of this project's documentation in the code.

A public constant is documented by a ``#:`` comment above it, and a member of an enumeration by a
comment behind it, because Python keeps no docstring for an assignment. And an entry of ``Args:``
may name several parameters that are explained together (``region, endpoint_url: ...``). A long value
of a constant, such as a table, is not shown.

A package may export a function of the same name as the module that holds it. Importing the package
gives the function; griffe gives the module, unless the function is put in its place.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

_ABOVE = re.compile(r"\s*#: ?(.*)")
_BEHIND = re.compile(r".*?  # (?!type:|noqa|fmt:)(.+)")
_TOGETHER = re.compile(
    r"(?P<indent> +)(?P<names>\w+(?:, \w+)+): (?P<text>.+(?:\n(?P=indent) +.+)*)"
)
_VALUE_CHARS_MAX = 160


class CommentDocstrings(griffe.Extension):
    """Read comments of constants as docstrings, and give each parameter an entry of its own."""

    def on_attribute(self, *, attr: griffe.Attribute, **_: Any) -> None:
        """Look for a comment above *attr*, or behind it if it is a member of an enumeration."""
        if attr.value is not None and len(str(attr.value)) > _VALUE_CHARS_MAX:
            attr.value = None
        if attr.docstring or attr.lineno is None:
            return
        text = _above(attr)
        if not text and _is_enum_member(attr):
            text = _behind(attr) or f"`{attr.value}`"
        if text:
            attr.docstring = griffe.Docstring(text, parent=attr)

    def on_package(self, *, pkg: griffe.Module, loader: griffe.GriffeLoader, **_: Any) -> None:
        """Put exported functions in the place of modules of their names, once every name is resolved."""
        loader.resolve_aliases(implicit=True)
        griffe.DataclassesExtension().on_package(pkg=pkg)  # it would not see what is hidden below
        for module in _modules(pkg):
            exported = [str(name) for name in module.exports or ()]
            for name in exported:  # while the paths of their modules still lead there
                member = module.members.get(name)
                if isinstance(member, griffe.Alias) and member.resolved:
                    target = member.final_target
                    module.members[name] = griffe.Alias(name, target, parent=module)
            for name in exported:
                hidden = module.members.get(name)
                if isinstance(hidden, griffe.Module) and name in hidden.members:
                    self._visit(hidden)  # griffe does not, once it is hidden
                    module.members[name] = griffe.Alias(name, hidden.members[name], parent=module)

    def _visit(self, module: griffe.Module) -> None:
        for member in module.members.values():
            if isinstance(member, griffe.Attribute):
                self.on_attribute(attr=member)
            if isinstance(member, griffe.Object):
                self.on_object(obj=member)

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Repeat the text of parameters that are explained together for each of them."""
        if obj.docstring and "\n    " in obj.docstring.value:
            obj.docstring.value = _TOGETHER.sub(_apart, obj.docstring.value)


def _modules(module: griffe.Module) -> list[griffe.Module]:
    inner = [m for m in module.modules.values() if isinstance(m, griffe.Module)]
    return [module, *(found for one in inner for found in _modules(one))]


def _apart(entry: re.Match[str]) -> str:
    names = entry["names"].split(", ")
    return "\n".join(f"{entry['indent']}{name}: {entry['text']}" for name in names)


def _is_enum_member(attr: griffe.Attribute) -> bool:
    parent = attr.parent
    is_enum = isinstance(parent, griffe.Class) and any("Enum" in str(base) for base in parent.bases)
    return is_enum and attr.value is not None and not attr.name.startswith("_")


def _above(attr: griffe.Attribute) -> str:
    found: list[str] = []
    number = (attr.lineno or 1) - 1
    while number > 0 and (match := _ABOVE.fullmatch(_line(attr, number))):
        found.insert(0, match[1])
        number -= 1
    return "\n".join(found)


def _behind(attr: griffe.Attribute) -> str:
    is_one_line = attr.lineno == attr.endlineno
    match = _BEHIND.fullmatch(_line(attr, attr.lineno or 1)) if is_one_line else None
    return match[1] if match else ""


def _line(attr: griffe.Attribute, number: int) -> str:
    return attr.lines_collection[attr.filepath][number - 1]
