"""Writes trainer/tests/data/judgement.json: scikit-learn's and numpy's judgement of the sets in metrics.json.

Run it in the virtual environment of `cargo xtask setup`, after tools/golden.py:

    target/venv/bin/python -B tools/golden_judgement.py
"""

import json
from pathlib import Path

import numpy as np
from sklearn import metrics

DATA = Path(__file__).resolve().parent.parent / "trainer/tests/data"


def main():
    cases = [judge(case) for case in json.loads((DATA / "metrics.json").read_text())]
    lines = ",\n".join(json.dumps(case) for case in cases)
    (DATA / "judgement.json").write_text(f"[\n{lines}\n]\n")


def judge(case):
    scores, fakes = np.array(case["scores"]), np.array(case["fakes"])
    called = scores >= 0.5
    counts = metrics.confusion_matrix(fakes, called, labels=[0, 1]).ravel()
    gaps, weights = calibration(scores, fakes)
    return {
        "name": case["name"],
        "confusion": counts.tolist(),
        "specificity": metrics.recall_score(fakes, called, pos_label=0, zero_division=0),
        "balanced_accuracy": metrics.balanced_accuracy_score(fakes, called),
        "equal_error_rate": equal_error_rate(fakes, scores),
        "ece": float(np.sum(gaps * weights)),
        "mce": float(gaps.max()),
        "brier": metrics.brier_score_loss(fakes, scores),
        "nll": metrics.log_loss(fakes, scores, labels=[0, 1]),
    }


def calibration(scores, fakes):
    """Distance of mean score and share of fakes in each filled bin, and the bin's share of all."""
    which = np.minimum((scores * 10).astype(int), 9)
    filled = np.unique(which)
    gaps = np.array([abs(scores[which == b].mean() - fakes[which == b].mean()) for b in filled])
    return gaps, np.array([(which == b).mean() for b in filled])


def equal_error_rate(fakes, scores):
    """Where the ROC polygon meets the line on which both error rates are equal."""
    alarms, hits, _ = metrics.roc_curve(fakes, scores, drop_intermediate=False)
    difference = alarms + hits - 1
    return float(np.interp(0, difference, alarms))


if __name__ == "__main__":
    main()
