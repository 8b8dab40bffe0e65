"""Who signed an image: only release.yml on main of this repository may have, or the key of deploy/argocd/cosign.pub.

    gh attestation verify oci://IMAGE@DIGEST --repo you/fork --signer-workflow you/fork/.github/workflows/release.yml
    cosign verify IMAGE@DIGEST --certificate-identity … --certificate-oidc-issuer …

`python -m deploy promote <model> --to production` asks one of them, and a missing tool is not a pass.
"""

import os
import shutil
from pathlib import Path

from deploy.lib.passport import Image
from repo.lib import process, pull_request
from repo.lib.refusal import Refusal

WORKFLOW = ".github/workflows/release.yml"
ISSUER = "https://token.actions.githubusercontent.com"
KEY = Path("deploy/argocd/cosign.pub")  # of a fork that signs by a key of its own, without GitHub


def verify(image: Image, demanded: bool = False) -> None:
    """Refuse an image that somebody else signed. One that is marked as unsigned passes, unless `demanded`."""
    reference = f"{image.name}@{image.digest}"
    if _unsigned(image):
        if demanded:
            raise Refusal(
                f"{reference} is not signed, and images of this repository are; let the workflow `release` build it, "
                "or promote it by hand if that is meant."
            )
        print(f"  not signed: only its passport names who built {reference}")
        return
    token = os.environ.get("ATTESTATION_TOKEN") or os.environ.get("GH_TOKEN", "")
    process.run(
        _command(image, reference),
        f"{reference} has no valid signature of this repository, and production takes no other",
        "let the workflow `release` build and sign it again",
        environment=os.environ | ({"GH_TOKEN": token} if token else {}),
    )


def described(image: Image) -> str:
    """Who signed it, as Markdown for the person who decides; it has been verified by then."""
    if _unsigned(image):
        return "⚠️ The image is not signed: only this passport names who built it."
    by = f"the key `{KEY}`" if KEY.is_file() else f"`{WORKFLOW}` on main of this repository"
    return f"✅ The image is signed by {by}; this was verified as the proposal was made."


def _unsigned(image: Image) -> bool:
    """An older release does not record it, so it has to be verified."""
    return image.proof == "none" and not KEY.is_file()


def _command(image: Image, reference: str) -> list[str]:
    if KEY.is_file():
        _demand("cosign")
        offline = [] if os.environ.get("COSIGN_LOG") else ["--insecure-ignore-tlog"]  # a key needs no public log
        return ["cosign", "verify", "--key", str(KEY), *offline, *_registry(reference), reference]
    host, name = pull_request.repository()
    identity = f"https://{host}/{name}/{WORKFLOW}"
    if image.proof != "signature" and shutil.which("gh"):
        by = ["--repo", name, "--signer-workflow", f"{name}/{WORKFLOW}", "--source-ref", "refs/heads/main"]
        return ["gh", "attestation", "verify", f"oci://{reference}", *by]
    _demand("cosign", *(["gh"] if image.proof != "signature" else []))
    by = ["--certificate-identity", f"{identity}@refs/heads/main", "--certificate-oidc-issuer", ISSUER]
    return ["cosign", "verify", *by, *_registry(reference), reference]


def _registry(reference: str) -> list[str]:
    """A registry on this machine speaks no TLS."""
    return ["--allow-http-registry"] if reference.startswith(("127.0.0.1:", "localhost:")) else []


def _demand(*tools: str) -> None:
    if not any(map(shutil.which, tools)):
        missing = f"neither {' nor '.join(tools)} is" if len(tools) > 1 else f"{tools[0]} is not"
        raise Refusal(f"{missing} on PATH, and without it nobody knows who signed the image; install it.")
