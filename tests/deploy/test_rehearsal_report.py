"""The report of a rehearsal is whole or absent, stands alone, and says what was found."""

import dataclasses
import io
import json
import math
import os
import re
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from rich.console import Console

from deploy.canary.judge import Result, Verdict
from deploy.rehearsal import charts, meters, report, screen
from deploy.rehearsal.meters import Meter
from deploy.rehearsal.record import Rehearsal
from deploy.rehearsal.report import LOST, NEXT, advice
from deploy.rehearsal.traffic import Arm
from tests.deploy.rehearsals import walk
from tests.deploy.stub_arm import StubArm
from tests.support.answers import CLASSES, EVERY

FIRST = ("Abort", LOST, "the champion", "p99 at the client", "labelled positive", "Way to abort", "the templates")


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
    monkeypatch.setattr(charts, "draw", lambda _: {})
    return tmp_path


def test_the_html_stands_alone(folder: Path) -> None:
    page = (folder / "report.html").read_text()
    linked = re.findall(r"""(?:src|href)\s*=\s*["']([^"'#][^"']*)""", page)
    assert linked == []
    assert "<script" not in page
    assert "@import" not in page
    assert page.count("<svg") == 5
    assert "&lt;b&gt;a &amp; b&lt;/b&gt;" in page


def test_html_and_markdown_say_verdict_evidence_and_both_servers(folder: Path, done: Rehearsal) -> None:
    for name in ("report.html", "report.md"):
        page = (folder / name).read_text()
        assert "Abort" in page
        assert "errors, log evidence" in page  # of the reason
        places = [page.index(told) for told in FIRST]
        assert places == sorted(places)
        for told in ("the templates", "proxy", "0 of 9 requests failed", "after the first request to the candidate"):
            assert told in page
        for result in done.ticks[-1].results:
            assert result.catches[1:] in page.replace("&#39;", "'")
    markdown = (folder / "report.md").read_text()
    tables = [line for line in markdown.splitlines() if line.startswith("|")]
    assert len(tables) == 2 + 7 + 2 + 7  # two heads with their rules, seven figures of both servers, seven checks
    assert [cells(line)[1:] for line in tables if "| errors |" in line] == [
        ["0", f"{done.meters[1].errors:.0f}"],
        ["abort", "aborts", f"log evidence {done.ticks[-1].results[1].value:g}, at most 4.6"],
    ]


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.mark.parametrize(
    ("value", "limit", "least", "share", "told"),
    [
        (0.83, 4.6, False, 0.18, "18 %"),
        (5.3, 4.6, False, 1.0, "100 %"),
        (0.99, 0.95, True, 0.2, "20 %"),
        (0.9, 1.0, True, 1.0, "100 %"),  # of a limit that leaves no way
        (0.0, 0.0, False, 0.0, "0 %"),
        (1.0, 0.0, False, 1.0, "100 %"),
        (math.nan, 4.6, False, math.nan, "no data"),
    ],
)
def test_evidence_is_a_share_of_the_way(value: float, limit: float, least: bool, share: float, told: str) -> None:
    found = screen.share(Result("errors", value, limit, Verdict.HEALTHY, "", least))
    assert found == pytest.approx(share, abs=0.005, nan_ok=True)
    assert screen.percent(found) == told


def test_what_nobody_asked_for_yet_is_no_missing_data() -> None:
    waiting = Result("evidence", math.nan, 300, Verdict.INCONCLUSIVE, "", least=True, asked=False)
    assert screen.measured(waiting) == "not asked yet, at least 300"
    assert screen.measured(dataclasses.replace(waiting, value=649.0)) == "649, at least 300"
    assert screen.measured(Result("errors", math.nan, 4.6, Verdict.INCONCLUSIVE, "")) == "no data, at most 4.6"


def test_the_worst_look_is_told_beside_the_last_one(done: Rehearsal, undrawn: Path) -> None:
    looks = [[Result("errors", value, 4.0, Verdict.HEALTHY, "")] for value in (1.0, 3.0, 2.0)]
    ticks = [dataclasses.replace(done.ticks[0], results=results) for results in looks]
    page = report.write(dataclasses.replace(done, ticks=ticks, verdict="promote"), undrawn / "here").read_text()
    assert "50 % of the way to abort, at most 75 % before" in page
    assert '<i style="width: 50%">' in page


@pytest.mark.parametrize(
    ("changes", "failed", "told"),
    [
        ({"kept": ""}, "refusals", "python -m serving contract specimen_delay"),
        ({"kept": ""}, "a check of the team's own", "python -m serving serve specimen_delay"),
        ({"kept": "", "ticks": []}, "", "python -m serving serve specimen_delay"),
        ({"kept": "1 of 9 requests failed"}, "errors", "drops what it is working on"),
        ({"fault": "errors"}, "errors", "planted on purpose and caught"),
        ({"verdict": "inconclusive"}, "errors", "Too little was seen"),
        ({"verdict": "promote"}, "errors", ""),
    ],
)
def test_what_to_do_next_fits_what_failed(done: Rehearsal, changes: dict[str, Any], failed: str, told: str) -> None:
    results = [Result("success", 1.0, 0.95, Verdict.HEALTHY, ""), Result(failed, 9.0, 4.6, Verdict.ABORT, "")]
    ended = dataclasses.replace(done, ticks=[dataclasses.replace(done.ticks[-1], results=results)])
    for name, value in changes.items():
        setattr(ended, name, value)
    assert told in advice(ended)
    assert bool(told) == bool(advice(ended))


def test_every_check_has_a_label_and_a_next_step() -> None:
    assert set(NEXT) == set(screen.LABELS) - {"evidence"}


def test_the_json_holds_every_look(folder: Path, done: Rehearsal) -> None:
    found = json.loads((folder / "rehearsal.json").read_text(), parse_constant=pytest.fail)
    assert found["verdict"] == "abort"
    assert len(found["looks"]) == len(done.ticks)
    assert found["looks"][-1]["checks"]["errors"]["verdict"] == "abort"
    assert found["servers"][1]["reasons"]["inference"] == found["servers"][1]["errors"]


def test_a_check_without_data_is_written_as_that(
    done: Rehearsal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(charts, "draw", lambda _: {})  # of the requests, which has nothing to do with checks
    results = [*done.ticks[0].results, Result("downtime", math.nan, 6.0, Verdict.INCONCLUSIVE, "a crash.")]
    ticks = [dataclasses.replace(tick, results=results) for tick in done.ticks]
    folder = report.write(dataclasses.replace(done, ticks=ticks), tmp_path).parent
    told = "| scrapes missed | inconclusive | no data | no data, at most 6 |"
    assert told in (folder / "report.md").read_text()
    assert "catches: A crash." in (folder / "report.md").read_text()
    found = json.loads((folder / "rehearsal.json").read_text(), parse_constant=pytest.fail)
    assert found["looks"][0]["checks"]["downtime"]["value"] is None
    assert "scrapes missed" in (folder / "report.html").read_text()


TOLD = {
    "scores": [["labelled positive", "25.0%", "25.0%"]],
    "probabilities": [
        ["labelled <b>fine</b>", "50.0%", "50.0%"],
        ["labelled a | b", "25.0%", "25.0%"],
        ["labelled [red] $x$ 遅延", "25.0%", "25.0%"],
    ],
    "predictions": [["mean tenth of predictions", "1.75", "1.75"]],
}


@pytest.mark.parametrize("field", EVERY)
def test_answers_are_told_in_their_words(
    field: str, done: Rehearsal, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    """Even where a name looks like markup, for a terminal, a browser, Markdown or a chart."""
    before = meters.Sample(within={0.005: 0.0}, found=set(meters.KNOWN))
    after = meters.Sample(4.0, 4.0, 1.0, [2.0, 1.0, 1.0, *[0.0] * 7], {0.005: 3.0}, found=set(meters.KNOWN))
    arms = [Meter(Arm(name, "", milliseconds=[1.0, 2.0])) for name in ("champion", "candidate")]
    for meter in arms:
        meter.record(before, 0.0)
        meters.bound(meter, meters.Bounds(5.0, 5.0))
        meter.record(after, 1.0)
    found = dataclasses.replace(done, answer=EVERY[field], meters=arms, ticks=done.ticks[:1])
    assert screen.servers(found)[6:] == TOLD[field]
    page = report.write(found, tmp_path).read_text()
    assert page.count("<svg") == 5
    assert "<b>fine" not in page
    assert list(recwarn) == []  # of fonts, for instance
    rows = [cells(line) for line in (tmp_path / "report.md").read_text().splitlines() if line.startswith("| labelled")]
    assert all(len(row) == 3 for row in rows)
    console = Console(file=io.StringIO(), force_terminal=True, width=200)
    with screen.Screen(console) as shown:
        shown.show(found)
    assert all(row[0] in cast(io.StringIO, console.file).getvalue() for row in TOLD[field])


def test_of_many_classes_the_last_bin_holds_the_rest(done: Rehearsal) -> None:
    names = [f"class {place}" for place in range(10)]
    assert dataclasses.replace(done, answer=CLASSES | {"names": names}).bins == names
    more = dataclasses.replace(done, answer=CLASSES | {"names": [*names, "one", "two"]}).bins
    assert more == [*names[:9], "3 others"]


def test_a_model_without_a_threshold_has_no_positives() -> None:
    meter = Meter(Arm("champion", ""))
    meter.record(meters.Sample(found=set(meters.NEEDED)), 0.0)
    assert meter.positive_rate is None


def test_a_blind_latency_check_is_said(folder: Path) -> None:
    assert "could not see a slowdown" in (folder / "report.html").read_text()


def test_a_report_that_is_not_whole_leaves_nothing(
    done: Rehearsal, undrawn: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(report, "write_json", full)
    with pytest.raises(OSError, match="no space"):
        report.write(done)
    assert [path for path in undrawn.rglob("*") if path.is_file()] == []


@pytest.mark.usefixtures("undrawn")
def test_two_rehearsals_of_a_second_keep_their_reports(done: Rehearsal, monkeypatch: pytest.MonkeyPatch) -> None:
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
