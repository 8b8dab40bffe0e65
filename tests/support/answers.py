"""`answer` of contract.json as each task writes it."""

from __future__ import annotations

from typing import Any

SCORES: dict[str, Any] = {
    "output": "score",
    "field": "scores",
    "description": "Probability of a positive.",
    "names": None,
    "minimum": 0.0,
    "maximum": 1.0,
    "threshold": 0.35,
    "edges": [place / 10 for place in range(1, 10)],
    "unit": None,
}
CLASSES: dict[str, Any] = SCORES | {
    "output": "probabilities",
    "field": "probabilities",
    "names": ["<b>fine</b>", "a | b", "[red] $x$ 遅延"],
    "threshold": None,
    "edges": None,
}
NUMBERS: dict[str, Any] = SCORES | {
    "output": "prediction",
    "field": "predictions",
    "minimum": None,
    "maximum": None,
    "threshold": None,
    "edges": [100.0 + 5 * place for place in (-1.28, -0.84, -0.52, -0.25, 0, 0.25, 0.52, 0.84, 1.28)],
    "unit": "min",
}
EVERY = {answer["field"]: answer for answer in (SCORES, CLASSES, NUMBERS)}
