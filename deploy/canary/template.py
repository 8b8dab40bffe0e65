"""AnalysisTemplates with their arguments filled in, as Argo Rollouts 1.9 makes an AnalysisRun of them.

Templates are the parsed objects (dicts), arguments a mapping of name to text. What Rollouts would find out in the
middle of a canary, or never, is refused by name: an argument that is missing, given twice, used by no template, or
declared with two values; a placeholder that nobody declares; limits that contradict each other.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from deploy.canary import condition, durations
from deploy.canary.condition import Condition
from repo.lib.refusal import Refusal

Object = Mapping[str, Any]

PLACEHOLDER = re.compile(r"\{\{\s*(.*?)\s*\}\}")
LIMITS = {  # of a metric: what Metric calls them
    "count": "count",
    "failureLimit": "failure_limit",
    "inconclusiveLimit": "inconclusive_limit",
    "consecutiveErrorLimit": "consecutive_error_limit",
    "consecutiveSuccessLimit": "consecutive_success_limit",
}
ASKED = {"address", "query", "timeout", "headers", "authentication", "insecure"}  # of Prometheus
FIELDS = {*LIMITS, "name", "interval", "initialDelay", "successCondition", "failureCondition", "provider"}
STRATUM = "seconds"  # the argument that repeats a duration as a plain number, because a query multiplies by it
HASH = "podTemplateHashValue"
HIDDEN = "from a Secret"  # stands for what only the cluster has, and only its own Prometheus asks for
NAMES = {"model", "namespace", "canary-hash", "stable-hash", "champion"}  # no durations, though one may read as such


@dataclass(frozen=True)
class Metric:
    """One metric of a template. Durations are seconds; limits and counts are numbers of measurements."""

    name: str
    template: str  # the object that holds it
    query: str
    success: Condition
    failure: Condition
    interval: float | None = None  # None: one measurement
    initial_delay: float = 0.0
    count: int | None = None  # None: measured until the rollout ends
    failure_limit: int = 0  # -1: however many
    inconclusive_limit: int = 0
    consecutive_error_limit: int = 4
    consecutive_success_limit: int = 0  # 0: no such end

    def scaled(self, factor: float) -> Metric:
        """Measured `factor` times as often; limits and counts stay."""
        interval = None if self.interval is None else self.interval / factor
        return dataclasses.replace(self, interval=interval, initial_delay=self.initial_delay / factor)


def given(args: Sequence[Object], rollout: Object, latest: str, stable: str, where: str) -> dict[str, str]:
    """The arguments that a Rollout's analysis gives, by name; `latest` and `stable` are hashes of pod templates."""
    values: dict[str, str] = {}
    for arg in args:
        name, source = str(arg.get("name")), arg.get("valueFrom") or {}
        if name in values:
            raise Refusal(f"{where} gives the argument {name} twice; remove one.")
        if "value" in arg:
            values[name] = str(arg["value"])
        elif source.get(HASH) in ("Latest", "Stable"):
            values[name] = latest if source[HASH] == "Latest" else stable
        elif "fieldRef" in source:
            values[name] = field(rollout, str(source["fieldRef"].get("fieldPath")), f"{where}, argument {name}")
        else:
            raise Refusal(f"{where} gives the argument {name} no value, hash or field that a rehearsal knows; add it.")
    return values


def field(rollout: Object, path: str, where: str) -> str:
    """What a fieldPath names, as text: `metadata.annotations['release/slow']`, `spec.replicas`."""
    found: Any = rollout
    for quoted, plain in re.findall(r"\['([^']*)'\]|([^.\[\]]+)", path):
        key: Any = quoted or plain
        if isinstance(found, list):
            found = found[int(key)] if str(key).isdecimal() and int(key) < len(found) else None
        else:
            found = found.get(key) if isinstance(found, Mapping) else None
    if found is None or isinstance(found, list | Mapping):
        raise Refusal(f"{where}: the Rollout has no text or number at {path}; fix the fieldPath or add it there.")
    return str(found).lower() if isinstance(found, bool) else str(found)


def arguments(templates: Sequence[Object], values: Mapping[str, str], where: str) -> dict[str, str]:
    """Every argument of an AnalysisRun of these templates: the values given at `where`, else the templates' own."""
    declared: dict[str, tuple[str | None, str]] = {}
    for template in templates:
        for arg in template["spec"].get("args") or []:
            name, value = str(arg["name"]), None if arg.get("value") is None else str(arg["value"])
            if "secretKeyRef" in (source := arg.get("valueFrom") or {}):
                value = HIDDEN
            elif source:
                raise Refusal(f"{_place(template)}: argument {name} comes from no Secret; name one by secretKeyRef.")
            before, origin = declared.get(name, (None, _place(template)))
            if None not in (before, value) and before != value:
                raise Refusal(
                    f"{_place(template)}: argument {name} is {value}, but {before} in {origin}; agree on one."
                )
            declared[name] = (value if before is None else before, origin)
    for name in values:
        if name not in declared:
            raise Refusal(f"{where} gives the argument {name}, which none of its templates declares; remove it.")
    merged = {name: values.get(name, default) for name, (default, _) in declared.items()}
    for name, text in merged.items():
        if text is None:
            raise Refusal(f"{where} gives no value for the argument {name} of {declared[name][1]}; add it.")
    return {name: str(text) for name, text in merged.items()}


def compressed(values: Mapping[str, str], factor: float) -> dict[str, str]:
    """Arguments with time compressed: every duration, and `seconds`, which repeats one as a number."""
    found = {name: text if name in NAMES else durations.compressed(text, factor) for name, text in values.items()}
    if STRATUM in found:
        found[STRATUM] = f"{round(durations.seconds(values[STRATUM], f'argument {STRATUM}') / factor, 3):g}"
    return found


def metrics(templates: Sequence[Object], values: Mapping[str, str]) -> list[Metric]:
    """The metrics of an AnalysisRun with `values` (see `arguments`) in the place of their placeholders."""
    found: dict[str, Metric] = {}
    for template in templates:
        unknown = set(template["spec"]) - {"args", "metrics"}
        if unknown:
            raise Refusal(
                f"{_place(template)}: spec.{min(unknown)} is not understood; a rehearsal reads args, metrics."
            )
        listed = template["spec"].get("metrics") or [{}]
        for number, content in enumerate(listed):
            if not content.get("name"):
                raise Refusal(f"{_place(template)}: spec.metrics[{number}] has no name; a template measures something.")
            where = f"{_place(template)}: spec.metrics[{number}]"
            metric = _metric(_filled(content, values, where), str(template["metadata"]["name"]), where)
            if metric.name in found:
                raise Refusal(
                    f"{where} is named {metric.name}, as a metric of {found[metric.name].template}; rename it."
                )
            found[metric.name] = metric
    return list(found.values())


@cache
def catches(metric: str) -> str:
    """What canary a check is for, by the first line of its file in deploy/base; empty where there is none."""
    path = Path(f"deploy/base/analysis/{metric}.yaml")
    line = path.read_text().splitlines()[0] if path.is_file() else ""
    return line.removeprefix("# Catches ") if line.startswith("# Catches ") else ""


def literal_ranges(query: str) -> list[str]:
    """Ranges that a query's text holds itself, outside arguments: a rehearsal could not compress them."""
    return re.findall(r"\[\s*\d[^\]]*\]", PLACEHOLDER.sub("", re.sub(r"(?m)#.*$", "", query)))


def _filled(value: Any, values: Mapping[str, str], where: str) -> Any:
    """A copy with every `{{args.name}}` in any text replaced."""
    if isinstance(value, Mapping):
        return {key: _filled(each, values, where) for key, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, values, where) for each in value]
    if not isinstance(value, str):
        return value

    def replace(match: re.Match[str]) -> str:
        name = match[1].removeprefix("args.")
        if not match[1].startswith("args.") or name not in values:
            raise Refusal(f"{where} uses {match[0]}, which its template's args do not declare; declare it.")
        return values[name]

    return PLACEHOLDER.sub(replace, value)


def _metric(content: Object, template: str, where: str) -> Metric:
    unknown = set(content) - FIELDS
    if unknown:
        raise Refusal(f"{where}.{min(unknown)} is not understood; a rehearsal reads {', '.join(sorted(FIELDS))}.")
    provider = content.get("provider") or {}
    if set(provider) != {"prometheus"} or not str(provider["prometheus"].get("query") or "").strip():
        raise Refusal(f"{where}.provider must be prometheus with a query; a rehearsal measures nothing else.")
    if asked := set(provider["prometheus"]) - ASKED:
        raise Refusal(f"{where}.provider.prometheus.{min(asked)} is not understood; a rehearsal asks instant queries.")
    interval = content.get("interval")
    limits: dict[str, Any] = {field: _number(content, name, where) for name, field in LIMITS.items()}
    metric = Metric(
        name=str(content["name"]),
        template=template,
        query=str(provider["prometheus"]["query"]),
        success=condition.parse(content.get("successCondition"), f"{where}.successCondition"),
        failure=condition.parse(content.get("failureCondition"), f"{where}.failureCondition"),
        interval=None if interval is None else durations.seconds(interval, f"{where}.interval"),
        initial_delay=durations.seconds(content.get("initialDelay", 0), f"{where}.initialDelay"),
        **limits,
    )
    _check_limits(metric, where)
    return dataclasses.replace(metric, count=1) if metric.count is None and interval is None else metric


def _number(content: Object, name: str, where: str) -> int | None:
    """As it is set, or the default of Argo Rollouts; of `count`, which is 0 where there is none, None."""
    value, least = content.get(name, 4 if name == "consecutiveErrorLimit" else 0), -1 if name == "failureLimit" else 0
    if isinstance(value, bool) or not re.fullmatch(r"-?\d+", str(value)) or int(value) < least:
        raise Refusal(f"{where}.{name} is {value!r}; it must be a whole number of at least {least}.")
    return int(value) or (None if name == "count" else 0)


def _check_limits(metric: Metric, where: str) -> None:
    """What Rollouts refuses when the run begins, which then ends in Error."""
    if metric.failure_limit < 0 and not metric.consecutive_success_limit:
        raise Refusal(f"{where} switches failureLimit off and sets no consecutiveSuccessLimit; set one of them.")
    needed = max(metric.inconclusive_limit, max(metric.failure_limit, 0) + metric.consecutive_success_limit)
    if metric.count is not None and metric.count < needed:
        raise Refusal(f"{where}.count is {metric.count}, too few for its limits; make it at least {needed}.")
    if metric.count is not None and metric.count > 1 and not metric.interval:
        raise Refusal(f"{where} measures {metric.count} times without an interval; add one.")


def _place(template: Object) -> str:
    return f"AnalysisTemplate {template['metadata']['name']}"
