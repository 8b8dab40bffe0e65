"""Who answers for a model and its data, and what card.md says, which people write. The passport carries it.

What is empty is a warning until `promote --to production`, which refuses it.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data_schemas.lib import datasets
from models.lib import config
from repo.lib.refusal import Refusal, meant

CARD = "card.md"
SECTIONS = ("use", "limits", "ethics", "contact")  # its headings


def record(model: config.Model) -> dict[str, Any]:
    """What is said of owners, data and use; of card.md, which sections are filled."""
    card = [name for name, text in sections(model.folder / CARD).items() if name in SECTIONS and text]
    return {"owner": model.owner.strip(), "dataset": datasets.about(model.dataset), "card": card}


def sections(path: Path) -> dict[str, str]:
    """Heading, in lower case, -> text of a card.md. A comment says nothing; other headings may be there."""
    try:
        text = path.read_text("utf-8-sig") if path.is_file() else ""
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise Refusal(f"{path}: line {line} is not UTF-8; save the file as UTF-8.") from None
    _, *parts = re.split(r"(?m)^## +(.+?) *$", re.sub(r"(?s)<!--.*?(-->|\Z)", "", text))
    names = [name.lower() for name in parts[::2]]
    lacking = [section for section in SECTIONS if section not in names]
    for name in names:
        if names.count(name) > 1:
            raise Refusal(f"{path}: the heading '## {name}' is there twice; make one section of the two.")
        if near := next(filter(None, (meant(word, lacking) for word in name.split() if name not in SECTIONS)), ""):
            raise Refusal(f"{path}: the heading '## {name}' is none of its sections{near}; correct it.")
    bodies = map(str.strip, parts[1::2])
    return dict.fromkeys(SECTIONS, "") | dict(zip(names, bodies, strict=True))


def gaps(model: str, dataset: str, said: Mapping[str, Any]) -> list[str]:
    """`file: field` of all that is empty in the `governance` of a passport; passports of earlier versions have none."""
    data = said.get("dataset", {})
    empty = [f"models/{model}/model.yaml: owner"] * (not said.get("owner"))
    empty += [
        f"data_schemas/{dataset}/schema.py: Config.metadata.{name}" for name in datasets.ABOUT if not data.get(name)
    ]
    return empty + [f"models/{model}/{CARD}: {name}" for name in SECTIONS if name not in said.get("card", [])]


def warn(verb: str, empty: list[str]) -> None:
    """One line, which GitHub shows beside the run."""
    if empty:
        mark = "::warning::" if os.environ.get("GITHUB_ACTIONS") else ""
        print(f"{mark}{verb}: empty, and `promote --to production` refuses that: {'; '.join(empty)}.")
