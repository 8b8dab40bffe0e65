"""`retrain`: the newest data, slid windows and a run, as a pull request that is closed unless it is better."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
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
NEW = Version("0" * 32 + ".dir", 1, 1)
BETTER = {"verdict": "pass", "value": "0.0123", "reason": "ROC AUC against 0123456789ab: +0.0200, on the same rows"}


def later(model: config.Model) -> Windows:
    assert isinstance(model.parts, Windows)
    return model.parts.moved(1)


def move(model: config.Model, _: str | None) -> Parts:
    """As `windows.slide`, whose months this tree has not got."""
    windows.edit(model, later(model))
    return later(model)


def stay(model: config.Model, _: str | None) -> Parts:
    return model.parts


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


@pytest.fixture
def children(verbs: Verbs, monkeypatch: pytest.MonkeyPatch) -> Verbs:
    """The source has new data, the windows move, and the model is better."""
    verbs.effects = {INGEST: lambda: pointer.pin("specimen_trips", NEW), RUN: judge(BETTER)}
    monkeypatch.setattr(windows, "slide", move)
    return verbs


def release(name: str = "specimen_delay", onnx: str = "0" * 64) -> None:
    content = {"version": "0123456789ab", "content": {"onnx": onnx}}
    write(champion.passport_path(name), yaml.safe_dump(content))


def asked(remote: Path) -> list[str]:
    return Hub(remote / "hub").calls()


def proposed(remote: Path) -> dict[str, Any]:
    return Hub(remote / "hub").own()


def branches(remote: Path) -> list[str]:
    return git("branch", "--format=%(refname:short)", root=remote / "origin").splitlines()


def changed(remote: Path) -> list[str]:
    """The files of what is proposed."""
    return git("show", "--name-only", "--format=", BRANCH, root=remote / "origin").splitlines()


def test_a_better_model_is_a_pull_request_with_the_verdict_first(
    remote: Path, children: Verbs, verb: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[tuple[str, list[str]]] = []  # bytes that Git does not hold, before the proposal
    monkeypatch.setattr(worktree, "keep", lambda name: kept.append((name, asked(remote))))
    model = config.load("specimen_delay", check_columns=False)
    old, new, data = model.parts, later(model), pointer.pinned("specimen_trips")
    assert data
    answer = verb("retrain", "specimen-delay", "--propose")
    assert (answer.code, answer.error) == (0, "")
    moves = "".join(f"retrain specimen_delay: {line}\n" for line in windows.changes(old, new))
    assert answer.out == f"{moves}retrain specimen_delay: {proposed(remote)['html_url']}\n"
    assert (children.called, children.shared) == ([INGEST, RUN], [remote / "here"])
    assert kept == [("specimen_delay", [])]
    assert proposed(remote)["body"].splitlines() == [
        "**Better than the champion `0123456789ab`. ROC AUC against 0123456789ab: +0.0200, on the same rows; lower "
        "bound of the paired 95 % interval: 0.0123, above 0; no gate fails.**",
        "",
        *(f"- {line}" for line in windows.changes(old, new)),
        f"- data: specimen_trips `{data.short}` -> `{NEW.short}`",
        "",
        "## the report",
    ]
    assert asked(remote) == ["POST pulls"]
    assert proposed(remote)["head"]["ref"] == BRANCH
    assert proposed(remote)["title"] == f"Retrain specimen_delay on data up to {new.test.last}"
    assert changed(remote) == CHANGED
    assert git("status", "--porcelain") == "", "the clone was touched"


NOT_BETTER = {
    "a bound at 0": (judge(BETTER | {"value": "0"}), "interval: 0, not above 0; no gate fails."),
    "another gate": (judge(BETTER, "fail"), "interval: 0.0123, above 0; gates that fail: roc_auc."),
    "its own gate": (judge(BETTER | {"value": "-0.1", "verdict": "fail"}), "not above 0; gates that fail: champion."),
    "no evidence": (judge({"value": "none", "verdict": "fail", "reason": "one outcome only"}), "one outcome only;"),
    "no number": (judge(BETTER | {"value": "nan"}), "interval: nan, not above 0"),
}
NOT_COMPARED = {
    "no champion": (judge(BETTER, against=None), "production has no release of specimen_delay, so there is no champ"),
    "gate off": (judge({"verdict": "off", "value": "-", "reason": "too early"}), "is off (too early); no gate fails"),
}


@pytest.mark.parametrize("case", [*NOT_BETTER, *NOT_COMPARED])
def test_one_that_is_not_better_is_closed_with_the_reason_and_what_was_not_compared_is_for_a_person(
    remote: Path, children: Verbs, verb: Callable[..., Answer], case: str
) -> None:
    children.effects[RUN], message = (NOT_BETTER | NOT_COMPARED)[case]
    children.codes[RUN] = int("fail" in message)
    assert verb("retrain", "specimen_delay", "--propose").code == 0
    found = proposed(remote)
    assert message in found["body"]
    assert ("A person decides by this report." in found["body"]) is (case in NOT_COMPARED)
    assert asked(remote)[0] == "POST pulls"
    if case in NOT_COMPARED:
        assert (found["state"], found["comments"], len(asked(remote))) == ("open", [], 1)
    else:
        (closed,) = found["comments"]
        assert found["state"] == "closed"
        assert closed.startswith("Not better than the champion `0123456789ab`. ")
        assert closed.endswith(f" The branch `{BRANCH}` is kept with all of it.")
        assert BRANCH in branches(remote)


@pytest.mark.parametrize("new", ["data", "windows"])
def test_data_or_windows_alone_are_enough(
    remote: Path, children: Verbs, verb: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch, new: str
) -> None:
    if new == "data":
        monkeypatch.setattr(windows, "slide", stay)
    else:
        del children.effects[INGEST]
    assert verb("retrain", "specimen_delay", "--propose").code == 0
    body, data = proposed(remote)["body"], pointer.pinned("specimen_trips")
    assert data
    assert ("- The windows stayed.\n" in body) is (new == "data")
    assert (f"- data: specimen_trips `{data.short}`\n" in body) is (new == "windows")
    assert children.called[-1] == RUN


SPLITS: dict[str, dict[str, Any]] = {
    " --windows 4": {"by": "hash", "key": ["flight"], "shares": {"train": 0.7, "valid": 0.15, "test": 0.15}},
    "": {"by": "column", "column": "flight", "train": [1], "valid": [2], "test": [3]},
}


@pytest.mark.parametrize("option", SPLITS, ids=["by a hash", "by a column"])
def test_without_windows_new_data_join_the_parts_there_are(
    remote: Path, verbs: Verbs, verb: Callable[..., Answer], option: str
) -> None:
    """And a column has no other division to try."""
    trees.configure(Path(), {"windows": None, "split": SPLITS[option]})
    commit(Path())
    git("push", "--quiet", "origin", "HEAD:main")
    run = f"models run specimen_delay{option}"
    verbs.effects = {INGEST: lambda: pointer.pin("specimen_trips", NEW), run: judge(BETTER)}
    assert verb("retrain", "specimen_delay", "--propose").code == 0
    assert verbs.called == [INGEST, run]
    assert proposed(remote)["title"] == "Retrain specimen_delay on its newest data"
    assert "- The split stayed.\n" in proposed(remote)["body"]
    assert changed(remote) == CHANGED[:2]


@pytest.mark.parametrize("propose", [["--propose"], []], ids=["proposed", "here"])
def test_without_anything_new_nothing_is_trained_or_proposed(
    remote: Path, verbs: Verbs, verb: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch, propose: list[str]
) -> None:
    monkeypatch.setattr(windows, "slide", stay)
    answer = verb("retrain", "specimen_delay", *propose)
    assert (answer.code, answer.error, verbs.called) == (0, "", [INGEST])
    assert "neither the data nor the windows have anything new: nothing to train on." in answer.out
    assert (asked(remote), branches(remote)) == ([], ["main", "work"])


@pytest.mark.parametrize("propose", [["--propose"], []], ids=["proposed", "here"])
@pytest.mark.parametrize(("child", "code"), [(INGEST, 1), (RUN, 2)], ids=["data that breaks its contract", "refused"])
def test_a_step_that_fails_ends_it_before_anything_is_proposed(
    remote: Path, children: Verbs, verb: Callable[..., Answer], propose: list[str], child: str, code: int
) -> None:
    children.codes = {child: code}
    answer = verb("retrain", "specimen_delay", *propose)
    assert (answer.code, len(answer.error.splitlines())) == (2, 1)
    assert f"`python -m {child}` ended with {code} (see above)" in answer.error
    assert (asked(remote), branches(remote)) == ([], ["main", "work"])


def test_a_text_is_cut_to_what_a_pull_request_holds(remote: Path, children: Verbs, verb: Callable[..., Answer]) -> None:
    def run() -> None:
        judge(BETTER)()
        write(MODEL / "build/report.md", "x" * 100_000)

    children.effects[RUN] = run
    assert verb("retrain", "specimen_delay", "--propose").code == 0
    assert 50_000 < len(proposed(remote)["body"]) < 65_536


@pytest.mark.parametrize("code", [0, 1])
def test_here_it_leaves_a_change_for_a_person_and_ends_like_the_run(
    remote: Path, children: Verbs, verb: Callable[..., Answer], code: int
) -> None:
    children.effects[RUN], children.codes[RUN] = judge(BETTER, "fail" if code else "pass"), code
    answer = verb("retrain", "specimen_delay")
    assert (answer.code, answer.error, children.called[:2]) == (code, "", [INGEST, RUN])
    assert f"retrain specimen_delay: {'Not better' if code else 'Better'} than the champion" in answer.out
    assert (asked(remote), branches(remote)) == ([], ["main", "work"])
    assert len(git("status", "--porcelain").splitlines()) == 3


@pytest.mark.usefixtures("remote")
def test_unfinished_work_is_not_mixed_with_it(children: Verbs, verb: Callable[..., Answer]) -> None:
    for path in (MODEL / "network.py", MODEL / "new.py", Path("data_schemas/specimen_trips/data.dvc")):
        trees.append(path)
        answer = verb("retrain", "specimen_delay")
        assert (answer.code, answer.out, children.called, answer.error.count("\n")) == (2, "", [], 1)
        assert f"{path} is not committed, and retraining would mix with that; commit or restore it" in answer.error
        path.unlink()
        git("checkout", "--quiet", "--", ".")
    trees.append(MODEL / "network.py")
    assert verb("retrain", "specimen_delay", "--propose").code == 0, "a tree of its own has none of it"


def listed(verb: Callable[..., Answer], *arguments: str) -> dict[str, Any]:
    answer = verb("retrain", "--list", *arguments)
    assert (answer.code, answer.error, answer.out.count("\n")) == (0, "", 1)
    found: dict[str, Any] = json.loads(answer.out)
    return found


@pytest.mark.usefixtures("remote")
def test_the_list_is_what_a_matrix_takes(verb: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch) -> None:
    assert listed(verb) == {"models": ["specimen_delay", "specimen_tip"], "skipped": {}}
    assert listed(verb, "specimen-tip") == {"models": ["specimen_tip"], "skipped": {}}
    release("specimen_tip")
    found = listed(verb, "--scheduled")
    reason = "production has no release of it, so nothing that runs has aged"
    assert found == {"models": ["specimen_tip"], "skipped": {"specimen_delay": reason}}
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
    assert set(json.loads(done.stdout)) == {"models", "skipped"}


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
    body = proposed(remote)["body"]
    assert body.startswith("**Not better than the champion `0123456789ab`. ROC AUC against 0123456789ab: -0.")
    assert "- train: 2013-01 -> 2013-10\n- valid: 2013-02 -> 2013-11\n- test: 2013-03 -> 2013-12\n" in body
    assert ": specimen_delay `" in body
    assert "### Gates" in body
    assert proposed(remote)["comments"][0].startswith("Not better")
    git("fetch", "--quiet", "origin", root=clone)
    git("checkout", "--quiet", "--detach", f"origin/{BRANCH}", root=clone)
    checked = run("models", "run", "specimen_delay", "--check", root=clone)
    assert checked.code == 0, checked.out


def test_what_one_job_trained_another_proposes_without_training(
    remote: Path, children: Verbs, verb: Callable[..., Answer]
) -> None:
    """The first has no token; the second runs nothing of the model and proposes the very same."""
    assert verb("retrain", "specimen_delay", "--write", "out").code == 0
    assert (asked(remote), branches(remote)) == ([], ["main", "work"])
    called = list(children.called)
    answer = verb("retrain", "--read", "out", "--propose")
    assert (answer.code, answer.out) == (0, f"retrain specimen_delay: {proposed(remote)['html_url']}\n")
    assert children.called == called
    assert proposed(remote)["body"].startswith("**Better than the champion `0123456789ab`.")
    assert changed(remote) == CHANGED


def test_a_change_beside_what_training_makes_is_not_proposed(
    remote: Path, children: Verbs, verb: Callable[..., Answer]
) -> None:
    def run() -> None:
        judge(BETTER)()
        trees.append(MODEL / "network.py")
        trees.append(Path(".github/workflows/ci.yml"))

    children.effects[RUN] = run
    assert verb("retrain", "specimen_delay", "--write", "out").code == 0
    answer = verb("retrain", "--read", "out", "--propose")
    assert (answer.code, "which no training makes" in answer.out) == (1, True)
    assert (asked(remote), branches(remote)) == ([], ["main", "work"])
