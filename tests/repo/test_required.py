"""The one job that a branch rule asks for: nothing passes but what succeeded, or what the plan did not ask for."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from repo import required
from repo.lib.refusal import Refusal
from tests.support.repository import ROOT

EVERYTHING = {
    "code": True,
    "tests": ["models", "serving"],
    "manifests": True,
    "datasets": ["specimen_trips"],
    "models": [{"name": "specimen_delay"}],
}
NOTHING: dict[str, Any] = {"code": False, "tests": [], "manifests": False, "datasets": [], "models": []}
JOBS = ["code", "tests", "data", "model", "manifests"]


def needs(plan: dict[str, Any] | str | None, result: str, /, **others: str) -> dict[str, Any]:
    printed = {} if plan is None else {"plan": plan if isinstance(plan, str) else json.dumps(plan)}
    found: dict[str, Any] = {"plan": {"result": others.pop("plan", "success"), "outputs": printed}}
    return found | {job: {"result": others.get(job, result), "outputs": {}} for job in JOBS}


def verdict(found: dict[str, Any], report: Path | None = None) -> int:
    return required.main(argparse.Namespace(needs=json.dumps(found), report=report and str(report)))


def test_everything_asked_for_and_done_passes() -> None:
    assert verdict(needs(EVERYTHING, "success")) == 0


def test_nothing_asked_for_and_all_skipped_passes() -> None:
    assert verdict(needs(NOTHING, "skipped")) == 0


@pytest.mark.parametrize("job", JOBS)
@pytest.mark.parametrize("result", ["failure", "cancelled", "skipped", "", "neutral"])
def test_a_job_that_was_asked_for_passes_by_success_alone(
    job: str, result: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verdict(needs(EVERYTHING, "success", **{job: result})) == 1
    assert f"required: FAIL, for {job};" in capsys.readouterr().out


@pytest.mark.parametrize("job", JOBS)
@pytest.mark.parametrize("result", ["failure", "cancelled"])
def test_a_job_that_failed_unasked_is_red(job: str, result: str) -> None:
    assert verdict(needs(NOTHING, "skipped", **{job: result})) == 1


@pytest.mark.parametrize("result", ["failure", "cancelled", "skipped"])
@pytest.mark.parametrize("plan", [NOTHING, None])
def test_without_a_plan_nothing_that_was_skipped_passes(result: str, plan: dict[str, Any] | None) -> None:
    found = needs(plan, "skipped", plan=result)
    assert [job.name for job in required.judged(json.dumps(found)) if not job.passed] == ["plan", *JOBS]


@pytest.mark.parametrize("plan", [None, "", "{}", "[]", '{"code": false}'])
def test_what_a_plan_does_not_say_is_asked_for(plan: str | None) -> None:
    assert verdict(needs(plan, "skipped")) == 1


def test_a_job_that_no_plan_knows_has_to_succeed() -> None:
    assert verdict(needs(NOTHING, "skipped") | {"scan": {"result": "skipped"}}) == 1


@pytest.mark.parametrize("job", ["plan", *JOBS])
def test_a_job_that_is_not_handed_over_is_refused(job: str) -> None:
    found = needs(EVERYTHING, "success")
    del found[job]
    with pytest.raises(Refusal, match=f"lacks the job {job}"):
        verdict(found)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"plan": "success"}', '{"plan": {}}'])
def test_what_is_no_needs_is_refused(text: str) -> None:
    with pytest.raises(Refusal, match="toJSON"):
        required.judged(text)


def test_a_plan_that_is_no_json_is_refused() -> None:
    with pytest.raises(Refusal):
        verdict(needs("no plan", "skipped"))


def test_the_report_begins_with_the_verdict_and_names_what_is_red(tmp_path: Path) -> None:
    report = tmp_path / "report.md"
    verdict(needs(EVERYTHING, "success", model="failure"), report)
    assert report.read_text().startswith("# ❌ **fail**\n\n- ❌ **model**: failure; the plan asks for it")
    assert "\n\nPassed: plan, code, tests, data, manifests.\n" in report.read_text()
    verdict(needs(NOTHING, "skipped"), report)
    message = "# ✅ pass\n\nPassed: plan.\n\nNot needed for this change: code, tests, data, model, manifests.\n\n"
    assert report.read_text() == message


def test_it_knows_every_job_of_the_workflow() -> None:
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]
    assert jobs.keys() - {"required"} == {"plan", *required.ASKED}
