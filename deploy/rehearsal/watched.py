"""What a watched month showed: a live table, the verdict, and a report as one HTML file with charts."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from deploy.rehearsal import charts, report
from deploy.rehearsal.past import STEP, Alert, query
from deploy.rehearsal.replay import DAY
from repo.lib.files import write as write_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FOLDER, KEPT = Path("deploy/build/watched"), 30
# Fault -> the alert that must tell it. What falls with it after a day, when outcomes are known, is no false alarm.
EXPECTED = {
    "shift": "ModelInputDrift",
    "category": "ModelInputBroken",
    "nulls": "ModelInputBroken",
    "swap": "ModelInputDrift",
    "collapse": "ModelPredictionShift",
    "slow": "ModelLatency",
    "labels": "ModelQuality",
}
FOLLOWS = "ModelQuality"
STYLES = {"page": "bold red", "ticket": "yellow", "info": "dim"}
WORST = {
    "drift": 'max by (feature) (ml:excess{window="7d"} / on (namespace, model, version, feature, window) ml:drift_limit)',
    "drift of a day": 'max by (feature) (ml:excess{window="1d"} / on (namespace, model, version, feature, window) ml:drift_limit)',
    "quality": "max by (metric) (ml:quality and on (metric) ml:quality_main)",
    "passport": "max by (metric) (ml:quality_value and on (metric) ml:quality_main)",
    "spread": "max by (metric) (ml:quality_spread and on (metric) ml:quality_main)",
    "retrain": "max by (cause, feature) (ml:retrain)",
}
