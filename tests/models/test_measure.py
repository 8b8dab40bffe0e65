"""Measuring: the exported file is the network, also where rows are broken; latency is timed per batch."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from models import measure
from models.lib import config, plugin, samples
from repo.lib.refusal import Refusal
from tests.models.scene import Verb, refused
from tests.support.repository import ROOT
from tests.support.specimens import MODEL


@pytest.fixture(scope="module")
def table(plain: Path, model: config.Model) -> pl.DataFrame:
    with contextlib.chdir(plain):
        return pl.concat([samples.table(model, "train").drop("target")] * 4)  # 4,800 rows


def test_a_third_of_the_rows_are_disturbed_each_in_one_column(table: pl.DataFrame) -> None:
    whole = table.drop_nulls().head(3600)
    found = measure.disturbed(whole)
    changed = pl.DataFrame([(whole[name].ne_missing(found[name])).alias(name) for name in table.columns])
    assert found.schema == table.schema
    assert changed.sum_horizontal().value_counts(sort=True).rows() == [(0, 2400), (1, 1200)]
    for name, kind in table.schema.items():
        nulls, unseen = found[name].null_count(), int((found[name].cast(pl.String) == "never seen").sum() or 0)
        if kind.is_integer():  # null is against the contract of a request
            assert nulls == 0
        else:
            assert nulls > 60
            assert (unseen > 60) == (kind == pl.String)


def test_the_file_scores_like_the_network_on_disturbed_rows_and_that_of_another_does_not(
    tree: Path, small: Path, table: pl.DataFrame
) -> None:
    model = config.load("specimen_delay")
    found = measure.parity(model, table)
    assert found["rows"] >= 10_000
    assert 0 < found["largest_difference"] <= 1e-5
    assert found["worst"]
    shutil.copy(small / MODEL / "model.onnx", tree / MODEL / "model.onnx")
    assert measure.parity(model, table)["largest_difference"] > 0.01


@pytest.mark.usefixtures("tree")
@pytest.mark.parametrize("wrong", [0.01, float("nan")])
def test_parity_looks_at_rows_with_nulls_and_unknown_names(
    table: pl.DataFrame, monkeypatch: pytest.MonkeyPatch, wrong: float
) -> None:
    """A network that differs from its file on such rows only is found out, and one that gives no number is refused."""
    model = config.load("specimen_delay")
    real = plugin.network(model)

    class Lenient(real):  # type: ignore[misc, valid-type]
        def predict(self, rows: pl.DataFrame) -> object:
            odd = rows["carrier"].fill_null("").is_in(["", "never seen"]).to_numpy()
            return super().predict(rows) + np.where(odd, wrong, 0.0)

    monkeypatch.setattr(plugin, "network", lambda _: Lenient)
    if wrong == 0.01:
        assert measure.parity(model, table)["largest_difference"] == pytest.approx(0.01, abs=1e-4)
    else:
        with pytest.raises(Refusal, match=r"network\.py: carrier (null|unknown) gives an answer that is not finite"):
            measure.parity(model, table)


@pytest.mark.usefixtures("tree")
def test_latency_is_timed_for_one_row_and_for_a_hundred(table: pl.DataFrame) -> None:
    found = measure.latency(config.load("specimen_delay"), table.head(9))  # fewer than a call has are taken again
    assert set(found) == {"one_row", "hundred_rows"}
    for each in found.values():
        assert 0 < each["p50_ms"] <= each["p99_ms"]
    assert found["hundred_rows"]["p50_ms"] > found["one_row"]["p50_ms"]


@pytest.mark.parametrize("name", ["evaluate", "measure", "gates"])
def test_a_missing_or_broken_file_is_refused(tree: Path, verb: Verb, name: str) -> None:
    onnx = tree / MODEL / "model.onnx"
    onnx.unlink()
    refused(
        verb(name, "specimen_delay"),
        f"{MODEL}/model.onnx is missing; make it with `python -m models run specimen_delay`",
    )
    onnx.write_bytes(b"not a graph")
    refused(verb(name, "specimen_delay"), "model.onnx")


def test_a_tree_can_be_edited_without_touching_the_repository(tree: Path) -> None:
    """What every test here relies on."""
    assert not [path for path in tree.rglob("*") if path.is_symlink() or (path.stat().st_nlink > 1 and path.is_file())]
    assert ROOT not in [path.resolve() for path in tree.parents]
