"""Evidence with one gate on and one figure spoilt."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

from models import gates
from models.lib.champion import Champion
from models.lib.judges import Evidence, Verdict

ASIDE = "not the gate that this test is about"
CHAMPION = Champion("0123456789ab", "f" * 64, "c" * 40, served={"strategy": "canary", "slow_ms": 1.0, "threshold": 0.4})
GONE = object()  # as a value: delete the figure


def only(evidence: Evidence, name: str, **limits: Any) -> Evidence:
    """The same evidence with every other gate off but the champion's; `limits` replace those of model.yaml.

    That one says whether a comparison may excuse a figure.
    """
    found, on = evidence.model.gates, {name, "champion"}
    off = {other: type(getattr(found, other))(off=ASIDE) for other in type(found).model_fields if other not in on}
    if name == "champion":
        del off["baseline"]  # what a first release is held against
    judged = found.model_copy(update=off | {name: getattr(found, name).model_copy(update=limits)})
    return changed(evidence, model=evidence.model.model_copy(update={"gates": judged}))


def changed(evidence: Evidence, **changes: Any) -> Evidence:
    """With other parts, and with the comparison that it has."""
    found = replace(evidence, **changes)
    found.__dict__.update({key: each for key, each in evidence.__dict__.items() if key == "comparison"})
    return found


def compared(evidence: Evidence, comparison: dict[str, Any], champion: Champion = CHAMPION) -> Evidence:
    """Beside a champion, with a comparison that is made up."""
    found = replace(evidence, champion=champion)
    found.__dict__["comparison"] = comparison
    return found


def verdict(evidence: Evidence, name: str, **limits: Any) -> Verdict:
    return next(each for each in gates.judge(only(evidence, name, **limits)) if each.name == name)


def plant(evidence: Evidence, path: str, value: Any) -> Evidence:
    """The evidence with one figure replaced or, if the value is GONE, deleted."""
    part, *keys = path.split(".")
    found = copy.deepcopy(getattr(evidence, part))
    place: Any = found
    for key in keys[:-1]:
        place = place[int(key) if key.isdigit() else key]
    if value is GONE:
        del place[keys[-1]]
    else:
        place[keys[-1]] = value
    return changed(evidence, **{part: found})
