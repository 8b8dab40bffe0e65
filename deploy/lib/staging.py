"""What one run of release.yml built, onto the newest main in one commit; as a pull request where main is closed.

`python -m deploy promote --to staging --released DIR --push` and, of one model that was built here, `promote <model>
--to staging --image REF --push`.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from deploy.lib import card, decision, pending, promotion, release
from deploy.lib.passport import parse_passport
from deploy.lib.release import Release
from models.lib import config
from repo.lib import files, origin
from repo.lib.git import git
from repo.lib.refusal import Refusal


@dataclass(frozen=True)
class Built:
    """A model's pushed image, and the files that Git does not hold, by where they go."""

    model: str
    image: str | None
    brought: dict[Path, Path]


def push(options: argparse.Namespace, manifests: Callable[[], list[str]]) -> int:
    """0, or 1 where one of several models was refused: the others land all the same.

    `manifests` describes what the change of the current tree does in the cluster, as lines of Markdown.
    """
    if options.to != "staging":
        raise Refusal("--push is for staging, which follows main; production is reviewed: give --propose.")
    built = _released(Path(options.released)) if options.released else [_here(options)]
    proved = git("rev-parse", "HEAD").decode().strip()
    refused: dict[str, Refusal] = {}

    def apply() -> origin.Edit | None:
        edits = []
        refused.clear()
        for each in built:
            try:
                landed = _land(each, proved, options)
            except Refusal as refusal:
                refused[each.model] = refusal
            else:
                edits += [decision.of_promotion(*landed, manifests())] if landed else []
        if not edits:
            return None
        names = ", ".join(each.title.split()[1] for each in edits)
        title = edits[0].title if len(edits) == 1 else f"Promote {names} to staging"
        return origin.Edit(title, "\n\n---\n\n".join(each.body for each in edits))

    try:
        if commit := origin.push(origin.MAIN, apply):
            print(f"pushed: {commit}")
    except origin.Protected as closed:
        address = origin.propose(origin.MAIN, "release/staging", apply)
        print(f"{closed} Proposed instead: {address}")
    if len(built) == 1 and refused:
        raise next(iter(refused.values()))
    for name, refusal in refused.items():
        print(f"deploy promote {name}: {refusal}")
    return 1 if refused else 0


def _land(built: Built, proved: str, options: argparse.Namespace) -> tuple[Release, Release | None] | None:
    """In a fresh tree of main: the release of one model and the one before; None, with the reason printed."""
    name = built.model
    path = built.brought.get(config.load(name, check_columns=False).build / "passport.yaml")
    given = parse_passport(path.read_bytes(), path) if path else None  # without one `promote` refuses below
    if given and pending.version(name, given, proved) != given.version:
        print(f"main has another {name} by now than {proved[:10]}; that one has a release of its own.")
        return None
    if reason := pending.reason_not_due(name):  # another run was faster, or it was rolled back since
        print(f"nothing to release of {name}: {reason}.")
        return None
    for path, source in built.brought.items():
        if not path.exists():
            files.write(path, source.read_bytes())
    former = release.read("staging", name)
    made = promotion.write(argparse.Namespace(**{**vars(options), "model": name, "image": built.image}), proved)
    return (made, former) if made else None


def _here(options: argparse.Namespace) -> Built:
    if not options.model:
        raise Refusal("no model is named; give one of models/, or --released with what a run built.")
    model = config.load(options.model, check_columns=False)
    brought = {path: path.absolute() for path in card.sources(model) if path.is_file()}
    return Built(options.model, options.image, brought)


def _released(folder: Path) -> list[Built]:
    """A folder for each model, as `card` in the job `image` of release.yml gathers it."""
    found = []
    for place in sorted(folder.glob("*/")):
        model = config.load(place.name, check_columns=False)
        if not (place / "image").is_file():
            raise Refusal(f"{place / 'image'} is missing; the job that pushes the image leaves it.")
        content = {path: place / path.name for path in card.sources(model)}
        brought = {path: source.absolute() for path, source in content.items() if source.is_file()}
        found.append(Built(place.name, (place / "image").read_text().strip(), brought))
    if not found:
        raise Refusal(f"{folder} has no model in it; no image was built and signed, see the jobs before.")
    return found
