"""Constants travel with a release and are found when edited; rules and alerts that nobody could use are refused."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.checks import check, rendering
from deploy.checks.rendering import Object, Rendering
from deploy.lib.monitoring import RULES
from tests.deploy.alerts import needs_promtool
from tests.deploy.tree import NAME, Tree, content, folder, passed
from tests.support.repository import ROOT

STAGING, PRODUCTION = folder("staging"), folder("production")
MEASURED: dict[str, Any] = {
    "reference": rendering.REFERENCE,
    "slo": {"availability": 0.999, "latency": 0.99},
    "serving": {"strategy": "canary", "slow_ms": 5.0, "latency_budget_ms": 5.01},
}


@pytest.fixture
def measured(released: Tree) -> Tree:
    """After a release without a reference, one with it, in both environments."""
    released.build("b", **MEASURED)
    for environment in ("staging", "production"):
        passed(released.promote(environment, "b"))
        released.commit()
    return released


def constants(where: Path) -> dict[str, list[dict[str, Any]]]:
    """Rules by name."""
    made = yaml.safe_load((where / "monitoring.yaml").read_text())
    assert made["metadata"]["name"] == made["metadata"]["labels"]["app.kubernetes.io/name"] == "specimen-delay"
    rules: dict[str, list[dict[str, Any]]] = {}
    for rule in made["spec"]["groups"][0]["rules"]:
        rules.setdefault(rule["record"], []).append(rule)
    return rules


def test_a_release_brings_what_its_rules_compare_with(measured: Tree) -> None:
    """A budget within a percent of the slow bound has no bound of its own in the histogram."""
    passed(measured.deploy("verify"))
    for where, environment in ((STAGING, "staging"), (PRODUCTION, "production")):
        assert "  - monitoring.yaml\n" in (where / "kustomization.yaml").read_text()
        version = yaml.safe_load((where / "passport.yaml").read_text())["version"]
        own = {"namespace": f"models-{environment}", "model": NAME, "version": version}
        found = constants(where)
        assert all(rule["labels"].items() >= own.items() for rules in found.values() for rule in rules)
        assert [rule["labels"]["le"] for rule in found["ml:budget"]] == ["0.005"]
        assert [rule["labels"]["owner"] for rule in found["ml:owner"]] == ["said"]
        assert [rule["labels"]["feature"] for rule in found["ml:drift_limit"]] == ["distance", "(answer)"]
        assert found["ml:broken_bin"][0]["expr"] == 'label_replace(vector(1),"bin","3","","")'


EDITS: dict[str, Callable[[], Any]] = {
    "a limit": lambda: edit(STAGING, "vector(0.05)", "vector(0.5)"),
    "not YAML": lambda: edit(STAGING, "spec:", "spec: {"),
    "left out": lambda: (STAGING / "monitoring.yaml").unlink(),
}


def edit(where: Path, old: str, new: str) -> None:
    text = (where / "monitoring.yaml").read_text()
    assert old in text
    (where / "monitoring.yaml").write_text(text.replace(old, new, 1))


@pytest.mark.parametrize("how", EDITS)
def test_constants_that_do_not_follow_from_the_passport_are_found(measured: Tree, how: str) -> None:
    EDITS[how]()
    measured.commit()
    answer = measured.deploy("verify")
    assert answer.code == 1
    assert f"{STAGING}/monitoring.yaml: " in answer.out
    passed(measured.deploy("rollback", NAME, "--environment", "staging"))


def test_a_rollback_leaves_no_constants_of_what_it_leaves_behind(measured: Tree) -> None:
    passed(measured.deploy("rollback", NAME, "--environment", "production", "--keep"))
    assert "monitoring.yaml" not in content(PRODUCTION)
    passed(measured.deploy("verify"))
    shutil.copy(STAGING / "monitoring.yaml", PRODUCTION)
    assert f"{PRODUCTION}/monitoring.yaml: " in measured.deploy("verify").out


@needs_promtool
def test_all_of_it_is_one_rule_file_for_a_plain_prometheus(measured: Tree) -> None:
    shutil.copytree(ROOT / RULES.parent, RULES.parent)
    passed(measured.deploy("rules", "--output", "rules.yml"))
    groups = yaml.safe_load(Path("rules.yml").read_text())["groups"]
    names = [f"constants of {NAME} in {environment}" for environment in ("staging", "production")]
    assert [each["name"] for each in groups][:3] == [*names, "ml-counts"]
    said = subprocess.run(["promtool", "check", "rules", "rules.yml"], capture_output=True, text=True, check=True)
    assert "SUCCESS" in said.stdout
    assert said.stderr == ""
    assert passed(measured.deploy("rules")).out == Path("rules.yml").read_text()


FAULTS = {
    "rules_parse": ("sum by (", "sum bye (", "is not PromQL"),
    "rules_read_what_is_there": ("ml_requests_total", "ml_request_total", "reads ml_request_total, which neither"),
    "a group that comes later": ("ml:window + on", "ml:drift + on", "reads ml:drift, which neither"),
    "a label": ('reason="invalid"', 'cause="invalid"', "ml_errors_total has no label cause"),
    "a grouping": ("by (namespace, model)", "by (namespace, modell)", "none of its series has the label modell"),
    "alerts_can_be_acted_on": ("runbooks/ModelRestarts.md", "runbooks/Restarts.md", "does not lead to"),
    "a severity": ("severity: page", "severity: critical", "has severity 'critical'"),
    "no words": ("summary:", "title:", "has no summary"),
}


def of_rules(old: str = "", new: str = "") -> list[tuple[str, str]]:
    text = (ROOT / RULES).read_text()
    assert old in text
    made = Object(yaml.safe_load(text.replace(old, new)), RULES)
    return [(rule, str(each)) for rule, each in check.by_rule(Rendering("", "", "", (made,)), rules=check.OF_RULES)]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_rule_or_an_alert_that_nobody_could_use_is_named(fault: str) -> None:
    old, new, named = FAULTS[fault]
    found = of_rules(old, new)
    assert [each for rule, each in found if named in each and (rule == fault or fault not in PROVEN)], found


PROVEN = {rule.__name__ for rule in check.OF_RULES}


def test_the_rules_as_they_are_have_no_fault() -> None:
    assert of_rules() == []
    assert set(FAULTS) >= PROVEN
