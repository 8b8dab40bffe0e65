"""What PromQL makes of the counters of the service is what numpy and scikit-learn make of the same rows."""

from pathlib import Path
from typing import Any

import numpy as np

from deploy.lib import monitoring
from models.lib.metrics import calibration_error
from tests.deploy.alerts import NAMESPACE, V1, Series, check, constants, needs_promtool, passport, series
from tests.support.repository import ROOT

RULES = monitoring.groups([], ROOT)
CHOSEN = np.random.default_rng(7)
BEFORE = 1e6  # so that a range of 901 seconds stands for as many, in all of them alike
Counted = dict[tuple[str, tuple[tuple[str, Any], ...]], float]


def counted(model: str, found: Counted, before: float = 0) -> Series:
    """Counters of a pod that counted all in one quarter of an hour, something before it, and nothing after."""
    own = {"namespace": NAMESPACE, "pod": "p1", "model": model, "version": V1}
    made = {
        series(metric, own | {key: str(each) for key, each in labels}): value
        for (metric, labels), value in found.items()
    }
    return {key: f"{before:g} {before + value:.17g}x9" for key, value in made.items()}


def sums(metric: str, weights: Any, **labels: Any) -> Counted:
    """A series for each combination of labels, with the sum of the weights that have it."""
    found: Counted = {}
    for weight, *values in zip(weights, *labels.values(), strict=True):
        key = metric, tuple(zip(labels, values, strict=True))
        found[key] = found.get(key, 0.0) + float(weight)
    return found


def binary(score: Any, target: Any) -> Counted:
    one, label, fine, tenth = (
        np.ones(len(score)),
        (score >= 0.4) * 1,
        (score * 20).astype(int),
        (score * 10).astype(int),
    )
    loss = -(target * np.log(score) + (1 - target) * np.log(1 - score))
    return {
        **sums("ml_outcome_bin_total", one, bin=fine, outcome=target),
        **sums("ml_outcome_tenth_total", one, tenth=tenth, outcome=target),
        **sums("ml_outcome_score_sum", score, tenth=tenth),
        **sums("ml_outcome_label_total", one, label=label, outcome=target),
        **sums("ml_outcome_squared_error_sum", (score - target) ** 2),
        **sums("ml_outcome_log_loss_sum", loss),
    }


@needs_promtool
def test_quality_is_that_of_the_same_rows(tmp_path: Path) -> None:
    """A class that no label or no outcome has, and a model whose outcomes are all the same, are among them."""
    from sklearn import metrics  # whose import takes a second and a half, which no other collection is to pay

    score = CHOSEN.uniform(0.01, 0.99, 3000)
    target = (CHOSEN.uniform(size=3000) < score**2) * 1
    names = np.array(["a", "b", "c", "d"])
    outcome, label = names[CHOSEN.integers(0, 3, 3000)], names[CHOSEN.integers(0, 4, 3000)]
    label[:1500] = outcome[:1500]
    number = CHOSEN.normal(-3, 5, 3000)
    said = number + CHOSEN.normal(1, 2, 3000)
    regression = {
        "count_total": np.ones(3000), "squared_error_sum": (said - number) ** 2, "error_sum": said - number,
        "absolute_error_sum": abs(said - number), "value_sum": number, "value_squared_sum": number**2,
    }  # fmt: skip
    written = counted("yes_no", binary(score, target), BEFORE) | counted(
        "one_sided", binary(score, np.zeros(3000, int)), BEFORE
    )
    written |= counted("classes", sums("ml_outcome_label_total", np.ones(3000), label=label, outcome=outcome), BEFORE)
    for name, weights in regression.items():
        written |= counted("number", sums(f"ml_outcome_{name}", weights), BEFORE)
    error = calibration_error(target.astype(float), score, np.ones((1, 3000), np.float32))[0]
    present = ["a", "b", "c"]
    expected = {
        "yes_no": {
            "roc_auc": metrics.roc_auc_score(target, (score * 20).astype(int)),
            "brier": metrics.brier_score_loss(target, score),
            "log_loss": metrics.log_loss(target, score),
            "calibration_error": error,
            "precision": metrics.precision_score(target, score >= 0.4),
            "recall": metrics.recall_score(target, score >= 0.4),
            "accuracy": metrics.accuracy_score(target, score >= 0.4),
        },
        "classes": {
            "accuracy": metrics.accuracy_score(outcome, label),
            "balanced_accuracy": metrics.recall_score(outcome, label, labels=present, average="macro"),
            "macro_f1": metrics.f1_score(outcome, label, labels=present, average="macro"),
        },
        "number": {
            "rmse": metrics.root_mean_squared_error(number, said),
            "mae": metrics.mean_absolute_error(number, said),
            "bias": (said - number).mean(),
            "r2": metrics.r2_score(number, said),
        },
    }
    samples = [
        (
            series("", {"namespace": NAMESPACE, "model": model, "version": V1, "metric": metric}),
            round(float(value) * 1e5),
        )
        for model, found in expected.items()
        for metric, value in found.items()
    ]
    labels = [(series("", {"model": each}), 3000) for each in ("yes_no", "one_sided", "classes", "number")]
    only = [
        (series("", {"metric": each}), 1)
        for each in ("accuracy", "brier", "calibration_error", "log_loss", "precision")
    ]
    check(tmp_path, RULES, "15m", written,
        ('round(1e5 * ml:quality{model!="one_sided"})', "15m", samples),
        ('group by (metric) (ml:quality{model="one_sided"})', "15m", only),
        ("round(sum by (model) (ml:quality_labels) * 900 / 901)", "75m", labels))  # fmt: skip


@needs_promtool
def test_drift_is_that_of_the_same_rows(tmp_path: Path) -> None:
    """Four quarters fill the window of an hour; before, there is none, and none after an hour without requests."""
    found = passport("drifting")
    assert found.reference
    counts = {name: CHOSEN.integers(0, 90, len(each.shares)) for name, each in found.reference.features.items()}
    counts["(answer)"] = CHOSEN.integers(0, 90, 10)
    written, expected = constants(9, found), []
    for name, each in {**found.reference.features, "(answer)": found.reference.answers}.items():
        metric = "ml_score_bin_total" if name == "(answer)" else "ml_feature_bin_total"
        of = {} if name == "(answer)" else {"feature": [name] * len(each.shares)}
        written |= counted("drifting", sums(metric, counts[name], **of, bin=range(len(each.shares))))
        rows, shares = counts[name].sum(), np.array(each.shares)
        live = (counts[name] + 5 * shares) / (rows + 5)
        psi = ((live - shares) * np.log(live / np.maximum(shares, 1e-4))).sum()
        excess = psi - each.chi2 * (1 / rows + 1 / 100_000)
        for figure, value in (("ml:psi", psi), ("ml:excess", excess)):
            expected.append((series("", {"figure": figure, "feature": name}), round(float(value) * 1e9)))
    figures = 'label_replace({__name__=~"ml:psi|ml:excess"}, "figure", "$1", "__name__", "(.+)")'
    asked = f"round(1e9 * sum by (figure, feature) ({figures}))"
    check(tmp_path, RULES, "15m", written, (asked, "60m", expected), (asked, "45m", []), ("ml:excess", "105m", []))
