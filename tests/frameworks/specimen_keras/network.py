"""A small perceptron in Keras, on torch or tensorflow: embedded names, numbers with a flag where missing."""

from __future__ import annotations

from typing import Any

from keras import Input, callbacks, layers, ops, optimizers
from keras import Model as Network

from models.lib.columns import Columns
from models.lib.frameworks.keras import KerasModel, target


class Model(KerasModel):
    @staticmethod
    def build(columns: Columns, params: dict[str, Any]) -> Network:
        ids = Input((len(columns.sizes),), dtype="int64", name="ids")
        numbers = Input((len(columns.numbers),), name="numbers")
        missing = ops.isnan(numbers)
        known = layers.BatchNormalization()(ops.where(missing, 0.0, numbers))
        embedded = [layers.Embedding(size, 4)(ids[:, place]) for place, size in enumerate(columns.sizes)]
        wide = layers.Concatenate()([*embedded, known, ops.cast(missing, "float32")])
        hidden = layers.Dense(params["hidden"], activation="relu")(wide)
        return Network([ids, numbers], layers.Dense(1, activation="sigmoid")(hidden))

    @classmethod
    def fit(cls, train: Any, valid: Any, params: dict[str, Any]) -> Model:
        model = cls(Columns.of(train), params)
        model.network.compile(optimizers.Adam(params["learning_rate"]), "binary_crossentropy")
        model.network.fit(
            model.inputs(train),
            target(train),
            batch_size=params["batch"],
            epochs=params["max_epochs"],
            validation_data=(model.inputs(valid), target(valid)),
            callbacks=[callbacks.EarlyStopping(patience=2, restore_best_weights=True)],
            verbose=0,
        )
        return model
