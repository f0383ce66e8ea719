"""Fit a line to points by gradient descent, with nothing but the standard library."""

import argparse
import csv
import json
import os
from pathlib import Path


def read_points() -> list[tuple[float, float]]:
    """Read the points of every CSV file in the channel `train`."""
    points = []
    for path in sorted(Path(os.environ["SM_CHANNEL_TRAIN"]).rglob("*.csv")):
        with path.open(newline="") as file:
            points += [(float(x), float(y)) for x, y in csv.reader(file)]
    return points


def main() -> None:
    """Fit the line, and write it as the model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--learning-rate", type=float, default=0.1)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--verbose", action="store_true")
    args = parser.parse_args()
    points = read_points()
    slope = intercept = 0.0
    for epoch in range(1, args.epochs + 1):
        errors = [(x, slope * x + intercept - y) for x, y in points]
        slope -= args.learning_rate * sum(error * x for x, error in errors) / len(points)
        intercept -= args.learning_rate * sum(error for _, error in errors) / len(points)
        if args.verbose and epoch % 50 == 0:
            loss = sum(error**2 for _, error in errors) / len(points)
            print(
                f"epoch {epoch}  y = {slope:.3f} x + {intercept:.3f}  loss {loss:.6f}", flush=True
            )
    model = {"slope": round(slope, 6), "intercept": round(intercept, 6), "points": len(points)}
    (Path(os.environ["SM_MODEL_DIR"]) / "model.json").write_text(json.dumps(model))


if __name__ == "__main__":
    main()
