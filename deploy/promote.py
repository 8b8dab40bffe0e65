"""Write a release: `python -m deploy promote flight_delay --to staging --image REF@sha256:…`, then `--to production`.

Staging takes what `python -m models run` built and Git holds; production takes what staging runs, byte for byte.
Nothing is committed: the release is a change for a person to look at.
"""

import argparse

from deploy.checks import difference
from deploy.lib import decision, promotion, release, signature, staging, step
from repo.lib import origin
from repo.lib.refusal import Refusal


def main(options: argparse.Namespace) -> int:
    if options.push or options.released:
        return staging.push(options, difference.of_this_tree)
    if not options.model:
        raise Refusal("no model is named; give one of models/.")
    try:
        if options.propose:
            return propose(options)
        promotion.write(options)
    except step.Worse as worse:
        print(worse)
        return 1
    return 0


def propose(options: argparse.Namespace) -> int:
    """Production's release as a pull request whose text is what a person decides by."""
    if options.to != "production":
        raise Refusal("--propose is for production, which is reviewed; staging follows main: give --push.")
    name = options.model

    def apply() -> origin.Edit | None:
        staged = release.read("staging", name)
        if options.verified and staged is not None and staged.readable and staged.reference != options.verified:
            print(f"staging has {staged.reference} now, not {options.verified}: nothing to propose.")
            return None
        former = release.read("production", name)
        if (made := promotion.write(options)) is None:
            return None
        signed = signature.described(made.image)
        return decision.of_promotion(made, former, difference.of_this_tree(), options.verified, signed)

    if address := origin.propose(origin.MAIN, f"promote/{name}", apply):
        print(f"Merging this promotes {name} to production: {address}")
    return 0
