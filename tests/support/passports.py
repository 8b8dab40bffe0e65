"""Passports of runs that never were."""

from __future__ import annotations

from typing import Any

import yaml

from models import config, passport
from models.figures import TITLES


def judge(model: str, /, **changes: Any) -> dict[str, Any]:
    """Leave the passport of a passing run of a model's sources, with made-up figures; `changes` replace keys."""
    settings = config.load(model, check_columns=False)
    hashes = passport.content(settings)
    figure = {"value": 0.75, "low": 0.74, "high": 0.76}
    gates = [{"name": name, "limit": "l", "value": "v", "verdict": "pass", "reason": None} for name in gate_names()]
    record = {
        "model": model,
        "version": passport.version(hashes),
        "verdict": "pass",
        "content": hashes,
        "metrics": dict.fromkeys(TITLES, figure),
        "gates": gates,
        "champion": None,
        **changes,
    }
    settings.build.mkdir(exist_ok=True)
    (settings.build / "passport.yaml").write_text(yaml.safe_dump(record, sort_keys=False))
    return record


def gate_names() -> list[str]:
    return list(config.Gates.model_fields)
