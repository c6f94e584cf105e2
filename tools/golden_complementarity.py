"""Writes trainer/tests/data/complementarity.json: scikit-learn's and numpy's figures for scores and embeddings from a seed.

Run it in the virtual environment of `cargo xtask setup`:

    target/venv/bin/python -B tools/golden_complementarity.py
"""

import json
from pathlib import Path

import numpy as np
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import precision_score, recall_score, roc_auc_score, roc_curve
from sklearn.model_selection import PredefinedSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

OUT = Path(__file__).resolve().parent.parent / "trainer/tests/data/complementarity.json"
RIDGE = 1e-3
FOLDS = 5


def main():
    rng = np.random.default_rng(7)
    test, val = (scores(rng, count) for count in (60, 45))
    data = {
        "test": test,
        "val": val,
        "comparison": comparison(test, val),
        "curves": curves(test),
        "tall": components(embedding(rng, 40, 9)),
        "wide": components(embedding(rng, 12, 17)),
    }
    data["dimensions"] = dimensions(rng)
    OUT.write_text(json.dumps(data, separators=(",", ":")) + "\n")


def scores(rng, count):
    """Labels, groups of three pictures, and two sets of logits that share half of what they know."""
    fakes = rng.integers(0, 2, count)
    shared = rng.normal(size=count)
    first = 1.2 * (fakes - 0.5) + shared + rng.normal(size=count)
    second = 1.5 * (fakes - 0.5) + shared + 1.4 * rng.normal(size=count)
    groups = [f"g{index // 3:02}" for index in range(count)]
    rounded = [np.round(logits, 3).tolist() for logits in (first, second)]
    return {"fakes": fakes.tolist(), "groups": groups, "first": rounded[0], "second": rounded[1]}


def columns(case):
    return np.array([case["first"], case["second"]]).T, np.array(case["fakes"])


def regression(count):
    # scikit-learn weighs the sum of the losses, not their mean.
    logistic = LogisticRegression(C=1 / (count * RIDGE), solver="newton-cholesky", tol=1e-12, max_iter=1000)
    return make_pipeline(StandardScaler(), logistic)


def comparison(test, val):
    (x, fakes), (val_x, val_fakes) = columns(test), columns(val)
    fitted = regression(len(val_x)).fit(val_x, val_fakes)
    logistic = fitted[-1]
    names = sorted(set(test["groups"]))
    fold = PredefinedSplit([names.index(group) % FOLDS for group in test["groups"]])
    # The folds are not equally large, and C depends on their size.
    crossed = np.zeros(len(x))
    for learned, held in fold.split():
        crossed[held] = regression(len(learned)).fit(x[learned], fakes[learned]).decision_function(x[held])
    called = x >= 0
    return {
        "auc": [roc_auc_score(fakes, x[:, which]) for which in (0, 1)],
        "correlation": float(np.corrcoef(x.T)[0, 1]),
        "disagreement": float(np.mean(called[:, 0] != called[:, 1])),
        "weights": logistic.coef_[0].tolist(),
        "bias": float(logistic.intercept_[0]),
        "fitted_auc": roc_auc_score(fakes, fitted.decision_function(x)),
        "crossed_auc": roc_auc_score(fakes, crossed),
    }


def curves(test):
    x, fakes = columns(test)
    probabilities = 1 / (1 + np.exp(-x[:, 0]))
    alarms, recall, thresholds = roc_curve(fakes, probabilities, drop_intermediate=False)
    steps = np.arange(0, 101) / 100
    called = [probabilities >= step for step in steps]
    return {
        "alarms": alarms.tolist(),
        "recall": recall.tolist(),
        "thresholds": thresholds[1:].tolist(),
        "sweep_precision": [precision_score(fakes, c) if c.any() else None for c in called],
        "sweep_recall": [recall_score(fakes, c) for c in called],
    }


def embedding(rng, rows, width):
    """Numbers with few strong directions and a column that never changes."""
    strengths = 1.5 ** -np.arange(width)
    values = rng.normal(size=(rows, width)) * strengths @ rng.normal(size=(width, width)) + rng.normal(size=width)
    values[:, 3] = 0.25
    return np.round(values, 4)


def components(values):
    scaled = StandardScaler().fit_transform(values)
    kept = PCA(n_components=0.95, svd_solver="full").fit(scaled)
    whole = PCA(svd_solver="full").fit(scaled)
    return {
        "values": values.tolist(),
        "shares": whole.explained_variance_ratio_.tolist(),
        "directions": kept.components_.tolist(),
        "reduced": kept.transform(scaled).tolist(),
    }


def dimensions(rng):
    first, second = embedding(rng, 50, 8), embedding(rng, 50, 11)
    both = np.hstack([first, second])

    def count(values, share):
        scaled = StandardScaler().fit_transform(values)
        return int(PCA(n_components=share, svd_solver="full").fit(scaled).n_components_)

    counts = [[count(values, share) for share in (0.90, 0.95, 0.99)] for values in (first, second, both)]
    return {"first": first.tolist(), "second": second.tolist(), "counts": counts}


if __name__ == "__main__":
    main()
