"""
The metrics of a script that has ended: of two files in its output folder, and of its log.

``metrics.jsonl`` has a JSON table in each line, ``metrics.json`` is one table; a key ``step`` counts
the steps. What a script wrote may be anything: reading it is bounded in time and in size, and what
is no finite number is left out. A problem is a note for the log, and never an error.

As a program (``python -I -S metrics.py LOG``, regular expressions as JSON on standard input) it
prints what it finds in a log.
"""

from __future__ import annotations

import errno
import json
import math
import os
import re
import signal
import stat
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO

#: For all metrics of a training; it has not ended until they are read.
SECONDS_MAX = 5.0
#: A longer file is read at its end only, and its lowest and highest values are not known.
FILE_BYTES_MAX = 64 << 20
#: A longer line is left out; ``metrics.json`` counts as a line.
LINE_BYTES_MAX = 1 << 20
NAMES_MAX, NAME_CHARS_MAX, DEPTH_MAX = 100, 100, 10
_TAIL_BYTES = 256 << 10
_TAIL_SHARE = 0.2  # of the time for a file, kept for its end
_STEP_MAX = 10**15

Row = list[Any]
_Series = dict[str, "_Values"]


class _TooLate(Exception):  # noqa: N818  (a condition)
    """The time is up."""


class _Values:
    """The values of one metric, as they come."""

    __slots__ = ("count", "final", "highest", "highest_step", "lowest", "lowest_step", "step")

    def __init__(self) -> None:
        self.count = 0
        self.final = self.lowest = self.highest = 0.0
        self.step: int | None = None
        self.lowest_step: int | None = None
        self.highest_step: int | None = None

    def add(self, value: float, step: int | None) -> None:
        """Add the next value."""
        self.final, self.step = value, step
        if not self.count or value < self.lowest:
            self.lowest, self.lowest_step = value, step
        if not self.count or value > self.highest:
            self.highest, self.highest_step = value, step
        self.count += 1

    def row(self, name: str, *, whole: bool) -> Row:
        """Return the fields as `jobcore.metrics.encode_metrics` orders them."""
        row = [name, self.final, self.step]
        if whole:
            row += [self.count, self.lowest, self.lowest_step, self.highest, self.highest_step]
        return row


class Reader:
    """
    Reads the metrics of one training.

    Args:
        seconds: for all of it together.
    """

    def __init__(self, seconds: float = SECONDS_MAX) -> None:
        """Start the clock."""
        self.notes: list[str] = []
        self._until = time.monotonic() + seconds

    def read(self, output: str, log: str, regexes: Mapping[str, str]) -> list[Row]:
        """Read files of the folder *output*, and search *log* for those that the files do not have."""
        rows = {row[0]: row for row in self._files(output, parts=len(regexes) + 1)}
        for row in self.search(log, {k: v for k, v in regexes.items() if k not in rows}):
            rows[row[0]] = row
        if len(rows) > NAMES_MAX:
            self.notes.append(f"{len(rows)} metrics; the first {NAMES_MAX} are kept")
        return list(rows.values())[:NAMES_MAX]

    def search(self, log: str, regexes: Mapping[str, str]) -> list[Row]:
        """Search a log, each regular expression for itself: a slow one takes no other's time."""
        rows = []
        for number, (name, regex) in enumerate(regexes.items()):
            try:
                pattern = re.compile(regex)
            except (re.error, RecursionError, OverflowError) as error:
                self.notes.append(f"{name}: not a regular expression: {error}")
                continue
            series, whole = self._scan(log, _matches(name, pattern), len(regexes) - number, name)
            rows += [values.row(name, whole=whole) for values in series.values()]
        return rows

    def _files(self, folder: str, *, parts: int) -> list[Row]:
        lines, table = (os.path.join(folder, name) for name in ("metrics.jsonl", "metrics.json"))
        series, whole = self._scan(lines, _add_table, parts, "metrics.jsonl")
        last: _Series = {}
        with self._opened(table, "metrics.json") as file:
            if file is not None:
                text = file.read(LINE_BYTES_MAX + 1)
                if len(text) > LINE_BYTES_MAX:
                    self.notes.append(f"metrics.json: more than {LINE_BYTES_MAX:,} bytes; not read")
                elif not _add_table(last, text, None):
                    self.notes.append("metrics.json: not a JSON table; not read")
        for name, values in last.items():
            if name not in series:
                series[name] = _Values()
            series[name].add(values.final, values.step)
        return [
            values.row(name, whole=whole or values.count == 1) for name, values in series.items()
        ]

    def _scan(
        self, path: str, add: Callable[[_Series, bytes, int | None], bool], parts: int, what: str
    ) -> tuple[_Series, bool]:
        """
        Read the lines of a file with *add*, or those at its end if all are too many.

        Args:
            parts: the files, this one included, that share the rest of the time.
            what: names the file in a note.

        Returns:
            The values by name, and whether the whole file was read.
        """
        seconds = max(0.01, (self._until - time.monotonic()) / parts)
        with self._opened(path, what) as file:
            if file is None:
                return {}, True
            size = os.fstat(file.fileno()).st_size
            series: _Series = {}
            try:
                if size <= FILE_BYTES_MAX:
                    with _alarm(seconds * (1 - _TAIL_SHARE)):
                        self._add_lines(series, file, add, what)
                    return series, True
            except _TooLate:
                pass
            series = {}
            try:
                with _alarm(seconds * _TAIL_SHARE):
                    if file.seek(max(0, size - _TAIL_BYTES)):
                        file.readline(_TAIL_BYTES)  # most likely the end of a line
                    for line in _lines(file):
                        add(series, line, None)
            except _TooLate:
                self.notes.append(f"{what}: it took more than {seconds:.1f} s; left out")
                series = {}
            return series, False

    def _add_lines(
        self,
        series: _Series,
        file: BinaryIO,
        add: Callable[[_Series, bytes, int | None], bool],
        what: str,
    ) -> None:
        number = bad = 0
        for line in _lines(file):
            if add(series, line, number + 1):
                number += 1
            elif line.strip():
                bad += 1
        if bad and what == "metrics.jsonl":
            self.notes.append(f"metrics.jsonl: {bad} lines are no JSON tables; left out")

    @contextmanager
    def _opened(self, path: str, what: str) -> Iterator[BinaryIO | None]:
        """Open a file of the script; None if there is none. Links, pipes and devices are not read."""
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            if error.errno != errno.ENOENT:
                why = "it is a link" if error.errno == errno.ELOOP else error.strerror
                self.notes.append(f"{what}: {why}; not read")
            yield None
            return
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            self.notes.append(f"{what}: not a file; not read")
            yield None
            return
        with os.fdopen(fd, "rb") as file:
            yield file


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """Raise `_TooLate` after a time; a search of `re` ends then, as it looks for signals."""

    def ring(*_: object) -> None:
        raise _TooLate

    before = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Read lines, without those that are too long, as far as a file may be read."""
    left, is_rest = FILE_BYTES_MAX, False
    while left > 0 and (line := file.readline(LINE_BYTES_MAX)):
        left -= len(line)
        is_whole = line.endswith(b"\n")
        if not is_rest and (is_whole or len(line) < LINE_BYTES_MAX):
            yield line
        is_rest = not is_whole


def _matches(name: str, pattern: re.Pattern[str]) -> Callable[[_Series, bytes, int | None], bool]:
    """Make the reader of a line of a log; a value's step is its number, from 1."""

    def add(series: _Series, line: bytes, number: int | None) -> bool:
        # A progress bar writes its states into one line.
        for part in line.decode("utf-8", "replace").replace("\r", "\n").split("\n"):
            for found in pattern.finditer(part) if part else ():
                value = _number(found[1] or "")
                if value is not None:
                    values = series.setdefault(name, _Values())
                    values.add(value, None if number is None else values.count + 1)
        return True

    return add


def _add_table(series: _Series, text: bytes, number: int | None) -> bool:
    """Add the numbers of a JSON table; its step, or *number* if it has none. False: it is no table."""
    try:
        table = json.loads(text)
    except (ValueError, RecursionError):
        return False
    if not isinstance(table, dict):
        return False
    step = _number(table.pop("step", None))
    if step is not None and step.is_integer() and abs(step) <= _STEP_MAX:
        number = int(step)
    for name, value in _numbers(table):
        if name in series or len(series) <= NAMES_MAX:  # one more, so that it is told
            series.setdefault(name, _Values()).add(value, number)
    return True


def _numbers(table: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """Walk the numbers of a table; those of inner tables are called ``outer/inner``."""
    levels: list[tuple[str, Iterator[tuple[str, Any]]]] = [("", iter(table.items()))]
    while levels:
        prefix, items = levels[-1]
        for key, value in items:
            name = prefix + key
            if len(name) > NAME_CHARS_MAX or not name or not name.isprintable():
                continue
            if isinstance(value, dict):
                if len(levels) < DEPTH_MAX:
                    levels.append((f"{name}/", iter(value.items())))
                    break
            elif not isinstance(value, str) and (number := _number(value)) is not None:
                yield name, number
        else:
            levels.pop()


def _number(value: object) -> float | None:
    """Read a finite number; None for anything else, true and false included."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


if __name__ == "__main__":
    print(json.dumps(Reader().search(sys.argv[1], json.load(sys.stdin))))
