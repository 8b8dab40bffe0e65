"""What a canary is held to: the promise of its passport about the release that stands, as the cluster reads it.

`python -m deploy promote` writes it into the release; deploy/base/analysis/score-shift.yaml compares with it.
"""

import re

from deploy.lib import history
from deploy.lib.passport import Passport, Promise
from deploy.lib.release import Release
from deploy.lib.strategies import TABLE
from repo.lib.refusal import Refusal

CHAMPION = re.compile(rb'release~1champion, value: "([^"\s]+)"')


def find(passport: Passport, champion: str) -> Promise | None:
    """The passport's promise about a version, if it has one with numbers."""
    return next((each for each in passport.promises if each.champion == champion and each.counts is not None), None)


def demand(passport: Passport, standing: Release | None, file: str) -> Promise | None:
    """The promise about the release that stands where this one goes; None where no canary is compared."""
    compared = TABLE[passport.serving.strategy].compared
    if standing is None or not standing.readable or not compared:
        return None
    refuse_declared_break(passport, standing)
    if found := find(passport, standing.version):
        return found
    fault = next((each.fault for each in passport.promises if each.champion == standing.version and each.fault), None)
    why = f" ({fault.rstrip('.')})" if fault else ""
    raise Refusal(
        f"{file}: promises lacks {standing.version}, which {standing.environment} runs{why}, so its "
        f"canary could not be judged; make it with `python -m models run {passport.model}` and promote that."
    )


def refuse_declared_break(passport: Passport, standing: Release) -> None:
    """While a canary walks, callers meet both models: what only one of them answers fails for a part of them."""
    apis = [each.serving.api for each in (standing.passport, passport)]
    if apis[1] > apis[0]:
        raise Refusal(
            f"{passport.model} raises serving.api from {apis[0]} to {apis[1]}, and {standing.environment} runs "
            f"{standing.version}: while a canary walked, chance would refuse requests or answer them; put it into a "
            "model folder of its own beside this one, or take `strategy: bluegreen` and switch the callers with it."
        )


def of_release(release: Release) -> Promise | None:
    """The promise that a release's kustomization.yaml names: its own, or its way back from the release that was left.

    A rollback restores a model in the place of a later one, which promised something about it: that table by column.
    """
    named = CHAMPION.search(release.files.get("kustomization.yaml", b""))
    if named is None:
        return None
    champion = named[1].decode()
    return find(release.passport, champion) or back(release, champion)


def back(restored: Release, left: str) -> Promise | None:
    """What a version that was left promised about the one that is restored, read the other way round."""
    for entry in history.entries(restored.environment, restored.model):
        was = entry.release
        if was.readable and was.version == left and (found := find(was.passport, restored.version)):
            counts = [list(column) for column in zip(*found.counts or [], strict=True)]
            its = was.passport.serving
            return Promise(champion=left, slow_ms=its.slow_ms, latency_budget_ms=its.latency_budget_ms, counts=counts)
    return None


def vector(promise: Promise) -> str:
    """The table as PromQL: what share of the champion's bin `from` goes to the candidate's `bin`, one cell a series.

    Half a count on the diagonal: of a bin that the evaluation never saw, nothing but "as before" is promised.
    """
    cells = []
    for row, counts in enumerate(promise.counts or []):
        padded = [count + (0.5 if column == row else 0.0) for column, count in enumerate(counts)]
        cells += [
            f"label_replace(vector({count / sum(padded):.6g}),'cell','{row}-{column}','','')"
            for column, count in enumerate(padded)
            if count
        ]
    return " or ".join(cells)
