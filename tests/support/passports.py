"""Passports of runs that never were."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import yaml

from models.lib import champion, config, passport
from models.lib.tasks import task

ABOUT = dict.fromkeys(("owner", "source", "licence", "purpose", "retention"), "said")
GOVERNANCE = {"owner": "said", "dataset": {**ABOUT, "personal": []}, "card": ["use", "limits", "ethics", "contact"]}
COUNTS = [[60 * (row == to) + 20 * (row + 1 == to) for to in range(10)] for row in range(10)]  # made up, of a promise


def judge(model: str, /, **changes: Any) -> dict[str, Any]:
    """Leave the passport of a passing run of a model's sources, with made-up figures; `changes` replace keys."""
    settings = config.load(model, check_columns=False)
    hashes = passport.content(settings)
    figure = {"value": 0.75, "low": 0.74, "high": 0.76}
    gates = [
        {"name": name, "limit": "l", "value": "v", "verdict": "pass", "reason": None} for name in settings.gate_names
    ]
    record = {
        "model": model,
        "version": passport.version(hashes),
        "verdict": "pass",
        "content": hashes,
        "dataset": {"name": settings.dataset},
        "governance": GOVERNANCE,
        "metrics": dict.fromkeys(task.of(settings).metrics, figure),
        "gates": gates,
        "judged_by": settings.gate_names,
        "champion": None,
        "serving": {"strategy": "canary", "slow_ms": 5.0},
        "promises": [
            {"champion": version, "counts": COUNTS}
            for version in {passport.version(hashes), *(each.version for each in champion.standing_anywhere(settings))}
        ],
        **changes,
    }
    settings.build.mkdir(exist_ok=True)
    (settings.build / "passport.yaml").write_text(yaml.safe_dump(record, sort_keys=False))
    return record


def lock(model: str) -> str:
    """A dvc.lock of the sources as they are, as short as can be."""

    def md5(path: Path) -> dict[str, str]:
        return {"path": str(path), "md5": hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()}

    folder = Path("models") / model
    training = yaml.safe_load((folder / "model.yaml").read_text())["training"]
    train = {"deps": [md5(folder / "network.py")], "params": {f"{folder}/model.yaml": {"training": training}}}
    stages = {"train": train, "export": {"outs": [md5(folder / "model.onnx")]}, "evaluate": {}}
    return yaml.safe_dump({"schema": "2.0", "stages": stages})


def gate_names() -> list[str]:
    """Those of a model that says yes or no, in the order of its verdicts."""
    kind = task.settings("binary")
    gates = kind.model_fields["gates"].annotation
    return kind.model_construct(gates=gates.model_construct()).gate_names  # type: ignore[union-attr]
