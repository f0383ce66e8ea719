"""The tests of the core: the lines and time of each, and which of them to run for a mutant."""

from __future__ import annotations

import ast
import hashlib
import json
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import coverage
import pytest

from ._code_mutants import Mutant

__all__ = [
    "CORE",
    "LEFT_OUT",
    "ROOT",
    "TESTS",
    "VERDICT",
    "Baseline",
    "Chooser",
    "fails",
    "first_run",
    "modules",
    "path_of",
]

ROOT = Path(__file__).resolve().parent.parent
CORE = ROOT / "src" / "jobcore"
KEPT = ROOT / ".mutation"


def modules() -> list[str]:
    """List the modules of the core, without the package: ``errors``, ``lifecycle.retry``."""
    paths = (path for path in CORE.rglob("*.py") if path.name != "__init__.py")
    return sorted(".".join(path.relative_to(CORE).with_suffix("").parts) for path in paths)


def path_of(module: str) -> Path:
    """Give the file of a module of the core."""
    return CORE.joinpath(*module.split(".")).with_suffix(".py")


def _tests() -> tuple[str, ...]:
    """List the tests of the core's rooms and modules, and lives with the shipped fakes."""
    rooms = {module.partition(".")[0] for module in modules() if "." in module}
    tests = ROOT / "tests"
    found = [path for room in (*rooms, "machine") for path in tests.glob(f"{room}/test_*.py")]
    found += [
        path
        for path in tests.glob("test_*.py")
        if path.stem.removeprefix("test_") in (*modules(), "public_api", "values")
    ]
    return tuple(sorted(str(path.relative_to(ROOT)) for path in found))


#: The tests of the core, at the paths of what they test.
TESTS = _tests()
#: Not run: each takes seconds, and other tests check the same code.
LEFT_OUT = (
    "machine/test_checker.py", "machine/test_swarm.py", "test_simulated_histories",
    "doctor_reads_all_jobs",
)  # fmt: skip
_HOMES = ROOT / "tests/test_rooms.py"


def _tested_elsewhere() -> Mapping[str, str]:
    """Read the modules whose tests are not at their own path, with that path: the list of `_HOMES`."""
    for node in ast.parse(_HOMES.read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "TESTED_ELSEWHERE":
            homes = ast.literal_eval(node.value)
            return {module: home.partition(":")[0] for module, home in homes.items()}
    return {}


TESTED_ELSEWHERE = _tested_elsewhere()
#: They compare the words and defaults of all modules with the documentation.
SHARED = ("tests/lifecycle/test_properties_model.py", "tests/lifecycle/test_codec_properties.py")
CASES_MAX = 20  # of one slow test with many parameters, evenly spread


class Baseline:
    """By test, its CPU seconds and the core's lines that it executes."""

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


def first_run(session: pytest.Session) -> Baseline:
    base = Baseline()
    helpers = [path for path in (ROOT / "tests").glob("*.py") if path.stem[:5] != "test_"]
    shared = _digest(*sorted(CORE.rglob("*.py")), *sorted(helpers))
    by_file: dict[Path, list[pytest.Item]] = defaultdict(list)
    for item in session.items:
        by_file[item.path].append(item)
    KEPT.mkdir(exist_ok=True)
    for path, items in by_file.items():
        kept = KEPT / f"{path.parent.name}-{path.stem}.json"
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
        if fails(item):
            sys.exit(f"{item.nodeid} fails without any change; mend that first")
        seconds[item.nodeid] = time.process_time() - began
    measure.stop()
    lines: dict[str, dict[str, list[int]]] = {test: {} for test in seconds}
    data = measure.get_data()
    for file in data.measured_files():
        module = ".".join(Path(file).relative_to(CORE).with_suffix("").parts)
        for line, tests in data.contexts_by_lineno(file).items():
            for test in set(tests) & lines.keys():
                lines[test].setdefault(module, []).append(line)
    return {"seconds": seconds, "lines": lines}


class Verdict:
    """Notes whether a test failed."""

    failed = False

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.failed |= report.failed


VERDICT = Verdict()


def fails(item: pytest.Item) -> bool:
    VERDICT.failed = False
    item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
    return VERDICT.failed


def _own(module: str) -> tuple[str, ...]:
    """Give the beginnings of the paths of a module's tests: its own path under tests, or another."""
    home = TESTED_ELSEWHERE.get(module)
    if home is not None:
        return (f"tests/{home}".removesuffix(".py"),)
    *rooms, name = module.split(".")
    folder = "/".join(("tests", *rooms))
    return (f"{folder}/test_{name}", f"{folder}/test_properties_{name}")


class Chooser:
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

    def files_for(self, mutant: Mutant, items: Sequence[pytest.Item]) -> list[str]:
        """Choose files for a module that is loaded again: its own, or the first of *items*."""
        known = {item.nodeid.partition("::")[0] for item in self.items.values()}
        shared = [file for file in SHARED if file in known]
        own = sorted(file for file in known - set(shared) if file.startswith(_own(mutant.module)))
        likely = list(dict.fromkeys(item.nodeid.partition("::")[0] for item in items))
        return [*shared, *(own or likely[:4])]

    def tests_for(self, mutant: Mutant) -> list[pytest.Item]:
        tests = self._covering(mutant) & self.items.keys()
        if not tests:
            tests = {t for t in self.items if self.base.lines[t].get(mutant.module)}
        own = _own(mutant.module)
        if not mutant.in_function or not tests:
            tests |= {t for t in self.items if t.startswith((*own, SHARED[0]))}
        finer = self.killers[mutant.module, mutant.region]
        fine = self.killers[mutant.module, mutant.owner]
        coarse = self.killers[mutant.module, ""]

        def rank(test: str) -> tuple[int, int, float]:
            seconds = self.base.seconds[test]
            likely = 1 + coarse[test] + 10 * test.startswith(own)
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
    uses: dict[str, set[str]] = defaultdict(set)  # name: top-level names that use it
    lines: dict[str, set[tuple[str, int]]] = defaultdict(set)  # name: lines of functions
    homes = modules()
    for home in homes:
        for node in ast.parse(path_of(home).read_text()).body:
            _note_uses(node, home, uses, lines)
    found: dict[tuple[str, str], set[tuple[str, int]]] = {}
    for name in lines.keys() | uses.keys():
        where = {line for user in _reached(name, uses) for line in lines.get(user, ())}
        found |= {(home, name): where for home in homes}
    return found


def _note_uses(
    node: ast.stmt,
    home: str,
    uses: dict[str, set[str]],
    lines: dict[str, set[tuple[str, int]]],
) -> None:
    if isinstance(node, ast.Assign | ast.AnnAssign):
        target = node.targets[0] if isinstance(node, ast.Assign) else node.target
        for n in ast.walk(node):
            if isinstance(n, ast.Name):
                uses[n.id].add(ast.unparse(target))
    for function in ast.walk(node):
        if isinstance(function, ast.FunctionDef):
            for n in ast.walk(function):
                if isinstance(n, ast.Name):
                    lines[n.id].add((home, n.lineno))


def _reached(name: str, uses: Mapping[str, set[str]]) -> set[str]:
    """Follow the uses of a name, and the uses of those."""
    reached, todo = {name}, [name]
    while todo:
        for user in uses.get(todo.pop(), ()):
            if user not in reached:
                reached.add(user)
                todo.append(user)
    return reached
