"""
Small wrong changes of the core's code, one at a time; `proof.mutation` runs the tests on each.

A mutant is a change of one node of a module's syntax tree. Left alone are: texts for people (a
string with a space in it, f-strings), docstrings, annotations, asserts and zip's ``strict`` (they
state what the types cannot, and check no input), decorators, protocols, `__all__`, and code for
type checkers only.
"""

from __future__ import annotations

import ast
import copy
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

TEXT_MAX = 88
_DEEP = 1

_COMPARED: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_COMPUTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
}
_CALLED = {"min": "max", "max": "min", "any": "all", "all": "any"}

Path = tuple[tuple[str, int | None], ...]
Change = Callable[[ast.AST], ast.AST | None]  # of a copy of the node; None takes it out


@dataclass(frozen=True)
class Mutant:
    """
    One wrong change.

    Args:
        module: without the package: ``lifecycle.retry``.
        owner: the function or class it is in (``Class.method``), or the name assigned to.
        top: the index of its top-level statement in the module.
        line, line_end: of the statement that it is in (without the body of a compound one).
        before, after: the code that is changed.
        ordinal: counts the same change in the same owner.
        tree: the changed top-level statement.
        region: a finer owner: tests that noticed a mutant there are tried first.
    """

    module: str
    owner: str
    top: int
    line: int
    line_end: int
    before: str
    after: str
    ordinal: int
    tree: ast.stmt
    region: str
    in_function: bool

    @property
    def key(self) -> tuple[str, str, str, str, int]:
        """The name of the mutant; it does not depend on line numbers."""
        return (self.module, self.owner, self.before, self.after, self.ordinal)


def mutants(module: str, source: str) -> Iterator[Mutant]:
    """Make every mutant of a module."""
    tree = ast.parse(source)
    seen: Counter[tuple[str, str, str]] = Counter()
    for top, statement in enumerate(tree.body):
        if not _is_worth_changing(statement):
            continue
        for path, change in _changes(statement, ()):
            changed = _apply(statement, path, change)
            if changed is None:
                continue
            owner, in_function = _owner(statement, path)
            line, line_end = _lines(statement, path)
            before, after = _texts(statement, changed, path)
            seen[owner, before, after] += 1
            yield Mutant(
                module=module,
                owner=owner,
                top=top,
                line=line,
                line_end=line_end,
                before=before,
                after=after,
                ordinal=seen[owner, before, after],
                tree=changed,
                region=f"{owner}/{_region(path)}",
                in_function=in_function,
            )


def _is_worth_changing(node: ast.stmt) -> bool:
    match node:
        case ast.Import() | ast.ImportFrom() | ast.Expr():
            return False
        case ast.If(test=test):
            return "TYPE_CHECKING" not in ast.unparse(test)
        case ast.ClassDef(bases=bases):
            return all(ast.unparse(base) != "Protocol" for base in bases)
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            if isinstance(node, ast.AnnAssign) and ast.unparse(node.annotation) == "TypeAlias":
                return False
            if isinstance(node.value, ast.BinOp) and isinstance(node.value.op, ast.BitOr):
                return False  # a union of types
            if isinstance(node.value, ast.Subscript):
                return False  # as well
            return name != "__all__" and "TypeVar" not in ast.unparse(node.value or node.target)
        case _:
            return True


# --- where --------------------------------------------------------------------------------


def _walk_path(root: ast.AST, path: Path) -> list[ast.AST]:
    """List the nodes from the root to the one that *path* names."""
    nodes = [root]
    for field, index in path:
        value = getattr(nodes[-1], field)
        nodes.append(value if index is None else value[index])
    return nodes


def _apply(root: ast.stmt, path: Path, change: Change) -> ast.stmt | None:
    """Change a copy of the nodes on the path; the rest is shared with the tree as it was."""
    nodes = [_copied(node) for node in _walk_path(root, path)]
    new = change(nodes[-1])
    for (field, index), above in zip(reversed(path), reversed(nodes[:-1]), strict=True):
        if index is not None and new is None:
            getattr(above, field).pop(index)
        elif index is not None:
            getattr(above, field)[index] = new
        else:
            setattr(above, field, new)
        new = above
    return new if isinstance(new, ast.stmt) else None


def _copied(node: ast.AST) -> ast.AST:
    made = copy.copy(node)
    for field, value in ast.iter_fields(made):
        if isinstance(value, list):
            setattr(made, field, list(value))
    return made


def _owner(root: ast.stmt, path: Path) -> tuple[str, bool]:
    names: list[str] = []
    function = False
    for node in _walk_path(root, path):
        if isinstance(node, ast.ClassDef):
            names.append(node.name)
        elif isinstance(node, ast.FunctionDef):
            names.append(node.name)
            function = True
            break
        elif isinstance(node, ast.Assign):
            names.append(ast.unparse(node.targets[0]))
            break
        elif isinstance(node, ast.AnnAssign):
            names.append(ast.unparse(node.target))
            break
    return ".".join(names) or "?", function


def _region(path: Path) -> str:
    return ".".join(str(index) for _, index in path[:3] if index is not None)


def _lines(root: ast.stmt, path: Path) -> tuple[int, int]:
    nodes = _walk_path(root, path)
    for node in reversed(nodes):
        if isinstance(node, ast.stmt | ast.match_case | ast.excepthandler):
            first = node.pattern.lineno if isinstance(node, ast.match_case) else node.lineno
            body = getattr(node, "body", None)
            last = (node.end_lineno or first) if not isinstance(node, ast.match_case) else first
            if isinstance(body, list) and body:
                last = max(first, min(last, body[0].lineno - 1))
            return first, last
    return 0, 0


def _short(node: ast.AST) -> str:
    if isinstance(node, ast.match_case):
        text = f"case {ast.unparse(node.pattern)}"
        return text + (f" if {ast.unparse(node.guard)}" if node.guard else "")
    if isinstance(node, ast.If | ast.While):
        return f"{type(node).__name__.lower()} {ast.unparse(node.test)}"
    if isinstance(node, ast.For):
        return f"for {ast.unparse(node.target)} in {ast.unparse(node.iter)}"
    return " ".join(ast.unparse(node).split())


def _is_short(node: ast.expr | ast.stmt) -> bool:
    lines = (node.end_lineno or 0) - node.lineno
    return (lines <= 4 or hasattr(node, "body")) and len(_short(node)) <= TEXT_MAX


def _texts(before: ast.stmt, after: ast.stmt, path: Path) -> tuple[str, str]:
    """Write the changed code, with as much around it as fits into a line."""
    old = _walk_path(before, path)
    depth = len(old) - 1
    whole = len(_walk_same(before, after, path)) == len(old)
    if not whole:
        depth -= 1
    if isinstance(old[depth], ast.arguments | ast.keyword | ast.comprehension | ast.cmpop):
        depth -= 1
    while depth > 0 and isinstance(old[depth], ast.expr | ast.keyword | ast.comprehension):
        above = old[depth - 1]
        if not isinstance(above, ast.expr | ast.stmt) or not _is_short(above):
            break
        depth -= 1
    new = _walk_same(before, after, path[:depth])
    was, now = old[-1], _walk_same(before, after, path)[-1]
    if isinstance(was, ast.Dict) and isinstance(now, ast.Dict) and len(was.keys) > len(now.keys):
        gone = next(i for i, v in enumerate(was.values) if v not in now.values)
        key = was.keys[gone]
        return _cut(f"{_short(key) if key else '**'}: {_short(was.values[gone])}"), "(taken out)"
    old_text, new_text = _short(old[depth]), _short(new[-1])
    if len(old_text) > TEXT_MAX and not whole:  # something was taken out of a long list
        return _cut(_short(old[-1])), "(taken out)"
    return _cut(old_text), _cut(new_text)


def _walk_same(before: ast.AST, after: ast.AST, path: Path) -> list[ast.AST]:
    """Walk the changed tree as far as *path* leads in it."""
    nodes, old = [after], before
    for field, index in path:
        value, was = getattr(nodes[-1], field, None), getattr(old, field)
        if index is not None:
            if not isinstance(value, list) or len(value) != len(was):
                break
            value, was = value[index], was[index]
        if not isinstance(value, ast.AST):
            break
        nodes.append(value)
        old = was
    return nodes


def _cut(text: str) -> str:
    return text if len(text) <= 2 * TEXT_MAX else text[: 2 * TEXT_MAX - 1] + "…"


# --- what ---------------------------------------------------------------------------------

Found = Iterator[tuple[Path, Change]]


def _changes(node: ast.AST, path: Path) -> Found:
    yield from ((path, change) for change in _of(node))
    for field, value in ast.iter_fields(node):
        if field in _SKIPPED.get(type(node), ()) or field in ("annotation", "returns"):
            continue
        if isinstance(value, ast.AST):
            yield from _changes(value, (*path, (field, None)))
        elif field == "keys" and len(path) > _DEEP and not any(f == "body" for f, _ in path):
            continue  # the field names of the rules: each is checked when the module is loaded
        elif isinstance(value, list):
            yield from _of_list(node, field, value, path)
            for index, item in enumerate(value):
                if isinstance(item, ast.keyword) and item.arg == "strict":
                    continue  # zip's: an assert by another name
                if isinstance(item, ast.AST) and not _is_docstring(node, field, index, item):
                    yield from _changes(item, (*path, (field, index)))


_SKIPPED: dict[type[ast.AST], tuple[str, ...]] = {
    ast.Assert: ("test", "msg"),
    ast.JoinedStr: ("values",),
    ast.FunctionDef: ("decorator_list", "type_params"),
    ast.ClassDef: ("decorator_list", "bases", "keywords"),
    ast.Assign: ("targets",),
    ast.AnnAssign: ("target", "annotation"),
    ast.For: ("target",),
    ast.comprehension: ("target",),
    ast.Attribute: (),
    ast.ExceptHandler: ("type",),
    ast.match_case: ("pattern",),
}


def _is_docstring(node: ast.AST, field: str, index: int, item: ast.AST) -> bool:
    return (
        field == "body"
        and index == 0
        and isinstance(node, ast.FunctionDef | ast.ClassDef)
        and isinstance(item, ast.Expr)
        and isinstance(item.value, ast.Constant)
    )


def _of_list(node: ast.AST, field: str, items: list[ast.AST], path: Path) -> Found:
    """Take items out of lists."""
    take_out: Change = lambda _: None  # noqa: E731
    match node, field:
        case (ast.Tuple() | ast.List() | ast.Set(), "elts") if len(items) > 1:
            if isinstance(getattr(node, "ctx", ast.Load()), ast.Load):
                for index in range(len(items)):
                    yield (*path, (field, index)), take_out
        case ast.Call(), "keywords":
            for index, item in enumerate(items):
                if isinstance(item, ast.keyword) and item.arg not in (None, "strict"):
                    yield (*path, (field, index)), take_out
        case ast.Match(), "cases" if len(items) > 1:
            for index in range(len(items)):
                yield (*path, (field, index)), take_out
        case ast.comprehension(), "ifs":
            for index in range(len(items)):
                yield (*path, (field, index)), take_out


def _of(node: ast.AST) -> Iterator[Change]:
    if isinstance(node, ast.expr):
        return _of_expression(node)
    return _of_statement(node)


def _of_expression(node: ast.expr) -> Iterator[Change]:
    match node:
        case ast.Compare(ops=ops):
            for index, op in enumerate(ops):
                for other in _COMPARED[type(op)]:
                    yield _set(lambda n, i=index, o=other: n.ops.__setitem__(i, o()))
        case ast.BoolOp(op=op, values=values):
            other_op = ast.Or if isinstance(op, ast.And) else ast.And
            yield _set(lambda n, o=other_op: setattr(n, "op", o()))
            for index in range(len(values)):
                yield lambda n, i=index: _without(n, i)
        case ast.UnaryOp(op=ast.Not()):
            yield lambda n: n.operand
        case ast.UnaryOp(op=ast.USub()):
            yield lambda n: n.operand
        case ast.BinOp(op=ast.BitOr()):
            yield lambda n: n.left
            yield lambda n: n.right
        case ast.BinOp(op=op) if type(op) in _COMPUTED:
            yield _set(lambda n, o=op: setattr(n, "op", _COMPUTED[type(o)]()))
        case ast.Constant():
            yield from _of_constant(node)
        case ast.Call(func=ast.Name(id=name)) if name in _CALLED:
            yield _set(lambda n, o=_CALLED[name]: setattr(n, "func", ast.Name(o, ast.Load())))
        case ast.Dict(keys=keys):
            for index in range(len(keys)):
                yield lambda n, i=index: ast.Dict(
                    keys=[k for j, k in enumerate(n.keys) if j != i],
                    values=[v for j, v in enumerate(n.values) if j != i],
                )
        case ast.IfExp():
            yield from _of_test()


def _of_test() -> Iterator[Change]:
    yield _set(lambda n: setattr(n, "test", ast.Constant(value=True)))
    yield _set(lambda n: setattr(n, "test", ast.Constant(value=False)))


def _of_statement(node: ast.AST) -> Iterator[Change]:
    match node:
        case ast.AugAssign(op=op):
            if type(op) in _COMPUTED:
                yield _set(lambda n, o=op: setattr(n, "op", _COMPUTED[type(o)]()))
            yield lambda n: ast.Pass()
        case ast.If():
            yield from _of_test()
        case ast.While():
            yield _set(lambda n: setattr(n, "test", ast.Constant(value=False)))
        case ast.For():
            yield _set(lambda n: setattr(n, "iter", ast.Tuple(elts=[], ctx=ast.Load())))
        case ast.match_case(guard=guard) if guard is not None:
            yield _set(lambda n: setattr(n, "guard", None))
        case ast.ExceptHandler(body=body) if not isinstance(body[0], ast.Raise):
            yield _set(lambda n: setattr(n, "body", [ast.Raise()]))
        case ast.Return(value=value) if value is not None:
            if not (isinstance(value, ast.Constant) and value.value is None):
                yield _set(lambda n: setattr(n, "value", ast.Constant(value=None)))
        case ast.Expr(value=ast.Constant()):
            return
        case ast.Expr(value=ast.Yield() | ast.YieldFrom()):
            yield _set(lambda n: setattr(n, "value", ast.Constant(value=None)))
        case ast.Expr() | ast.Raise() | ast.Delete():
            yield lambda n: ast.Pass()
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            yield lambda n: ast.Pass()
        case ast.Continue():
            yield lambda n: ast.Pass()
            yield lambda n: ast.Break()
        case ast.Break():
            yield lambda n: ast.Pass()
            yield lambda n: ast.Continue()


def _of_constant(node: ast.Constant) -> Iterator[Change]:
    value = node.value
    if isinstance(value, bool):
        yield _set(lambda n: setattr(n, "value", not n.value))
    elif isinstance(value, int):
        yield _set(lambda n: setattr(n, "value", n.value + 1))
        yield _set(lambda n: setattr(n, "value", n.value - 1))
    elif isinstance(value, float):
        yield _set(lambda n: setattr(n, "value", n.value * 2 + 0.1))
        if value:
            yield _set(lambda n: setattr(n, "value", n.value / 2))
    elif isinstance(value, str) and " " not in value:
        yield _set(lambda n: setattr(n, "value", "XX" + n.value))


def _set(change: Callable[[ast.AST], object]) -> Change:
    def changed(node: ast.AST) -> ast.AST:
        change(node)
        return node

    return changed


def _without(node: ast.AST, index: int) -> ast.AST:
    assert isinstance(node, ast.BoolOp)
    node.values.pop(index)
    return node.values[0] if len(node.values) == 1 else node
