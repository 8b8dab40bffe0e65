"""What a fitted model of a library answers, and whether its ONNX file would answer the same, before it is trained."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.lib import scoring
from models.lib.columns import to_polars
from models.lib.plugin import Misuse
from repo.lib.refusal import described

TRIED = 500  # rows on which an export is tried before the training


def answer(estimator: Any, rows: Any) -> NDArray[np.float32]:
    """Probability of class 1, probabilities or prediction, as the file gives them."""
    found = np.asarray((getattr(estimator, "predict_proba", None) or estimator.predict)(rows), np.float32)
    return found[:, 1] if found.ndim == 2 and found.shape[1] == 2 else found


def try_export(fit: Callable[[Any], Any], train: Any) -> None:
    """Fit, export and compare on a few rows, some with names that training has not seen."""
    import polars as pl

    table = to_polars(train)
    if table["target"].dtype.is_integer():
        seen = table["target"].unique().sort().to_list()
        if gaps := [place for place, value in enumerate(seen) if place != value]:
            raise Misuse(f"class {gaps[0]} of the target has no row to train on")
    table = table.head(TRIED)
    unseen = pl.when(pl.int_range(pl.len()) % 5 == 0).then(pl.lit("never seen")).otherwise(pl.col(pl.String))
    rows = table.drop("target").with_columns(unseen.name.keep())
    try:
        with warnings.catch_warnings(action="ignore"):  # the training will say it again
            model = fit(table)
    except Exception:  # too few rows for it, perhaps: the training will tell
        return
    with _or("it cannot predict rows with names that training has not seen"):
        network = model.predict(rows)
    with _or("it cannot be exported to ONNX"):
        runtime = scoring.session(model.to_onnx().SerializeToString())
        file = runtime.run(None, scoring.feed(runtime, rows))[0]
    if not np.allclose(file, network, rtol=1e-4, atol=1e-4):
        raise Misuse(
            f"its ONNX file would answer otherwise by up to {np.abs(file - network).max():.1e}: take another estimator "
            "or option (known to differ: trees after a scaler, add_indicator, linear_tree)"
        )


@contextmanager
def _or(words: str) -> Iterator[None]:
    try:
        yield
    except Misuse:
        raise
    except Exception as error:
        raise Misuse(f"{words} ({described(error)})") from error
