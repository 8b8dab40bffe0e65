"""The image as a real builder makes it: what is in it, and that it serves where it may write nothing but /tmp."""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from repo.lib.refusal import Refusal
from serving import image
from tests.serving import container, toy
from tests.support import trees

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("image")]
OURS_MB = 175  # of 300; python:3.11-slim has 125
PLANTED = "planted-by-a-test.invalid"


def build(repository: Path, name: str) -> str:
    """The verb's output, on a machine with a proxy and a pip of its own settings."""
    words = ["image", toy.NAME, "--builder", "podman", "--base", container.base(), "--tag", name]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIP_TRUSTED_HOST", PLANTED)
        patch.setenv("NO_PROXY", f"{os.environ.get('NO_PROXY', '')},{PLANTED}")
        done = toy.verb(repository, *words)
    assert done.code == 0, done.error
    return done.out


@pytest.fixture(scope="module", autouse=True)
def builder_works() -> None:
    if lacking := container.lacking():
        pytest.skip(lacking)


@pytest.fixture(scope="module")
def repository_of_image(toy_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trees.copy(toy_repository, tmp_path_factory.mktemp("image") / "toy")


@pytest.fixture(scope="module")
def built(repository_of_image: Path) -> Iterator[str]:
    """The toy's image, built by podman."""
    name = f"localhost/toy-{uuid.uuid4().hex}"
    digests = re.findall(r"sha256:\w{64}", build(repository_of_image, name))
    assert digests == [container.inspect(name)["Digest"]]
    yield name
    container.podman("rmi", "--force", container.inspect(name)["Id"])  # by whatever name, those of the registry too


@pytest.fixture(scope="module")
def files(built: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[tarfile.TarInfo, bool]]:
    """Everything in any layer, and whether what a test planted is in it; the image's own description is one of them."""
    archive = tmp_path_factory.mktemp("image") / "image.tar"
    container.podman("save", "--quiet", "--output", str(archive), built)
    with archive.open("rb") as opened:
        found = dict(members(opened, ""))
    archive.unlink()
    return found


def members(archive: IO[bytes], below: str) -> Iterator[tuple[str, tuple[tarfile.TarInfo, bool]]]:
    with tarfile.open(fileobj=archive) as opened:
        for member in opened:
            file = opened.extractfile(member) if member.isfile() else None
            if file and not below and member.name.endswith(".tar"):
                yield from members(file, "/")
            else:
                yield (
                    below + member.name.removeprefix("./"),
                    (member, file is not None and PLANTED.encode() in file.read()),
                )


@pytest.fixture(scope="module")
def service(built: str) -> Iterator[tuple[str, int]]:
    """Id and port of a hardened container that is ready."""
    with container.running(built) as (started, port):
        container.wait_ready(started, port)
        yield started, port


def test_a_build_without_a_digest_stops_at_the_words_that_ask_for_it(bento: Path, tmp_path: Path) -> None:
    file = tmp_path / "Dockerfile"
    file.write_text(
        re.sub(
            r"(?m)^(FROM python.*@sha256:)\S+ AS base$", r"\1fill-in-the-digest AS base", image.DOCKERFILE.read_text()
        )
    )
    done = container.podman("build", "--file", str(file), str(bento), check=False)
    assert done.returncode
    assert "FROM python:3.11-slim@sha256:fill-in-the-digest" in done.stdout + done.stderr


def test_it_is_small(built: str) -> None:
    ours = container.inspect(built)["Size"] - container.inspect(container.STAND_IN)["Size"]
    assert 50e6 < ours <= OURS_MB * 1e6


def test_it_holds_no_torch_compiler_git_or_cache(files: dict[str, tuple[tarfile.TarInfo, bool]]) -> None:
    assert "/environment/onnxruntime/__init__.py" in files
    assert "/usr/bin/python3" in files
    for name in files:
        assert not re.search(r"/bin/(git|cc|gcc|g\+\+|c\+\+|clang|ld|as|make)$", name), name
        assert not re.match(r"/environment/(torch|polars|pandas|pip|onnx)/", name), name
        assert not re.search(r"\.cache/|\.whl$", name), name


def test_nothing_of_this_machines_pip_or_proxy_is_in_it(files: dict[str, tuple[tarfile.TarInfo, bool]]) -> None:
    assert not [name for name, (_, planted) in files.items() if planted]
    assert not [name for name in files if re.search(r"/etc/pip\.conf|/run/secrets", name)]


def test_what_it_adds_is_roots_and_everyone_may_read_it(files: dict[str, tuple[tarfile.TarInfo, bool]]) -> None:
    ours = [member for name, (member, _) in files.items() if re.match(r"/(environment|bytecode|bento)/", name)]
    assert len(ours) > 1000
    for member in ours:
        readable = 0o555 if member.isdir() else 0o444
        assert (member.uid, member.mode & 0o002, member.mode & readable) == (0, 0, readable), member.name


def test_it_runs_without_root_or_any_capability_and_writes_only_to_tmp(service: tuple[str, int]) -> None:
    status = container.podman("exec", service[0], "cat", "/proc/1/status").stdout
    fields = dict(line.split(":\t", 1) for line in status.splitlines())
    assert set(fields["Uid"].split()) == set(fields["Gid"].split()) == {"65532"}
    assert {int(fields[name], 16) for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    for path, writable in (("/tmp", True), ("/bento", False), ("/environment", False), ("/run", False)):  # noqa: S108
        done = container.podman("exec", service[0], "touch", f"{path}/written", check=False)
        assert (done.returncode == 0) == writable, path


def test_it_starts_from_bytecode_alone(built: str) -> None:
    with container.running(built, "--env=PYTHONVERBOSE=1") as (started, port):
        container.wait_ready(started, port)
        printed = container.podman("logs", started)
    read = re.findall(r"# code object from (.*)", printed.stdout + printed.stderr)
    assert len(read) > 1000
    assert not [path for path in read if not path.endswith(".pyc'")]  # compiled at the start, each start


def test_it_answers_as_the_model_does(service: tuple[str, int], endpoint: Any) -> None:
    body = toy.rows({}, {"kind": "b"}, {"amount": -3.5, "code": None})
    status, answer = container.ask(service[1], "/predict", body)
    assert (status, json.loads(answer)) == toy.answer(endpoint, body)
    status, metrics = container.ask(service[1], "/metrics")
    assert status == 200
    assert "_total" in metrics


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    if shutil.which("docker-registry") is None:
        pytest.skip("no registry; apt-get install docker-registry")
    with container.registry(tmp_path_factory.mktemp("registry")) as found:
        yield found


def test_what_is_pushed_is_found_in_the_registry_by_the_digest_that_is_reported(
    built: str, registry: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, settings = registry
    monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(settings))
    name = f"{place}/team/toy"
    container.podman("tag", built, f"{name}:7")
    try:
        reference = image.push("podman", f"{name}:7", tmp_path / "log")
        assert re.fullmatch(rf"{name}@sha256:[0-9a-f]{{64}}", reference)
        container.podman("pull", "--quiet", reference)
        assert container.inspect(reference)["Config"]["User"] == "65532:65532"
    finally:
        container.podman("rmi", "--force", f"{name}:7")
    with pytest.raises(Refusal, match=rf"podman could not push {name}:8: .*; log in to its registry"):
        image.push("podman", f"{name}:8", tmp_path / "log")


def docker(built_repository: Path, bento: Path, tmp_path: Path) -> None:
    """The builder of releases: built on the real base, pushed to a registry here, and found by the digest it tells."""
    assert bento.is_dir()
    with container.registry(tmp_path) as (place, _):
        words = ["image", toy.NAME, "--builder", "docker", "--tag", f"{place}/team/toy:7", "--push"]
        command = [sys.executable, "-m", "serving", *words]
        done = subprocess.run(command, cwd=built_repository, capture_output=True, text=True, check=False, timeout=600)
        assert done.returncode == 0, done.stderr
        (reference,) = re.findall(rf"pushed +({place}/team/toy@sha256:[0-9a-f]{{64}})", done.stdout)
        asked = subprocess.run(["docker", "pull", "--quiet", reference], capture_output=True, text=True, check=False)
        assert asked.returncode == 0, asked.stderr


if image.works("docker"):  # its engine and Docker Hub are on a hosted runner, which no package of Debian brings
    test_docker_builds_and_pushes_as_a_release_does = docker
