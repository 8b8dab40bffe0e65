"""Gather what is signed and released of a built model: `python -m deploy card flight_delay --write released/…`

The model card and the bill of materials as `promote` writes them, what both are made from, the passport as JSON, which
the image is attested with, and subjects.txt: image, model and documents by their SHA-256.
"""

import argparse
import json
from pathlib import Path

from deploy.lib import card
from deploy.lib.passport import parse_image, parse_passport, parse_yaml
from models.lib import config, passport
from repo.lib.files import sha256, write
from repo.lib.refusal import Refusal


def main(options: argparse.Namespace) -> int:
    model, target = config.load(options.model, check_columns=False), Path(options.write)
    built, pushed = model.build / "passport.yaml", model.build / "image"
    for path, verb in ((built, "models run"), (pushed, "serving image --push")):
        if not path.is_file():
            raise Refusal(f"{path} is missing; make it with `python -m {verb} {model.name}`.")
    content, image = built.read_bytes(), parse_image(pushed.read_text().strip())
    passport.refuse_stale(model, parse_passport(content, built).content)
    for path in filter(Path.is_file, (pushed, *card.sources(model))):
        write(target / path.name, path.read_bytes())
    made = card.documents(model, content, f"{image.name}@{image.digest}")
    for name, document in (made | {"passport.json": json.dumps(parse_yaml(content)).encode()}).items():
        write(target / name, document)
    hashes = {image.name: image.digest.removeprefix("sha256:")}
    hashes |= {name: sha256(target / name) for name in ("model.onnx", "passport.yaml", *made)}
    write(target / "subjects.txt", "".join(f"{each}  {name}\n" for name, each in hashes.items()))
    print(f"card {model.name}: {target}/, for {image.name}@{image.digest}")
    return 0
