"""
Mutation testing of the core: do the tests notice small wrong changes of the code?

    python -m proof.mutation [--module NAME]... [--sample N] [--again FILE] [--save FILE]

The tests run once, with a record of which of them executes which line. Then, for each mutant
(see `proof.mutants`), a forked process puts the wrong code into the loaded module and runs the
tests that can notice, most likely ones first, until one fails. What is left (*survived*) is a
wrong change that no test notices. Those in ``equivalent.toml`` change nothing that can be
observed, with a reason each; they are counted apart.

A fork for each mutant and tests chosen by line make a whole run a matter of minutes; the usual
tools start, import and collect anew for each mutant. The first run is kept in ``.mutation/``,
file by file, and taken from there while neither the file nor the core has changed.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import enum
import gc
import hashlib
import importlib.abc
import importlib.util
import json
import os
import resource
import select
import signal
import sys
import time
import tomllib
import types
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import coverage
import pytest

from proof._code_mutants import Mutant, mutants

ROOT = Path(__file__).resolve().parent.parent
CORE = ROOT / "src" / "jobcore"
EQUIVALENT = Path(__file__).with_name("equivalent.toml")
KEPT = ROOT / ".mutation"

#: The tests of the core that are fast enough: its unit tests, and lives with the shipped fakes.
TESTS = (
    "tests/unit/test_capacity.py",
    "tests/unit/test_classify.py",
    "tests/unit/test_codec.py",
    "tests/unit/test_invariants.py",
    "tests/unit/test_messages.py",
    "tests/unit/test_names.py",
    "tests/unit/test_planner.py",
    "tests/unit/test_public_api.py",
    "tests/unit/test_retry.py",
    "tests/unit/test_rules_corpus.py",
    "tests/unit/test_secrets.py",
    "tests/unit/test_evolve.py",
    "tests/unit/test_transitions.py",
    "tests/test_checks.py",
    "tests/test_values.py",
    *sorted(str(p.relative_to(ROOT)) for p in (ROOT / "tests/unit").glob("test_properties_*.py")),
    *sorted(
        str(p.relative_to(ROOT))
        for room in ("jobfile", "lifecycle", "scheduling")
        for p in (ROOT / "tests" / room).glob("test_*.py")
    ),
    *sorted(str(p.relative_to(ROOT)) for p in (ROOT / "tests/machine").glob("test_*.py")),
)
#: Too slow to be asked about each mutant; what they would notice, others do.
LEFT_OUT = ("test_simulated_histories", "doctor_reads_all_jobs")
#: Tests of a module that are not in a file of its name.
ELSEWHERE = {
    "_transitions": ("every_fact_in_every_situation",),
    "_breaker": ("test_group_breaker",),
    "_rules": ("test_rules_corpus.", "test_classify."),
}
#: Words and defaults of all modules are told here.
SHARED = ("tests/lifecycle/test_properties_model.py", "tests/unit/test_properties_codec.py")
CASES_MAX = 20  # of one slow test with many parameters, evenly spread
CPU_LEAST = 3.0  # seconds that a test may take with a mutant, at least; or this many times longer:
CPU_TIMES = 6
LOADED_CPU = 60.0  # seconds for the tests of a module that is loaded anew
KILLED, SURVIVED, SLOW = "killed", "survived", "too slow"


# --- the first run: which test executes which line, and how long it takes -------------------


class Baseline:
    """What is known of each test: its CPU seconds, and the core's lines that it executes."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.lines: dict[str, dict[str, set[int]]] = {}

    def by_line(self) -> dict[tuple[str, int], list[str]]:
        found: dict[tuple[str, int], list[str]] = defaultdict(list)
        for test, modules in self.lines.items():
            for module, lines in modules.items():
                for line in lines:
                    found[module, line].append(test)
        return found


def _digest(*paths: Path) -> str:
    return hashlib.sha256(b"\0".join(p.read_bytes() for p in paths)).hexdigest()[:16]


def _first_run(session: pytest.Session) -> Baseline:
    base = Baseline()
    shared = _digest(*sorted(CORE.glob("*.py")), ROOT / "tests/core_strategies.py")
    by_file: dict[Path, list[pytest.Item]] = defaultdict(list)
    for item in session.items:
        by_file[item.path].append(item)
    KEPT.mkdir(exist_ok=True)
    for path, items in by_file.items():
        kept = KEPT / f"{path.stem}.json"
        stamp = f"{shared}-{_digest(path)}"
        known = json.loads(kept.read_text()) if kept.exists() else {}
        if known.get("stamp") != stamp:
            known = {"stamp": stamp, **_measured(items)}
            kept.write_text(json.dumps(known))
        base.seconds |= known["seconds"]
        for test, modules in known["lines"].items():
            base.lines[test] = {m: set(lines) for m, lines in modules.items()}
    return base


def _measured(items: Sequence[pytest.Item]) -> dict[str, Any]:
    seconds: dict[str, float] = {}
    measure = coverage.Coverage(data_file=None, include=[f"{CORE}/*"], config_file=False)
    measure.set_option("run:disable_warnings", ["no-data-collected", "already-imported"])
    measure.start()
    for item in items:
        measure.switch_context(item.nodeid)
        began = time.process_time()
        if _fails(item):
            sys.exit(f"{item.nodeid} fails without any change; mend that first")
        seconds[item.nodeid] = time.process_time() - began
    measure.stop()
    lines: dict[str, dict[str, list[int]]] = {test: {} for test in seconds}
    data = measure.get_data()
    for file in data.measured_files():
        for line, tests in data.contexts_by_lineno(file).items():
            for test in set(tests) & lines.keys():
                lines[test].setdefault(Path(file).stem, []).append(line)
    return {"seconds": seconds, "lines": lines}


class _Verdict:
    """Notes whether a test failed."""

    failed = False

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.failed |= report.failed


VERDICT = _Verdict()


def _fails(item: pytest.Item) -> bool:
    VERDICT.failed = False
    item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
    return VERDICT.failed


# --- putting a mutant into the loaded modules -------------------------------------------------


class NeedsLoadingError(Exception):
    """The mutant can only be had by loading the module anew."""


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
    body = ast.parse((CORE / f"{mutant.module}.py").read_text()).body
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


class _Loader(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Loads one module of the core with a mutant in it."""

    def __init__(self, mutant: Mutant) -> None:
        self.mutant = mutant
        self.path = CORE / f"{mutant.module}.py"

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


def _files_for(mutant: Mutant, items: Sequence[pytest.Item]) -> list[str]:
    """Choose test files for a module that is loaded anew: its own, or those that are likely."""
    files = dict.fromkeys(item.nodeid.partition("::")[0] for item in items)
    name = mutant.module.strip("_")
    names = (f"test_{name}.", f"properties_{name}.", *ELSEWHERE.get(mutant.module, ()))
    own = [f for f in files if f not in SHARED and any(name in f for name in names)]
    own.sort(key=lambda file: "properties" not in file)  # quick ones first
    return [*SHARED, *own] if own else [*SHARED, *list(files)[:4]]


def _run_loaded(mutant: Mutant, files: Sequence[str]) -> bool:
    """Load everything of ours anew, with the mutant, and run whole files; True if a test fails."""
    ours = [
        name
        for name, module in sys.modules.items()
        if str(getattr(module, "__file__", None) or "").startswith((f"{ROOT}/src", f"{ROOT}/tests"))
        or str(getattr(module, "__file__", None) or "").startswith(f"{ROOT}/simulations")
    ]
    for name in ours:
        del sys.modules[name]
    sys.meta_path.insert(0, _Loader(mutant))
    return pytest.main([*_OPTIONS, "-x", *files]) != 0


# --- one mutant ---------------------------------------------------------------------------------


def _in_child(
    mutant: Mutant, items: Sequence[pytest.Item], base: Baseline, say: int, *, load: bool
) -> None:
    """Run in a forked process: exit code 0 if no test fails; what failed is written to *say*."""
    gc.disable()
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1)
    os.dup2(null, 2)
    memory = 3 << 30
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(400)  # in case it sleeps or waits

    def limit(seconds: float) -> None:
        signal.setitimer(signal.ITIMER_PROF, max(CPU_LEAST, CPU_TIMES * seconds))

    if not load:
        try:
            apply(mutant)
        except NeedsLoadingError:
            load = True
        except Exception:
            os.write(say, b"(loading)")
            os._exit(1)
    if load:
        limit(LOADED_CPU / CPU_TIMES)
        try:
            failed = _run_loaded(mutant, _files_for(mutant, items))
        except BaseException:
            failed = True
        os.write(say, b"(loaded anew)" if failed else b"")
        os._exit(1 if failed else 0)
    for item in items:
        limit(base.seconds[item.nodeid])
        try:
            failed = _fails(item)
        except BaseException:
            failed = True
        if failed:
            os.write(say, item.nodeid.encode())
            os._exit(1)
    os._exit(0)


@dataclasses.dataclass
class Result:
    """What became of a mutant, and which test noticed."""

    mutant: Mutant
    verdict: str
    by: str = ""
    cpu: float = 0.0


# --- all mutants --------------------------------------------------------------------------------


class Runner:
    """A pytest plugin that runs mutants in place of the tests."""

    def __init__(self, wanted: Sequence[Mutant], arguments: argparse.Namespace) -> None:
        self.wanted = wanted
        self.only: str = arguments.only
        self.budget: float = arguments.budget
        self.workers: int = arguments.workers
        self.save: Path | None = arguments.save
        self.results: list[Result] = []

    def pytest_collection(self) -> None:
        import hypothesis  # not sooner: pytest wants to be the first to import it

        # No shrinking: that a test fails is all that counts.
        known = hypothesis.settings.get_profile("default")
        phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
        hypothesis.settings.register_profile("mutation", known, phases=phases)
        hypothesis.settings.load_profile("mutation")

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [
            item
            for item in items
            if self.only in item.nodeid and not any(name in item.nodeid for name in LEFT_OUT)
        ]

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed:
            sys.exit("the tests cannot be collected")
        began = time.process_time()
        base = _first_run(session)
        print(f"first run: {time.process_time() - began:.0f} s of CPU", flush=True)
        choose = _Chooser(session.items, base, self.budget)
        gc.collect()
        gc.freeze()
        running: dict[int, tuple[Mutant, int]] = {}
        todo = iter(self.wanted)
        waiting = next(todo, None)
        while waiting or running:
            while waiting and len(running) < self.workers:
                items = choose.tests_for(waiting)
                if items:
                    hear, say = os.pipe()
                    pid = os.fork()
                    if pid == 0:
                        try:
                            os.close(hear)
                            load = choose.is_only_loaded(waiting)
                            _in_child(waiting, items, base, say, load=load)
                        finally:
                            os._exit(2)
                    os.close(say)
                    running[pid] = (waiting, hear)
                else:
                    self.results.append(Result(waiting, SURVIVED, "(no test executes it)"))
                waiting = next(todo, None)
            if running:
                self._collect(running, choose)
        return True

    def _collect(self, running: dict[int, tuple[Mutant, int]], choose: _Chooser) -> None:
        pid, status, usage = os.wait4(-1, 0)
        if pid not in running:
            return
        mutant, hear = running.pop(pid)
        by = os.read(hear, 4096).decode() if select.select([hear], [], [], 0)[0] else ""
        os.close(hear)
        if os.WIFSIGNALED(status):
            verdict, by = SLOW, by or "(too slow)"
        else:
            verdict = SURVIVED if os.WEXITSTATUS(status) == 0 else KILLED
        if os.WIFEXITED(status) and os.WEXITSTATUS(status) == 2:
            sys.exit(f"the runner failed with {mutant.key}")
        choose.learn(mutant, by)
        result = Result(mutant, verdict, by, usage.ru_utime + usage.ru_stime)
        self.results.append(result)
        if len(self.results) % 50 == 0:
            self.save_survivors()
        if len(self.results) % 250 == 0:
            left = sum(r.verdict == SURVIVED for r in self.results)
            cpu = sum(r.cpu for r in self.results)
            print(
                f"{len(self.results)} of {len(self.wanted)}, {left} survived, {cpu:.0f} s of CPU",
                flush=True,
            )

    def save_survivors(self) -> None:
        """Write which mutants are not known to be killed, to go on with later."""
        if self.save is not None:
            killed = {r.mutant.key for r in self.results if r.verdict != SURVIVED}
            left = [m.key for m in self.wanted if m.key not in killed]
            self.save.write_text(json.dumps(left))


class _Chooser:
    """Which tests to run for a mutant, and in which order."""

    def __init__(self, items: Sequence[pytest.Item], base: Baseline, budget: float) -> None:
        self.base = base
        self.budget = budget
        cases: dict[str, list[pytest.Item]] = defaultdict(list)
        for item in items:
            cases[item.nodeid.partition("[")[0]].append(item)
        self.items: dict[str, pytest.Item] = {}
        for group in cases.values():
            chosen = group
            mean = sum(base.seconds[i.nodeid] for i in group) / len(group)
            if len(group) > CASES_MAX and mean > 0.005:
                chosen = group[:: -(-len(group) // CASES_MAX)]
            self.items |= {item.nodeid: item for item in chosen}
        self.by_line = base.by_line()
        self.killers: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        self.users = _users()

    def learn(self, mutant: Mutant, by: str) -> None:
        if by in self.items:
            self.killers[mutant.module, mutant.region][by] += 1
            self.killers[mutant.module, mutant.owner][by] += 1
            self.killers[mutant.module, ""][by] += 1

    def _covering(self, mutant: Mutant) -> set[str]:
        if mutant.in_function:
            lines = range(mutant.line, mutant.line_end + 1)
            return {test for n in lines for test in self.by_line.get((mutant.module, n), ())}
        found: set[str] = set()
        for module, line in self.users.get((mutant.module, mutant.owner.split(".")[0]), ()):
            found.update(self.by_line.get((module, line), ()))
        return found

    def is_only_loaded(self, mutant: Mutant) -> bool:
        """Tell whether the code runs when the module is loaded, and not in a test."""
        return mutant.in_function and not self._covering(mutant)

    def tests_for(self, mutant: Mutant) -> list[pytest.Item]:
        tests = self._covering(mutant) & self.items.keys()
        if not tests:
            tests = {t for t in self.items if self.base.lines[t].get(mutant.module)}
        if not mutant.in_function or not tests:
            name = mutant.module.strip("_")
            files = (f"test_{name}.", f"properties_{name}.", "properties_model.")
            files += ELSEWHERE.get(mutant.module, ())
            tests |= {t for t in self.items if any(file in t for file in files)}
        name = mutant.module.strip("_")
        own = (f"test_{name}.", f"properties_{name}.", *ELSEWHERE.get(mutant.module, ()))
        finer = self.killers[mutant.module, mutant.region]
        fine = self.killers[mutant.module, mutant.owner]
        coarse = self.killers[mutant.module, ""]

        def rank(test: str) -> tuple[int, int, float]:
            seconds = self.base.seconds[test]
            likely = 1 + coarse[test] + 10 * any(name in test for name in own)
            return (-finer[test], -fine[test], seconds / likely)

        chosen: list[pytest.Item] = []
        spent = 0.0
        for test in sorted(tests, key=rank):
            spent += self.base.seconds[test]
            if chosen and spent > self.budget:
                break
            chosen.append(self.items[test])
        return chosen


def _users() -> Mapping[tuple[str, str], set[tuple[str, int]]]:
    """Find the lines of functions that use a name of a module's top level, directly or not."""
    uses: dict[str, set[tuple[str, str]]] = defaultdict(set)  # name: top-level names that use it
    lines: dict[tuple[str, str], set[tuple[str, int]]] = defaultdict(set)
    for path in CORE.glob("_[a-z]*.py"):
        for node in ast.parse(path.read_text()).body:
            names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
            if isinstance(node, ast.Assign | ast.AnnAssign):
                target = node.targets[0] if isinstance(node, ast.Assign) else node.target
                for name in names:
                    uses[name].add((path.stem, ast.unparse(target)))
            for function in ast.walk(node):
                if isinstance(function, ast.FunctionDef):
                    for n in ast.walk(function):
                        if isinstance(n, ast.Name):
                            lines[path.stem, n.id].add((path.stem, n.lineno))
    found: dict[tuple[str, str], set[tuple[str, int]]] = {}
    everything = {name for _, name in lines} | set(uses)
    homes = {(p.stem, n) for p in CORE.glob("_[a-z]*.py") for n in everything}
    for module, name in homes:
        reached, todo = {name}, [name]
        while todo:
            for _, user in uses.get(todo.pop(), ()):
                if user not in reached:
                    reached.add(user)
                    todo.append(user)
        found[module, name] = {
            line for (_, used), where in lines.items() if used in reached for line in where
        }
    return found


# --- what is known to change nothing ---------------------------------------------------------------


def _equivalent() -> dict[tuple[str, str, str, str, int], str]:
    """Read the list: by module, function, code before and after; *nth* where it occurs again."""
    if not EQUIVALENT.exists():
        return {}
    known: dict[tuple[str, str, str, str, int], str] = {}
    for entry in tomllib.loads(EQUIVALENT.read_text()).get("equivalent", ()):
        afters = entry["after"] if isinstance(entry["after"], list) else [entry["after"]]
        numbers = entry.get("nth", [1])
        for after in afters:
            for number in numbers if isinstance(numbers, list) else [numbers]:
                key = (entry["module"], entry["function"], entry["before"], after, number)
                assert entry["why"], entry
                known[key] = entry["why"]
    return known


# --- the command ---------------------------------------------------------------------------------

_OPTIONS = (
    "-o", "addopts=--import-mode=importlib --strict-markers", "-s", "-p", "no:randomly", "-p", "no:terminal", "-p", "no:cacheprovider",
    "-p", "no:faulthandler", "-W", "ignore:Module already imported",
)  # fmt: skip


def _modules() -> list[str]:
    return sorted(path.stem for path in CORE.glob("_[a-z]*.py"))


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m proof.mutation", description=__doc__)
    parser.add_argument("--module", action="append", help="such as _retry; may be repeated")
    parser.add_argument("--sample", type=int, help="so many mutants, spread over all")
    parser.add_argument("--again", type=Path, help="only those that a saved run left alive")
    parser.add_argument("--save", type=Path, help="write the survivors there")
    parser.add_argument(
        "--budget", type=float, default=1e9, help="seconds of tests for a mutant, likely ones first"
    )
    parser.add_argument("--only", default="", help="tests with this in their name")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--at-least", type=float, default=0.0, help="fail below this rate, in %%")
    parser.add_argument("--slowest", type=int, default=0, help="list so many that took longest")
    return parser.parse_args(argv)


def _chosen(arguments: argparse.Namespace) -> list[Mutant]:
    modules = [f"_{name.removeprefix('_')}" for name in arguments.module or _modules()]
    wanted = [
        mutant
        for module in modules
        for mutant in mutants(module, (CORE / f"{module}.py").read_text())
    ]
    if arguments.again:
        left = {tuple(key) for key in json.loads(arguments.again.read_text())}
        wanted = [mutant for mutant in wanted if mutant.key in left]
    if arguments.sample:
        wanted.sort(key=lambda m: hashlib.sha256(repr(m.key).encode()).hexdigest())
        wanted = sorted(wanted[: arguments.sample], key=lambda m: (m.module, m.line))
    return wanted


def main(argv: Sequence[str] | None = None) -> int:
    """Run; 0 if the rate is high enough."""
    arguments = _arguments(argv)
    os.chdir(ROOT)
    wanted = _chosen(arguments)
    known = _equivalent()
    asked = [mutant for mutant in wanted if mutant.key not in known]
    runner = Runner(asked, arguments)
    began = time.monotonic()
    code = pytest.main([*_OPTIONS, *TESTS], plugins=[runner, VERDICT])
    runner.save_survivors()
    if code not in (0, pytest.ExitCode.NO_TESTS_COLLECTED):
        print(f"pytest ended with {code}")
        return 2
    rate = _report(runner.results, wanted, known, time.monotonic() - began, arguments)
    return 0 if rate >= arguments.at_least else 1


def _report(
    results: Sequence[Result],
    wanted: Sequence[Mutant],
    known: Mapping[tuple[str, str, str, str, int], str],
    seconds: float,
    arguments: argparse.Namespace,
) -> float:
    survived = sorted(
        (r for r in results if r.verdict == SURVIVED),
        key=lambda r: (r.mutant.module, r.mutant.line),
    )
    for result in survived:
        m = result.mutant
        nth = f" (nth = {m.ordinal})" if m.ordinal > 1 else ""
        print(f"\nsrc/jobcore/{m.module}.py:{m.line} {m.owner}{nth} {result.by}")
        print(f"-   {m.before}\n+   {m.after}")
    print(
        f"\n{'module':14} {'mutants':>8} {'equivalent':>11} {'killed':>7} {'survived':>9} {'rate':>7}"
    )
    total: Counter[str] = Counter()
    for module in sorted({m.module for m in wanted}):
        row: Counter[str] = Counter()
        row["equivalent"] = sum(m.module == module and m.key in known for m in wanted)
        for result in results:
            if result.mutant.module == module:
                row["survived" if result.verdict == SURVIVED else "killed"] += 1
        print(_line(module, row))
        total += row
    print(_line("all", total))
    cpu = sum(r.cpu for r in results)
    slow = sum(r.verdict == SLOW for r in results)
    print(f"{cpu:.0f} s of CPU, {seconds:.0f} s in all; {slow} of the killed ran out of time")
    for result in sorted(results, key=lambda r: -r.cpu)[: arguments.slowest]:
        print(f"{result.cpu:6.1f} s  {result.verdict}  {result.mutant.key}  {result.by}")
    if not (arguments.sample or arguments.again):
        keys = {m.key for m in wanted}
        modules = {m.module for m in wanted}
        for key in known:
            if key[0] in modules and key not in keys:
                print(f"equivalent.toml names what is no mutant any more: {key}")
    tried = total["killed"] + total["survived"]
    return 100 * total["killed"] / tried if tried else 100.0


def _line(name: str, row: Counter[str]) -> str:
    tried = row["killed"] + row["survived"]
    rate = 100 * row["killed"] / tried if tried else 100.0
    return (
        f"{name:14} {tried + row['equivalent']:8} {row['equivalent']:11} {row['killed']:7}"
        f" {row['survived']:9} {rate:6.1f}%"
    )


if __name__ == "__main__":
    sys.exit(main())
