"""Coverage-guided fuzzing of every parser: ``python -m proof.fuzz [--executions N] [--target NAME]``.

What is fuzzed, and what counts as a finding, is in `proof.fuzz_targets`; atheris (libFuzzer) finds
inputs that reach new code. Each target runs in a process of its own. A finding is printed
with its traceback and its input, and ends with 1; run the input again with ``--replay HEX``.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

EXECUTIONS = 1_000_000
INPUT_BYTES_MAX = 1024
SECONDS_PER_INPUT = 20  # an input that takes longer is a finding, too
MEMORY_MB = 2048
INSTRUMENTED = ("jobcore", "jobcore_aws", "jobcore_cli", "jobcore_client", "jobcore_config", "jobcore_contract", "jobcore_lambda",
                "jobcore_local", "jobcore_memory", "jobcore_simulation", "jobcore_sqlite")  # fmt: skip
MISSING = """\
atheris is not installed here, and nothing was fuzzed: it has wheels for CPython on
Linux (x86-64). Install it with: python -m pip install atheris
The same targets run without it, on a fixed set of inputs: python -m pytest tests/proof/test_fuzz.py"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m proof.fuzz", description=__doc__)
    parser.add_argument(
        "--executions", type=int, default=EXECUTIONS, help="of all targets together"
    )
    parser.add_argument("--target", action="append", help="only this one; may be repeated")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1, help="processes at once")
    parser.add_argument(
        "--corpus", type=Path, help="keep the inputs found here, and begin with them"
    )
    parser.add_argument("--replay", metavar="HEX", help="run one input of --target")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options, rest = parser.parse_known_args()
    if options.inside:
        return _inside(options.target[0], rest)
    from .fuzz_targets import TARGETS

    chosen = options.target or list(TARGETS)
    if unknown := [name for name in chosen if name not in TARGETS]:
        parser.error(f"unknown target {unknown[0]}; known: {', '.join(TARGETS)}")
    if options.replay is not None:
        for name in chosen:
            TARGETS[name].run(bytes.fromhex(options.replay))
        return 0
    if importlib.util.find_spec("atheris") is None:
        print(MISSING, file=sys.stderr)
        return 2
    weights = sum(TARGETS[name].weight for name in chosen)
    shares = {name: -int(-options.executions * TARGETS[name].weight // weights) for name in chosen}
    begun = time.monotonic()
    print(
        f"{'target':<18} {'executions':>10} {'per s':>7} {'edges':>6} {'corpus':>6} {'CPU s':>6}  result"
    )
    with tempfile.TemporaryDirectory(prefix="jobcore-fuzz-") as folder:
        corpora = options.corpus or Path(folder) / "corpus"

        def one(name: str) -> tuple[int, float, bool]:
            return _run(name, shares[name], options.seed, corpora / name, Path(folder))

        with ThreadPoolExecutor(options.jobs) as pool:
            results = list(pool.map(one, chosen))
    executed = sum(number for number, _, _ in results)
    findings = sum(not clean for _, _, clean in results)
    cpu = sum(seconds for _, seconds, _ in results)
    print(
        f"{executed:,} executions of {len(chosen)} targets, {findings} targets with a finding; "
        f"{cpu:.0f} s CPU, {time.monotonic() - begun:.0f} s"
    )
    return 1 if findings or executed < options.executions else 0


def _run(
    name: str, executions: int, seed: int, corpus: Path, folder: Path
) -> tuple[int, float, bool]:
    """Fuzz one target in a process of its own; give executions, CPU seconds, and whether it is clean."""
    from .fuzz_targets import TARGETS

    corpus.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(TARGETS[name].seeds):
        (corpus / f"seed-{number}").write_bytes(data)
    artifact = folder / f"finding-{name}"
    command = [
        sys.executable, "-m", "proof.fuzz", "--inside", "--target", name,
        f"-runs={executions}", f"-seed={seed}", f"-max_len={INPUT_BYTES_MAX}", "-len_control=20",
        f"-timeout={SECONDS_PER_INPUT}", f"-rss_limit_mb={MEMORY_MB}", f"-exact_artifact_path={artifact}",
        "-print_final_stats=1", "-verbosity=1", str(corpus),
    ]  # fmt: skip
    environment = os.environ | {"PYTHONHASHSEED": "0", "JOBCORE_HOME": str(folder / "home")}
    said_to = folder / f"said-{name}"
    with said_to.open("wb") as out:
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    said = said_to.read_text(errors="replace")
    executed = int(_last(r"stat::number_of_executed_units:\s*(\d+)", said) or 0)
    clean = process.returncode == 0 and executed >= executions
    cpu = usage.ru_utime + usage.ru_stime
    print(
        f"{name:<18} {executed:>10,} {executed / cpu if cpu else 0:>7,.0f} "
        f"{_last(r' cov: ([0-9]+)', said) or '?':>6} {_last(r' corp: ([0-9]+)', said) or '?':>6} {cpu:>6.1f}  "
        f"{'clean' if clean else 'FINDING'}",
        flush=True,
    )
    if not clean:
        print(_tail(said), flush=True)
        if artifact.exists():
            replay = f"python -m proof.fuzz --target {name} --replay {artifact.read_bytes().hex()}"
            print(f"again: {replay}\n", flush=True)
    return executed, cpu, clean


def _last(pattern: str, text: str) -> str:
    found = re.findall(pattern, text)
    return str(found[-1]) if found else ""


def _tail(text: str) -> str:
    lines = [line for line in text.splitlines() if not line.startswith(("#", "INFO", "stat::"))]
    return "\n".join(lines[-40:])


def _inside(name: str, flags: list[str]) -> int:
    """Be the process that fuzzes one target."""
    import atheris

    with atheris.instrument_imports(include=list(INSTRUMENTED), enable_loader_override=False):
        targets = importlib.import_module("proof.fuzz_targets")
    atheris.Setup([sys.argv[0], *flags], targets.TARGETS[name].run)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
