"""monitoring.yaml of a release: constants that the rules of deploy/monitoring measure the live model against.

They follow from the passport, as recording rules without input, so that they come and go with the release and every
series of them says whose it is: namespace, model and version.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.utils import floatToGoString

from deploy.lib import fork
from deploy.lib.passport import Passport, Reference
from deploy.lib.release import MONITORING, Release, kubernetes_name
from deploy.lib.strategies import TABLE
from repo.lib import files

RULES = Path("deploy/monitoring/prometheusrule.yaml")
ANSWERS = "(answer)"  # the feature of which the answers are bins; no column is called so
MADE = "# Written by `python -m deploy promote`; `python -m deploy verify` finds an edit by hand.\n"
Constant = tuple[str, str, dict[str, str]]  # name, expression, labels


def of_release(environment: str, passport: Passport) -> dict[str, bytes]:
    """The file by its name; none where nothing is measured, or the passport has no reference, as the first had none."""
    if passport.reference is None or not TABLE[passport.serving.strategy].image:
        return {}
    name = kubernetes_name(passport.model)
    manifest = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": name, "labels": {"app.kubernetes.io/name": name}},
        "spec": {"groups": [group(environment, passport, passport.reference)]},
    }
    text = yaml.dump(manifest, Dumper=files.DUMPER, sort_keys=False, default_flow_style=None, width=1_000_000)
    return {MONITORING: (MADE + text).encode()}


def groups(releases: Iterable[Release], root: Path = Path()) -> list[dict[str, Any]]:
    """Of a plain rule file, in the order of evaluation: constants of these releases, then what compares with them."""
    made = [group(each.environment, each.passport, found) for each in releases if (found := each.passport.reference)]
    manifest = files.read_yaml(root / RULES, "restore it with `git checkout`", ["spec"])
    home = fork.repository(root)
    for rule in (rule for each in manifest["spec"]["groups"] for rule in each["rules"] if "annotations" in rule):
        path = rule["annotations"]["runbook_url"].split("/", 5)[-1]
        rule["annotations"]["runbook_url"] = f"{home}/{path}" if home else path
    return [*made, *manifest["spec"]["groups"]]


def group(environment: str, passport: Passport, reference: Reference) -> dict[str, Any]:
    """The constants of one release as a group of a rule file."""
    own = {"namespace": f"models-{environment}", "model": passport.model, "version": passport.version}
    found = [*_drift(reference), *_objectives(passport), *_quality(passport, reference)]
    rules = [{"record": record, "expr": expr, "labels": {**own, **labels}} for record, expr, labels in found]
    return {"name": f"constants of {passport.model} in {environment}", "rules": rules}


def _drift(reference: Reference) -> Iterator[Constant]:
    for name, each in {**reference.features, ANSWERS: reference.answers}.items():
        of = {"feature": name}
        yield "ml:reference_share", _bins(dict(enumerate(each.shares))), of
        yield "ml:reference_rows", _vector(each.rows or reference.rows), of
        yield "ml:reference_chi2", _vector(each.chi2), of
        for window, limit in each.limits.items():
            if limit is not None:
                yield "ml:drift_limit", _vector(limit), {**of, "window": window}
        if each.broken is not None:
            yield "ml:broken_limit", _vector(each.broken), of
            yield "ml:broken_bin", _bins(dict.fromkeys(range(len(each.shares))[-each.last :], 1)), of
        if each.matters:
            yield "ml:feature_matters", _vector(1), of


def _objectives(passport: Passport) -> Iterator[Constant]:
    if owner := passport.governance.get("owner"):
        yield "ml:owner", _vector(1), {"owner": owner}
    for objective, share in passport.slo.items():
        yield "ml:slo", _vector(share), {"objective": objective}
    if (budget := passport.serving.latency_budget_ms) is not None:
        slow = passport.serving.slow_ms  # which takes the place of a bound within a percent of it
        yield "ml:budget", _vector(1), {"le": bound(slow if abs(budget - slow) <= 0.01 * slow else budget)}


def _quality(passport: Passport, reference: Reference) -> Iterator[Constant]:
    for name, figure in passport.metrics.items():
        if figure.value is None or figure.low is None or figure.high is None:
            continue
        more = name in reference.higher
        spread = figure.value - figure.low if more else figure.high - figure.value
        yield "ml:quality_value", _vector(figure.value), {"metric": name}
        yield "ml:quality_spread", _vector(spread), {"metric": name}
        yield "ml:quality_sign", _vector(1 if more else -1), {"metric": name}
    yield "ml:quality_main", _vector(1), {"metric": reference.main}
    if reference.fall is not None:
        yield "ml:quality_usual", _vector(reference.fall), {"metric": reference.main}
    yield "ml:quality_rows", _vector(passport.dataset.get("rows", 0)), {}


def bound(milliseconds: float) -> str:
    """A bound of the served histogram as its label `le` writes it, in seconds."""
    return str(floatToGoString(round(milliseconds / 1000, 9)))  # type: ignore[no-untyped-call]


def _vector(value: float) -> str:
    return f"vector({value:.10g})"


def _bins(values: dict[int, float]) -> str:
    """A series a bin in one rule: of a rule for each the object would outgrow what an API server takes."""
    return " or ".join(f'label_replace({_vector(value)},"bin","{name}","","")' for name, value in values.items())
