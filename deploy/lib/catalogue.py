"""Every model with what each environment runs of it, and a page of that: catalogue.html.jinja."""

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from deploy.lib import aborted, history, release
from deploy.lib.fork import FORK
from deploy.lib.passport import Interval
from deploy.lib.prometheus import query
from deploy.lib.release import ENVIRONMENTS, Release
from models.lib import config
from models.lib.metrics import TITLES
from repo.lib.files import read_yaml, write
from repo.lib.refusal import without_password

LIVE = {  # of how the models are now
    "quality": "ml:quality and on (namespace, model, version, metric) ml:quality_main",
    "labels": "ml:quality_labels",
    "alerts": 'ALERTS{alertstate="firing",alertname=~"Model.+"}',
}


@dataclass(frozen=True)
class Standing:
    """What an environment runs of a model; of a release that cannot be read nothing more is known."""

    release: Release
    aborted: bool = False
    entry: history.Entry | None = None  # the commit that brought it; None while it is not committed


def names() -> list[str]:
    """Models that have a folder, and those of which only releases are left."""
    return sorted({*config.names(), *(each.model for each in release.every())})


def standing(environment: str, model: str) -> Standing | None:
    """None where there is no release."""
    found = release.read(environment, model)
    if found is None:
        return None
    if not found.readable:
        return Standing(found)
    committed = not history.uncommitted(found.folder)
    entry = next(history.entries(environment, model, own_line=True), None) if committed else None
    return Standing(found, aborted.find(found.image.digest, aborted.read()) is not None, entry)


def metrics(found: Release) -> list[str]:
    """A short line each, with its interval."""
    return [f"{TITLES.get(name, name)} {figure(interval)}" for name, interval in found.passport.metrics.items()]


def figure(interval: Interval) -> str:
    if interval.value is None:
        return "unknown"
    return f"{interval.value:.3f}" + (f" ({interval.low:.3f}-{interval.high:.3f})" if interval.low is not None else "")


def save(path: Path) -> None:
    """Write the page; with how the models are now, where PROMETHEUS_URL says whom to ask."""
    from repo.lib.templates import template

    known, models = config.names(), []
    for name in names():
        settings = config.load(name, check_columns=False) if name in known else None
        report = config.MODELS / name / "build/report.html"
        models.append({
            "name": name, "settings": settings, "owner": getattr(settings, "owner", None),
            "runs": {environment: standing(environment, name) for environment in ENVIRONMENTS},
            "report": os.path.relpath(report, path.parent) if report.is_file() else None,
        })  # fmt: skip
    asked = os.environ.get("PROMETHEUS_URL")
    content = {
        "models": models, "now": datetime.now(UTC), "metrics": metrics, "titles": TITLES,
        "live": {name: query(text) for name, text in LIVE.items()} if asked else None,
        "grafana": without_password(os.environ.get("GRAFANA_URL", "")),
        "repository": read_yaml(FORK, "restore it with `git checkout`", ["data"])["data"].get("repository"),
    }  # fmt: skip
    write(path, template(Path(__file__).with_name("catalogue.html.jinja")).render(content))
