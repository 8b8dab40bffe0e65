"""Building: the same content is the same Bento, other content another, and a fault is one sentence with what to do."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from models.lib import config, passport
from repo.lib.files import sha256
from repo.lib.refusal import Refusal
from serving import build
from tests.serving import bentomls, toy
from tests.support.trees import append

BUILD, MODEL, ONNX = toy.MODEL / "build", toy.MODEL / "model.yaml", toy.MODEL / "model.onnx"


LOCK = build.LOCK
RUN = f"`python -m models run {toy.NAME}`"


def left() -> list[Path]:
    """In the build folder, but for the contract, which the model card reads."""
    return [path for path in BUILD.iterdir() if path.name != "contract.json"]


def stamp(**changes: Any) -> str:
    """The passport of the toy as it is now, with some keys replaced; None removes one. Returns the version."""
    content = passport.content(config.load(toy.NAME, check_columns=False))
    whole = dict.fromkeys(passport.KEYS, "") | {"version": passport.version(content), "content": content} | changes
    BUILD.mkdir(exist_ok=True)
    record = {key: value for key, value in whole.items() if value is not None}
    (BUILD / "passport.yaml").write_text(yaml.safe_dump(record))
    return str(whole["version"])


def after(fault: Callable[[], object]) -> Callable[[], object]:
    """A fault that happens to what already has its passport."""
    return lambda: (stamp(), fault())


def test_building_again_takes_what_is_there(toy_repository: Path, bento: Path) -> None:
    before = (bento / "bento.yaml").stat().st_mtime_ns
    done = toy.verb(toy_repository, "build", toy.NAME)
    assert done.code == 0
    assert bento.name in done.out.splitlines()[0]
    assert str(BUILD / "bento" / bento.name) in done.out
    assert (bento / "bento.yaml").stat().st_mtime_ns == before
    assert list(bento.parent.iterdir()) == [bento]


def test_a_bento_holds_all_it_needs_and_nothing_of_the_repository(bento: Path) -> None:
    inside = {path.relative_to(bento / "src").as_posix() for path in (bento / "src").rglob("*") if path.is_file()}
    expected = {"contract.json", "model.onnx", "requirements.txt", "bentofile.yaml", "serving/__init__.py"}
    runtime = {path.as_posix() for path in build.RUNTIME.iterdir() if path.is_file()} | {"serving/runtime/__init__.py"}
    assert {path for path in inside if "__pycache__" not in path} == expected | runtime
    assert bento.stat().st_mode & 0o777 == 0o755  # the image's user is not who built it
    described = yaml.safe_load((bento / "bento.yaml").read_text())
    assert (described["name"], described["version"]) == (toy.NAME, bento.name)
    assert "slack" not in (bento / "README.md").read_text().lower()
    packages = (bento / "env" / "python" / "requirements.txt").read_text()
    assert "onnxruntime==" in packages


@pytest.mark.usefixtures("repository")
def test_the_version_follows_contract_file_code_and_lock() -> None:
    def version() -> str:
        return build._version(build._content(config.load(toy.NAME, check_columns=False)))

    versions = [version()]

    def changed() -> bool:
        versions.append(version())
        return versions[-1] not in versions[:-1]

    assert version() == versions[0]
    MODEL.write_text(MODEL.read_text().replace("threshold: 0.5", "threshold: 0.6"))
    assert changed()
    ONNX.write_bytes(toy.graph(half=0.25))
    assert changed()
    code = Path("serving/runtime/endpoint.py")
    code.write_text(code.read_text() + "\n")
    assert changed()
    append(LOCK, "\n")
    assert changed()
    stamp()
    assert changed()
    Path("serving/build.py").write_text("# not in the Bento")
    assert not changed()


@pytest.mark.usefixtures("repository")
def test_the_passport_gives_the_version_that_answers_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bentomls.install(tmp_path, monkeypatch)
    version = stamp()
    content = json.loads((build.build(toy.NAME) / "src/contract.json").read_text())
    assert (content["version"], content["onnx_sha256"]) == (version, sha256(ONNX))


@pytest.mark.usefixtures("repository")
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (lambda: ONNX.unlink(), rf"models/specimen_toy/model\.onnx cannot be read .*{RUN}"),
        (after(lambda: append(ONNX)), rf"content\.onnx is not the hash of .*model\.onnx; run {RUN}"),
        (after(lambda: append(MODEL)), rf"content\.code is not the hash of .*; run {RUN}"),
        (lambda: stamp(content={}), rf"passport\.yaml: content\.onnx is not .*{RUN}"),
        (lambda: stamp(version="0123456789ab"), rf"version 0123456789ab does not fit .*{RUN}"),
        (lambda: stamp(content=None), r"passport\.yaml cannot be read \(content is missing\)"),
        (after(lambda: (BUILD / "passport.yaml").write_text("[: {")), r"passport\.yaml cannot be read"),
        (lambda: LOCK.unlink(), r"requirements/serving\.txt cannot be read .*`make lock`"),
        (lambda: LOCK.write_text("# none\n"), r"serving\.txt does not pin bentoml, onnxruntime, uvloop.*`make lock`"),
        (lambda: LOCK.write_text(LOCK.read_text().split("uvicorn==")[0]), r"serving\.txt does not pin uvloop,"),
        (lambda: Path("serving/runtime/page.html").unlink(), r"bentoml could not build .*page\.html"),
    ],
)
def test_what_does_not_fit_together_is_not_built(fault: Any, words: str) -> None:
    fault()
    with pytest.raises(Refusal, match=words):
        build.build(toy.NAME)
    assert not (BUILD / "bento").exists()


@pytest.mark.usefixtures("repository")
@pytest.mark.parametrize(
    ("task", "noted"),
    [("multiclass", {"names": ["model", "fine", "others"]}), ("multiclass", {}), ("regression", {})],
)
def test_a_file_that_notes_another_answer_is_not_built(task: str, noted: dict[str, Any]) -> None:
    name = toy.TASKS[task][0]
    Path("models", name, "model.onnx").write_bytes(toy.graph(task, noted=noted))
    with pytest.raises(Refusal, match=rf"notes other classes than .*, or no bins .*`python -m models run {name}`"):
        build.build(name)


@pytest.mark.usefixtures("repository")
def test_a_bento_that_was_changed_by_hand_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bentomls.install(tmp_path, monkeypatch)
    contract = build.build(toy.NAME) / "src" / "contract.json"
    whole = contract.read_bytes()
    contract.write_text("{}")
    assert build.build(toy.NAME) == contract.parents[1]
    assert contract.read_bytes() == whole


def test_a_wrong_name_is_one_sentence_and_exit_code_2(toy_repository: Path) -> None:
    done = toy.verb(toy_repository, "build", "nonsense")
    assert (done.code, done.out) == (2, "")
    assert done.error.startswith("serving build: there is no model 'nonsense'")
    assert len(done.error.splitlines()) == 1


@pytest.mark.usefixtures("repository")
def test_a_service_that_bentoml_cannot_import_is_refused_with_its_reason() -> None:
    Path("serving/runtime/entry.py").write_text("raise ValueError('planted')\n")
    with pytest.raises(Refusal, match=r"bentoml could not build specimen_toy \(.*planted"):
        build.build(toy.NAME)
    assert [path.name for path in left()] == []


@pytest.mark.usefixtures("repository")
def test_two_builds_at_once_make_one_bento(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them is in the middle of its build when the other is."""
    meet = f"""Path({str(tmp_path)!r}, str(os.getpid())).touch()
    for _ in range(3000):
        if len(list(Path({str(tmp_path)!r}).glob("[0-9]*"))) == 2:
            break
        time.sleep(0.01)"""
    bentomls.install(tmp_path, monkeypatch, before_building=meet)
    with ThreadPoolExecutor() as pool:
        first, second = pool.map(build.build, [toy.NAME] * 2)
    assert first == second
    assert [path.name for path in left()] == ["bento"]
    assert list((BUILD / "bento").iterdir()) == [first]
    assert (first / "bento.yaml").is_file()


def test_a_killed_build_leaves_nothing_to_take(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bentomls.install(tmp_path, monkeypatch, before_building="os.killpg(0, signal.SIGKILL)")
    command = [sys.executable, "-m", "serving", "build", toy.NAME]
    done = subprocess.run(command, cwd=repository, start_new_session=True, check=False)
    assert done.returncode == -signal.SIGKILL
    assert not (BUILD / "bento").exists()
    (leftover,) = left()
    long_ago = time.time() - 2 * build.LEFTOVER_SECONDS
    os.utime(leftover, (long_ago, long_ago))
    bentomls.install(tmp_path / "again", monkeypatch)
    made = build.build(toy.NAME)
    assert [path.name for path in left()] == ["bento"]
    assert made.is_dir()


def test_an_interrupted_build_leaves_nothing(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt = "os.kill(os.getppid(), signal.SIGINT)\n    signal.pause()"
    bentomls.install(tmp_path, monkeypatch, before_building=interrupt)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        done = toy.verb(repository, "build", toy.NAME)
    finally:
        signal.signal(signal.SIGINT, before)
    assert (done.code, done.error) == (130, "serving build: interrupted; nothing half-written was left.\n")
    assert not left()
