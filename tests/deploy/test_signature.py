"""Who signed what production takes: a missing tool is not a pass, and neither is somebody else's signature."""

import shutil
from pathlib import Path

import pytest

from deploy.lib import signature
from deploy.lib.passport import Image
from repo.lib.refusal import Refusal
from tests.serving import container
from tests.support import images
from tests.support.process import program

NAME, DIGEST = "ghcr.io/team/m", f"sha256:{'a' * 64}"
IDENTITY = "https://github.com/team/fork/.github/workflows/release.yml@refs/heads/main"


def image(proof: str | None) -> Image:
    return Image.model_validate({"name": NAME, "digest": DIGEST, "proof": proof})


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without gh and without cosign; a folder of its PATH is `bin`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bin").mkdir()
    for tool in ("git", "sh"):
        (tmp_path / "bin" / tool).symlink_to(str(shutil.which(tool)))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("GITHUB_REPOSITORY", "team/fork")
    for name in ("GITHUB_SERVER_URL", "GH_TOKEN", "ATTESTATION_TOKEN", "COSIGN_LOG"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def tool(place: Path, name: str, code: int = 0) -> None:
    """A stand-in that notes its words and its token."""
    notes = f'echo "$@; $GH_TOKEN" >> "{place}/{name}.calls"'
    program(place / "bin", name, f'{notes}\necho "Error: nobody signed" >&2\nexit {code}')


@pytest.mark.parametrize("proof", ["attestation", None])
def test_without_a_tool_nothing_passes_and_both_are_named(place: Path, proof: str | None) -> None:
    with pytest.raises(Refusal, match=r"neither cosign nor gh is on PATH, .* install it"):
        signature.verify(image(proof))
    assert place.is_dir()


def test_a_signature_alone_is_for_cosign(place: Path) -> None:
    tool(place, "gh")
    with pytest.raises(Refusal, match="cosign is not on PATH"):
        signature.verify(image("signature"))


def test_what_nobody_signed_is_refused_where_images_are_signed(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    signature.verify(image("none"))
    assert "not signed: only its passport names who built" in capsys.readouterr().out
    assert signature.described(image("none")).startswith("⚠️ The image is not signed")
    with pytest.raises(Refusal, match="is not signed, and images of this repository are"):
        signature.verify(image("none"), demanded=True)
    assert place.is_dir()


def test_an_attestation_has_to_be_of_the_release_workflow_on_main(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool(place, "gh")
    monkeypatch.setenv("GH_TOKEN", "app")
    monkeypatch.setenv("ATTESTATION_TOKEN", "own")
    signature.verify(image("attestation"), demanded=True)
    workflow = "team/fork/.github/workflows/release.yml"
    asked = f"attestation verify oci://{NAME}@{DIGEST} --repo team/fork --signer-workflow {workflow}"
    assert (place / "gh.calls").read_text() == f"{asked} --source-ref refs/heads/main; own\n"
    assert "✅ The image is signed by" in signature.described(image("attestation"))


def test_without_gh_cosign_asks_for_the_same_workflow(place: Path) -> None:
    tool(place, "cosign")
    signature.verify(image("attestation"))
    asked = f"verify --certificate-identity {IDENTITY} --certificate-oidc-issuer {signature.ISSUER} {NAME}@{DIGEST}"
    assert (place / "cosign.calls").read_text() == f"{asked}; \n"


@pytest.mark.parametrize(("proof", "name"), [("attestation", "gh"), ("signature", "cosign")])
def test_what_a_tool_refuses_is_refused_with_its_words(place: Path, proof: str, name: str) -> None:
    tool(place, name, code=1)
    with pytest.raises(Refusal, match=r"has no valid signature of this repository, and .* \(nobody signed\); let"):
        signature.verify(image(proof))


# With the real cosign, by key and without a public log

# cosign is in no package of Debian; workflows install it for the tests, and whoever has it on PATH runs this.
IS_THERE = shutil.which("cosign") is not None and shutil.which("docker-registry") is not None


def really(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COSIGN_PASSWORD", "")
    signature.KEY.parent.mkdir(parents=True)
    with container.registry(tmp_path) as (address, _):
        first, second = (images.pushed(address, name) for name in ("first", "second"))
        images.keys("ours", "theirs")
        for who, reference in (("ours", first), ("theirs", second)):
            images.cosign("sign", who, reference)
        shutil.copy("ours.pub", signature.KEY)
        signature.verify(signed(first), demanded=True)
        with pytest.raises(Refusal, match="has no valid signature of this repository"):
            signature.verify(signed(second))


def signed(reference: str) -> Image:
    name, _, digest = reference.partition("@")
    return Image.model_validate({"name": name, "digest": digest, "proof": "signature"})


if IS_THERE:
    test_the_real_cosign_takes_our_key_and_refuses_somebody_elses = really
