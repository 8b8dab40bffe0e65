"""A small perceptron in Keras, for any task: embedded names, scaled numbers, a flag where one is missing.

The columns, files and the way to ONNX are those of KerasModel: what is to be changed here is the network.
"""

from __future__ import annotations

from typing import Any, Self

from keras import Input, callbacks, layers, ops, optimizers
from keras import Model as Network

from models.lib.columns import Columns, outputs
from models.lib.frameworks.keras import KerasModel, target

# Of an amount, of a yes or no, of more classes: output of the file, activation, loss.
KINDS = [
    ("prediction", "linear", "mse"),
    ("score", "sigmoid", "binary_crossentropy"),
    ("probabilities", "softmax", "sparse_categorical_crossentropy"),
]


class Model(KerasModel):
    def __init__(self, columns: Columns, params: dict[str, Any]) -> None:
        super().__init__(columns, params)
        self.output = KINDS[min(params["outputs"], 2)][0]

    @staticmethod
    def build(columns: Columns, params: dict[str, Any]) -> Network:
        ids = Input((len(columns.sizes),), dtype="int64", name="ids")
        numbers = Input((len(columns.numbers),), name="numbers")
        missing = ops.isnan(numbers)
        known = layers.BatchNormalization()(ops.where(missing, 0.0, numbers))
        embedded = [layers.Embedding(size, 4)(ids[:, place]) for place, size in enumerate(columns.sizes)]
        wide = layers.Concatenate()([*embedded, known, ops.cast(missing, "float32")])
        hidden = layers.Dense(params["hidden"], activation="relu")(wide)
        many = params["outputs"]
        last = layers.Dense(max(many, 1), activation=KINDS[min(many, 2)][1])(hidden)
        return Network([ids, numbers], last if many else params["mean"] + params["deviation"] * last)

    @classmethod
    def fit(cls, train: Any, valid: Any, params: dict[str, Any]) -> Self:
        """Train on `train`, stop early on `valid`. Seeded, on one thread: the same bytes every time."""
        wanted = target(train)
        many, moments = outputs(train), {"mean": float(wanted.mean()), "deviation": float(wanted.std())}
        model = cls(Columns.of(train), params | moments | {"outputs": many})
        model.network.compile(optimizers.Adam(params["learning_rate"]), KINDS[min(many, 2)][2])
        model.network.fit(
            model.inputs(train),
            wanted,
            batch_size=params["batch"],
            epochs=params["max_epochs"],
            validation_data=(model.inputs(valid), target(valid)),
            callbacks=[callbacks.EarlyStopping(patience=params["patience"], restore_best_weights=True)],
            verbose=0,
        )
        return model
