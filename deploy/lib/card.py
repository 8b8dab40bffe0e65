"""MODEL_CARD.md and mlbom.json of a release: what passport, contract and evaluation know, and what people wrote.

The headings of the card (card.md.jinja) are those of Annex IV of the EU's AI Act, Regulation (EU) 2024/1689. What is
not known here is named under each. The same files give the same bytes, so what was attested is what is released.
"""

from pathlib import Path
from typing import Any

from deploy.lib import mlbom
from deploy.lib.passport import parse_yaml
from deploy.lib.release import BOM, CARD
from deploy.lib.strategies import TABLE
from models.lib import config, governance
from models.lib.metrics import TITLES
from repo.lib.files import read_json
from repo.lib.markdown import plain
from repo.lib.templates import template
from serving.runtime import answer

TEMPLATE = Path(__file__).with_name("card.md.jinja")
DRAFTED = "To be described"  # what `data_schemas draft` says of a column


def sources(model: config.Model) -> list[Path]:
    """What `promote` reads and Git does not hold, or may not."""
    return [model.onnx, *(model.build / name for name in ("passport.yaml", "evaluation.json", "contract.json"))]


def documents(model: config.Model, passport: bytes, image: str) -> dict[str, bytes]:
    """By name, of the passport that `models run` wrote and the reference of the image, `name@sha256:…`."""
    record = parse_yaml(passport)
    record = {"dataset": {}, "governance": {}, "slo": {}, "retraining": {}, "reproduced": {}} | record
    said = governance.sections(model.folder / governance.CARD)
    contract = _fitting(model.build / "contract.json", "version", record["version"])
    labels = answer.labels(contract["answer"]) if contract else None
    known = {
        "model": model,
        "passport": record,
        "image": image,
        "said": said,
        "more": {name: text for name, text in said.items() if name not in governance.SECTIONS},
        "data": record["governance"].get("dataset", {}),
        "contract": contract,
        "labels": labels[1] if labels else None,
        "service": TABLE[record["serving"]["strategy"]].image,
        "evaluation": _fitting(model.build / "evaluation.json", "onnx", record["content"].get("onnx", "")),
        "titles": TITLES,
    }
    card = template(TEMPLATE, cell=_cell, limits=_limits, number=_number).render(known)
    return {CARD: f"{card.rstrip()}\n".encode(), BOM: mlbom.text(model, record, image, said, contract).encode()}


def _fitting(path: Path, key: str, value: str) -> dict[str, Any] | None:
    """The file that the run or the build left, where it is there and about this version."""
    found = read_json(path, "make it again with `python -m models run`") if path.is_file() else {}
    return found if found.get(key) == value else None


def _cell(value: object) -> str:
    """Text of a table, in which nothing is Markdown."""
    if value is None or value == DRAFTED:
        return "" if value is None else "**not known here**"
    return plain(" ".join(str(value).split()))


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4g}"


def _limits(feature: dict[str, Any]) -> str:
    """What a request may hold."""
    if feature["allowed"]:
        return ", ".join(map(str, feature["allowed"]))
    words = {"min": "at least", "above": "above", "max": "at most", "below": "below", "pattern": "the pattern"}
    found = [f"{word} {feature[key]}" for key, word in words.items() if feature[key] is not None]
    return ", ".join(found + ["or null"] * feature["nullable"])
