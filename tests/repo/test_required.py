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

EVERYTHING = {"code": True, "tests": ["models"], "manifests": True, "datasets": ["x"], "models": [{"name": "x"}]}
NOTHING: dict[str, Any] = {"code": False, "tests": [], "manifests": False, "datasets": [], "models": []}
JOBS = ["code", "tests", "data", "model", "manifests"]


def needs(plan: dict[str, Any] | str | None, result: str, /, **others: str) -> dict[str, Any]:
    printed = {} if plan is None else {"plan": plan if isinstance(plan, str) else json.dumps(plan)}
    found: dict[str, Any] = {"plan": {"result": others.pop("plan", "success"), "outputs": printed}}
    return found | {job: {"result": others.get(job, result), "outputs": {}} for job in JOBS}


def red(found: dict[str, Any]) -> list[str]:
    return [job.name for job in required.judged(json.dumps(found)) if not job.passed]


def test_it_knows_every_job_of_the_workflow_and_demands_all() -> None:
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]
    assert jobs.keys() - {"required"} == {"plan", *required.ASKED} == {"plan", *JOBS}
    assert red(needs(EVERYTHING, "success")) == red(needs(NOTHING, "skipped")) == []
    for job in ("plan", *JOBS):
        found = needs(EVERYTHING, "success")
        del found[job]
        with pytest.raises(Refusal, match=f"lacks the job {job}"):
            red(found)


@pytest.mark.parametrize("job", JOBS)
def test_a_job_that_was_asked_for_passes_by_success_alone_and_none_by_failure(job: str) -> None:
    for result in ("failure", "cancelled", "skipped", "", "neutral"):
        assert red(needs(EVERYTHING, "success", **{job: result})) == [job]
    for result in ("failure", "cancelled"):
        assert red(needs(NOTHING, "skipped", **{job: result})) == [job]


@pytest.mark.parametrize("result", ["failure", "cancelled", "skipped"])
@pytest.mark.parametrize("plan", [NOTHING, None])
def test_without_a_plan_nothing_that_was_skipped_passes(result: str, plan: dict[str, Any] | None) -> None:
    assert red(needs(plan, "skipped", plan=result)) == ["plan", *JOBS]


@pytest.mark.parametrize(("plan", "silent"), [(None, JOBS), ("", JOBS), ("[]", JOBS), ('{"code": false}', JOBS[1:])])
def test_what_a_plan_does_not_say_is_asked_for(plan: str | None, silent: list[str]) -> None:
    assert red(needs(plan, "skipped")) == silent


def test_a_job_that_no_plan_knows_has_to_succeed() -> None:
    assert red(needs(NOTHING, "skipped") | {"scan": {"result": "skipped"}}) == ["scan"]


@pytest.mark.parametrize("text", ["", "[]", '{"plan": "success"}', '{"plan": {}}', json.dumps(needs("no plan", ""))])
def test_what_is_no_needs_is_refused(text: str) -> None:
    with pytest.raises(Refusal, match="toJSON"):
        required.judged(text)


def test_the_report_begins_with_the_verdict_and_names_what_is_red(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "report.md"

    def verdict(found: dict[str, Any]) -> int:
        return required.main(argparse.Namespace(needs=json.dumps(found), report=str(report)))

    assert verdict(needs(EVERYTHING, "success", model="failure")) == 1
    assert "required: FAIL, for model;" in capsys.readouterr().out
    assert report.read_text().startswith("# ❌ **fail**\n\n- ❌ **model**: failure; the plan asks for it")
    assert "\n\nPassed: plan, code, tests, data, manifests.\n" in report.read_text()
    assert verdict(needs(NOTHING, "skipped")) == 0
    message = "# ✅ pass\n\nPassed: plan.\n\nNot needed for this change: code, tests, data, model, manifests.\n\n"
    assert report.read_text() == message
