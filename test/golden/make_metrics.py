"""Writes metrics.json: predictions and labels, and what scikit-learn makes of them, for test/metrics.test.ts.

    pip install scikit-learn==1.9.1 transformers==5.17.0
    python test/golden/make_metrics.py

The expected calibration error is written here by its definition; answers are compared by the functions for SQuAD of
transformers. Each case has one entry a line. NaN is written as null, and so is -inf, which an adjusted
accuracy of one class can be there.
"""

import json
import math
import pathlib
import re
import warnings

import numpy as np
from sklearn import metrics as m
from transformers.data.metrics import squad_metrics

warnings.simplefilter("ignore")
random = np.random.default_rng(1)


def plain(x):
    if isinstance(x, dict):
        return {k: plain(v) for k, v in x.items()}
    if isinstance(x, (list, tuple, np.ndarray)):
        return [plain(v) for v in x]
    if isinstance(x, (np.generic,)):
        x = x.item()
    if isinstance(x, float) and not math.isfinite(x):
        return None
    return x


def noisy(labels, classes, rate):
    return [random.choice(classes).item() if random.random() < rate else label for label in labels]


def draw(classes, count, weights=None):
    return random.choice(classes, count, p=weights).tolist()


def class_cases():
    for name, classes, rate in [("two", [0, 1], 0.3), ("five", [0, 1, 2, 3, 4], 0.5), ("far apart", [-7, 3, 1000], 0.4)]:
        labels = draw(classes, 60)
        yield name, noisy(labels, classes, rate), labels
    labels = draw([0, 1, 2, 3], 80, [0.9, 0.06, 0.03, 0.01])
    yield "unbalanced", noisy(labels, [0, 1, 2, 3], 0.3), labels
    yield "predicted but never right", draw([0, 1, 4], 20), draw([0, 1], 20)
    yield "never predicted", draw([1], 20), draw([0, 1, 2], 20)
    yield "nothing in common", [1, 1, 2], [0, 3, 3]
    yield "all right", [0, 1, 2, 1], [0, 1, 2, 1]
    yield "one class, of label 1", [1, 1, 1], [1, 1, 1]
    yield "one class, of label 0", [0, 0, 0], [0, 0, 0]
    yield "one label, two predicted", [0, 1, 0], [0, 0, 0]
    yield "two labels, one predicted", [0, 0, 0], [0, 1, 0]
    yield "a single example, wrong", [0], [1]
    names = ["B-PER", "I-PER", "O", "ä"]
    labels = draw(names, 40)
    yield "strings", noisy(labels, names, 0.4), labels


def report(*args, **options):
    """Where nothing is right, counts are printed as fractions, which are cut off here."""
    return re.sub(r"  (\d+)\.0$", r"    \1", m.classification_report(*args, **options), flags=re.MULTILINE)


def class_scores(predictions, labels):
    classes = sorted(set(labels) | set(predictions))
    chosen = list(dict.fromkeys([classes[-1], "absent" if isinstance(classes[0], str) else 5000, classes[0]]))
    scores = {
        "accuracy": m.accuracy_score(labels, predictions),
        "balanced": m.balanced_accuracy_score(labels, predictions),
        "adjusted": m.balanced_accuracy_score(labels, predictions, adjusted=True),
        "mcc": m.matthews_corrcoef(labels, predictions),
        "kappa": {w or "none": m.cohen_kappa_score(labels, predictions, weights=w) for w in [None, "linear", "quadratic"]},
        "confusion": {n or "none": m.confusion_matrix(labels, predictions, normalize=n) for n in [None, "true", "pred", "all"]},
        "scores": [],
        "report": report(labels, predictions, zero_division=0),
        "partial": report(labels, predictions, labels=chosen, digits=4, zero_division=np.nan),
    }
    if set(chosen) & set(labels):
        scores["confusion"]["chosen"] = m.confusion_matrix(labels, predictions, labels=chosen)
    for average in ["binary", "micro", "macro", "weighted", None]:
        if average == "binary" and (len(classes) > 2 or isinstance(classes[0], str) or (len(classes) == 2 and 1 not in classes)):
            continue
        for only in [None] if average == "binary" else [None, chosen]:
            for zero, beta in [(0.0, 1.0), (1.0, 1.0), (np.nan, 1.0), (0.0, 0.5), (1.0, 2.0), (0.0, 0.0)]:
                p, r, f, s = m.precision_recall_fscore_support(
                    labels, predictions, average=average, labels=only, zero_division=zero, beta=beta
                )
                options = {"average": average, "zeroDivision": zero, "beta": beta}
                if only:
                    options["labels"] = only
                value = {"precision": p, "recall": r, "fscore": f}
                scores["scores"].append([options, value | ({} if s is None else {"support": s})])
    return scores


def calibration_error(probabilities, labels, bins):
    confidences = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    edges = np.linspace(0, 1, bins + 1)
    error = 0.0
    for low, high in zip(edges[:-1], edges[1:]):
        inside = (confidences > low) & (confidences <= high)
        if inside.any():
            error += inside.mean() * abs(right[inside].mean() - confidences[inside].mean())
    return error


def probability_cases():
    for name, N, K, scale in [("two", 50, 2, 1.0), ("five", 40, 5, 2.0), ("confident", 40, 3, 40.0), ("one", 1, 3, 1.0)]:
        logits = random.normal(size=(N, K)) * scale
        probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        probabilities = probabilities.round(6)
        probabilities[:, -1] = 1 - probabilities[:, :-1].sum(axis=1)
        probabilities = probabilities.clip(0, 1)
        labels = random.integers(0, K, N)
        yield {
            "name": name,
            "probabilities": probabilities,
            "labels": labels,
            "logLoss": m.log_loss(labels, probabilities, labels=list(range(K))),
            "calibration": {bins: calibration_error(probabilities, labels, bins) for bins in [1, 7, 10, 15]},
        }
    for name, rows in [
        ("certain and wrong", [[1.0, 0], [0, 1], [1, 0]]),
        ("between bins", [[0.5, 0.5], [0.625, 0.375], [0.25, 0.75], [0.875, 0.125], [0.75, 0.25], [0.125, 0.875]]),
    ]:
        labels = np.array([0, 1, 1, 0, 1, 0])[: len(rows)]
        yield {
            "name": name,
            "probabilities": rows,
            "labels": labels,
            "logLoss": m.log_loss(labels, rows),
            "calibration": {bins: calibration_error(np.array(rows), labels, bins) for bins in [1, 4, 8, 10, 15]},
        }


def ranking_cases():
    labels = random.integers(0, 2, 50)
    yield "noise", random.normal(size=50).round(4), labels
    yield "a hint", (labels + random.normal(size=50)).round(4), labels
    yield "ties", (labels + random.integers(0, 3, 50)).astype(float), labels
    yield "all alike", np.zeros(50), labels
    yield "right", labels.astype(float), labels
    yield "wrong", -labels.astype(float), labels
    yield "no positive", np.arange(4.0), np.zeros(4, int)
    yield "no negative", np.arange(4.0), np.ones(4, int)


answers = [
    ["The Eiffel Tower!", ["Eiffel tower", "la tour Eiffel"]],
    ["in 1889, by Gustave Eiffel", ["1889"]],
    ["a  an\tthe", ["", "the"]],
    ["", ["something"]],
    ["something", ["the", "..."]],
    ["l’été à Paris", ["l'été a Paris"]],
    ["thé the", ["thé"]],
    ["a_b a b", ["ab b"]],
    ["one one two", ["one two two", "one three"]],
    ["New York City", ["city of New York", "NYC"]],
    ["x\u00a0y", ["x y"]],
    ["panda", ["pand"]],
    ["athe", ["the", "a", "e"]],
    ["", ["something", "the"]],
]


def answer_scores(prediction, references):
    golds = [r for r in references if squad_metrics.normalize_answer(r)] or [""]
    return {
        "exact": max(squad_metrics.compute_exact(g, prediction) for g in golds),
        "f1": max(squad_metrics.compute_f1(g, prediction) for g in golds),
    }


groups = {
    "classes": [
        {"name": name, "predictions": p, "labels": t} | class_scores(p, t) for name, p, t in class_cases()
    ],
    "probabilities": list(probability_cases()),
    "ranking": [
        {"name": name, "scores": s, "labels": t, "auc": m.roc_auc_score(t, s), "ap": m.average_precision_score(t, s)}
        for name, s, t in ranking_cases()
    ],
    "answers": [{"prediction": p, "references": r} | answer_scores(p, r) for p, r in answers],
}
lines = ",\n".join(
    f'"{group}": [\n' + ",\n".join(json.dumps(plain(case), separators=(",", ":")) for case in cases) + "\n]"
    for group, cases in groups.items()
)
(pathlib.Path(__file__).parent / "metrics.json").write_text("{\n" + lines + "\n}\n")
