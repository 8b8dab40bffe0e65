"""Which models production asks to train again: by the numbers that its Prometheus has, and once per cause.

A cause has been dealt with while the pull request `retrain/<model>` is open, and for `retraining.again_after` days of
model.yaml after it was closed or merged. Nothing but PyYAML is imported, so that a job that only plans can ask.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from deploy.lib.prometheus import Series, query
from models.lib import champion
from models.retrain import JOBS
from repo.lib import origin, pull_request
from repo.lib.change import folders, runners
from repo.lib.files import read_yaml
from repo.lib.refusal import Refusal

AGAIN_AFTER = 7  # days, where model.yaml names none
Numbers = dict[tuple[str, str, str, str], float]  # name in FIGURES, model, version, feature or "" -> value


def now(metric: str, more: str = "") -> str:
    """A query for the newest value of the last 20 minutes, which a restart of Prometheus does not hide."""
    return f'last_over_time({metric}{{namespace="models-production"{more}}}[20m])'


MAIN = f" and on (model, version, metric) {now('ml:quality_main')}"
FIGURES = {  # behind the causes
    "excess": now("ml:excess", ',window="7d"'),
    "quality": now("ml:quality") + MAIN,
    "released": now("ml:quality_value") + MAIN,
    "labels": now("ml:quality_labels"),
}


def plan() -> dict[str, Any]:
    """The models to train, why, in a sentence each, and why not the others."""
    asking = query(now("ml:retrain"))
    seen = (query(now(name)) for name in ("ml_requests_total", "ml:coverage"))
    scraped, ruled = ({_of(labels)[0] for labels, _ in series} for series in seen)
    numbers = {(name, *_of(labels)): value for name, text in FIGURES.items() for labels, value in query(text)}
    because, skipped = dict[str, str](), dict[str, str]()
    for name in folders("models"):
        passport = champion.standing(name)
        version = read_yaml(passport, "restore it from Git", ["version"])["version"] if passport else None
        causes = [each for each in asking if _of(each[0])[:2] == (name, version)]
        if version is None:
            skipped[name] = "production has no release of it, so nothing that runs has aged"
        elif name not in scraped:
            skipped[name] = "Prometheus has no series of it in models-production, which is no verdict"
        elif name not in ruled:
            skipped[name] = "the rules of deploy/monitoring recorded nothing of it, which is no verdict"
        elif not causes:
            skipped[name] = f"nothing asks for it: neither drift nor labels of {version}"
        elif told := dealt_with(name):
            skipped[name] = told
        elif len(because) == JOBS:
            skipped[name] = f"{JOBS} models come before it, as many as one run takes; the next run has it"
        else:
            because[name] = "; ".join(sorted(sentence(each, numbers) for each in causes))
    return {"models": list(because), "because": because, "runs_on": runners(because), "skipped": skipped}


def _of(labels: dict[str, str]) -> tuple[str, str, str]:
    return labels.get("model", ""), labels.get("version", ""), labels.get("feature", "")


def sentence(cause: Series, numbers: Numbers) -> str:
    """`7-day drift of dest 0.41 above 0.31`; a number that Prometheus has not is NaN."""
    labels, times = cause  # its limit
    model, version, feature = _of(labels)
    found = {name: numbers.get((name, model, version, feature), float("nan")) for name in FIGURES}
    if labels.get("cause") == "quality":
        quality = "main metric {quality:.4g} by {labels:.0f} labels of 7 days, {released:.4g} at its release"
        return f"{quality.format(**found)}: {times:.3g} times as far as it may be"
    return f"7-day drift of {feature} {found['excess']:.3g} above {found['excess'] / times:.3g}"


def dealt_with(model: str) -> str | None:
    """Which pull request of the model stands, as a reason to train nothing."""
    path = Path("models", model, "model.yaml")
    settings = read_yaml(path, "restore it from Git", ["dataset"]).get("retraining", {})
    days = settings.get("again_after", AGAIN_AFTER) if isinstance(settings, dict) else None
    if not isinstance(days, int) or days < 1:
        raise Refusal(f"{path}: retraining.again_after must be a whole number of days, at least 1; fix it.")
    for address, closed in pull_request.proposed(origin.MAIN, f"retrain/{model}"):
        if closed is None:
            return f"{address} is open; merge it or close it"
        if datetime.now(UTC) - closed < timedelta(days=days):
            return f"{address} was closed on {closed:%Y-%m-%d}; it asks again {days} days after that"
    return None
