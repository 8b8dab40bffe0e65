"""Both reports in a real browser: at the width of a telephone and of a laptop nothing is cut."""

from pathlib import Path

import pytest

from deploy.rehearsal import report as rehearsed
from models import report
from models.lib import config
from repo.lib.files import read_json, read_yaml
from tests.deploy.rehearsals import rehearsal, walk
from tests.deploy.stub_arm import StubArm
from tests.support import comparisons
from tests.support.browser import NARROW, WIDE, browser, needs_chromium
from tests.support.specimens import NAME

LONG = "test_names_of_a_team_that_hold_no_space_" * 8  # more than one line at any width


@pytest.fixture(scope="module")
def pages(built: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The model's report with and without a champion, the rehearsal's, and one page with a line that is too long."""
    folder = tmp_path_factory.mktemp("pages")
    (folder / "champion.html").write_text(of_model(built))
    (folder / "long.html").write_text(f"<!doctype html><body><p>{LONG}</p></body>")
    done = walk(StubArm(), StubArm(errors=0.3))
    done.candidate, done.judge = LONG, LONG
    done.bad += LONG
    done.notes.append(LONG)
    return {
        "first release": built / "report.html",
        "champion": folder / "champion.html",
        "rehearsal": rehearsed.write(done, folder / "rehearsal"),
        "rehearsal without a look": rehearsed.write(rehearsal(), folder / "none"),
        "long": folder / "long.html",
    }


def of_model(built: Path) -> str:
    """Against a champion, with all that a report may hold, and with long words in it."""
    evaluation = read_json(built / "evaluation.json", "")
    evaluation["slices"][0]["slice"] = LONG
    record = read_yaml(built / "passport.yaml", "")
    record["champion"] = {"version": "0123456789ab", "onnx": ""}
    record["gates"][0] |= {"verdict": "fail", "reason": LONG}
    return report.html(
        {
            "model": config.load(NAME),
            "passport": record,
            "evaluation": evaluation,
            "measured": read_json(built / "measured.json", ""),
            "comparison": comparisons.make(evaluation),
        }
    )


@pytest.mark.slow
@needs_chromium
def test_nothing_is_wider_than_the_window_at_any_width(pages: dict[str, Path]) -> None:
    with browser() as opened:
        found = {}
        for name, page in pages.items():
            for width in (NARROW, WIDE):
                opened.open(page, width)
                found[name, width] = opened.beyond()
    for width in (NARROW, WIDE):
        assert any(each.startswith("P to ") for each in found.pop(("long", width)))  # so it does see one
    assert {place: cut for place, cut in found.items() if cut} == {}
