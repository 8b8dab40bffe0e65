"""What a promotion writes, what it copies, and what it refuses."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.lib import decision, promotion, release
from repo.lib import files
from repo.lib.refusal import Refusal
from tests.deploy.tree import MODEL, Tree, content, digest, folder, gate_names, image, judge, lock, passed, refused
from tests.support import trees

BUILT = MODEL / "build/passport.yaml"


def test_promotion_to_staging_writes_its_files_and_commits_nothing(tree: Tree) -> None:
    version = tree.build()["version"]
    before = tree.git("rev-parse", "HEAD")
    answer = passed(tree.promote("staging"))
    assert set(content(folder("staging"))) == {*release.FILES, *release.DOCUMENTS}
    assert tree.git("rev-parse", "HEAD") == before
    assert tree.git("status", "--porcelain") == "?? deploy/releases/staging/"
    assert f"git add {folder('staging')}" in answer.out
    assert f"Promote specimen_delay {version} to staging" in answer.out
    assert "first deploy skips the canary steps" in answer.out


def test_promotion_to_staging_adds_only_the_image_to_the_passport(tree: Tree) -> None:
    tree.build()
    tree.promote("staging")
    written = (folder("staging") / "passport.yaml").read_bytes()
    assert written.startswith(BUILT.read_bytes())
    image = {
        "name": "registry.example.org/specimens/specimen-delay",
        "digest": digest("a"),
        "commit": tree.git("rev-parse", "HEAD"),
        "proof": "none",
        "platform": promotion.own_platform(),
    }
    assert yaml.safe_load(written) == {**yaml.safe_load(BUILT.read_bytes()), "image": image}


def test_promotion_snapshots_the_resources(tree: Tree) -> None:
    tree.release("a", "staging")
    before = content(folder("staging"))
    assert before["resources.yaml"] == (MODEL / "resources.yaml").read_bytes()
    (MODEL / "resources.yaml").write_text("[]\n")
    assert content(folder("staging")) == before


@pytest.mark.usefixtures("released")
def test_promotion_to_production_copies_passport_and_resources_unchanged() -> None:
    staging, production = content(folder("staging")), content(folder("production"))
    assert production["passport.yaml"] == staging["passport.yaml"]
    assert production["resources.yaml"] == staging["resources.yaml"]
    assert production["kustomization.yaml"] == staging["kustomization.yaml"].replace(b"staging", b"production")


def test_promotion_to_production_takes_staging_even_when_the_model_has_moved_on(tree: Tree) -> None:
    version = tree.release("a", "staging")
    tree.build("newer")
    assert tree.promote("production").code == 0
    assert version in (folder("production") / "passport.yaml").read_text()


@pytest.mark.parametrize("written", range(3))
@pytest.mark.parametrize("first", [True, False])
def test_a_promotion_that_was_cut_short_is_named_and_the_next_completes_it(
    tree: Tree, monkeypatch: pytest.MonkeyPatch, first: bool, written: int
) -> None:
    if not first:
        tree.release("a", "staging")
        replicas = MODEL / "resources.yaml"
        replicas.write_text(replicas.read_text().replace("value: 4", "value: 8"))
    tree.build("b")
    before = content(folder("staging"))
    assert tree.promote("staging", "b").code == 0
    whole = content(folder("staging"))
    tree.git("clean", "--quiet", "-fd", "deploy/releases")
    tree.git("checkout", "--quiet", "HEAD", "--", "deploy")
    assert content(folder("staging")) == before
    paths: list[Path] = []

    def killed(path: Path, data: bytes) -> None:
        if len(paths) == written:
            raise KeyboardInterrupt
        paths.append(path)
        files.write(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(release, "write_file", killed)
        assert tree.promote("staging", "b").code == 130
    assert folder("staging") / "kustomization.yaml" not in paths
    verified = tree.deploy("verify")
    assert (verified.code, str(folder("staging")) in verified.out) == ((1, True) if written else (0, False))
    assert tree.promote("staging", "b").code == 0
    assert content(folder("staging")) == whole


def test_what_a_kill_leaves_is_ignored_by_git_and_verify(released: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    found = release.read("staging", "specimen_delay")
    assert found
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: os._exit(9))  # in the middle of the first file, as a kill would
        if (child := os.fork()) == 0:
            release.write(found)
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert [path.name for path in folder("staging").glob(".*")] != []
    assert content(folder("staging")).items() >= found.files.items()
    assert released.git("status", "--porcelain") == ""
    assert released.deploy("verify").code == 0


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_promoting_what_is_already_there_says_so_and_changes_nothing(released: Tree, environment: str) -> None:
    before = (folder(environment) / "passport.yaml").stat()
    assert "already has" in passed(released.promote(environment)).out
    assert (folder(environment) / "passport.yaml").stat().st_ino == before.st_ino


def without(*names: str) -> list[dict[str, Any]]:
    return [gate(name, "pass") for name in gate_names() if name not in names]


def gate(name: str, verdict: str, reason: str | None = None) -> dict[str, Any]:
    return {"name": name, "limit": "at least 0.7", "value": "0.6", "verdict": verdict, "reason": reason}


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"verdict": "fail"}, "verdict: is fail"),
        ({"gates": [*without("brier"), gate("brier", "fail")]}, "gate brier: failed (0.6 against at least 0.7)"),
        ({"gates": without("parity")}, "gate parity: is missing"),
        ({"gates": []}, "gate roc_auc: is missing"),
        ({"gates": [*without("champion"), gate("champion", "off")]}, "gate champion: is off without a reason"),
        ({"gates": [*without("brier"), gate("brier", "skipped")]}, "verdict"),
        ({"gates": [*without("brier"), gate("brier", "pass") | {"value": float("nan")}]}, "gate brier: passed on nan"),
        ({"version": "0123456789ab"}, "version: 0123456789ab does not fit the content"),
        ({"model": "another"}, "model: is 'another'"),
        ({"image": {"name": "a/b", "digest": digest("b")}}, "no image can be added"),
        ({"metrics": {"roc_auc": {"value": float("nan"), "low": 0.0, "high": 1.0}}}, "metrics.roc_auc.value"),
    ],
)
def test_a_passport_that_does_not_pass_is_refused(tree: Tree, changes: dict[str, Any], named: str) -> None:
    tree.build(**changes)
    refused(tree.promote("staging"), named, str(BUILT))
    assert not folder("staging").exists()


def test_a_gate_that_is_off_with_a_reason_is_accepted(tree: Tree) -> None:
    tree.build(gates=[*without("latency"), gate("latency", "off", "measured on the cluster's own nodes")])
    assert tree.promote("staging").code == 0


@pytest.mark.parametrize(
    ("reference", "named"),
    [
        ("registry.example.org/specimens/specimen-delay:1.0", "names a tag"),
        ("registry.example.org/specimens/specimen-delay:latest@" + digest("a"), "names a tag"),
        ("localhost:5000/specimen-delay", "the digest is missing"),
        ("registry.example.org/specimens/specimen-delay@sha256:abc", "the digest is malformed"),
        ("registry.example.org/specimens/specimen-delay@" + digest("a") + "\n", "the digest is malformed"),
        ("registry.example.org/SPECIMENS/specimen-delay@" + digest("a"), "the name is malformed"),
        ("@" + digest("a"), "the name is malformed"),
    ],
)
def test_an_image_without_a_sound_digest_is_refused(tree: Tree, reference: str, named: str) -> None:
    tree.build()
    refused(tree.deploy("promote", "specimen_delay", "--to", "staging", "--image", reference), named)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["specimen_delay", "--to", "staging"], "--image is missing"),
        (["specimen_delay", "--to", "staging", "--image", image("a")], "`python -m models run specimen_delay`"),
        (["specimen_delay", "--to", "production", "--image", image("b")], "--image is for staging"),
        (["specimen_delay", "--to", "production"], "staging has no release"),
        (["specimen_dealy", "--to", "production"], "models: specimen_delay"),
        (["specimen_delay", "--to", "staging", "--image", image("a"), "--signed"], "--signed is for production"),
        *(
            (["specimen_delay", "--to", "production", f"--rate={rate}"], f"--rate {rate}")
            for rate in ("-5", "0", "nan")
        ),
    ],
)
def test_what_cannot_be_promoted_is_refused(tree: Tree, words: list[str], told: str) -> None:
    refused(tree.deploy("promote", *words), told)


def test_a_passport_of_other_bytes_is_refused(tree: Tree) -> None:
    tree.build()
    (MODEL / "model.onnx").write_text("other")
    tree.commit()
    refused(tree.promote("staging"), "content.onnx is not the hash of")


SCHEMA = Path("data_schemas/specimen_trips/schema.py")
MADE_FROM = [SCHEMA, SCHEMA.with_name("data.dvc"), Path("requirements/training.txt")]
OWN = ["model.onnx", "model.yaml", "network.py", "dvc.lock", "resources.yaml", "new.py"]


@pytest.mark.parametrize("path", [*MADE_FROM, *(MODEL / name for name in OWN)], ids=lambda path: path.name)
def test_uncommitted_changes_to_what_would_be_recorded_are_refused(tree: Tree, path: Path) -> None:
    """The passport is about the changed file, as after a run; only the commit is missing."""
    trees.append(path)
    tree.build(onnx=None)
    refused(tree.promote("staging"), f"{path}: not committed")


@pytest.mark.parametrize("path", ["model.onnx", "weights", "weights/weights.safetensors"])
def test_a_model_that_git_ignores_is_refused(tree: Tree, path: str) -> None:
    (MODEL / "weights/model.json").write_text("{}")
    tree.commit()
    trees.append(".gitignore", f"{path.rpartition('/')[2]}\n")
    tree.git("rm", "-r", "--quiet", "--cached", str(MODEL / path))
    tree.build()
    refused(tree.promote("staging"), f"{path} is not in Git")


def test_with_dvc_storage_the_lock_alone_names_the_bytes(tree: Tree) -> None:
    settings = MODEL / "model.yaml"
    settings.write_text(settings.read_text().replace("storage: git", "storage: dvc"))
    Path(".gitignore").write_text("build\nweights\nmodel.onnx\n")
    tree.git("rm", "-r", "--quiet", "--cached", str(MODEL / "weights"), str(MODEL / "model.onnx"))
    tree.build()
    answer = tree.promote("staging")
    assert (answer.code, answer.error) == (0, "")


def test_a_missing_model_is_refused(tree: Tree) -> None:
    tree.build()
    (MODEL / "model.onnx").unlink()
    refused(tree.promote("staging"), "git checkout HEAD -- models/specimen_delay/model.onnx")


def test_the_image_of_another_version_is_refused(tree: Tree) -> None:
    version = tree.release("a", "staging")
    tree.build("newer")
    refused(tree.promote("staging", "a"), f"is the image of specimen_delay {version}")


@pytest.mark.parametrize("removed", [False, True])
@pytest.mark.parametrize("committed", [False, True])
def test_an_image_that_another_model_has_or_had_is_refused(tree: Tree, committed: bool, removed: bool) -> None:
    tree.build()
    tree.promote("staging")
    other = folder("staging").with_name("another")
    folder("staging").rename(other)
    if committed or removed:
        tree.commit()
    if removed:
        tree.git("rm", "--quiet", "-r", str(other))
    if committed and removed:
        tree.commit()
    refused(tree.promote("staging"), f"{digest('a')} is the image of another ")
    assert tree.promote("staging", "b").code == 0


@pytest.mark.parametrize("last", ["another_model", "another-model"])
def test_an_image_that_is_named_after_another_model_is_refused_and_found(released: Tree, last: str) -> None:
    passport = folder("staging") / "passport.yaml"
    passport.write_text(passport.read_text().replace("specimen-delay", last))
    named = f"registry.example.org/specimens/{last} is named after models/another_model"
    assert named not in released.deploy("verify").out  # a name that is no folder's says nothing
    another = Path("models/another_model/model.yaml")
    another.parent.mkdir()
    another.write_bytes((MODEL / "model.yaml").read_bytes())
    assert named in released.deploy("verify").out
    released.git("checkout", "--", str(passport))
    released.build("b")
    words = ("promote", MODEL.name, "--to", "staging", "--image", image("b").replace("specimen-delay", last))
    refused(released.deploy(*words), named)
    another.unlink()
    passed(released.deploy(*words))


def test_the_image_of_a_model_whose_passport_broke_is_refused(tree: Tree) -> None:
    tree.build()
    other = folder("staging").with_name("another") / "passport.yaml"
    other.parent.mkdir(parents=True)
    other.write_text(f"image: {digest('a')}\n")
    refused(tree.promote("staging"), "is the image of another of a broken passport")


def test_a_broken_rollout_lets_nothing_be_written(tree: Tree) -> None:
    tree.release("a", "staging")
    Path("deploy/base/rollout.yaml").write_text("spec: {}\n")
    refused(tree.promote("production"), "rollout.yaml: spec.strategy")
    assert not folder("production").exists()


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_an_aborted_digest_is_refused(tree: Tree, environment: str) -> None:
    tree.release("a", "staging")
    entry = f"- {{digest: {digest('a')}, model: specimen_delay, reason: errors rose}}\n"
    Path("deploy/releases/aborted.yaml").write_text(entry)
    tree.commit()
    refused(tree.promote(environment), "aborted digests", "errors rose")


@pytest.mark.parametrize("text", [None, "- {digest: none}\n", "{", "- {digest: 5, model: a, reason: b}\n", "text"])
def test_a_broken_list_of_aborted_digests_lets_nothing_pass(tree: Tree, text: str | None) -> None:
    tree.build()
    path = Path("deploy/releases/aborted.yaml")
    path.write_text(text) if text else path.unlink()
    refused(tree.promote("staging"), str(path))
    assert not folder("staging").exists()


@pytest.mark.parametrize("hidden", [False, True])
def test_production_refuses_what_staging_has_not_committed(tree: Tree, hidden: bool) -> None:
    if hidden:
        trees.append(".gitignore", "deploy/releases/staging/\n")
    tree.build()
    assert tree.promote("staging").code == 0
    refused(tree.promote("production"), "not committed", f"undo it with `rm -r {folder('staging')}`")


@pytest.mark.parametrize("name", ["kustomization.yaml", "passport.yaml", "resources.yaml"])
def test_production_refuses_a_staging_that_was_edited_by_hand_and_committed(tree: Tree, name: str) -> None:
    tree.release("a", "staging")
    path = folder("staging") / name
    path.write_text(path.read_text().replace(digest("a"), digest("b")).replace("value: 4", "value: 8"))
    tree.commit()
    refused(tree.promote("production"), str(folder("staging")))


def resources(replicas: object = 4, cpu: object = "1", **more: object) -> str:
    limits = {"requests": {"cpu": cpu, "memory": "1Gi"}, "limits": {"memory": "1Gi"}}
    values = {"/spec/replicas": replicas, "/spec/template/spec/containers/0/resources": limits, **more}
    return yaml.safe_dump([{"op": "replace", "path": path, "value": value} for path, value in values.items()])


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (resources(replicas=3), "3 pods cannot take 25 % of traffic"),
        (resources(replicas="4"), "is not a number of pods"),
        (resources(replicas=0), "is not a number of pods"),
        (resources(cpu="lots"), "'lots' is not a quantity"),
        (resources(cpu=None), "requests/cpu: is missing"),
        (resources(**{"/spec/template/spec/containers/0/image": "evil:latest"}), "nothing else"),
        ("replicas: 4\n", "not a list of {op, path, value}"),
        ("[", "not YAML"),
    ],
)
def test_resources_that_the_rollout_cannot_take_are_refused(tree: Tree, text: str, named: str) -> None:
    (MODEL / "resources.yaml").write_text(text)
    tree.build()
    answer = tree.promote("staging")
    refused(answer, named, "models/specimen_delay/resources.yaml")


@pytest.mark.parametrize("name", ["a_", "specimen_canary", "a" * 50])
def test_a_model_that_cannot_name_objects_is_refused(name: str) -> None:
    assert release.kubernetes_name("specimen_delay") == "specimen-delay"
    with pytest.raises(Refusal, match="rename the folder"):
        release.kubernetes_name(name)


def test_two_promotions_at_once_are_kept_apart(tree: Tree) -> None:
    tree.build()
    with files.exclusive(release.LOCK, "a promotion"):
        answer = tree.promote("staging")
    assert (answer.code, "already running" in answer.error) == (2, True)
    assert tree.promote("staging").code == 0


def test_an_image_of_another_registry_is_refused(tree: Tree) -> None:
    fork = Path("deploy/argocd/fork.yaml")
    fork.parent.mkdir()
    fork.write_text("data: {registry: registry.example.org/specimens}\n")
    tree.build()
    assert tree.promote("staging").code == 0
    fork.write_text("data: {registry: registry.example.org/specimen}\n")
    named = "is not of registry.example.org/specimen, the registry of deploy/argocd/fork.yaml"
    refused(tree.promote("staging", "b"), named, "name it registry.example.org/specimen/specimen_delay")
    fork.write_text("data: {repository: none}\n")
    assert "data.registry is missing" in tree.promote("staging", "b").error


@pytest.mark.parametrize(
    ("strategy", "words"),
    [
        ("canary", "a canary walks 25 → 50 → 75 → 100 %"),
        ("gateway", "the shares of deploy/strategies/gateway"),
        ("bluegreen", "all traffic at once after its smoke test"),
        ("serverless", "nothing judges it on the way"),
        ("serverless", "callers are interrupted"),
        ("kserve", "callers are interrupted"),
        ("seldon", "moves all traffic to it; nothing judges it"),
    ],
)
def test_what_the_cluster_will_do_is_told_by_strategy(released: Tree, strategy: str, words: str) -> None:
    released.build("other", serving={"strategy": strategy, "slow_ms": 5.0})
    answer = released.promote("staging", "b")
    assert words in answer.out, answer.error


def test_what_is_served_from_a_store_is_put_there_first(tree: Tree) -> None:
    fork = Path("deploy/argocd/fork.yaml")
    fork.parent.mkdir()
    fork.write_text("data: {registry: registry.example.org/specimens, models-store: s3://specimens/models}\n")
    tree.build(serving={"strategy": "seldon", "slow_ms": 5.0})
    answer = tree.promote("staging")
    digest = release.every()[0].passport.content["onnx"]
    place = f"s3://specimens/models/{MODEL.name.replace('_', '-')}/{digest}"
    assert f"rclone copyto --ignore-existing {MODEL}/model.onnx {place}/1/model.onnx\n" in answer.out, answer.error
    assert f"deploy/strategies/seldon/config.pbtxt {place}/config.pbtxt\n" in answer.out
    tree.commit()
    before = release.every()
    for store, told in {
        "": ".models-store is missing",
        "s3://your-organisation-models": ": s3://your-organisation-models is no address of yours",
        "bucket": ": bucket is no address",
        "s3://a b": "is no address",
    }.items():
        fork.write_text(f'data: {{registry: registry.example.org/specimens, models-store: "{store}"}}\n')
        refused(tree.promote("production"), f"{fork}: data", told)
        assert release.every() == before


def test_a_gate_cannot_put_html_or_a_mention_into_the_decision(tree: Tree) -> None:
    nasty = "</details><img src=x> @team | `x`"
    gates = [
        {"name": name, "limit": nasty, "value": nasty, "verdict": "pass", "reason": nasty} for name in gate_names()
    ]
    tree.build("a", gates=gates)
    assert tree.promote("staging").code == 0
    (made,) = release.every()
    text = decision.of_promotion(made, None, []).body
    assert text.count("</details>") == 1
    assert [told for told in ("<img", "@team", "`x`") if told in text] == []
    assert text.count("&#60;img") == 3 * len(gates)


@pytest.mark.parametrize(
    ("window", "shown"),
    [
        ("2024-W09 to 2024-W12", "2024-W09 to 2024-W12"),
        ("15 % by a hash of <b>", "15 % by a hash of &#60;b&#62;"),
        ({"first": "2013-08", "last": "2013-09"}, "2013-08 to 2013-09"),  # of a release made before
    ],
)
def test_the_test_rows_are_named_as_the_passport_has_them(tree: Tree, window: object, shown: str) -> None:
    tree.build("a", dataset={"name": "specimen_trips", "window": window, "rows": 1200})
    assert tree.promote("staging").code == 0
    (made,) = release.every()
    assert f"| {shown}, 1,200 rows |" in decision.of_promotion(made, None, []).body


def test_promote_records_the_platform_once(tree: Tree) -> None:
    tree.build("a")
    words = ("promote", MODEL.name, "--to", "staging", "--image", image("a"), "--platform")
    assert tree.deploy(*words, "linux/arm64").code == 0
    path = folder("staging") / "passport.yaml"
    assert yaml.safe_load(path.read_text())["image"]["platform"] == "linux/arm64"
    assert digest("a") in path.read_text()
    with pytest.raises(SystemExit):
        tree.deploy(*words, "windows/amd64")


# A release is of what its sources make: promote asks the lock in the tree, verify that of the image's commit.


def edited(old: str = "seed: 7", new: str = "seed: 8") -> None:
    text = (MODEL / "model.yaml").read_text()
    assert old in text
    (MODEL / "model.yaml").write_text(text.replace(old, new))


def test_an_edit_of_training_is_not_released_with_the_former_file(tree: Tree) -> None:
    """The passport of a gates run after the edit has the new code's hash, and the file is the old one."""
    tree.build("a")
    edited()
    tree.commit()
    judge(MODEL.name)
    answer = tree.promote("staging")
    assert (answer.code, answer.error.count("\n")) == (2, 1)
    assert (
        "dvc.lock does not fit what is beside it (train: training of models/specimen_delay/model.yaml" in answer.error
    )
    assert not folder("staging").exists()


def test_verify_reads_a_file_that_is_no_text_as_git_holds_it(tree: Tree) -> None:
    (MODEL / "model.onnx").write_bytes(b"\x08\xff\xfe")
    (MODEL / "dvc.lock").write_text(lock(MODEL.name))
    tree.commit()
    judge(MODEL.name)
    assert tree.promote("staging").code == 0
    tree.commit()
    assert tree.deploy("verify").code == 0


def test_verify_names_a_release_whose_commit_held_another_model(tree: Tree) -> None:
    """As an earlier `promote` would have taken it."""
    tree.build("a")
    fitting = (MODEL / "dvc.lock").read_text()
    assert tree.promote("staging").code == 0
    tree.commit()
    assert tree.deploy("verify").code == 0
    edited()
    bad = tree.commit()
    passport = folder("staging") / "passport.yaml"
    record = yaml.safe_load(passport.read_text())
    passport.write_text(passport.read_text().replace(record["image"]["commit"], bad))
    answer = tree.deploy("verify")
    assert answer.code == 1
    assert f"{bad[:10]} held another model: train: training of models/specimen_delay/model.yaml changed" in answer.out
    assert fitting == (MODEL / "dvc.lock").read_text()
    assert lock(MODEL.name) != fitting


@pytest.mark.parametrize("gone", ["models/specimen_delay/dvc.lock"])
def test_a_commit_without_a_lock_is_from_before_there_were_any(released: Tree, gone: str) -> None:
    Path(gone).unlink()
    released.commit()
    assert released.deploy("verify").code == 0
