"""What pods logged of requests and answers (`serving.log` in model.yaml): gzipped JSON lines."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repo.lib.refusal import Refusal

if TYPE_CHECKING:
    import polars as pl


def lines(folder: Path, model: str) -> Iterator[dict[str, Any]]:
    """A request each, of this model; of a file that is cut short what there is."""
    if not (files := sorted(folder.rglob("*.gz"))):
        raise Refusal(f"{folder} holds no .gz file; give the folder of the request log.")
    for path in files:
        try:
            with gzip.open(path, "rt", encoding="utf-8") as file:
                for found in map(json.loads, file):
                    if found.get("model", model) != model:
                        raise Refusal(f"{path} is the log of {found['model']}, not of {model}; give that of {model}.")
                    yield found
        except (EOFError, gzip.BadGzipFile, zlib.error, ValueError) as error:
            print(f"{path} ends early ({error}); what comes before is counted.")


def rows(folder: Path, model: str) -> pl.DataFrame:
    """The rows of all requests, one column a feature that is not personal."""
    import polars as pl

    return pl.DataFrame([row for line in lines(folder, model) for row in line["rows"]], infer_schema_length=None)
