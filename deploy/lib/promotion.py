"""A promotion: the release that staging or production gets, all that refuses it, and what a person reads of it."""

import argparse
import dataclasses
import math
import platform
from collections.abc import Sequence
from pathlib import Path

from deploy.canary import steps
from deploy.lib import aborted, decision, history, kustomization, pending, promise, release, rules, signature, step
from deploy.lib.card import documents
from deploy.lib.fork import models_store, registry
from deploy.lib.passport import Image, Passport, complete, parse_image, parse_passport
from deploy.lib.release import LOCK, Release
from deploy.lib.strategies import TABLE
from models.lib import artifacts, config, governance, lock, passport
from repo.lib import files
from repo.lib.git import git
from repo.lib.refusal import Refusal

CALLED = 20.0  # requests a second of staging's own caller (deploy/environments/staging/caller.yaml)
TRITON = "deploy/strategies/seldon/config.pbtxt"
GUESSED = (0.2, 1.0, 20.0)


def write(options: argparse.Namespace, commit: str | None = None) -> Release | None:
    """The release, or None where the environment had it; `commit` is what the image was built from (default: HEAD)."""
    if options.rate is not None and not 0 < options.rate < math.inf:
        raise Refusal(f"--rate {options.rate:g} is no number of requests a second; give one above 0.")
    if options.signed and options.to == "staging":
        raise Refusal("--signed is for production; staging takes what --proof says: leave it out.")
    model = config.load(options.model, check_columns=False)
    steps.read()  # refuses a broken Rollout before anything is written
    with files.exclusive(LOCK, "another promotion or rollback"):
        if options.to == "staging":
            proof, runs_on = options.proof or "none", options.platform or own_platform()
            commit = commit or git("rev-parse", "HEAD").decode().strip()
            candidate = to_staging(model, options.image, commit, proof, runs_on)
        else:
            candidate = to_production(options.model, options.image, options.signed, options.weight is not None)
        if listed := aborted.find(candidate.image.digest, aborted.read()):
            raise Refusal(
                f"{candidate.image.digest} is on the list of aborted digests ({aborted.PATH}: {listed.reason}); "
                "promote a newer model, or take it off that list in a commit that says why."
            )
        if owner := candidate.image.of_another(candidate.model):
            wrong = f"{candidate.image.name} is named after models/{owner}"
            raise Refusal(f"{wrong}; promote the image that was built of {candidate.model}.")
        former, here = history.at("HEAD", options.to, options.model), release.read(options.to, options.model)
        if options.to == "production":
            candidate = step.taken(candidate, former, options.weight)
        elif options.weight is not None:
            raise Refusal("--weight is for production; in staging a release takes all traffic at once: leave it out.")
        if here is not None and here.files == candidate.files:
            print(f"{options.to} already has {options.model} {candidate.version}: nothing changed.")
            return None
        first = uploads(candidate)
        release.write(candidate)
        print_summary(candidate, former, first, landed=options.push or options.propose, rate=options.rate)
    return candidate


def held(candidate: Release, standing: Release | None, where: str) -> Release:
    """Held to the promise about what stands; where that is the same, to what it was held to: it changes nothing."""
    if standing is not None and standing.readable and candidate.runs_the_same_as(standing):
        return kustomization.again(candidate, promise.of_release(standing))
    return kustomization.again(candidate, promise.demand(candidate.passport, standing, where))


def own_platform() -> str:
    """The platform of an image that was built on this machine."""
    return "linux/arm64" if platform.machine() in ("arm64", "aarch64") else "linux/amd64"


def to_staging(model: config.Model, reference: str | None, commit: str, proof: str, platform: str) -> Release:
    """The release that the built passport, the committed model folder and the pushed image make."""
    name = model.name
    if reference is None:
        raise Refusal("--image is missing: name the pushed image as --image name@sha256:<64 hex digits>.")
    stated = {"proof": proof, "platform": platform}
    image = Image.model_validate(parse_image(reference, commit).model_dump() | stated)
    place = registry()
    if place and not image.name.startswith(f"{place}/"):
        raise Refusal(
            f"--image {reference} is not of {place}, the registry of deploy/argocd/fork.yaml; name it {place}/{name}, "
            "one level below, and push it there, or write your registry into that file."
        )
    built = model.build / "passport.yaml"
    run = f"python -m models run {name}"
    if not built.is_file():
        raise Refusal(f"{built} is missing; make it with `{run}`.")
    content = built.read_bytes()
    record = parse_passport(content, built)
    refuse(rules.of_passport(record, name, built, rules.required_gates(name), f"fix the model, then `{run}`"))
    passport.refuse_stale(model, record.content)
    resources = model.folder / "resources.yaml"
    if not resources.is_file():
        raise Refusal(f"{resources} is missing; copy another model's (see models/README.md).")
    refuse(rules.of_resources(resources.read_bytes(), resources, "fix it there", record.serving.strategy))
    refuse_uncommitted(model)
    refuse_another_lock(name)
    if reason := pending.rolled_back(name, record.version):
        raise Refusal(
            f"an image of this very version was aborted ({aborted.PATH}: {reason}), and another build of it is not "
            "better; fix the model or the service, or take it off that list in a commit that says why."
        )
    refuse_reused(image, name, record.version)
    completed = complete(content, image, built)
    former = history.at("HEAD", "staging", name)
    if former is not None and former.readable:
        # Of two commits that make the same, the first stands: otherwise every push to main would be a release.
        standing = former.image.model_dump(include={"commit", "proof", "platform"})
        same = complete(content, image.model_copy(update=standing), built)
        completed = same if same == former.files.get("passport.yaml") else completed
    governance.warn(f"promote {name}", lacking(record))
    kept = documents(model, content, f"{image.name}@{image.digest}")
    made = kustomization.compose("staging", name, completed, resources.read_bytes(), None, kept)
    return held(made, former, str(built))


def to_production(name: str, reference: str | None, signed: bool = False, further: bool = False) -> Release:
    """Staging's passport and resources, which Git must hold, of an image of which it is verified who signed it.

    `further`: what production walks already, whatever staging has by now.
    """
    if reference is not None:
        raise Refusal("--image is for staging; production takes the digest that staging runs.")
    standing = history.at("HEAD", "production", name)
    if further and standing is not None and standing.weight is not None and not standing.weight.whole:
        signature.verify(standing.image, signed)
        return standing
    staging = release.read("staging", name)
    if staging is None:
        raise Refusal(
            f"staging has no release of {name!r}, and production takes only what staging had; "
            f"promote it there first: `python -m deploy promote {name} --to staging --image …`."
        )
    refuse(rules.of_release(staging, rules.required_gates(name)))
    committed = history.at("HEAD", "staging", name)
    if committed is None or committed.files != staging.files:
        undo = "git checkout HEAD --" if committed else "rm -r"
        raise Refusal(
            f"{staging.folder}: not committed, so staging never had it; commit it and let staging run it first, or "
            f"undo it with `{undo} {staging.folder}`."
        )
    if empty := lacking(staging.passport):
        raise Refusal(
            f"empty in staging's release of {name}, and production refuses that: {'; '.join(empty)}; fill it in, and "
            "let a new build go through staging."
        )
    signature.verify(staging.image, signed)
    where = str(staging.folder / "passport.yaml")
    return held(dataclasses.replace(staging, environment="production"), standing, where)


def lacking(record: Passport) -> list[str]:
    """`file: field` of what nobody has said about owners, data and use."""
    return governance.gaps(record.model, record.dataset.get("name", "<dataset>"), record.governance)


def refuse(findings: list[rules.Finding]) -> None:
    if findings:
        raise Refusal(str(findings[0]) + (f" And {len(findings) - 1} more." if len(findings) > 1 else ""))


def refuse_uncommitted(model: config.Model) -> None:
    """Whatever the passport and the release record must be what a commit holds."""
    dataset = Path("data_schemas") / model.dataset
    sources = [*passport.code(model), dataset / "data.dvc", Path("requirements/training.txt")]
    if changed := history.uncommitted(model.folder, dataset, *sources):
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        raise Refusal(f"{changed[0]}{more}: not committed, and a release records only what Git holds; commit first.")
    held = [model.folder / name for name in ("model.yaml", "resources.yaml", "dvc.lock")]
    held += [model.weights, *artifacts.files(model)] if model.storage == "git" else []
    listed = [Path(name) for name in git("ls-files", "-z", "--", *map(str, held)).decode().split("\0") if name]
    for path in held:
        if not any(each.is_relative_to(path) for each in listed):
            raise Refusal(f"{path} is not in Git, so nobody reviewed it; `git add --force {path}` and commit.")


def refuse_another_lock(name: str) -> None:
    """What is released must be what its sources make, by the lock that was reviewed with them."""
    if found := lock.faults(name, lock.here):
        raise Refusal(
            f"models/{name}/dvc.lock does not fit what is beside it ({found[0]}); run `python -m models run {name}` "
            f"and commit models/{name}."
        )


def refuse_reused(image: Image, name: str, version: str) -> None:
    """An image is built for one version of one model: its digest beside another was pasted from the wrong place."""
    for other in history.with_image(image.digest):
        its = other.version if other.readable else "of a broken passport"
        if other.model != name or (other.readable and its != version):
            raise Refusal(
                f"{image.digest} is the image of {other.model} {its} ({other.folder} has or had it), not of "
                f"{name} {version}; push this version's image and give its digest."
            )


def paced(candidate: Release, rate: float | None) -> list[str]:
    """How long each weight takes by its traffic: the given, that of the environment's own callers, or three guesses."""
    serving = candidate.passport.serving
    strategy, requests = serving.strategy, serving.canary.requests
    if not TABLE[strategy].walks:
        return []
    walk = steps.of(candidate.environment, strategy)
    known = rate or (CALLED if candidate.environment == "staging" else None)
    lines = []
    for each in [known] if known else GUESSED:
        pairs = zip(walk.steps, steps.takes(walk, requests, each), strict=True)
        weights = ", ".join(f"{step.weight} % {in_minutes(seconds)}" for step, seconds in pairs)
        lines.append(f"at {each:g} requests a second: {weights}")
    pauses = any(line.endswith(in_minutes(math.inf)) for line in lines)
    return lines + ["a model that is called less is better released with `strategy: bluegreen`"] * pauses


def in_minutes(seconds: float) -> str:
    return "pauses after an hour, for a person" if math.isinf(seconds) else f"{math.ceil(seconds / 30) / 2:g} min"


def uploads(candidate: Release) -> list[str]:
    """What puts the files of a release without a service into the object store, which both environments read."""
    if TABLE[candidate.passport.serving.strategy].image:
        return []
    folder = f"{models_store()}/{release.kubernetes_name(candidate.model)}/{candidate.passport.content.get('onnx')}"
    files_and_places = {f"models/{candidate.model}/model.onnx": "1/model.onnx", TRITON: "config.pbtxt"}
    lines = [f"rclone copyto --ignore-existing {file} {folder}/{at}" for file, at in files_and_places.items()]
    return lines if candidate.environment == "staging" else []


def print_summary(
    candidate: Release, former: Release | None, first: Sequence[str], landed: bool, rate: float | None = None
) -> None:
    """What changed, and what a person does next, unless it is committed anyway."""
    name, environment = candidate.model, candidate.environment
    print(f"{candidate.folder}: {name} {candidate.version}")
    print(f"  image  {candidate.reference}")
    if former is None:
        print("  was    none: the first release here")
    elif former.readable:
        print(f"  was    {former.version}, {former.reference}")
    print(f"  then   {'if the pods differ, ' if former else ''}{decision.walk(candidate, former)}")
    for line in paced(candidate, rate) if former else []:
        print(f"         {line}")
    for number, line in enumerate(first):
        print(f"  {'' if number else 'first':5}  {line}")
    if not landed:
        print(decision.next_steps(candidate.folder, f"Promote {name} {candidate.version} to {environment}"))
