"""Write a model's stages as a Kubeflow pipeline, or as a TrainJob: `models compile flight_delay --image …`"""

import argparse

from models.lib import config
from models.lib.clients import kubeflow


def main(options: argparse.Namespace) -> int:
    model = config.load(options.model, check_columns=False)
    target = model.build / ("trainjob.yaml" if options.train_job else "kubeflow.yaml")
    make = kubeflow.write_train_job if options.train_job else kubeflow.compile_to
    make(model, options.image, target)
    print(f"compile {model.name}: {target}")
    return 0
