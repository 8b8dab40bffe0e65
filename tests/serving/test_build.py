"""Building: the same content is the same Bento, other content another, and a fault is one sentence with its mend."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from data_schemas.command import Refusal
from data_schemas.files import sha256
from models import config, passport
from serving import build
from tests.serving import toy

BUILD = Path("models/toy/build")
MODEL = Path("models/toy/model.yaml")
ONNX = Path("models/toy/model.onnx")
LOCK = build.LOCK


def stamp(**changes: Any) -> str:
    """The passport of the toy as it is now, with some keys replaced; None removes one. Returns the version."""
    content = passport.content(config.load("toy", check_columns=False))
    whole = dict.fromkeys(passport.KEYS, "") | {"version": passport.version(content), "content": content} | changes
    BUILD.mkdir(exist_ok=True)
    record = {key: value for key, value in whole.items() if value is not None}
    (BUILD / "passport.yaml").write_text(yaml.safe_dump(record))
    return str(whole["version"])


def append(path: str | Path, text: str = "\n# changed\n") -> None:
    with Path(path).open("a") as file:
        file.write(text)


def after(fault: Callable[[], object]) -> Callable[[], object]:
    """A fault that happens to what already has its passport."""
    return lambda: (stamp(), fault())


def test_building_again_takes_what_is_there(toy_repository: Path, bento: Path) -> None:
    before = (bento / "bento.yaml").stat().st_mtime_ns
    started = time.perf_counter()
    done = toy.verb(toy_repository, "build", "toy")
    assert (done.returncode, time.perf_counter() - started < 3) == (0, True)
    assert bento.name in done.stdout.splitlines()[0]
    assert str(Path("models/toy/build/bento") / bento.name) in done.stdout
    assert (bento / "bento.yaml").stat().st_mtime_ns == before
    assert list(bento.parent.iterdir()) == [bento]


def test_a_bento_holds_all_it_needs_and_nothing_of_the_repository(bento: Path) -> None:
    inside = {path.relative_to(bento / "src").as_posix() for path in (bento / "src").rglob("*") if path.is_file()}
    expected = {"contract.json", "model.onnx", "requirements.txt", "bentofile.yaml", "serving/__init__.py"}
    assert {path for path in inside if "__pycache__" not in path} == expected | {
        f"serving/{name}" for name in build.RUNTIME
    }
    assert bento.stat().st_mode & 0o777 == 0o755  # the image's user is not who built it
    described = yaml.safe_load((bento / "bento.yaml").read_text())
    assert (described["name"], described["version"]) == ("toy", bento.name)
    assert "slack" not in (bento / "README.md").read_text().lower()
    packages = (bento / "env" / "python" / "requirements.txt").read_text()
    assert "onnxruntime==" in packages


@pytest.mark.usefixtures("repository")
def test_the_version_follows_contract_file_code_and_lock() -> None:
    versions = [build.version_of("toy")]

    def changed() -> bool:
        versions.append(build.version_of("toy"))
        return versions[-1] not in versions[:-1]

    assert build.version_of("toy") == versions[0]
    MODEL.write_text(MODEL.read_text().replace("threshold: 0.5", "threshold: 0.6"))
    assert changed()
    ONNX.write_bytes(ONNX.read_bytes() + b"\x00")
    assert changed()
    code = Path("serving/endpoint.py")
    code.write_text(code.read_text() + "\n")
    assert changed()
    append(LOCK, "\n")
    assert changed()
    stamp()
    assert changed()
    Path("serving/build.py").write_text("# not in the Bento")
    assert not changed()


@pytest.mark.usefixtures("repository")
def test_the_passport_gives_the_version_that_answers_name() -> None:
    version = stamp()
    content = json.loads(build._content(config.load("toy", check_columns=False))["contract.json"])
    assert (content["version"], content["onnx_sha256"]) == (version, sha256(ONNX))


@pytest.mark.usefixtures("repository")
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (lambda: ONNX.unlink(), r"models/toy/model\.onnx cannot be read .*`python -m models run toy`"),
        (
            after(lambda: append(ONNX)),
            r"content\.onnx is not the hash of .*model\.onnx; run `python -m models run toy`",
        ),
        (after(lambda: append(MODEL)), r"content\.code is not the hash of .*; run `python -m models run toy`"),
        (
            after(lambda: append("data_schemas/toys/schema.py")),
            r"content\.schema is not the hash of the present schema",
        ),
        (after(lambda: append("requirements/training.txt")), r"content\.requirements is not"),
        (after(lambda: Path("data_schemas/toys/data.dvc").write_text("outs: [{md5: other}]")), r"content\.data is not"),
        (lambda: stamp(content={}), r"passport\.yaml: content\.onnx is not .*`python -m models run toy`"),
        (lambda: stamp(content="none"), r"passport\.yaml: content\.onnx is not .*`python -m models run toy`"),
        (lambda: stamp(version="0123456789ab"), r"version 0123456789ab does not fit .*`python -m models run toy`"),
        (lambda: stamp(content=None), r"passport\.yaml cannot be read \(content is missing\)"),
        (lambda: stamp(champion=None), r"passport\.yaml cannot be read \(champion is missing\); .*models run toy`"),
        (after(lambda: (BUILD / "passport.yaml").write_text("[: {")), r"passport\.yaml cannot be read"),
        (lambda: LOCK.unlink(), r"requirements/serving\.txt cannot be read .*`make lock`"),
        (lambda: LOCK.write_text("# none\n"), r"serving\.txt does not pin bentoml, onnxruntime, uvloop.*`make lock`"),
        (lambda: LOCK.write_text(LOCK.read_text().split("uvicorn==")[0]), r"serving\.txt does not pin uvloop,"),
        (lambda: Path("serving/page.html").unlink(), r"serving/page\.html cannot be read .*`git checkout serving`"),
    ],
)
def test_what_does_not_fit_together_is_not_built(fault: Any, words: str) -> None:
    fault()
    with pytest.raises(Refusal, match=words):
        build.build("toy")
    assert not (BUILD / "bento").exists()


@pytest.mark.usefixtures("repository")
def test_a_bento_that_was_changed_by_hand_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    def copied(_model: Any, context: Path, home: Path, _version: str) -> Path:
        made = home / "made"
        shutil.copytree(context, made / "src")
        return made

    monkeypatch.setattr(build, "_run_bentoml", copied)
    contract = build.build("toy") / "src" / "contract.json"
    whole = contract.read_bytes()
    contract.write_text("{}")
    assert build.build("toy") == contract.parents[1]
    assert contract.read_bytes() == whole


def test_a_wrong_name_is_one_sentence_and_exit_code_2(toy_repository: Path) -> None:
    done = toy.verb(toy_repository, "build", "nonsense")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("serving build: there is no model 'nonsense'")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.usefixtures("repository")
def test_a_service_that_bentoml_cannot_import_is_refused_with_its_reason() -> None:
    Path("serving/entry.py").write_text("raise ValueError('planted')\n")
    with pytest.raises(Refusal, match=r"bentoml could not build toy: .*planted"):
        build.build("toy")
    assert [path.name for path in BUILD.iterdir()] == []


def test_two_builds_at_once_make_one_bento_and_touch_no_shared_store(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENTOML_HOME", str(repository / "store"))
    command = [sys.executable, "-m", "serving", "build", "toy"]
    both = [subprocess.Popen(command, cwd=repository, stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait(120) for process in both] == [0, 0]
    assert [path.name for path in BUILD.iterdir()] == ["bento"]
    (made,) = (BUILD / "bento").iterdir()
    assert (made / "bento.yaml").is_file()
    assert not (repository / "store").exists()


def test_a_killed_build_leaves_nothing_that_later_verbs_would_take(repository: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "serving", "build", "toy"], cwd=repository, start_new_session=True
    )
    while not list(BUILD.glob(f"{build.WORKPLACE}*/context/contract.json")) and process.poll() is None:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (BUILD / "bento").exists()
    (leftover,) = BUILD.iterdir()
    long_ago = time.time() - 2 * build.LEFTOVER_SECONDS
    os.utime(leftover, (long_ago, long_ago))
    with build._workplace(BUILD) as place:
        assert [path.resolve() for path in BUILD.iterdir()] == [place]
    assert not list(BUILD.iterdir())


def test_an_interrupted_build_leaves_nothing_at_all(repository: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "serving", "build", "toy"], cwd=repository, stderr=subprocess.PIPE, text=True
    )
    while not list(BUILD.glob(f"{build.WORKPLACE}*")) and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said == "serving build: interrupted; nothing half-written was left.\n"
    assert not list(BUILD.iterdir())
