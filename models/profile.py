"""Describe a model's training rows: bins and shares of each feature, and how far windows of them lie from the whole."""

import argparse

from models.lib import config, drift, samples
from repo.lib.command import working
from repo.lib.files import write_json


def main(options: argparse.Namespace) -> int:
    model = config.load(options.model)
    with working(f"profiling {model.name}"):
        found = drift.profile(model, samples.rows(model, "train"))
    write_json(model.build / "profile.json", found)
    silent = sum(set(each["limits"].values()) == {None} for each in found["features"].values())
    features = f"{len(found['features'])} features" + (f", {silent} without a limit" if silent else "")
    print(f"profile {model.name}: {found['rows']:,} rows of {model.span('train')}, {features}")
    return 0
