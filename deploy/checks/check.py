"""Everything that this repository lets a cluster run, rendered and checked: what `python -m deploy verify` calls."""

import dataclasses
import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import Any

from deploy.checks import catalog, fence, kustomize, rendering
from deploy.checks.rendering import MODEL, Rendering
from deploy.checks.rules import alerts
from deploy.checks.schemas import KUBERNETES, Schemas
from deploy.lib.release import Release, kubernetes_name
from deploy.lib.rules import Finding, of_refusal
from repo.lib.refusal import Refusal

NAMES = ("strategy", "kserve", "analysis", "evidence", "prometheus", "references", "selectors", "pods", "placement")
MODULES = [import_module(f"deploy.checks.rules.{name}") for name in NAMES]
RULES = [  # whatever function of theirs yields findings
    rule
    for module in MODULES
    for rule in vars(module).values()
    if getattr(rule, "__module__", "") == module.__name__ and rule.__annotations__.get("return") == Iterator[Finding]
]
OF_RULES = [alerts.rules_parse, alerts.rules_read_what_is_there, alerts.alerts_can_be_acted_on]  # of deploy/monitoring
USED = "the manifests that it uses"
HASHES = re.compile("release/(passport|canary):")
BATCH = 12  # releases rendered by one call: more cost kustomize more than a call


@dataclass(frozen=True)
class Outcome:
    """`checked` states in one line what was held against what; `lacking` names the kinds without a schema, and why.

    None: nothing could be rendered.
    """

    findings: list[Finding]
    checked: str
    lacking: dict[str, str] | None


def everything(releases: Sequence[Release], root: Path = Path()) -> Outcome:
    """Check these releases, a specimen of every strategy in every environment, and what Argo CD itself is given."""
    kustomize.renderer()  # its Refusal now, rather than a fault of each release
    schemas = Schemas(catalog.find())
    with rendering.copied(root) as tree:
        texts, found = render_all([*rendering.specimens(root), *releases], tree)
        seen: set[str] = set()
        for release, text in texts:
            if (key := canonical(release, text)) not in seen:
                seen.add(key)
                found += _parsed(release, text, schemas)
        found += [("", finding) for name in rendering.ALONE for finding in of_folder(Path(name), tree, schemas)]
    versions = ", ".join(number.removesuffix(".0") for number in KUBERNETES)
    what = f"{', '.join(rendering.strategies(root))} in each environment, and {len(releases)} releases"
    return Outcome(merged(found), f"Held against Kubernetes {versions}: {what}.", schemas.catalog.lacking)


Found = list[tuple[str, Finding]]  # where (a rendering, or empty) and what


def render_all(releases: Sequence[Release], tree: Path) -> tuple[list[tuple[Release, str]], Found]:
    """The text of each release that kustomize renders, and a fault for each other."""
    batches = [releases[start : start + BATCH] for start in range(0, len(releases), BATCH)]
    # Each is a process of its own; the threads only wait for them.
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        made = list(chain.from_iterable(pool.map(lambda batch: _batch(batch, tree), batches)))
    texts = [(release, text) for release, text in made if isinstance(text, str)]
    return texts, [(release.environment, finding) for release, finding in made if isinstance(finding, Finding)]


def _batch(releases: Sequence[Release], tree: Path) -> list[tuple[Release, str | Finding]]:
    """Together, or, if one of them cannot be rendered, one by one."""
    try:
        return list(zip(releases, rendering.texts(releases, tree), strict=True))
    except Refusal as refusal:
        if len(releases) > 1:
            return list(chain.from_iterable(_batch([each], tree) for each in releases))
        shorter = Refusal(str(refusal).partition(": ")[2])  # without the folder of the batch
        return [(releases[0], of_refusal(shorter, releases[0].folder / "kustomization.yaml", USED))]


def canonical(release: Release, text: str) -> str:
    """The rendering without what differs from model to model: equal ones are checked once."""
    for word in (release.image.digest, release.version, kubernetes_name(release.model), release.model):
        text = text.replace(word, "\0")
    text = rendering.CONSTANTS.sub("", text)
    return "\n".join(line for line in text.splitlines() if not HASHES.search(line))


def _parsed(release: Release, text: str, schemas: Schemas) -> Found:
    try:
        rendered = rendering.parse(text, release)
    except Refusal as refusal:
        return [("", of_refusal(refusal, release.folder / "kustomization.yaml", USED))]
    return [(str(rendered), general(finding, rendered)) for finding in findings(rendered, schemas)]


def findings(rendered: Rendering, schemas: Schemas) -> list[Finding]:
    """What one rendering breaks. Rules read fields whose types the schemas have proven, so those come first."""
    broken = [finding for each in rendered.objects for finding in schemas.findings(each)]
    return broken + [finding for _, finding in by_rule(rendered, bool(broken))]


def by_rule(rendered: Rendering, broken: bool = False, rules: Sequence[Any] = RULES) -> Iterator[tuple[str, Finding]]:
    """The name of each rule with what it finds; of `broken` objects some may not be readable."""
    for rule in rules:
        try:
            yield from [(rule.__name__, finding) for finding in rule(rendered)]
        except (TypeError, KeyError, AttributeError, ValueError, IndexError, Refusal) as error:
            if not broken:  # of which it is a consequence
                wrong = f"cannot be read by {rule.__name__} ({type(error).__name__}: {error})"
                fix = "compare them with deploy/base in Git"
                yield rule.__name__, Finding(rendered.objects[0].file, "the objects", wrong, fix)


def general(finding: Finding, rendered: Rendering) -> Finding:
    """The fault as a specimen would have it, so that one of the base is reported once and not for each model."""
    name = kubernetes_name(rendered.model)
    texts = {key: getattr(finding, key).replace(name, MODEL) for key in ("thing", "wrong", "fix")}
    return dataclasses.replace(finding, **texts)


def merged(found: Found) -> list[Finding]:
    """Each fault once, with the rendering that showed it first, and in how many others it is."""
    places: dict[Finding, list[str]] = {}
    for where, finding in found:
        places.setdefault(finding, []).append(where)

    def placed(finding: Finding, first: str, *others: str) -> Finding:
        more = f" and {len(others)} more" if others else ""
        return dataclasses.replace(finding, thing=f"{finding.thing} ({first}{more})") if first else finding

    return [placed(finding, *wheres) for finding, wheres in places.items()]


def of_folder(folder: Path, tree: Path, schemas: Schemas) -> list[Finding]:
    """What is applied as it is: its schemas, its alerts, and the fence where Argo CD follows it."""
    if not (tree / folder).is_dir():
        return []
    with (tree / folder / "kustomization.yaml").open("a") as file:
        file.write(rendering.ORIGINS)
    try:
        objects = rendering.objects(kustomize.text(tree / folder), folder)
    except Refusal as refusal:
        shorter = Refusal(str(refusal).replace(f"{tree}/", ""))
        return [of_refusal(shorter, folder / "kustomization.yaml", USED)]
    broken = [found for each in objects for found in schemas.findings(each)]
    made = by_rule(Rendering("", folder.name, "", tuple(objects)), bool(broken), OF_RULES)
    return [*broken, *fence.outside(objects, folder.name), *(found for _, found in made)]
