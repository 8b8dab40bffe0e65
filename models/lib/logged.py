"""What pods logged of requests and answers (`serving.log` in model.yaml): gzipped JSON lines."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from datetime import datetime
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


def rows(folder: Path, model: str) -> tuple[pl.DataFrame, float]:
    """The rows of all requests, one column a feature that is not personal, and the hours from the first to the last."""
    import polars as pl

    requests = list(lines(folder, model))
    times = [datetime.fromisoformat(each["time"]) for each in requests]
    span = (max(times) - min(times)).total_seconds() / 3600 if times else 0.0
    return pl.DataFrame([row for each in requests for row in each["rows"]], infer_schema_length=None), span
