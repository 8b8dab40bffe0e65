"""Restore an earlier release from Git history: `python -m deploy rollback flight_delay --environment production`.

The digest that is left goes on the list of aborted ones, so that nobody promotes it again (`--keep` leaves it off).
"""

import argparse

from deploy.canary import steps
from deploy.checks import difference
from deploy.lib import aborted, decision, history, promise, release, rules
from deploy.lib.history import Entry
from deploy.lib.kustomization import again
from deploy.lib.release import FILES, LOCK, Release
from deploy.lib.strategies import TABLE
from models.lib import config
from repo.lib import files, origin, pull_request
from repo.lib.refusal import Refusal


def main(options: argparse.Namespace) -> int:
    if options.propose:
        return propose(options)
    write(options)
    return 0


def write(options: argparse.Namespace) -> tuple[Release, Release]:
    """The release that is left, and the one that is restored."""
    config.load(options.model, check_columns=False)
    steps.read()  # refuses a broken Rollout before anything is written
    with files.exclusive(LOCK, "another promotion or rollback"):
        current = present(options.environment, options.model)
        target = choose(current, options.to)
        restored = promised(target.release, current)
        left = current.image if current.readable else None
        if (left and left.digest == target.release.image.digest) or options.keep:
            left = None  # the same image with other settings, or a person has given --keep
        if left:
            # First: if a kill comes between the two writes, verify names the digest and a second rollback completes it.
            reason = options.reason or f"rolled back from {options.environment} to {target.release.version}"
            aborted.add(left.digest, current.model, reason, current.version)
        release.write(restored)
    print_summary(current, target, left.digest if left else None, landed=options.propose)
    return current, restored


def promised(restored: Release, left: Release) -> Release:
    """The release as it was, held to what the one that is left promised about it, where the cluster must walk it again.

    That is where the cluster no longer has its pods' ReplicaSet (`rollbackWindow` of deploy/base/rollout.yaml).
    """
    if not set(FILES) <= set(restored.files) or again(restored, promise.of_release(restored)).files != restored.files:
        return restored  # written by an earlier `promote`: its bytes stay
    found = promise.back(restored, left.version) if left.readable else None
    return again(restored, found, back=True) if found or TABLE[restored.passport.serving.strategy].back else restored


def propose(options: argparse.Namespace) -> int:
    """The same as a pull request; of an aborted rollout only while its version is what Git has."""
    name, environment = options.model, options.environment

    def apply() -> origin.Edit | None:
        found = release.read(environment, name)
        if options.aborted and found is not None and found.readable and found.reference != options.aborted:
            print(f"{environment} has {found.reference} now, not the aborted {options.aborted}: nothing to roll back.")
            return None
        left, restored = write(options)
        return decision.of_rollback(left, restored, options.reason, difference.of_this_tree())

    if address := origin.propose(origin.MAIN, f"rollback/{environment}/{name}", apply):
        print(f"Merging this rolls {name} back in {environment}: {address}")
        pull_request.withdraw(f"promote/{name}", f"{name} is being rolled back in {environment}: {address}")
    return 0


def present(environment: str, model: str) -> Release:
    """What is there now, committed, so that nothing is lost when it is replaced."""
    current = release.read(environment, model)
    if current is None:
        raise Refusal(f"{environment} has no release of {model}; there is nothing to roll back.")
    if changed := history.uncommitted(current.folder):
        committed = any(history.show("HEAD", current.folder / name) for name in FILES)
        drop = f"git checkout HEAD -- {current.folder}" if committed else f"rm -r {current.folder}"
        raise Refusal(f"{', '.join(changed)}: not committed; commit it, or drop it with `{drop}`.")
    return current


def choose(current: Release, version: str | None) -> Entry:
    """The newest earlier release of that version, or the newest that is not on the list of aborted digests."""
    listed = aborted.read()
    had = history.entries(current.environment, current.model, own_line=True)
    earlier = [entry for entry in had if not entry.release.runs_the_same_as(current) and entry.release.readable]
    earlier = [entry for entry in earlier if entry.release.weight is None or entry.release.weight.whole]
    if not earlier:
        raise Refusal(
            f"{current.environment} never had another release of {current.model}, so there is no way back; fix the "
            f"model and promote it, or take this one out with `git rm -r {current.folder}`."
        )
    if not version:
        for entry in earlier:
            if not aborted.find(entry.release.image.digest, listed):
                return entry
        raise Refusal(f"every earlier release of {current.model} is on {aborted.PATH}; promote a newer model.")
    found = next((entry for entry in earlier if entry.release.version == version), None)
    if found is None:
        known = {each.release.version: f"{each.release.version} ({each.when:%Y-%m-%d})" for each in reversed(earlier)}
        raise Refusal(
            f"{current.environment} had no version {version!r} of {current.model} before this one; "
            f"known, newest first: {', '.join(reversed(known.values()))}."
        )
    if listing := aborted.find(found.release.image.digest, listed):
        raise Refusal(
            f"{version} is on the list of aborted digests ({aborted.PATH}: {listing.reason}); choose another."
        )
    return found


def print_summary(current: Release, target: Entry, aborted_digest: str | None, landed: bool) -> None:
    """What changed, what the cluster will do, and what a person does next, unless it is committed anyway."""
    restored, name, environment = target.release, current.model, current.environment
    left = current.version if current.readable else "the present release"
    print(f"{restored.folder}: {name} {left} → {restored.version}, as of commit {target.commit[:10]}")
    print(f"  image    {restored.reference}")
    if aborted_digest:
        print(f"  aborted  {aborted_digest}: promote refuses it from now on ({aborted.PATH})")
    if TABLE[restored.passport.serving.strategy].target != "kind: Rollout":
        print(f"In the cluster, once this is merged, {decision.walk(restored, current)}.")
    else:
        print_rollout(current, restored, left)
    if not landed:
        print(decision.next_steps(release.RELEASES, f"Roll {name} back to {restored.version} in {environment}"))


def print_rollout(current: Release, restored: Release, left: str) -> None:
    kubernetes = f"{release.kubernetes_name(current.model)} --namespace models-{current.environment}"
    print("In the cluster, once this is merged:")
    print(f"  - if the rollout of {left} was aborted and {restored.version} was stable before it,")
    print("    the cluster serves that already: it goes straight to stable, without steps, and Degraded clears;")
    print("  - the same where it still has the ReplicaSet of one of the last three releases;")
    print(f"  - otherwise {restored.version} is new there: {rules.rollout_in_words(restored.passport.serving)};")
    print(f"    to skip the steps: kubectl argo rollouts promote {kubernetes} --full")
