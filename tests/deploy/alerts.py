"""Models whose series are written down, and promtool, which evaluates the rules of deploy/monitoring over them."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.lib import monitoring
from deploy.lib.passport import Passport

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed (Debian: apt-get install prometheus)"
)
HOUR, DAY = 4, 96  # in quarters of an hour, in which all is counted
USUAL = {
    **{"requests": 100.0, "in_budget": 99.9, "timed": 100.0},
    **{"errors_inference": 0.0, "errors_invalid": 0.0},
    **{"temp_0": 40, "temp_1": 30, "temp_2": 30, "temp_3": 0, "dest_0": 50, "dest_1": 50, "dest_2": 0, "dest_3": 0},
    **{f"answer_{place}": 10 for place in range(10)},
    **{"outcome_0_0": 30, "outcome_0_1": 5, "outcome_1_0": 10, "outcome_1_1": 15},  # of which the ROC AUC is 0.75
}
Series = dict[str, str]  # as Prometheus writes it -> values in promtool's notation
Rates = list[tuple[float, int]]  # (a quarter, how many quarters)
LIMITS = {"1h": 1.0, "1d": 0.1, "7d": 0.06}
V1, V2 = "1" * 12, "2" * 12
NAMESPACE = "models-production"
RESET = -1.0


def passport(model: str, version: str = V1, fall: float | None = None, **changes: Any) -> Passport:
    """Of a binary model: `temp` is a number that matters, `dest` a text that does not."""
    temp = {"shares": [0.4, 0.3, 0.2999, 0.0001], "chi2": 16.27, "limits": LIMITS, "broken": 0.05, "matters": True}
    dest = {"shares": [0.5, 0.4998, 0.0001, 0.0001], "chi2": 16.27, "limits": LIMITS, "broken": 0.05, "last": 2}
    answers = {"shares": [0.1] * 10, "chi2": 27.88, "limits": LIMITS, "rows": 100_000}
    record = {
        **{"model": model, "version": version, "verdict": "pass", "content": {}, "gates": [], "judged_by": []},
        "metrics": {"roc_auc": {"value": 0.75, "low": 0.74, "high": 0.76}},
        "serving": {"strategy": "canary", "slow_ms": 5.0, "latency_budget_ms": 10.0},
        "dataset": {"rows": 10_000},
        "slo": {"availability": 0.999, "latency": 0.99},
        "reference": {
            "rows": 100_000,
            "main": "roc_auc",
            "higher": ["roc_auc"],
            "fall": fall,
            "features": {"temp": temp, "dest": dest},
        }
        | {"answers": answers},
    }
    return Passport.model_validate(record | changes)


def constants(length: int, *passports: Passport) -> Series:
    """Those of production's releases as series: as rules each would be evaluated at each step."""
    found = {}
    for each in passports:
        assert each.reference
        for rule in monitoring.group("production", each, each.reference)["rules"]:
            for value, place in re.findall(r'vector\((.*?)\)(?:,"bin","(\d+)")?', rule["expr"]):
                labels = rule["labels"] | ({"bin": place} if place else {})
                found[series(rule["record"], labels)] = f"{value}x{length}"
    return found


def values(rates: Rates, start: int = 0) -> str:
    """A counter that rises so much a quarter, after `start` quarters in which it was not there; RESET starts at 0."""
    parts, total = [f"_x{start - 1}"] * (start > 0) + ["0"], 0.0
    for rate, quarters in rates:
        if rate == RESET:
            parts, total = [*parts, "0"], 0.0
            continue
        parts.append(f"{total + rate:.10g}+{rate:.10g}x{quarters - 1}")
        total += rate * quarters
    return " ".join(parts)


def series(metric: str, labels: dict[str, str]) -> str:
    return metric + "{" + ",".join(f'{key}="{value}"' for key, value in labels.items()) + "}"


def pod(
    model: str, length: int, changes: dict[str, Rates] | None = None, version: str = V1, pod: str = "p1", start: int = 0
) -> Series:
    """The series of one pod: a hundred requests a quarter with their outcomes, as in training, but for `changes`.

    Each is the rates of one series, such as `temp_3`, the bin of nulls, or `errors_inference`.
    """
    own = {"namespace": NAMESPACE, "pod": pod, "model": model, "version": version}
    found = {series("ml_start_time_seconds", own): f"{'_x' + str(start) if start else ''} 1000x{length}".strip()}
    for key, rate in USUAL.items():
        kind, _, rest = key.partition("_")
        metric, labels = {
            "requests": ("ml_requests_total", {}),
            "errors": ("ml_errors_total", {"reason": rest}),
            "in": ("ml_request_duration_seconds_bucket", {"le": "0.01"}),
            "timed": ("ml_request_duration_seconds_count", {}),
            "answer": ("ml_score_bin_total", {"bin": rest}),
            "outcome": ("ml_outcome_bin_total", {"bin": rest[:1], "outcome": rest[2:]}),
        }.get(kind, ("ml_feature_bin_total", {"feature": kind, "bin": rest}))
        found[series(metric, own | labels)] = values((changes or {}).get(key, [(rate, length)]), start)
    return found


def check(folder: Path, groups: list[Any], every: str, written: Series, *queries: tuple[str, str, Any]) -> None:
    """Evaluate the groups `every` so often; hold each (query, time, expected labels -> value) against what it gives."""
    asked = [
        {"expr": expr, "eval_time": time, "exp_samples": [{"labels": key, "value": value} for key, value in expected]}
        for expr, time, expected in queries
    ]
    given = [{"series": key, "values": text} for key, text in written.items()]
    file = {
        **{
            "rule_files": ["rules.yml"],
            "evaluation_interval": every,
            "group_eval_order": [each["name"] for each in groups],
        },
        "tests": [{"interval": "15m", "input_series": given, "promql_expr_test": asked}],
    }
    (folder / "rules.yml").write_text(yaml.safe_dump({"groups": groups}))
    (folder / "test.yml").write_text(yaml.safe_dump(file, width=1_000_000))
    promtool = ["promtool", "test", "rules", "test.yml"]
    done = subprocess.run(promtool, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
