"""What model.yaml asks for a network.py: tables of pandas, a backend of Keras; and how its misuse is reported."""

from __future__ import annotations

import argparse
import shutil
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models import measure, train
from models.lib import config, engine, lock, plugin, samples
from models.lib.plugin import Misuse
from repo.lib.refusal import Refusal
from tests.models.scene import OPTIONS
from tests.support import trees
from tests.support.specimens import MODEL, NAME


@pytest.mark.usefixtures("tree")
@pytest.mark.parametrize("frame", ["polars", "pandas"])
def test_a_network_is_handed_the_tables_that_it_asks_for(monkeypatch: pytest.MonkeyPatch, frame: str) -> None:
    seen: list[str] = []  # the packages of the tables

    class Recorder:
        def fit(self, *tables: Any) -> Recorder:
            seen.extend(type(each).__module__.partition(".")[0] for each in tables[:2])
            return self

        def load(self, folder: Path) -> Recorder:
            return self if folder.is_dir() else NotImplemented

        def save(self, folder: Path) -> None:
            (folder / "weights").write_text("new")

        def predict(self, table: Any) -> Any:
            self.fit(table)
            return np.zeros(len(table))

    trees.configure(Path(), {"frame": "pandas"} if frame == "pandas" else {})
    monkeypatch.setattr(plugin, "network", lambda _: Recorder())
    assert train.main(OPTIONS) == 0
    model = config.load(NAME)
    measure.parity(model, samples.table(model, "test").drop("target"))
    assert seen == [frame] * 4  # to fit, and to predict for the notes of the file and for parity


@pytest.mark.usefixtures("tree")
@pytest.mark.parametrize("setting", [{"frame": "pandas"}, {"backend": "tensorflow"}])
def test_another_table_or_backend_trains_the_model_again(setting: dict[str, str]) -> None:
    assert lock.stale(config.load(NAME)) == []
    trees.configure(Path(), setting)
    engine.declare(model := config.load(NAME))
    assert [fault.partition(":")[0] for fault in lock.stale(model)] == ["train", "export"][: 1 + ("backend" in setting)]


@pytest.mark.slow
def test_a_misuse_is_told_with_file_and_line(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tree)
    folder = Path("models/specimen_misused")
    shutil.copytree(MODEL, folder)
    (folder / "network.py").write_text(
        "from sklearn.ensemble import HistGradientBoostingClassifier\n\n"
        "from models.lib.frameworks.sklearn import SklearnModel\n\n\n"
        "class Model(SklearnModel):\n"
        "    @classmethod\n"
        "    def fit(cls, train, valid, params):\n"
        "        return cls.fitted(HistGradientBoostingClassifier(categorical_features=['carrier']), train)\n"
    )
    before = [path.read_bytes() for path in sorted((folder / "weights").iterdir())]
    words = "HistGradientBoostingClassifier with categorical_features is .* stand before it; fix it there"
    with pytest.raises(Refusal, match=rf"^{folder}/network\.py, line 9: {words}\.$"):
        train.main(argparse.Namespace(model=folder.name))
    assert [path.read_bytes() for path in sorted((folder / "weights").iterdir())] == before


@pytest.mark.usefixtures("tree")
def test_a_backend_that_is_not_installed_or_comes_too_late_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    trees.configure(Path(), {"backend": "tensorflow"})
    monkeypatch.delitem(sys.modules, "keras", raising=False)
    with pytest.raises(Refusal, match=rf"^{MODEL}/model\.yaml: backend: .*{MODEL}/requirements\.txt"):
        plugin.network(config.load(NAME))
    backend = types.SimpleNamespace(backend=lambda: "jax")
    monkeypatch.setitem(sys.modules, "keras", types.SimpleNamespace(backend=backend))
    with pytest.raises(Refusal, match=r"^Keras runs on jax already"):
        plugin.network(config.load(NAME))


def test_guarded_keeps_the_name_of_any_other_error() -> None:
    model = config.load(NAME, check_columns=False)
    with pytest.raises(Refusal, match="ValueError: odd"), plugin.guarded(model):
        raise ValueError("odd")
    with pytest.raises(Refusal, match=r"network\.py: odd; fix it there"), plugin.guarded(model):
        raise Misuse("odd")
