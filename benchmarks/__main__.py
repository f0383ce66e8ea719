"""Run every benchmark: ratios against bare references in the same run."""

from __future__ import annotations

from . import bench_core, bench_manager

if __name__ == "__main__":
    bench_core.run()
    bench_manager.run()
