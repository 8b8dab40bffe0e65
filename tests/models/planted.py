"""Evidence with one gate on and one figure spoilt."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

from models import gates
from models.lib.judges import Evidence, Verdict

ASIDE = "not the gate that this test is about"
GONE = object()  # as a value: delete the figure


def only(evidence: Evidence, name: str, **limits: Any) -> Evidence:
    """The same evidence with every other gate off; `limits` replace those of model.yaml."""
    found = evidence.model.gates
    off = {other: type(getattr(found, other))(off=ASIDE) for other in type(found).model_fields if other != name}
    if name == "champion":
        del off["baseline"]  # what a first release is held against
    judged = found.model_copy(update=off | {name: getattr(found, name).model_copy(update=limits)})
    return replace(evidence, model=evidence.model.model_copy(update={"gates": judged}))


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
    return replace(evidence, **{part: found})
