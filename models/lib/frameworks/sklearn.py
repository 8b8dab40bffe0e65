"""scikit-learn: what a class `Model` of network.py inherits. Its `fit` ends in `cls.fitted(estimator, train)`."""

from __future__ import annotations

import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from skops import io as skops

from models.lib import exportable, onnx_front, scikit
from models.lib.columns import Columns, to_pandas
from repo.lib.refusal import Refusal

TRUSTED = ("sklearn.", "numpy.", "scipy.", "builtins.object")  # of types that skops may make again
ADDRESS = re.compile(r'(?<="__id__": )\d+|(?<="file": ")\d+')  # of an object, in what skops writes


class SklearnModel:
    """A classifier or regressor of scikit-learn, mostly a Pipeline that begins with a ColumnTransformer."""

    def __init__(self, columns: Columns, estimator: Any) -> None:
        self.columns, self.estimator = columns, estimator

    @classmethod
    def fitted(cls, estimator: Any, train: Any, **options: Any) -> Self:
        """Fit to a table with `target`; what has no way to ONNX is refused before. `options` are those of its fit."""
        scikit.check(estimator)
        columns = Columns.of(train)
        unseeded = (name for name, value in estimator.get_params().items() if value is None)
        estimator.set_params(**{name: 0 for name in unseeded if name.endswith("random_state")})
        exportable.try_export(lambda rows: cls(columns, cls._fit(clone(estimator), columns, rows)), train)
        return cls(columns, cls._fit(estimator, columns, train, **options))

    @classmethod
    def _fit(cls, estimator: Any, columns: Columns, table: Any, **options: Any) -> Any:
        table = to_pandas(table)
        return estimator.fit(table[list(columns.kinds)], table["target"], **options)

    def predict(self, table: Any) -> NDArray[np.float32]:
        return exportable.answer(self.estimator, to_pandas(table)[list(self.columns.kinds)])

    def save(self, folder: Path) -> None:
        self.columns.save(folder)
        (folder / "estimator.skops").write_bytes(_skops(self.estimator))

    @classmethod
    def load(cls, folder: Path) -> Self:
        path = folder / "estimator.skops"
        types = skops.get_untrusted_types(file=path)
        if unknown := [each for each in types if not each.startswith(TRUSTED)]:
            raise Refusal(f"{path}: holds a {unknown[0]}, which is no part of scikit-learn; train the model again.")
        return cls(Columns.load(folder)[0], skops.load(path, trusted=types))

    def to_onnx(self) -> Any:
        return onnx_front.from_sklearn(self.estimator, self.columns.kinds)


def _skops(estimator: Any) -> bytes:
    """What skops writes, but with objects numbered in their order, not by address, and without the time of day."""
    with zipfile.ZipFile(io.BytesIO(skops.dumps(estimator))) as made:
        files = {each: made.read(each) for each in made.namelist()}
    known: dict[str, str] = {}
    schema = ADDRESS.sub(lambda found: known.setdefault(found[0], str(len(known))), files.pop("schema.json").decode())
    with zipfile.ZipFile(written := io.BytesIO(), "w") as archive:
        for number, path in sorted((int(known[path.split(".")[0]]), path) for path in files):
            content = _without_gaps(files[path]) if path.endswith(".npy") else files[path]
            archive.writestr(zipfile.ZipInfo(f"{number}.{path.split('.')[1]}"), content)
        archive.writestr(zipfile.ZipInfo("schema.json"), json.dumps(json.loads(schema), separators=(",", ":")))
    return written.getvalue()


def _without_gaps(stored: bytes) -> bytes:
    """An array as it is; between the fields of a structured one, a tree's nodes, lies whatever was in memory."""
    array = np.load(io.BytesIO(stored))
    if array.dtype.names is None:
        return stored
    clean = np.zeros(array.shape, array.dtype)  # zeros_like would leave the gaps
    for name in array.dtype.names:
        clean[name] = array[name]
    np.save(written := io.BytesIO(), clean)
    return written.getvalue()
