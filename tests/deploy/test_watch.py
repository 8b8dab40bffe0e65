"""A watched month: its verdict, what is refused, and the real service under the cluster's own rules."""

from __future__ import annotations

import calendar
from collections.abc import Iterator
from pathlib import Path

import pytest

from data_schemas.lib import datasets
from deploy import watch
from deploy.__main__ import VERBS
from deploy.rehearsal import prometheus, replay, watched
from deploy.rehearsal.past import STEP, Alert
from deploy.rehearsal.replay import DAY
from deploy.rehearsal.screen import Screen
from deploy.rehearsal.watched import Watched
from models.lib import config
from repo.lib import command
from tests.deploy.rehearsals import needs_prometheus
from tests.support import trees
from tests.support.process import signals_kept
from tests.support.specimens import NAME

FIRST = calendar.timegm((2013, 12, 1, 0, 0, 0))


def seen(fault: str | None, *fired: tuple[str, str, int]) -> Watched:
    """With alerts that fired: name (and feature, temp if none is given), severity, hours after `begin`."""
    done, found = Watched(NAME, "0123456789ab", fault, FIRST, FIRST + 30 * DAY, {}), {}
    done.features = frozenset({"temp"} if fault in ("nulls", "shift") else ())
    for text, severity, hours in fired:
        name, _, feature = text.partition(" ")
        at = done.begin + hours * 3600
        found[text] = Alert(name, {"severity": severity, "feature": feature or "temp"}, firing=[[at, at + 3 * STEP]])
    done.alerts = found
    return done


BROKEN, WORSE = ("ModelInputBroken", "ticket", 2), ("ModelQuality", "ticket", 90)
CAUGHT = "The planted fault nulls is caught by ModelInputBroken of temp; "


@pytest.mark.parametrize(
    ("done", "code", "last"),
    [
        (seen(None), 0, f"{NAME}: nothing to do"),
        (seen(None, ("ModelInputDrift", "info", 1)), 0, f"{NAME}: nothing to do"),
        (seen(None, ("ModelQuality", "ticket", -100)), 0, f"{NAME}: nothing to do"),  # over before the month began
        (seen(None, ("ModelLatency", "page", 1)), 1, "ModelLatency (page) of temp, first 2013-12-02 01:00"),
        (seen("nulls", BROKEN, WORSE), 1, "ModelQuality of temp followed, as answers are worse; no other fired."),
        (seen("nulls", BROKEN, ("ModelInputBroken humid", "ticket", 3)), 1, f"{CAUGHT}ModelInputBroken of humid fired"),
        (seen("nulls", BROKEN, ("ModelLatency", "page", -2)), 1, f"{CAUGHT}ModelLatency of temp fired before it; no"),
        (seen("nulls", ("ModelInputBroken humid", "ticket", 3)), 2, "not caught by ModelInputBroken of temp; Model"),
        (
            seen("shift", ("ModelLatency", "page", 3)),
            2,
            "not caught by ModelInputDrift of temp; ModelLatency of temp f",
        ),
        (seen("shift", ("ModelInputDrift", "ticket", -2)), 2, "ModelInputDrift of temp fired before it; no other"),
        (seen("slow", ("ModelLatency", "page", 2), WORSE), 1, "ModelQuality of temp fired, too; whether"),
    ],
)
def test_the_verdict_names_what_asks_for_work(done: Watched, code: int, last: str) -> None:
    found, lines = done.verdict()
    assert found == code
    assert last in lines[-1]


def test_without_prometheus_it_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(prometheus, "find", lambda: None)
    assert command.run("deploy", VERBS, ["watch", NAME]) == 2
    assert "apt-get install prometheus" in capsys.readouterr().err


@pytest.fixture
def here(rehearsed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(trees.copy(rehearsed, tmp_path / "repository"))
    monkeypatch.setenv("FEEDBACK_KEYS", "")  # restored at the end
    with signals_kept():
        yield Path.cwd()


@needs_prometheus
@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("month", "why"),
    [("2014-01", "has no rows of it; the newest month is 2013-12"), ("March", "is not a month; write it as 2013-12")],
)
def test_a_month_that_the_data_lacks_is_refused(month: str, why: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.run("deploy", VERBS, ["watch", NAME, "--once", "--month", month]) == 2
    assert f"--month {month}" in (error := capsys.readouterr().err)
    assert why in error


@pytest.mark.slow
@needs_prometheus
@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("fault", ["nulls", "collapse"])
def test_a_fault_is_caught_by_its_alert_and_the_clean_span_before_raises_none(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "CHUNK", 100 * DAY)
    model, last = config.load(NAME), FIRST + 5 * DAY
    rows = replay.timed(model, datasets.read_all(model.dataset), FIRST - watch.BEFORE, last)
    folder = tmp_path / "watch"
    folder.mkdir()
    with Screen() as screen:
        past, done = watch.watch(model, rows, FIRST, last, fault, folder, screen)
    code, lines = done.verdict()
    assert code == 1, lines
    assert done.requests == rows.height
    assert done.refused == 0
    assert lines[-1].startswith(f"The planted fault {fault} is caught by {watched.EXPECTED[fault]} of ")
    assert lines[-1].endswith("; no other fired.")
    assert [each for each in past.alerts.values() if each.firing and each.firing[0][0] < FIRST] == []
    if fault == "nulls":
        with past.running() as address:
            page = watched.write(done, watched.ask(done, address), tmp_path / "report").read_text()
        assert "ModelInputBroken" in page
        assert "<svg" in page
