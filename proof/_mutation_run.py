"""Runs mutants: each in a forked process, with the tests that can notice it."""

from __future__ import annotations

import argparse
import dataclasses
import gc
import json
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from ._code_mutants import Mutant
from ._mutation_apply import Loader, NeedsLoadingError, apply
from ._mutation_tests import LEFT_OUT, ROOT, Baseline, Chooser, fails, first_run

__all__ = ["OPTIONS", "SLOW", "SURVIVED", "Result", "Runner"]

CPU_LEAST = 3.0  # seconds that a test may take with a mutant, at least; or this many times longer:
CPU_TIMES = 6
LOADED_CPU = 60.0  # seconds for the tests of a module that is loaded again
KILLED, SURVIVED, SLOW = "killed", "survived", "too slow"


OPTIONS = (
    "-o", "addopts=--import-mode=importlib --strict-markers", "-s", "-p", "no:randomly", "-p", "no:terminal", "-p", "no:cacheprovider",
    "-p", "no:faulthandler", "-W", "ignore:Module already imported",
)  # fmt: skip


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
        base = first_run(session)
        print(f"first run: {time.process_time() - began:.0f} s of CPU", flush=True)
        choose = Chooser(session.items, base, self.budget)
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
                            files = choose.files_for(waiting, items)
                            _in_child(waiting, items, files, base, say, load=load)
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

    def _collect(self, running: dict[int, tuple[Mutant, int]], choose: Chooser) -> None:
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
        """Write the mutants that are not known to be killed, for ``--again``."""
        if self.save is not None:
            killed = {r.mutant.key for r in self.results if r.verdict != SURVIVED}
            left = [m.key for m in self.wanted if m.key not in killed]
            self.save.write_text(json.dumps(left))


def _in_child(
    mutant: Mutant,
    items: Sequence[pytest.Item],
    files: Sequence[str],
    base: Baseline,
    say: int,
    *,
    load: bool,
) -> None:
    """
    Run in a forked process: exit code 0 if no test fails; the test that failed is written to *say*.

    If no test of *items* fails, *files* run with the modules loaded again: a test may call the code
    when it is collected, in its parameters.
    """
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
    for item in () if load else items:
        limit(base.seconds[item.nodeid])
        try:
            failed = fails(item)
        except BaseException:
            failed = True
        if failed:
            os.write(say, item.nodeid.encode())
            os._exit(1)
    limit(LOADED_CPU / CPU_TIMES)
    try:
        failed = _run_loaded(mutant, files)
    except BaseException:
        failed = True
    os.write(say, b"(loaded again)" if failed else b"")
    os._exit(1 if failed else 0)


@dataclasses.dataclass
class Result:
    """The verdict on a mutant, and the test that noticed it."""

    mutant: Mutant
    verdict: str
    by: str = ""
    cpu: float = 0.0


def _run_loaded(mutant: Mutant, files: Sequence[str]) -> bool:
    """Load all modules of this project again, with the mutant, and run whole files; True if a test fails."""
    ours = [
        name
        for name, module in sys.modules.items()
        if str(getattr(module, "__file__", None) or "").startswith((f"{ROOT}/src", f"{ROOT}/tests"))
        or str(getattr(module, "__file__", None) or "").startswith(f"{ROOT}/simulations")
    ]
    for name in ours:
        del sys.modules[name]
    sys.meta_path.insert(0, Loader(mutant))
    return pytest.main([*OPTIONS, "-x", *files]) != 0
