"""How much a threshold says, and how often that is right, on pictures that it was not fitted on.

    aware evaluate --run runs/expert --split val --output runs/expert/val
    python3 tools/threshold_halves.py runs/expert/val/scores.csv ...

Each set with both classes is halved 60 times; the threshold for "fake" is fitted on one half of each as
trainer/src/temperature.rs does it, the most careful one counts, and is judged on the other halves.
"""

import csv
import math
import random
import sys

WANTED = 0.90
HALVINGS = 60


def wilson_lower(right, total, deviations):
    share, z = right / total, deviations**2
    spread = deviations * math.sqrt(share * (1 - share) / total + z / (4 * total * total))
    return (share + 0.5 * z / total - spread) / (1 + z / total)


def threshold(rows, deviations):
    """The last logit above 0 at which everything from the top on was fake often enough."""
    found, right = math.inf, 0
    ranked = sorted((row for row in rows if row[0] > 0), reverse=True)
    for total, (logit, is_fake) in enumerate(ranked, 1):
        right += is_fake
        if wilson_lower(right, total, deviations) >= WANTED:
            found = logit
    return found


def judge(sets, deviations):
    """For each set: share of its pictures called fake, and share of these that are."""
    draw = random.Random(1)
    counts = {name: [0, 0, 0] for name in sets}
    for _ in range(HALVINGS):
        limit, others = -math.inf, {}
        for name, rows in sets.items():
            rows = draw.sample(rows, len(rows))
            limit = max(limit, threshold(rows[: len(rows) // 2], deviations))
            others[name] = rows[len(rows) // 2 :]
        for name, rows in others.items():
            called = [is_fake for logit, is_fake in rows if logit >= limit]
            counts[name] = [a + b for a, b in zip(counts[name], (len(rows), len(called), sum(called)))]
    return {name: (called / seen, right / called if called else math.nan) for name, (seen, called, right) in counts.items()}


for path in sys.argv[1:]:
    sets = {}
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            sets.setdefault(row["dataset"], []).append((float(row["logit"]), int(row["label"])))
    sets = {name: rows for name, rows in sets.items() if len({is_fake for _, is_fake in rows}) == 2}
    for deviations in (1.0, 0.5):
        shares = (f"{name} {called:.1%}, {right:.2f} right" for name, (called, right) in judge(sets, deviations).items())
        print(path, deviations, "; ".join(shares))
