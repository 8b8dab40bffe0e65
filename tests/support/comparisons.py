"""A candidate compared with a champion that is made up."""

from __future__ import annotations

from typing import Any

METRICS = ("roc_auc", "log_loss", "brier", "calibration_error")


def make(evaluation: dict[str, Any]) -> dict[str, Any]:
    """On every metric and slice of the evaluation: higher, higher, neither and lower."""
    found = {"value": 0.01, "low": 0.002, "high": 0.018}
    differences = [found, found, found | {"low": -0.002}, {name: -each for name, each in found.items()}]
    return {
        "champion": {"version": "0123456789ab", "onnx": "", "commit": ""},
        "fault": None,
        "size_mb": 1.234,
        "metrics": {
            name: {"champion": 0.1234, "difference": difference}
            for name, difference in zip(METRICS, differences, strict=True)
        },
        "slices": [
            {"column": each["column"], "slice": each["slice"], "champion": 0.4321, "difference": found}
            for each in evaluation["slices"]
        ],
        "shift": {
            "moved": 0.123,
            "levels": [0.4, 0.3],
            "bins": [[5] * 10, [6] * 10],
            "edges": None,
            "slices": [{"column": "noon", "slice": "late", "rows": 900, "moved": 0.2, "levels": [0.5, 0.4]}],
        },
    }
