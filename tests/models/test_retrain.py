"""`retrain`: the newest data, slid windows and a run, as a pull request that is closed unless it is better."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from data_schemas.lib import pointer
from data_schemas.lib.pointer import Version
from models import retrain
from models.lib import champion, config, windows, worktree
from models.lib.split import Parts, Windows
from repo.lib.files import sha256, write
from tests.github.hub import Hub
from tests.models.scene import Verbs, shrink
from tests.support import trees
from tests.support.process import Answer, run
from tests.support.repository import commit, git
from tests.support.specimens import MODEL

INGEST, RUN = "data_schemas ingest specimen_trips --accept", "models run specimen_delay --windows 4"
BRANCH = "retrain/specimen_delay"
CHANGED = ["data_schemas/specimen_trips/data.dvc", f"{MODEL}/dvc.lock", f"{MODEL}/model.yaml"]
SLIDE = windows.slide
NEW = Version("0" * 32 + ".dir", 1, 1)
BETTER = {"verdict": "pass", "value": "0.0123", "reason": "ROC AUC against 0123456789ab: +0.0200, on the same rows"}


def later(model: config.Model) -> Windows:
    assert isinstance(model.parts, Windows)
    return model.parts.moved(1)


def move(model: config.Model, _: str | None) -> Parts:
    """As `windows.slide`, whose months this tree has not got."""
    windows.edit(model, later(model))
    return later(model)


def judge(gate: dict[str, str], others: str = "pass", against: str | None = "0123456789ab") -> Callable[[], None]:
    """What `run` does and finds: `gate` is the champion's, `others` the verdict of another one."""

    def run() -> None:
        gates = [{"name": "roc_auc", "verdict": others}, {"name": "champion", **gate}]
        passport: dict[str, Any] = dict.fromkeys(("model", "version", "content", "dataset", "metrics"))
        verdict = "fail" if "fail" in (others, gate["verdict"]) else "pass"
        passport |= {"verdict": verdict, "gates": gates, "champion": {"version": against} if against else None}
        write(MODEL / "build/passport.yaml", yaml.safe_dump(passport))
        write(MODEL / "build/report.md", "## the report\n")
        trees.append(MODEL / "dvc.lock")

    return run


@dataclass
class Scene:
    """The source has new data, the windows move, and the model is better."""

    remote: Path
    children: Verbs
    verb: Callable[..., Answer]
    slide: Callable[[config.Model, str | None], Parts] = move

    def propose(self, *options: str) -> dict[str, Any]:
        """Retrain the specimen; its pull request."""
        answer = self.verb("retrain", "specimen-delay", "--propose", *options)
        assert (answer.code, answer.error) == (0, "")
        assert answer.out.splitlines()[-1] == f"retrain specimen_delay: {self.proposed()['html_url']}"
        return self.proposed()

    def proposed(self) -> dict[str, Any]:
        return Hub(self.remote / "hub").own()

    def asked(self) -> list[str]:
        return Hub(self.remote / "hub").calls()

    def changed(self) -> list[str]:
        """The files of what is proposed."""
        return git("show", "--name-only", "--format=", BRANCH, root=self.remote / "origin").splitlines()

    def demand_untouched(self) -> None:
        branches = git("branch", "--format=%(refname:short)", root=self.remote / "origin").splitlines()
        assert (self.asked(), branches) == ([], ["main", "work"])


@pytest.fixture
def scene(remote: Path, verbs: Verbs, verb: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch) -> Scene:
    verbs.effects = {INGEST: lambda: pointer.pin("specimen_trips", NEW), RUN: judge(BETTER)}
    made = Scene(remote, verbs, verb)
    monkeypatch.setattr(windows, "slide", lambda model, to: made.slide(model, to))
    return made


def test_a_better_model_is_a_pull_request_with_the_verdict_first(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[tuple[str, list[str]]] = []  # bytes that Git does not hold, before the proposal
    monkeypatch.setattr(worktree, "keep", lambda name: kept.append((name, scene.asked())))
    model = config.load("specimen_delay", check_columns=False)
    old, new, data = model.parts, later(model), pointer.pinned("specimen_trips")
    assert data
    found = scene.propose("--because", "drift of <temp>: 0.31, limit 0.12")
    assert (scene.children.called, scene.children.shared) == ([INGEST, RUN], [scene.remote / "here"])
    assert kept == [("specimen_delay", [])]
    assert found["body"].splitlines() == [
        "drift of &#60;temp&#62;: 0.31, limit 0.12".replace(":", "&#58;"),
        "",
        "**Better than the champion `0123456789ab`. ROC AUC against 0123456789ab: +0.0200, on the same rows; lower "
        "bound of the paired 95 % interval: 0.0123, above 0; no gate fails.**",
        "",
        *(f"- {line}" for line in windows.changes(old, new)),
        f"- data: specimen_trips `{data.short}` -> `{NEW.short}`",
        "",
        "## the report",
    ]
    assert scene.asked() == ["POST pulls"]
    assert found["head"]["ref"] == BRANCH
    assert found["title"] == f"Retrain specimen_delay on data up to {new.test.last}"
    assert scene.changed() == CHANGED
    assert git("status", "--porcelain") == "", "the clone was touched"


NOT_BETTER = {
    "another gate": (judge(BETTER, "fail"), "interval: 0.0123, above 0; gates that fail: roc_auc."),
    "its own gate": (judge(BETTER | {"value": "-0.1", "verdict": "fail"}), "not above 0; gates that fail: champion."),
    "no evidence": (judge({"value": "none", "verdict": "fail", "reason": "one outcome only"}), "one outcome only;"),
    "no number": (judge(BETTER | {"value": "nan"}), "interval: nan, not above 0"),
}
NOT_COMPARED = {
    "gate off": (judge({"verdict": "off", "value": "-", "reason": "too early"}), "is off (too early); no gate fails"),
}


def test_one_that_is_not_better_is_closed_with_the_reason(scene: Scene) -> None:
    scene.children.effects[RUN] = judge(BETTER | {"value": "0"})
    found = scene.propose()
    assert "interval: 0, not above 0; no gate fails." in found["body"]
    assert "A person decides" not in found["body"]
    (closed,) = found["comments"]
    assert (found["state"], scene.asked()[0]) == ("closed", "POST pulls")
    assert closed.startswith("Not better than the champion `0123456789ab`. ")
    assert "interval: 0, not above 0; no gate fails." in closed
    assert closed.endswith(f" The branch `{BRANCH}` is kept with all of it.")
    assert scene.changed() == CHANGED


def test_what_was_not_compared_is_for_a_person(scene: Scene) -> None:
    scene.children.effects[RUN] = judge(BETTER, against=None)
    found = scene.propose()
    assert "production has no release of specimen_delay, so there is no champion" in found["body"]
    assert "A person decides by this report." in found["body"]
    assert (found["state"], found["comments"], scene.asked()) == ("open", [], ["POST pulls"])


def test_every_other_verdict_is_said_in_words(scene: Scene) -> None:
    for case, (effect, message) in (NOT_BETTER | NOT_COMPARED).items():
        scene.children.effects[RUN] = effect
        out = scene.verb("retrain", "specimen_delay").out
        told = "Not better than the champion" if case in NOT_BETTER else "Not compared with the champion"
        assert f"retrain specimen_delay: {told} `0123456789ab`" in out, case
        assert message in out, case
        git("checkout", "--quiet", "--", ".")


@pytest.mark.parametrize("new", ["data", "windows"])
def test_data_or_windows_alone_are_enough(scene: Scene, new: str) -> None:
    if new == "data":
        scene.slide = lambda model, _: model.parts
    else:
        del scene.children.effects[INGEST]
    body, data = scene.propose()["body"], pointer.pinned("specimen_trips")
    assert data
    assert ("- The windows stayed.\n" in body) is (new == "data")
    assert (f"- data: specimen_trips `{data.short}`\n" in body) is (new == "windows")
    assert scene.children.called[-1] == RUN


SPLITS: dict[str, dict[str, Any]] = {
    " --windows 4": {"by": "hash", "key": ["flight"], "shares": {"train": 0.7, "valid": 0.15, "test": 0.15}},
    "": {"by": "column", "column": "flight", "train": [1], "valid": [2], "test": [3]},
}


@pytest.mark.parametrize("option", SPLITS, ids=["by a hash", "by a column"])
def test_without_windows_new_data_join_the_parts_there_are(scene: Scene, option: str) -> None:
    """And a column has no other division to try."""
    trees.configure(Path(), {"windows": None, "split": SPLITS[option]})
    commit(Path())
    git("push", "--quiet", "origin", "HEAD:main")
    scene.slide, run = SLIDE, f"models run specimen_delay{option}"
    scene.children.effects[run] = judge(BETTER)
    found = scene.propose()
    assert scene.children.called == [INGEST, run]
    assert found["title"] == "Retrain specimen_delay on its newest data"
    assert "- The split stayed.\n" in found["body"]
    assert scene.changed() == CHANGED[:2]


STOPS = {
    "data that breaks its contract": (INGEST, 1, f"`python -m {INGEST}` ended with 1 (see above)"),
    "refused": (RUN, 2, f"`python -m {RUN}` ended with 2 (see above)"),
    "nothing new": (INGEST, 0, "neither the data nor the windows have anything new: nothing to train on."),
}


@pytest.mark.parametrize("option", [["--propose"], []], ids=["proposed", "here"])
@pytest.mark.parametrize("case", STOPS)
def test_without_a_verdict_or_anything_new_nothing_is_proposed(scene: Scene, case: str, option: list[str]) -> None:
    child, code, message = STOPS[case]
    scene.children.codes = {child: code}
    if not code:
        scene.children.effects, scene.slide = {}, lambda model, _: model.parts
    answer = scene.verb("retrain", "specimen_delay", *option)
    assert (answer.code, len(answer.error.splitlines())) == ((2, 1) if code else (0, 0))
    assert message in answer.error + answer.out
    assert scene.children.called[-1] == child
    scene.demand_untouched()


def test_a_text_is_cut_to_what_a_pull_request_holds(scene: Scene) -> None:
    def run() -> None:
        judge(BETTER)()
        write(MODEL / "build/report.md", "x" * 100_000)

    scene.children.effects[RUN] = run
    assert 50_000 < len(scene.propose()["body"]) < 65_536


@pytest.mark.parametrize("code", [0, 1])
def test_here_it_leaves_a_change_for_a_person_and_ends_like_the_run(scene: Scene, code: int) -> None:
    scene.children.effects[RUN], scene.children.codes[RUN] = judge(BETTER, "fail" if code else "pass"), code
    answer = scene.verb("retrain", "specimen_delay")
    assert (answer.code, answer.error, scene.children.called[:2]) == (code, "", [INGEST, RUN])
    assert f"retrain specimen_delay: {'Not better' if code else 'Better'} than the champion" in answer.out
    scene.demand_untouched()
    assert len(git("status", "--porcelain").splitlines()) == 3


def test_unfinished_work_is_not_mixed_with_it(scene: Scene) -> None:
    for path in (MODEL / "network.py", MODEL / "new.py", Path("data_schemas/specimen_trips/data.dvc")):
        trees.append(path)
        answer = scene.verb("retrain", "specimen_delay")
        assert (answer.code, answer.out, scene.children.called, answer.error.count("\n")) == (2, "", [], 1)
        assert f"{path} is not committed, and retraining would mix with that; commit or restore it" in answer.error
        path.unlink()
        git("checkout", "--quiet", "--", ".")
    trees.append(MODEL / "network.py")
    scene.propose()  # in a tree of its own, which has none of it


def listed(verb: Callable[..., Answer], *arguments: str) -> dict[str, Any]:
    answer = verb("retrain", "--list", *arguments)
    assert (answer.code, answer.error, answer.out.count("\n")) == (0, "", 1)
    found: dict[str, Any] = json.loads(answer.out)
    return found


@pytest.mark.usefixtures("remote")
def test_the_list_is_what_a_matrix_takes(verb: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch) -> None:
    trees.append("models/specimen_tip/model.yaml", "runs_on: gpu-large\n")
    runs_on = {"specimen_tip": "gpu-large"}
    assert listed(verb) == {"models": ["specimen_delay", "specimen_tip"], "runs_on": runs_on, "skipped": {}}
    assert listed(verb, "specimen-tip") == {"models": ["specimen_tip"], "runs_on": runs_on, "skipped": {}}
    write(champion.passport_path("specimen_tip"), yaml.safe_dump({"version": "0123456789ab", "content": {"onnx": "0"}}))
    found = listed(verb, "--scheduled")
    reason = "production has no release of it, so nothing that runs has aged"
    assert found == {"models": ["specimen_tip"], "runs_on": runs_on, "skipped": {"specimen_delay": reason}}
    assert listed(verb, "--scheduled", "specimen_delay")["models"] == []
    monkeypatch.setattr(retrain, "JOBS", 1)
    assert listed(verb)["skipped"] == {
        "specimen_tip": "1 models come before it, as many as one run takes; name it in a run of its own"
    }


@pytest.mark.usefixtures("remote")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["unknown", "--list"], "no model 'unknown' (models/unknown/model.yaml is missing); models: specimen_"),
        (["..", "--propose"], "there is no model '..'"),
        ([], "no model is named; give one of models/, or --list"),
    ],
)
def test_a_model_that_is_not_there_is_refused(verb: Callable[..., Answer], arguments: list[str], message: str) -> None:
    answer = verb("retrain", *arguments)
    assert (answer.code, answer.out, len(answer.error.splitlines())) == (2, "", 1)
    assert message in answer.error


def test_the_list_needs_nothing_but_pyyaml() -> None:
    """The job that asks for it installs no more."""
    heavy = ["pydantic", "polars", "pandera", "torch", "numpy", "onnx", "dvc", "rich"]
    script = (
        f"import sys; sys.modules.update(dict.fromkeys({heavy})); from models.__main__ import main; sys.exit(main())"
    )
    command = [sys.executable, "-c", script, "retrain", "--list", "--scheduled"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout)) == {"models", "runs_on", "skipped"}


@pytest.mark.slow
def test_all_of_it_for_real(remote: Path, cloned: Path) -> None:
    """A small model learns one later month in one epoch and does not match the one in production."""
    clone = remote / "clone"
    trees.copy(cloned, clone)
    git("remote", "add", "origin", str(remote / "origin"), root=clone)
    shrink(clone)
    trees.configure(clone, {"windows.test": {"first": "2013-03", "last": "2013-03"}})
    write(
        clone / champion.passport_path("specimen_delay"),
        yaml.safe_dump({"version": "0123456789ab", "content": {"onnx": sha256(clone / MODEL / "model.onnx")}}),
    )
    commit(clone)
    git("push", "--quiet", "--force", "origin", "HEAD:main", root=clone)
    answer = run("models", "retrain", "specimen_delay", "--propose", root=clone)
    assert answer.code == 0, answer.error
    found = Hub(remote / "hub").own()
    body = found["body"]
    assert body.startswith("**Not better than the champion `0123456789ab`. ROC AUC against 0123456789ab: -0.")
    assert "- train: 2013-01 -> 2013-10\n- valid: 2013-02 -> 2013-11\n- test: 2013-03 -> 2013-12\n" in body
    assert ": specimen_delay `" in body
    assert "### Gates" in body
    assert found["comments"][0].startswith("Not better")
    git("fetch", "--quiet", "origin", root=clone)
    git("checkout", "--quiet", "--detach", f"origin/{BRANCH}", root=clone)
    checked = run("models", "run", "specimen_delay", "--check", root=clone)
    assert checked.code == 0, checked.out


def test_what_one_job_trained_another_proposes_without_training(scene: Scene) -> None:
    """The first has no token; the second runs nothing of the model, and takes nothing beside what training makes."""

    def intrude() -> None:
        judge(BETTER)()
        trees.append(MODEL / "network.py")

    for effect, folder in ((intrude, "theirs"), (judge(BETTER), "out")):
        scene.children.effects[RUN] = effect
        assert scene.verb("retrain", "specimen_delay", "--write", folder).code == 0
    called = list(scene.children.called)
    answer = scene.verb("retrain", "--read", "theirs", "--propose")
    assert (answer.code, "which no training makes" in answer.out) == (1, True)
    scene.demand_untouched()
    answer = scene.verb("retrain", "--read", "out", "--propose")
    assert (answer.code, answer.out) == (0, f"retrain specimen_delay: {scene.proposed()['html_url']}\n")
    assert scene.children.called == called
    assert scene.proposed()["body"].startswith("**Better than the champion `0123456789ab`.")
    assert scene.changed() == CHANGED
