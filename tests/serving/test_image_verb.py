"""The verb with builders that only write down what they were asked."""

import os
import re
from pathlib import Path

import pytest

from repo.lib.refusal import Refusal
from serving import image
from tests.serving import toy
from tests.support import trees

DIGEST = "sha256:" + "5" * 64
BASE = f"mirror.invalid/python:3.11-slim@{DIGEST}"
SECRETS = """
for word; do case "$word" in
  id=*) name=${word#id=}; /bin/cat "${word#*src=}" > {folder}/secret-${name%%,*};;
esac; done
"""


@pytest.fixture
def built_repository(toy_repository: Path, tmp_path: Path) -> Path:
    """The toy's repository with its Bento, to be changed."""
    return trees.copy(toy_repository, tmp_path / "toy")


@pytest.fixture
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare the half second that pip takes to tell its settings."""
    monkeypatch.setattr(image, "pip_settings", lambda: ({}, None))


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on PATH; pip has no settings but those of a test."""
    for name in [*os.environ]:
        if name.startswith("PIP_") or name in image.CERTIFICATES or name.lower() in image.PROXIES:
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def stub(folder: Path, name: str, probe: int = 0, build: int = 0, says: str = "") -> None:
    """A builder whose probe and build end so; it notes its arguments and the secrets that it was handed."""
    (folder / name).write_text(
        f'#!/bin/sh\necho "$@" >> {folder}/{name}.calls\n{SECRETS.replace("{folder}", str(folder))}'
        f"[ $1 != build ] || /bin/cp $3 {folder}/Dockerfile 2>&-\n"
        f"case $1 in {image.BUILDERS[name].probe}) exit {probe};; build) echo '{says}'; exit {build};; esac\n"
        f"echo {DIGEST}\n"
    )
    (folder / name).chmod(0o755)


def calls(folder: Path, name: str) -> list[str]:
    return (folder / f"{name}.calls").read_text().splitlines()


def make(folder: Path, name: str) -> str:
    return image.make(name, folder / "bento", BASE, f"{toy.NAME}:1", folder / "image.log")


@pytest.mark.usefixtures("path")
def test_without_a_builder_the_verb_says_what_to_install() -> None:
    with pytest.raises(Refusal, match=r"docker and podman were tried; install one, .*`apt-get install pod"):
        image.choose(None)


def test_a_command_without_its_engine_is_passed_over(path: Path) -> None:
    stub(path, "docker", probe=1)
    stub(path, "podman")
    assert image.choose(None) == "podman"
    with pytest.raises(Refusal, match="docker does not work here: `docker version` fails"):
        image.choose("docker")
    stub(path, "docker")
    assert image.choose(None) == "docker"
    assert image.choose("podman") == "podman"


def test_a_base_without_a_digest_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image, "DOCKERFILE", tmp_path / "Dockerfile")
    image.DOCKERFILE.write_text("# FROM none AS base\nFROM python:3.11-slim@sha256:fill-in-the-digest AS base\n")
    with pytest.raises(Refusal, match=r"Dockerfile pins no base yet; write the digest .* into its line FROM"):
        image.pinned(None)
    assert image.pinned(BASE) == BASE
    with pytest.raises(Refusal, match=r"--base python:3\.11-slim could change unseen"):
        image.pinned("python:3.11-slim")
    image.DOCKERFILE.write_text(f"FROM {BASE} AS base\nFROM base\n")
    assert image.pinned(None) == BASE


@pytest.mark.usefixtures("no_settings")
@pytest.mark.parametrize(
    ("builder", "asked"),
    [
        ("docker", "image inspect --format {{.Id}}"),
        ("podman", "image inspect --format {{.Digest}}"),
    ],
)
def test_every_builder_is_asked_the_same_and_tells_the_digest(
    path: Path, built_repository: Path, toy_repository: Path, bento: Path, builder: str, asked: str
) -> None:
    stub(path, builder)
    done = toy.verb(built_repository, "image", toy.NAME, "--base", BASE)
    assert done.code == 0, done.error
    name = f"{toy.NAME}:{bento.name}"
    where = bento.relative_to(toy_repository)
    probe, build, last = calls(path, builder)
    assert (probe, last) == (image.BUILDERS[builder].probe, f"{asked} {name}")
    assert re.fullmatch(rf"build --file \S+/Dockerfile --tag {name} {where}", build)
    assert (path / "Dockerfile").read_text() == image.FROM.sub(f"FROM {BASE} AS base", image.DOCKERFILE.read_text())
    first, digest, push = done.out.splitlines()
    assert first.startswith(f"image {toy.NAME}: {name}, built by {builder} in ")
    assert DIGEST in digest
    assert push == f"  push     python -m serving image {toy.NAME} --tag REGISTRY/{name} --push"


@pytest.mark.usefixtures("no_settings")
def test_a_build_that_fails_is_one_sentence_with_the_error_of_pip_and_the_log(path: Path) -> None:
    stub(path, "podman", build=1, says="#7 ERROR: no such wheel.\nERROR: failed to solve\nwarning")
    with pytest.raises(Refusal) as refused:
        make(path, "podman")
    log = path / "image.log"
    told = f"podman could not build {toy.NAME}:1: #7 ERROR: no such wheel; its whole output is in {log}."
    assert str(refused.value) == told
    assert log.read_text().endswith("warning\n")
    quoted = 'Error: at STEP "RUN ... || echo "ERROR: no"; exit 1"'
    for says, told in ((f"{quoted}\nERROR: no\n{quoted}", "no"), ("first\nlast", "last"), ("", "it printed nothing")):
        stub(path, "podman", build=1, says=says)
        with pytest.raises(Refusal, match=f"{toy.NAME}:1: {told}; its whole output"):
            make(path, "podman")


def test_the_build_finds_packages_as_pip_does_here_by_secrets(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stub(path, "podman")
    certificates = path / "ca.pem"
    certificates.write_text("CA\n")
    (path / "pip.conf").write_text(
        f"[global]\nindex-url = https://old.invalid\ncert = {certificates}\nno-color = true\n"
        "extra-index-url =\n  https://one.invalid\n  https://two.invalid\n[install]\ntrusted-host = old.invalid\n"
    )
    monkeypatch.setenv("PIP_CONFIG_FILE", str(path / "pip.conf"))
    monkeypatch.setenv("PIP_INDEX_URL", "https://user:password@new.invalid")
    monkeypatch.setenv("https_proxy", "http://user:password@proxy.invalid")
    assert make(path, "podman") == DIGEST
    settings = (path / "secret-pip").read_text().splitlines()
    assert settings[0] == "[global]"
    assert "index-url = https://user:password@new.invalid" in settings
    assert "trusted-host = old.invalid" in settings
    assert "cert = /run/secrets/ca" in settings
    assert any(line.endswith("https://one.invalid https://two.invalid") for line in settings)
    assert not any(line.startswith("no-color") for line in settings)
    assert (path / "secret-ca").read_text() == "CA\n"
    built = calls(path, "podman")[0]
    assert "--build-arg https_proxy " in built  # by name: its value is in no list of processes
    assert "password" not in built
    handed = Path(built.split("id=pip,src=")[1].split(" ")[0])
    assert not handed.exists()


def test_pip_without_settings_hands_nothing_over(path: Path) -> None:
    stub(path, "podman")
    make(path, "podman")
    assert "--secret" not in calls(path, "podman")[0]


@pytest.mark.usefixtures("path")
def test_certificates_of_the_environment_count_as_pip_counts_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/c")
    assert image.pip_settings() == ({}, "/c")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/a")
    assert image.pip_settings() == ({}, "/a")
    monkeypatch.setenv("PIP_CERT", "/pip")
    assert image.pip_settings() == ({}, "/pip")


@pytest.mark.usefixtures("no_settings")
@pytest.mark.parametrize("builder", list(image.BUILDERS))
def test_push_leaves_the_name_that_promotion_takes(path: Path, built_repository: Path, builder: str) -> None:
    name = "registry.invalid/you/toy"
    tells = f"*RepoDigests*) echo other.invalid/toy@{DIGEST}; echo {name}@{DIGEST}; exit;;"
    writes = 'push) [ "$3" != --digestfile ] || echo ' + DIGEST + ' > "$4"; exit;;'
    stub(path, builder)
    script = (path / builder).read_text().replace("case $1 in", f'case "$*" in {tells} esac; case $1 in {writes}')
    (path / builder).write_text(script)
    done = toy.verb(built_repository, "image", toy.NAME, "--base", BASE, "--tag", f"{name}:7", "--push")
    assert done.code == 0, done.error
    assert f"  pushed   {name}@{DIGEST}\n" in done.out
    assert (built_repository / toy.MODEL / "build/image").read_text() == f"{name}@{DIGEST}\n"
    assert any(call.startswith("push --quiet ") and call.endswith(f"{name}:7") for call in calls(path, builder))


@pytest.mark.usefixtures("no_settings")
def test_push_without_a_registry_is_refused_before_anything_is_built(path: Path, built_repository: Path) -> None:
    stub(path, "podman")
    done = toy.verb(built_repository, "image", toy.NAME, "--base", BASE, "--push")
    assert (done.code, "--push needs a registry" in done.error) == (2, True)
    assert not (path / "podman.calls").exists()


def test_on_github_the_image_says_which_commit_it_is_of(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the first label GitHub's registry gives the package to this repository, and not to its neighbour's fork."""
    for name in ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_SHA"):
        monkeypatch.delenv(name, raising=False)
    stub(path, "docker")
    make(path, "docker")
    assert "--label" not in calls(path, "docker")[0]
    for name, value in (("SERVER_URL", "https://github.com"), ("REPOSITORY", "team/fork"), ("SHA", "1" * 40)):
        monkeypatch.setenv(f"GITHUB_{name}", value)
    make(path, "docker")
    labels = "--label org.opencontainers.image.source=https://github.com/team/fork "
    assert f"{labels}--label org.opencontainers.image.revision={'1' * 40} " in calls(path, "docker")[2]
