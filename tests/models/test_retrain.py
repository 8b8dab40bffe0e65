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
from tests.support.forks import SECOND
from tests.support.process import Answer, run
from tests.support.repository import commit, git
from tests.support.specimens import MODEL

INGEST, RUN = "data_schemas ingest specimen_trips --accept", "models run specimen_delay --windows 4"
CHECK = "models run specimen_delay --check"
BRANCH = "retrain/specimen_delay"
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


def test_a_better_model_is_a_pull_request_with_the_verdict_first(
    remote: Path, children: Verbs, verb: Callable[..., Answer]
) -> None:
    model = config.load("specimen_delay", check_columns=False)
    old, new, data = model.parts, later(model), pointer.pinned("specimen_trips")
    assert data
    answer = verb("retrain", "specimen-delay", "--propose")
    assert (answer.code, answer.error) == (0, "")
    moves = "".join(f"retrain specimen_delay: {line}\n" for line in windows.changes(old, new))
    assert answer.out == f"{moves}retrain specimen_delay: {proposed(remote)['html_url']}\n"
    assert (children.called, children.shared) == ([INGEST, RUN], [remote / "here"])
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
    changed = git("show", "--name-only", "--format=", BRANCH, root=remote / "origin").splitlines()
    assert changed == ["data_schemas/specimen_trips/data.dvc", f"{MODEL}/dvc.lock", f"{MODEL}/model.yaml"]
    assert git("status", "--porcelain") == "", "the clone was touched"


NOT_BETTER = {
    "a bound below 0": (BETTER | {"value": "-0.001"}, "pass", "interval: -0.001, not above 0; no gate fails."),
    "a bound at 0": (BETTER | {"value": "0"}, "pass", "interval: 0, not above 0; no gate fails."),
    "another gate": (BETTER, "fail", "interval: 0.0123, above 0; gates that fail: roc_auc."),
    "its own gate": (BETTER | {"value": "-0.1", "verdict": "fail"}, "pass", "not above 0; gates that fail: champion."),
    "no evidence": ({"value": "none", "verdict": "fail", "reason": "one outcome only"}, "pass", "one outcome only;"),
    "no number": (BETTER | {"value": "nan"}, "pass", "interval: nan, not above 0"),
}


@pytest.mark.parametrize("case", NOT_BETTER)
def test_one_that_is_not_better_is_opened_for_the_record_and_closed_with_the_reason(
    remote: Path, children: Verbs, verb: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    monkeypatch.setenv("DISPATCH", "ci.yml")
    gate, others, message = NOT_BETTER[case]
    children.effects[RUN] = judge(gate, others)
    children.codes[RUN] = int("fail" in (others, gate["verdict"]))
    assert verb("retrain", "specimen_delay", "--propose").code == 0
    (closed,) = proposed(remote)["comments"]
    assert (proposed(remote)["state"], asked(remote)[0]) == ("closed", "POST pulls")
    assert closed.startswith("Not better than the champion `0123456789ab`. ")
    assert message in closed
    assert closed.endswith(f"The branch `{BRANCH}` is kept with all of it.")
    assert proposed(remote)["body"].startswith("**Not better than the champion")
    assert BRANCH in branches(remote)


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (
            judge(BETTER, against=None),
            "Not compared: production has no release of specimen_delay, so there is no champ",
        ),
        (judge({"verdict": "off", "value": "-", "reason": "too early"}), "that gate is off (too early); no gate fails"),
    ],
    ids=["no champion", "gate off"],
)
def test_what_was_not_compared_stays_open_for_a_person(
    remote: Path, children: Verbs, verb: Callable[..., Answer], run: Callable[[], None], message: str
) -> None:
    children.effects[RUN] = run
    assert verb("retrain", "specimen_delay", "--propose").code == 0
    assert message in proposed(remote)["body"]
    assert "A person decides by this report." in proposed(remote)["body"]
    assert asked(remote) == ["POST pulls"]


def test_checks_are_started_where_github_would_start_none(
    remote: Path, children: Verbs, verb: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISPATCH", "ci.yml")
    assert verb("retrain", "specimen_delay", "--propose").code == 0
    assert Hub(remote / "hub").dispatched() == [BRANCH]
    assert children.called[-1] == RUN


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


SPLITS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "by a hash": (
        {"by": "hash", "key": ["flight"], "shares": {"train": 0.7, "valid": 0.15, "test": 0.15}},
        ["--windows", "4"],
    ),
    "by a column": ({"by": "column", "column": "flight", "train": [1], "valid": [2], "test": [3]}, []),
}


@pytest.mark.parametrize("case", SPLITS)
def test_without_windows_new_data_join_the_parts_there_are(
    remote: Path, verbs: Verbs, verb: Callable[..., Answer], case: str
) -> None:
    """And a column has no other division to try."""
    split, options = SPLITS[case]
    trees.configure(Path(), {"windows": None, "split": split})
    commit(Path())
    git("push", "--quiet", "origin", "HEAD:main")
    run = " ".join(["models run specimen_delay", *options])
    verbs.effects = {INGEST: lambda: pointer.pin("specimen_trips", NEW), run: judge(BETTER)}
    assert verb("retrain", "specimen_delay", "--propose").code == 0
    assert verbs.called == [INGEST, run]
    assert proposed(remote)["title"] == "Retrain specimen_delay on its newest data"
    assert "- The split stayed.\n" in proposed(remote)["body"]
    changed = git("show", "--name-only", "--format=", BRANCH, root=remote / "origin").splitlines()
    assert changed == ["data_schemas/specimen_trips/data.dvc", f"{MODEL}/dvc.lock"]


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
@pytest.mark.parametrize(
    ("codes", "message"),
    [
        ({INGEST: 1}, f"`python -m {INGEST}` ended with 1 (see above)"),
        ({RUN: 2}, f"`python -m {RUN}` ended with 2 (see above)"),
        ({RUN: 1, CHECK: 1}, "`python -m models run specimen_delay` came to no verdict (see above)"),
    ],
    ids=["data that breaks its contract", "refused", "no verdict"],
)
def test_a_step_that_fails_ends_it_before_anything_is_proposed(
    remote: Path, children: Verbs, verb: Callable[..., Answer], propose: list[str], codes: dict[str, int], message: str
) -> None:
    children.codes = codes
    answer = verb("retrain", "specimen_delay", *propose)
    assert (answer.code, len(answer.error.splitlines())) == (2, 1)
    assert message in answer.error
    assert (asked(remote), branches(remote)) == ([], ["main", "work"])


def test_a_text_is_cut_to_what_a_pull_request_holds(remote: Path, children: Verbs, verb: Callable[..., Answer]) -> None:
    def run() -> None:
        judge(BETTER)()
        write(MODEL / "build/report.md", "x" * 100_000)

    children.effects[RUN] = run
    assert verb("retrain", "specimen_delay", "--propose").code == 0
    assert 50_000 < len(proposed(remote)["body"]) < 65_536


def test_bytes_that_git_does_not_hold_are_kept_before_the_proposal(
    remote: Path, children: Verbs, verb: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[str] = []
    monkeypatch.setattr(worktree, "keep", kept.append)
    assert verb("retrain", "specimen_delay", "--propose").code == 0
    assert (kept, asked(remote) != []) == (["specimen_delay"], True)
    assert children.called[-1] == RUN


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


@pytest.mark.parametrize("path", [MODEL / "network.py", MODEL / "new.py", Path("data_schemas/specimen_trips/data.dvc")])
@pytest.mark.usefixtures("remote")
def test_unfinished_work_is_not_mixed_with_it(children: Verbs, verb: Callable[..., Answer], path: Path) -> None:
    trees.append(path)
    answer = verb("retrain", "specimen_delay")
    assert (answer.code, answer.out, children.called, len(answer.error.splitlines())) == (2, "", [], 1)
    assert f"{path} is not committed, and retraining would mix with that; commit or restore it first." in answer.error
    trees.append(SECOND / "network.py")
    assert verb("retrain", "specimen_delay", "--propose").code == 0, "a tree of its own has none of it"


@pytest.mark.usefixtures("remote")
def test_without_a_remote_it_says_so_in_one_sentence(children: Verbs, verb: Callable[..., Answer]) -> None:
    git("remote", "remove", "origin")
    answer = verb("retrain", "specimen_delay", "--propose")
    assert (answer.code, children.called, len(answer.error.splitlines())) == (2, [], 1)
    assert "origin's main cannot be fetched" in answer.error


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
        (
            ["unknown", "--list"],
            "there is no model 'unknown' (models/unknown/model.yaml is missing); models: specimen_",
        ),
        (["unknown", "--list", "--scheduled"], "there is no model 'unknown'"),
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
    changed = git("show", "--name-only", "--format=", BRANCH, root=remote / "origin").splitlines()
    assert changed == ["data_schemas/specimen_trips/data.dvc", f"{MODEL}/dvc.lock", f"{MODEL}/model.yaml"]


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
