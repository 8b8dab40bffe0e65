"""The report of a rehearsal is whole or absent, stands alone, and says what was found."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
from datetime import timedelta
from pathlib import Path

import pytest

from deploy.canary.judge import Result, Verdict
from deploy.rehearsal import charts, report
from deploy.rehearsal.record import Rehearsal
from tests.deploy.rehearsals import walk
from tests.deploy.stub_arm import StubArm


@pytest.fixture(scope="module")
def done() -> Rehearsal:
    found = walk(StubArm(), StubArm(errors=0.3))
    assert found.verdict == "abort"
    found.judge, found.split, found.kept = "the templates", "a <proxy>", "0 of 9 requests failed"
    found.candidate = "<b>a & b</b>"
    return found


@pytest.fixture(scope="module")
def folder(done: Rehearsal, tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("report"))
        return report.write(done).parent.absolute()


@pytest.fixture
def undrawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current directory, and charts that cost no time."""
    monkeypatch.chdir(tmp_path)
    for name in ("draw", "draw_checks"):
        monkeypatch.setattr(charts, name, lambda _: "")
    return tmp_path


def test_the_html_stands_alone(folder: Path) -> None:
    page = (folder / "report.html").read_text()
    linked = re.findall(r"""(?:src|href)\s*=\s*["']([^"'#][^"']*)""", page)
    assert linked == []
    assert "<script" not in page
    assert "@import" not in page
    assert page.count("<svg") == 2
    assert "&lt;b&gt;a &amp; b&lt;/b&gt;" in page


def test_html_and_markdown_say_verdict_evidence_and_both_servers(folder: Path, done: Rehearsal) -> None:
    for name in ("report.html", "report.md"):
        page = (folder / name).read_text()
        assert "Abort" in page
        assert "errors, log evidence" in page
        assert "champion" in page
        for told in ("the templates", "proxy", "0 of 9 requests failed", "after the first request to the candidate"):
            assert told in page
        for result in done.ticks[-1].results:
            assert result.catches in page.replace("&#39;", "'")
    markdown = (folder / "report.md").read_text()
    tables = [line for line in markdown.splitlines() if line.startswith("|")]
    assert len(tables) == 2 + 7 + 2 + 2  # two heads with their rules, seven checks, two servers


def test_the_json_holds_every_look(folder: Path, done: Rehearsal) -> None:
    found = json.loads((folder / "rehearsal.json").read_text(), parse_constant=pytest.fail)
    assert found["verdict"] == "abort"
    assert len(found["looks"]) == len(done.ticks)
    assert found["looks"][-1]["checks"]["errors"]["verdict"] == "abort"
    assert found["servers"][1]["reasons"]["inference"] == found["servers"][1]["errors"]


def test_a_check_without_data_is_drawn_and_written_as_that(
    done: Rehearsal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(charts, "draw", lambda _: "")  # of the requests, which has nothing to do with checks
    results = [*done.ticks[0].results, Result("downtime", math.nan, 6.0, Verdict.INCONCLUSIVE, "Catches a crash.")]
    ticks = [dataclasses.replace(tick, results=results) for tick in done.ticks]
    folder = report.write(dataclasses.replace(done, ticks=ticks), tmp_path).parent
    assert (
        "| scrapes missed | no data | no data | at most 6 | inconclusive | Catches a crash. |"
        in (folder / "report.md").read_text()
    )
    found = json.loads((folder / "rehearsal.json").read_text(), parse_constant=pytest.fail)
    assert found["looks"][0]["checks"]["downtime"]["value"] is None
    assert "scrapes missed" in (folder / "report.html").read_text()


def test_a_blind_latency_check_is_said(folder: Path) -> None:
    assert "could not see a slowdown" in (folder / "report.html").read_text()


def test_a_report_that_cannot_be_written_whole_leaves_nothing(
    done: Rehearsal, undrawn: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(report, "write_json", full)
    with pytest.raises(OSError, match="no space"):
        report.write(done)
    assert [path for path in undrawn.rglob("*") if path.is_file()] == []


@pytest.mark.usefixtures("undrawn")
def test_two_rehearsals_of_the_same_second_keep_their_own_reports(
    done: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = report.write(done)
    monkeypatch.setattr(os, "getpid", lambda: 4_000_001)
    assert report.write(done) != one
    assert one.is_file()


def test_a_folder_that_is_given_is_used_and_used_again(done: Rehearsal, undrawn: Path) -> None:
    for _ in range(2):
        assert report.write(done, undrawn / "here") == undrawn / "here" / "report.html"
    names = sorted(path.name for path in (undrawn / "here").iterdir())
    assert names == ["rehearsal.json", "report.html", "report.md"]


@pytest.mark.usefixtures("undrawn")
def test_only_the_newest_reports_are_kept(done: Rehearsal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "KEPT", 2)
    started, written = done.started, []
    for minutes in range(4):
        done.started = started + timedelta(minutes=minutes)
        written.append(report.write(done).parent)
    done.started = started
    assert [path.is_dir() for path in written] == [False, False, True, True]
