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

CARD = "card.md"
SECTIONS = ("use", "limits", "ethics", "contact")  # its headings


def record(model: config.Model) -> dict[str, Any]:
    """What is said of owners, data and use; of card.md, which sections are filled."""
    card = [name for name, text in sections(model.folder / CARD).items() if name in SECTIONS and text]
    return {"owner": model.owner.strip(), "dataset": datasets.about(model.dataset), "card": card}


def sections(path: Path) -> dict[str, str]:
    """Heading, in lower case, -> text of a card.md. A comment says nothing."""
    text = path.read_text(errors="replace") if path.is_file() else ""
    _, *parts = re.split(r"(?m)^## +(.+?) *$", re.sub(r"(?s)<!--.*?(-->|\Z)", "", text))
    found = {name.lower(): body.strip() for name, body in zip(parts[::2], parts[1::2], strict=True)}
    return dict.fromkeys(SECTIONS, "") | found


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
