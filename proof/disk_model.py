"""The possible contents of a disk after a power cut, given the operations before it.

The model: a volatile cache of 512-byte sectors. Each sector that was written since the last sync of
its file is there or not, independently of the others; the same holds for truncations, and for
entries of the folder since its last sync. Where a file grew and a sector of the growth was lost, it
holds zeros or garbage. A sync that succeeded is durable: a disk that reports success without writing
is not modelled. A sync that failed may have dropped the dirty mark of sectors that it did not write
(as Linux does), so no later sync writes them.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence

from .sqlite_vfs import Op

__all__ = ["SECTOR", "Disk", "Image"]

SECTOR = 512
Image = Mapping[str, bytes]

# The probability that a pending write reached the disk: mostly even, sometimes near 0 or 1.
_KEPT = (0.0, 0.1, 0.5, 0.5, 0.5, 0.5, 0.9, 1.0)


class _File:
    def __init__(self, content: bytes = b"") -> None:
        self.durable = bytearray(content)
        self.pending: list[Op] = []
        self.dropped: list[Op] = []  # after a failed sync: perhaps there, and no sync will help

    def sync(self) -> None:
        """Make pending writes durable; writes that a failed sync dropped stay uncertain."""
        if not self.dropped:
            for op in self.pending:
                _apply(self.durable, op)
            self.pending.clear()
            return
        # Older uncertain changes lie below newer certain ones: those hide them where they overlap.
        for op in self.pending:
            self.dropped = list(_uncovered(self.dropped, op))
            _apply(self.durable, op)
        self.pending.clear()

    def image(self, draw: random.Random, likely: float) -> bytes:
        content = bytearray(self.durable)
        for op in (*self.dropped, *self.pending):
            if op.kind == "truncate":
                if draw.random() < likely:
                    _apply(content, op)
                continue
            for at, piece in _sectors(op):
                if draw.random() < likely:
                    if at > len(content):
                        content += _stale(draw, at - len(content))
                    content[at : at + len(piece)] = piece
        return bytes(content)


def _apply(content: bytearray, op: Op) -> None:
    if op.kind == "truncate":
        del content[op.at :]
        return
    if op.at > len(content):
        content += bytes(op.at - len(content))
    content[op.at : op.at + len(op.data)] = op.data


def _sectors(op: Op) -> Iterable[tuple[int, bytes]]:
    """Cut a write at the borders of sectors."""
    start, end = op.at, op.at + len(op.data)
    while start < end:
        stop = min(end, (start // SECTOR + 1) * SECTOR)
        yield start, op.data[start - op.at : stop - op.at]
        start = stop


def _uncovered(older: Sequence[Op], newer: Op) -> Iterable[Op]:
    """Give the parts of uncertain writes that a certain one does not hide."""
    for op in older:
        if newer.kind == "truncate" or op.kind == "truncate":
            if newer.kind != "truncate" or op.at < newer.at:
                yield op
            continue
        for at, piece in _sectors(op):
            if not (newer.at <= at and at + len(piece) <= newer.at + len(newer.data)):
                yield Op("write", op.name, at, piece)


def _stale(draw: random.Random, size: int) -> bytes:
    return draw.randbytes(size) if draw.random() < 0.5 else bytes(size)


class Disk:
    """
    One folder on such a disk.

    Args:
        image: its first content, which is durable.
    """

    def __init__(self, image: Image) -> None:
        self._durable = {name: _File(content) for name, content in image.items()}
        self._names = dict(self._durable)  # as the running system sees them
        self._entries: list[tuple[str, _File | None]] = []  # changed since the folder's last sync

    def apply(self, op: Op) -> None:
        """Let the running system do *op*."""
        if op.kind in ("write", "truncate"):
            if op.kind == "write" or not op.failed:
                self._names[op.name].pending.append(op)
        elif op.kind == "sync":
            file = self._names[op.name]
            if op.failed:
                file.dropped += file.pending
                file.pending.clear()
            else:
                file.sync()
        elif op.failed:
            return
        elif op.kind == "create":
            self._name(op.name, _File())
        elif op.kind == "delete":
            self._name(op.name, None)
        else:
            assert op.kind == "sync_folder", op
            self._durable = dict(self._names)
            self._entries.clear()

    def _name(self, name: str, file: _File | None) -> None:
        self._entries.append((name, file))
        if file is None:
            del self._names[name]
        else:
            self._names[name] = file

    def cut(self, draw: random.Random) -> dict[str, bytes]:
        """Draw the content after a power cut now; the running system is not affected."""
        likely = draw.choice(_KEPT)
        names = dict(self._durable)
        for name, file in self._entries:
            if draw.random() < likely:
                if file is None:
                    names.pop(name, None)
                else:
                    names[name] = file
        return {name: file.image(draw, likely) for name, file in sorted(names.items())}
