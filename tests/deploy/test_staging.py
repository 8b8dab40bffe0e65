"""What one run built, landed in one commit; a model that is refused keeps no other one back."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from repo.lib import origin
from tests.deploy.tree import MODEL, Answer, Tree, digest, passed, refused
from tests.support import gh
from tests.support.passports import judge, lock

OTHER = MODEL.with_name("other")


class Run(Tree):
    origin: Path
    released: Path

    def built(self, model: Path, letter: str) -> None:
        """What the job `sign` leaves of a model."""
        judge(model.name)
        place = self.released / model.name
        place.mkdir(parents=True)
        (place / "image").write_text(f"registry.example.org/specimens/{model.name}@{digest(letter)}\n")
        for path in (model / "build/passport.yaml", model / "model.onnx"):
            shutil.copy(path, place)

    def land(self, *words: str) -> Answer:
        return self.deploy("promote", "--to", "staging", "--released", str(self.released), "--push", *words)

    def on_main(self, path: str) -> str:
        return self.git("--git-dir", str(self.origin), "show", f"main:deploy/releases/staging/{path}")


@pytest.fixture
def run(tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Two models, on origin's main, of which nothing is released."""
    hub = gh.install(tmp_path, monkeypatch)
    hub.strangers("release/staging")
    monkeypatch.setattr(origin, "LONGEST_PAUSE", 0)
    (MODEL / "model.onnx").write_text("first")
    shutil.copytree(MODEL, OTHER, ignore=shutil.ignore_patterns("build"))
    for model in (MODEL, OTHER):
        (model / "dvc.lock").write_text(lock(model.name))
    tree.commit()
    found = Run(tree.capture)
    found.origin, found.released = tmp_path / "origin", tmp_path / "released"
    found.git("clone", "--quiet", "--bare", ".", str(found.origin))
    found.git("remote", "add", "origin", str(found.origin))
    yield found
    hub.demand_untouched()


def test_all_models_of_a_run_are_one_commit_that_says_how_they_are_signed(run: Run) -> None:
    for model, letter in ((MODEL, "a"), (OTHER, "b")):
        run.built(model, letter)
    before = run.git("--git-dir", str(run.origin), "rev-parse", "main")
    passed(run.land("--proof", "attestation"))
    assert run.git("--git-dir", str(run.origin), "rev-list", "--count", f"{before}..main") == "1"
    title = run.git("--git-dir", str(run.origin), "log", "-1", "--format=%s", "main")
    assert title == f"Promote {', '.join(sorted([MODEL.name, OTHER.name]))} to staging"
    for model, letter in ((MODEL, "a"), (OTHER, "b")):
        image = yaml.safe_load(run.on_main(f"{model.name}/passport.yaml"))["image"]
        assert (image["digest"], image["proof"]) == (digest(letter), "attestation")


def test_one_that_is_refused_is_named_and_the_other_lands(run: Run) -> None:
    run.built(MODEL, "a")
    run.built(OTHER, "b")
    (run.released / OTHER.name / "image").write_text("registry.example.org/specimens/other:latest\n")
    answer = run.land()
    told = f"deploy promote {OTHER.name}: --image registry.example.org/specimens/other:latest names a tag"
    assert (answer.code, told in answer.out) == (1, True)
    assert digest("a") in run.on_main(f"{MODEL.name}/passport.yaml")


def test_a_run_without_any_image_says_so(run: Run) -> None:
    run.released.mkdir()
    refused(run.land(), "has no model in it")


def test_a_model_has_to_be_named_where_nothing_was_released(run: Run) -> None:
    for words in (["--push"], []):
        refused(run.deploy("promote", "--to", "staging", *words), "no model is named")
