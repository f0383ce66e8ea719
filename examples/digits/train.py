"""Train a small neural network on handwritten digits: the same script runs on a laptop and on SageMaker.

It uses the SageMaker training contract: hyperparameters as arguments, SM_MODEL_DIR for the model,
SM_OUTPUT_DATA_DIR for metrics, and a checkpoint folder that all attempts share. If an attempt is
killed, the next one continues after the last finished epoch.
"""

import argparse
import json
import os
import time
from pathlib import Path

import joblib
import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

CHECKPOINTS = Path(os.environ.get("SM_CHECKPOINT_DIR", "/opt/ml/checkpoints"))
MODEL = Path(os.environ.get("SM_MODEL_DIR", "/opt/ml/model"))
OUTPUT = Path(os.environ.get("SM_OUTPUT_DATA_DIR", "/opt/ml/output/data"))


def parse_arguments() -> argparse.Namespace:
    """Read the hyperparameters; SageMaker passes each as `--name value`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--learning-rate", type=float, default=0.01)
    parser.add_argument("--hidden", type=int, default=32)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--activation", default="relu")
    return parser.parse_args()


def load_checkpoint() -> tuple[MLPClassifier, int] | None:
    """Load the checkpoint of an earlier attempt: the model and its last finished epoch."""
    path = CHECKPOINTS / "last.joblib"
    return joblib.load(path) if path.exists() else None


def save_checkpoint(model: MLPClassifier, epoch: int) -> None:
    """Write the checkpoint in one step, so that a kill leaves the previous one."""
    CHECKPOINTS.mkdir(parents=True, exist_ok=True)
    part = CHECKPOINTS / "last.joblib.part"
    joblib.dump((model, epoch), part)
    part.replace(CHECKPOINTS / "last.joblib")


def main() -> None:
    """Train, checkpoint after every epoch, then save the model and its metrics."""
    args = parse_arguments()
    begun = time.monotonic()
    features, labels = load_digits(return_X_y=True)
    train_x, test_x, train_y, test_y = train_test_split(
        features / 16.0, labels, test_size=0.2, random_state=0, stratify=labels
    )
    found = load_checkpoint()
    if found is None:
        first_epoch = 1
        model = MLPClassifier(
            hidden_layer_sizes=(args.hidden,),
            activation=args.activation,
            learning_rate_init=args.learning_rate,
            batch_size=args.batch_size,
            random_state=0,
        )
    else:
        model, done = found
        first_epoch = done + 1
        print(f"resuming after epoch {done} from {CHECKPOINTS}", flush=True)

    OUTPUT.mkdir(parents=True, exist_ok=True)
    for epoch in range(first_epoch, args.epochs + 1):
        model.partial_fit(train_x, train_y, classes=np.arange(10))
        loss = log_loss(test_y, model.predict_proba(test_x))
        accuracy = model.score(test_x, test_y)
        print(f"epoch {epoch:3d}  loss {loss:.4f}  accuracy {accuracy:.4f}", flush=True)
        with (OUTPUT / "metrics.jsonl").open("a") as file:
            print(json.dumps({"step": epoch, "loss": loss, "accuracy": accuracy}), file=file)
        save_checkpoint(model, epoch)

    MODEL.mkdir(parents=True, exist_ok=True)
    joblib.dump(model, MODEL / "model.joblib")
    metrics = {"seconds": time.monotonic() - begun, "resumed_after": first_epoch - 1}
    (OUTPUT / "metrics.json").write_text(json.dumps(metrics))


if __name__ == "__main__":
    main()
