"""Rules that would never record, and alerts that would wake somebody without telling why, of a PrometheusRule."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deploy.checks import promql
from deploy.checks.rendering import Object, Rendering, specimens
from deploy.checks.rules.evidence import ADDED, exported
from deploy.checks.rules.runs import refused
from deploy.lib.passport import parse_yaml
from deploy.lib.release import MONITORING
from deploy.lib.rules import Finding
from repo.lib.refusal import Refusal

RUNBOOKS = Path("deploy/monitoring/runbooks")
SEVERITIES = ("page", "ticket", "info")
ARGO = {  # Argo Rollouts, controller/metrics/prommetrics.go; where it is scraped under its own namespace, as exported_
    "rollout_info": {"name", "strategy", "traffic_router", "phase", "exported_namespace"},
    "analysis_run_info": {"name", "phase", "exported_namespace"},
}


def rules(rendering: Rendering) -> Iterator[tuple[Object, int, str, dict[str, Any]]]:
    """Every rule with its object, the place of its group, and where it is."""
    for each in rendering.of("PrometheusRule"):
        for place, group in enumerate(each.spec["groups"]):
            for rule in group["rules"]:
                yield each, place, f"spec.groups ({group['name']}, {rule.get('record') or rule.get('alert')})", rule


def rules_parse(rendering: Rendering) -> Iterator[Finding]:
    for each, _, at, rule in rules(rendering):
        try:
            promql.parse(str(rule["expr"]), f"{each.kind} {each.name}: {at}")
        except Refusal as refusal:
            yield refused(each, at, refusal)


def rules_read_what_is_there(rendering: Rendering) -> Iterator[Finding]:
    """Raw series, constants of a release, and what a group before has recorded: else a rule is silent for ever."""
    found, raw = [*rules(rendering)], exported() | ARGO
    made = parse_yaml(specimens()[0].files[MONITORING])["spec"]["groups"][0]["rules"]
    constants = {rule["record"] for rule in made}
    known = ADDED.union(*raw.values(), *(rule.get("labels", {}) for rule in [*made, *(rule for *_, rule in found)]))
    for each, place, at, rule in found:
        before = {earlier["record"] for _, group, _, earlier in found if group < place and "record" in earlier}
        try:
            query = promql.parse(str(rule["expr"]), at)
        except Refusal:
            continue  # has a rule of its own
        for series in query.series:
            if series.metric not in raw.keys() | constants | before:
                wrong = f"reads {series.metric}, which neither a service nor an earlier group has"
                yield each.finding(at, wrong, "name another, or record it in a group before")
            elif unknown := sorted(set(series.labels) - raw.get(series.metric, known) - ADDED):
                yield each.finding(at, f"{series.metric} has no label {unknown[0]}", "name one that it has")
        for label in sorted(query.labels - known - {"rollout"}):
            yield each.finding(at, f"none of its series has the label {label}", "name one that they have")


def alerts_can_be_acted_on(rendering: Rendering) -> Iterator[Finding]:
    for each, _, at, rule in rules(rendering):
        if "alert" not in rule:
            continue
        notes, page = rule.get("annotations") or {}, RUNBOOKS / f"{rule['alert']}.md"
        for key in ("summary", "description", "runbook_url"):
            if not notes.get(key):
                yield each.finding(at, f"has no {key}", "tell whoever is woken by it")
        if not str(notes.get("runbook_url")).endswith(f"/{page}") or not page.is_file():
            yield each.finding(at, f"does not lead to {page}, or there is no such page", "write it, and name it")
        if (severity := (rule.get("labels") or {}).get("severity")) not in SEVERITIES:
            yield each.finding(at, f"has severity {severity!r}", f"take one of {', '.join(SEVERITIES)}")
