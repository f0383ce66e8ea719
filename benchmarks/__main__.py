"""Run every benchmark: ratios against bare references in the same run, and counts of AWS's billing units."""

from __future__ import annotations

from . import (
    bench_aws,
    bench_client,
    bench_code,
    bench_core,
    bench_launch,
    bench_manager,
    bench_results,
    bench_simulator,
)

if __name__ == "__main__":
    bench_core.run()
    bench_manager.run()
    bench_results.run()
    bench_code.run()
    bench_client.run()
    bench_aws.run()
    bench_launch.run()
    bench_simulator.run()
