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
from repo.lib.change import folders
from repo.lib.files import read_yaml
from repo.lib.refusal import Refusal

NOW = 'last_over_time({}{{namespace="models-production"{}}}[20m])'
MAIN = "{} and on (model, version, metric) {}"  # of the main metric alone
AGAIN_AFTER = 7  # days, where model.yaml names none


def plan() -> dict[str, Any]:
    """The models to train, why, in a sentence each, and why not the others."""
    asking, scraped = query(now("ml:retrain")), {labels.get("model") for labels, _ in query(now("ml_requests_total"))}
    numbers = figures() if asking else {}
    because, skipped = dict[str, str](), dict[str, str]()
    for name in folders("models"):
        passport = champion.standing(name)
        version = read_yaml(passport, "restore it from Git", ["version"])["version"] if passport else None
        causes = [each for each in asking if (each[0].get("model"), each[0].get("version")) == (name, version)]
        if version is None:
            skipped[name] = "production has no release of it, so nothing that runs has aged"
        elif name not in scraped:
            skipped[name] = "Prometheus has no series of it in models-production, which is no verdict"
        elif not causes:
            skipped[name] = f"nothing asks for it: neither drift nor labels of {version}"
        elif told := dealt_with(name):
            skipped[name] = told
        elif len(because) == JOBS:
            skipped[name] = f"{JOBS} models come before it, as many as one run takes; the next run has it"
        else:
            because[name] = "; ".join(sorted(sentence(each, numbers) for each in causes))
    return {"models": list(because), "because": because, "skipped": skipped}


def now(metric: str, matchers: str = "") -> str:
    """A query for the newest value of the last 20 minutes, which a restart of Prometheus does not hide."""
    return NOW.format(metric, matchers)


def figures() -> dict[tuple[str, ...], float]:
    """Numbers behind the causes: (name, model, version, feature or "") -> value."""
    main = now("ml:quality_main")
    asked = {
        "excess": now("ml:excess", ',window="7d"'),
        "limit": now("ml:drift_limit", ',window="7d"'),
        "live": MAIN.format(now("ml:quality"), main),
        "released": MAIN.format(now("ml:quality_value"), main),
        "labels": now("ml:quality_labels"),
    }
    return {(name, *_key(labels)): value for name, text in asked.items() for labels, value in query(text)}


def _key(labels: dict[str, str]) -> tuple[str, str, str]:
    return labels.get("model", ""), labels.get("version", ""), labels.get("feature", "")


def sentence(cause: Series, numbers: dict[tuple[str, ...], float]) -> str:
    """`7-day drift of dest 0.41 above 0.31`; a number that Prometheus has not is left out as `unknown`."""
    labels, times = cause
    model, version, feature = _key(labels)

    def told(name: str, of: str = "") -> str:
        value = numbers.get((name, model, version, of))
        return "unknown" if value is None else f"{value:.4g}"

    if labels.get("cause") == "quality":
        now = f"main metric {told('live')} by {told('labels')} labels of 7 days"
        return f"{now}, {told('released')} at its release: {times:.2g} times as far as it may be"
    drift = labels.get("cause") == "drift"
    what, of = (f"drift of {feature}", feature) if drift else ("shift of the answers", "(answer)")
    return f"7-day {what} {told('excess', of)} above {told('limit', of)}"


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


def dispatch(because: dict[str, str]) -> None:
    """Start retrain.yml for each of the models."""
    for name, why in because.items():
        pull_request.event("retrain", {"model": name, "because": why})
