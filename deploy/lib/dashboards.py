"""Grafana's dashboards of what deploy/monitoring/dashboards.yaml describes, by Grafana's own builders."""

import json
from collections.abc import Mapping
from functools import reduce
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.builders import bargauge, dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from repo.lib.files import read_yaml

DESCRIPTION, FOLDER = Path("deploy/monitoring/dashboards.yaml"), Path("deploy/monitoring/dashboards")
SOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
KINDS: dict[str, Any] = {
    "graph": timeseries.Panel, "stat": stat.Panel, "table": table.Panel, "bargauge": bargauge.Panel
}  # fmt: skip
# An open brace: what follows is the other one, or a comma and more labels.
SHORT = {"{M": '{namespace="$namespace",model="$model"', "{N": '{namespace="$namespace"', "[R]": "[$__rate_interval]"}
POD = "/(.+)-[a-z0-9]+-[a-z0-9]+$/"  # of a Rollout, whose name its pods begin with
OTHERS = dashboard.DashboardLink("Dashboards of models").type(models.DashboardLinkType.DASHBOARDS).tags(["models"])
AT_LIMIT = dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE)
AT_LIMIT = AT_LIMIT.steps([models.Threshold(None, "green"), models.Threshold(1, "red")])


def boards() -> dict[Path, str]:
    """Each dashboard's file and its JSON, the same bytes each time."""
    found = read_yaml(DESCRIPTION, "restore it from Git")
    return {FOLDER / f"{uid}.json": _board(uid, **about) for uid, about in found.items()}


def filled(query: str) -> str:
    """A query of the description as Grafana gets it."""
    return reduce(lambda text, short: text.replace(short, SHORT[short]), SHORT, query)


def _board(uid: str, title: str, variables: Mapping[str, str], rows: Mapping[str, Any], releases: str = "") -> str:
    made = dashboard.Dashboard(title).uid(uid).tags(["models"]).time("now-7d", "now").refresh("1m")
    made = made.link(OTHERS.include_vars(True).keep_time(True))
    made = made.with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
    for name, query in variables.items():
        asked = dashboard.QueryVariable(name).label(name.capitalize()).datasource(SOURCE).query(filled(query))
        asked = asked.refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        hidden = asked.regex(POD).hide(models.VariableHide.HIDE_VARIABLE) if name == "rollout" else asked
        made = made.with_variable(hidden)
    for row, panels in rows.items():
        made = made.with_row(dashboard.Row(row))
        for each in panels:
            made = made.with_panel(_panel(**each))
    if releases:
        note = dashboard.AnnotationQuery().name("Releases").datasource(SOURCE).enable(True).icon_color("blue")
        made = made.annotation(note.expr(filled(releases)))
    content = json.loads(json.dumps(made.build(), cls=JSONEncoder))
    for note in content.get("annotations", {}).get("list", []):
        note["titleFormat"] = "{{version}}"  # which only Prometheus has, so the builders do not
    content["panels"] = [each | {"id": number} for number, each in enumerate(content["panels"], 1)]
    return json.dumps(content, sort_keys=True, indent=2) + "\n"


def _panel(title: str, unit: str, text: str, queries: Mapping[str, str], kind: str = "graph", width: int = 8) -> Any:
    """`queries`: legend -> PromQL; `text`: what is seen."""
    made = KINDS[kind]().title(title).unit(unit).description(text).datasource(SOURCE).span(width).height(8)
    for letter, (legend, query) in zip("ABC", queries.items(), strict=False):
        target = prometheus.Dataquery().expr(filled(query)).legend_format(legend).ref_id(letter).datasource(SOURCE)
        target = target.range() if kind == "graph" else target.instant()
        made = made.with_target(target.format(PromQueryFormat.TABLE) if kind == "table" else target)
    if kind == "table":
        columns = {"excludeByName": {"Time": True}, "renameByName": {"Value": next(iter(queries))}}
        made = made.with_transformation(models.DataTransformerConfig(id_val="organize", options=columns))
    return made.thresholds(AT_LIMIT) if kind == "bargauge" else made
