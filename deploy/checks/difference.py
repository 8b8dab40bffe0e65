"""Every release rendered before and after a change, as a difference.

Where no release stands for a strategy in an environment, a specimen does, so that a change of deploy/base always shows.
deploy/argocd and deploy/monitoring, which are no release, are rendered as well. What only
deploy/lib/kustomization.py writes differently shows when a release is promoted.
"""

import difflib
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from html import escape
from itertools import chain
from pathlib import Path

import yaml

from deploy.checks import kustomize, rendering
from deploy.checks.check import BATCH
from deploy.checks.rendering import ALONE, MANIFESTS
from deploy.lib import release
from deploy.lib.release import RELEASES, Release, kubernetes_name
from repo.lib.files import LOADER
from repo.lib.git import archived, git
from repo.lib.markdown import fenced
from repo.lib.refusal import Refusal

LONGEST = 20_000  # characters of the report: a comment holds 65,536 of all reports
NAMED = 8  # of those that changed in the same way
Pair = tuple[Release, Release]  # before and after


@dataclass(frozen=True)
class Difference:
    """What changed in the same way in all that are named."""

    names: list[str]
    text: str

    def __str__(self) -> str:
        first, *others = self.names
        if len(others) > NAMED:
            others[NAMED:] = [f"{len(others) - NAMED} more"]
        return first + (f", and the same in {', '.join(others)}" if others else "")


def compared(base: str) -> tuple[list[str], list[Difference]]:
    """Lines on what came and went, and the differences."""
    with archived(base, [*{*MANIFESTS, *ALONE}, str(RELEASES)]) as before, rendering.copied() as after:
        old, new = ({each.folder: each for each in release.every(root)} for root in (before, Path()))
        news = [f"{_name(new[key])}: new release, {_described(new[key])}" for key in new if key not in old]
        news += [f"{_name(old[key])}: no longer released, was {_described(old[key])}" for key in old if key not in new]
        pairs = [(old[key], new[key]) for key in new if key in old]
        pairs += specimens(pairs, before)
        if contents(before, MANIFESTS) == contents(Path(), MANIFESTS):
            pairs = [(one, other) for one, other in pairs if one.files != other.files]
        texts = rendered(pairs, before, after, base)
        changed = [(pair, difference(*each)) for pair, each in zip(pairs, texts, strict=True)]
        found = grouped([(pair, text) for pair, text in changed if text])
        return news, found + [each for name, what in ALONE.items() for each in alone(before, name, what)]


def specimens(pairs: Sequence[Pair], before: Path) -> list[Pair]:
    """The same one before and after, for each strategy in each environment that no release stands for."""
    there = {(each.environment, _strategy(each)) for pair in pairs for each in pair}
    known = rendering.strategies(before)
    lacking = [each for each in rendering.specimens() if (each.environment, _strategy(each)) not in there]
    return [(each, each) for each in lacking if _strategy(each) in known]


def rendered(pairs: Sequence[Pair], before: Path, after: Path, base: str) -> list[tuple[str, str]]:
    """The text of each before and after: one call of the renderer for each side, or, of many, for each BATCH."""
    batches = [pairs[start : start + BATCH] for start in range(0, len(pairs), BATCH)]
    calls = [([pair[side] for pair in batch], side) for batch in batches for side in (0, 1)]

    def call(listed: list[Release], side: int) -> list[str]:
        try:
            return rendering.texts(listed, (before, after)[side], origins="")
        except Refusal as refusal:
            raise Refusal(f"{'the working tree' if side else base[:10]}: {refusal}") from None

    with ThreadPoolExecutor() as pool:  # each call is a process of its own
        made = list(pool.map(lambda each: call(*each), calls))
    return [*zip(chain(*made[::2]), chain(*made[1::2]), strict=True)]


def difference(before: str, after: str) -> str:
    """Unified, object by object; empty where there is none."""
    if before == after:
        return ""
    old, new = objects(before), objects(after)
    lines: list[str] = []
    for key in sorted(old.keys() | new.keys()):
        was, now = (found.get(key, "").splitlines() for found in (old, new))
        names = [key if key in found else "nothing" for found in (old, new)]
        lines += difflib.unified_diff(was, now, names[0], names[1], lineterm="")
    return "\n".join(lines)


def objects(text: str) -> dict[str, str]:
    """Kind and name -> the YAML of each object."""
    found = {}
    for document in text.strip().split("\n---\n"):
        # What carried only the mark of its release has an empty line left.
        clean = re.sub(r"^  annotations:\n(?!    )", "", document + "\n", flags=re.MULTILINE)
        content = yaml.load(clean, Loader=LOADER) or {}  # noqa: S506 - both are safe loaders
        metadata = content.get("metadata") or {}
        place = f" in {metadata['namespace']}" if "namespace" in metadata else ""
        found[f"{content.get('kind')} {metadata.get('name')}{place}"] = rendering.CONSTANTS.sub("\n", clean)
    return found


def grouped(changed: Sequence[tuple[Pair, str]]) -> list[Difference]:
    """Those together whose lines changed in the same way, but for names that follow from model and environment."""
    groups: dict[str, list[tuple[Pair, str]]] = {}
    for pair, text in changed:
        groups.setdefault(_masked(pair[1], text), []).append((pair, text))
    return [Difference([_title(*pair) for pair, _ in group], group[0][1]) for group in groups.values()]


def alone(before: Path, folder: str, what: str) -> list[Difference]:
    """The same of a folder that is no release's."""
    if contents(before, [*ALONE]) == contents(Path(), [*ALONE]):  # the one reads the other
        return []
    was, now = (kustomize.text(root / folder) if (root / folder).is_dir() else "" for root in (before, Path()))
    text = difference(was, now)
    return [Difference([f"{what} ({folder})"], text)] if text else []


def contents(root: Path, folders: Sequence[str]) -> dict[str, bytes]:
    paths = [path for name in folders for path in (root / name).rglob("*") if path.is_file()]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}


def markdown(base: str, news: Sequence[str], found: Sequence[Difference]) -> str:
    """For the pull request, of LONGEST characters at most."""
    head = "## Manifests\n\n"
    rest = f"There is more than fits here: `python -m deploy diff --since {base[:10]}` prints it all.\n\n"
    if not news and not found:
        return f"{head}Nothing changes in the cluster.\n\n"
    written, room = [head], LONGEST - len(head) - len(rest)
    blocks: list[str | Difference] = [*(f"- {escape(line)}\n" for line in news), *(["\n"] if news else []), *found]
    for each in blocks:
        block = each if isinstance(each, str) else _block(each)
        if len(block) > room:
            return "".join([*written, "" if isinstance(each, str) else _cut(each, room), rest])
        written.append(block)
        room -= len(block)
    return "".join(written)


def of_this_tree() -> list[str]:
    """What the change that stands uncommitted in this tree does in the cluster, as Markdown."""
    base = git("rev-parse", "HEAD").decode().strip()
    try:
        return [markdown(base, *compared(base))]
    except Refusal as refusal:  # where nothing renders them; the checks of the pull request do
        return ["## Manifests", "", f"Not rendered here: {refusal}", ""]


def _block(each: Difference) -> str:
    """Folded until somebody opens it."""
    summary = escape(str(each)).replace("\n", " ")
    lines = [f"<details><summary>{summary}</summary>", "", *fenced("diff", each.text), "", "</details>", "", ""]
    return "\n".join(lines)


def _cut(each: Difference, room: int) -> str:
    """The block with as many lines as there is room for; nothing where that is none."""
    frame = len(_block(replace(each, text=""))) + 2 * each.text.count("`")  # of which a longer fence would be made
    text = each.text[: max(0, room - frame)].rpartition("\n")[0]
    return _block(replace(each, text=text)) if text else ""


def _masked(release: Release, text: str) -> str:
    """The changed lines and the objects that they are of, without the names of a release."""
    kept = "\n".join(line for line in text.splitlines() if line.startswith(("-", "+")))
    for word in (kubernetes_name(release.model), release.model, f"models-{release.environment}"):
        kept = re.sub(rf"(?<![\w-]){re.escape(word)}(?![\w])", "\0", kept)
    return kept


def _title(before: Release, after: Release) -> str:
    was, now = _strategy(before), _strategy(after)
    if after.model.endswith(f"_{rendering.MODEL}"):
        return f"specimen {after.environment}/{now}"
    return f"{_name(after)} ({now if was == now else f'{was} -> {now}'})"


def _name(release: Release) -> str:
    return f"{release.environment}/{release.model}"


def _described(release: Release) -> str:
    return f"{_strategy(release)}, version {release.version if release.readable else 'unreadable'}"


def _strategy(release: Release) -> str:
    return release.passport.serving.strategy if release.readable else "unreadable"
