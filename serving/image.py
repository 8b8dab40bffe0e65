"""Build the image of a model's Bento with the builder that this machine has, and print its digest.

With `--push` models/<model>/build/image holds what `python -m deploy promote --image` takes.
"""

import argparse
import ast
import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from models.lib import config
from repo.lib import command
from repo.lib.files import write
from repo.lib.process import reason
from repo.lib.refusal import Refusal
from serving import build

DOCKERFILE = Path("serving/Dockerfile")
FROM = re.compile(r"(?m)^FROM (\S+) AS base$")
PINNED = re.compile(r"\S+@sha256:[0-9a-f]{64}")
PROXIES = ("http_proxy", "https_proxy", "no_proxy")
# What of pip's settings tells where packages are and how to get there; the rest is about this machine.
SETTINGS = {"index-url", "extra-index-url", "find-links", "trusted-host", "proxy", "timeout", "default-timeout"}
CERTIFICATES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")  # read by pip, too


@dataclass(frozen=True)
class Builder:
    """Both build by the same words; they differ in what else is needed."""

    probe: str  # fails where the command is there and what it needs to build is not, such as docker's engine
    digest: list[str]
    push: list[str]  # {file} gets the digest, where the builder can write one


WRITES_DIGEST = ["push", "--quiet", "--digestfile", "{file}", "{image}"]
BUILDERS = {
    "docker": Builder("version", ["image", "inspect", "--format", "{{.Id}}"], ["push", "--quiet", "{image}"]),
    "podman": Builder("info", ["image", "inspect", "--format", "{{.Digest}}"], WRITES_DIGEST),
}


def main(options: argparse.Namespace) -> int:
    if options.push and "/" not in (options.tag or ""):
        raise Refusal("--push needs a registry; name it with the image, as --tag ghcr.io/you/model:version.")
    base = pinned(options.base)
    builder = choose(options.builder)
    bento = build.build(options.model)
    image = options.tag or f"{options.model}:{bento.name}"
    started = time.perf_counter()
    with command.working(f"{builder} builds {image}, a minute or two"):
        digest = make(builder, bento, base, image, bento.parents[1] / "image.log")
    print(f"image {options.model}: {image}, built by {builder} in {time.perf_counter() - started:.0f} s")
    if options.push:
        reference = push(builder, image, bento.parents[1] / "image.log")
        write(config.MODELS / options.model / "build" / "image", f"{reference}\n")
        print(f"  pushed   {reference}")
        print(f"  promote  python -m deploy promote {options.model} --to staging --image {reference}")
        return 0
    target = image if "/" in image else f"REGISTRY/{image}"
    print(f"  digest   {digest} here; the registry's can differ, because a push compresses the layers")
    print(f"  push     python -m serving image {options.model} --tag {target} --push")
    return 0


def pinned(base: str | None) -> str:
    """The image to build on, `base` or the Dockerfile's; one without a digest is refused."""
    if base is None:
        found = FROM.search(DOCKERFILE.read_text())
        if found is None or not PINNED.fullmatch(found[1]):
            raise Refusal(
                f"{DOCKERFILE} pins no base yet; write the digest that `docker pull python:3.11-slim` prints into its "
                "line FROM … AS base, or give a base as --base python:3.11-slim@sha256:…."
            )
        return found[1]
    if not PINNED.fullmatch(base):
        raise Refusal(f"--base {base} could change unseen; give it with its digest, as name@sha256:<64 hex digits>.")
    return base


def choose(wanted: str | None) -> str:
    """The builder to use: the wanted one, or the first that works here."""
    for name in [wanted] if wanted else BUILDERS:
        if works(name):
            return name
    if wanted:
        raise Refusal(
            f"{wanted} does not work here: `{wanted} {BUILDERS[wanted].probe}` fails; install or start it, or leave "
            "--builder out."
        )
    raise Refusal(
        f"no builder works here, {' and '.join(BUILDERS)} were tried; install one, such as by `apt-get install "
        "podman`, or start docker's engine."
    )


def works(name: str) -> bool:
    return shutil.which(name) is not None and _ask(name, BUILDERS[name].probe).returncode == 0


def make(builder: str, bento: Path, base: str, image: str, log: Path) -> str:
    """Build the image and return its digest; what the builder printed is in `log`."""
    proxies = [word for name in os.environ if name.lower() in PROXIES for word in ("--build-arg", name)]
    with _dockerfile(base) as file, _secrets() as secrets, log.open("wb") as output:
        done = subprocess.run(
            [builder, "build", "--file", str(file), "--tag", image, *_labels(), *proxies, *secrets, str(bento)],
            env={**os.environ, "DOCKER_BUILDKIT": "1"},  # an old docker knows secrets only so
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode:
        raise Refusal(f"{builder} could not build {image}: {_reason(log)}; its whole output is in {log}.")
    asked = _ask(builder, *BUILDERS[builder].digest, image)
    if asked.returncode or not asked.stdout.strip():
        raise Refusal(
            f"{builder} built {image} but does not print its digest ({asked.stderr.strip()}); build it again."
        )
    return asked.stdout.strip()


@contextlib.contextmanager
def _dockerfile(base: str) -> Iterator[Path]:
    """A copy of the Dockerfile that builds on this base."""
    with tempfile.TemporaryDirectory(prefix="image-") as folder:
        copy = Path(folder, DOCKERFILE.name)
        copy.write_text(FROM.sub(f"FROM {base} AS base", DOCKERFILE.read_text()))
        yield copy


def _labels() -> list[str]:
    """Where an image on GitHub comes from: its registry gives the package to this repository by `source`."""
    server, name = os.environ.get("GITHUB_SERVER_URL"), os.environ.get("GITHUB_REPOSITORY")
    if not server or not name:
        return []
    labels = {"source": f"{server}/{name}", "revision": os.environ.get("GITHUB_SHA", "")}
    return [word for key, value in labels.items() for word in ("--label", f"org.opencontainers.image.{key}={value}")]


def push(builder: str, image: str, log: Path) -> str:
    """Push the image to the registry in its name; returns name@sha256:…, the digest as the registry has it."""
    name = re.sub(r":[^:/]*$", "", image)
    with tempfile.TemporaryDirectory(prefix="image-") as folder:
        file = Path(folder, "digest")
        words = [word.format(image=image, file=file) for word in BUILDERS[builder].push]
        with command.working(f"{builder} pushes {image}"):
            done = _ask(builder, *words)
        log.write_text(done.stdout + done.stderr)
        if done.returncode:
            raise Refusal(f"{builder} could not push {image}: {_reason(log)}; log in to its registry, or fix the name.")
        if file.is_file():
            return f"{name}@{file.read_text().strip()}"
    asked = _ask(builder, "image", "inspect", "--format", "{{range .RepoDigests}}{{println .}}{{end}}", image)
    known = [line for line in asked.stdout.split() if line.startswith(f"{name}@") and PINNED.fullmatch(line)]
    if len(known) != 1:
        raise Refusal(f"{builder} pushed {image} but does not print the registry's digest; push it again.")
    return known[0]


def _reason(log: Path) -> str:
    """pip's last error, which builders bury under one of their own, or the last line."""
    output = log.read_text(errors="replace")
    errors = [line for line in output.splitlines() if re.search(r"(^|\s)ERROR: (?!failed to)", line)]
    return reason(errors[-1] if errors else output)


def _ask(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


@contextlib.contextmanager
def _secrets() -> Iterator[list[str]]:
    """This machine's ways to packages, for the one step that installs them: a secret is in no layer and no history."""
    settings, certificates = pip_settings()
    with tempfile.TemporaryDirectory(prefix="image-") as folder:  # private, since an index may have a password
        words = []
        if certificates:
            settings["cert"] = "/run/secrets/ca"
            words += ["--secret", f"id=ca,src={certificates}"]
        if settings:
            path = Path(folder, "pip.conf")
            path.write_text("[global]\n" + "".join(f"{name} = {value}\n" for name, value in settings.items()))
            words += ["--secret", f"id=pip,src={path}"]
        yield words


def pip_settings() -> tuple[dict[str, str], str | None]:
    """Where this machine's pip finds packages, from its files and environment, and which certificates it trusts."""
    listed = _ask(sys.executable, "-m", "pip", "config", "list").stdout
    found = {}
    for section in ("global", "install", ":env:"):  # the later wins, as in pip
        for name, value in re.findall(rf"(?m)^{section}\.([a-z-]+)=(.+)$", listed):
            found[name] = " ".join(str(ast.literal_eval(value)).split())
    certificates = found.get("cert") or next(filter(None, map(os.environ.get, CERTIFICATES)), None)
    return {name: value for name, value in found.items() if name in SETTINGS}, certificates
