"""Write a model's stages as a Kubeflow pipeline, or as a TrainJob: `python -m models compile flight_delay --image …`

Every stage becomes a container that clones the commit and makes that stage alone, by what DVC's remote has of the
others (`models run --stage`). Repository, commit and a patch are parameters of a run, so what is compiled stays the
same from commit to commit.
"""

import argparse

from models.lib import config, kubeflow
from repo.lib.files import dump_yaml, write


def main(options: argparse.Namespace) -> int:
    model = config.load(options.model, check_columns=False)
    target = model.build / ("trainjob.yaml" if options.train_job else "kubeflow.yaml")
    if options.train_job:
        write(target, dump_yaml(kubeflow.train_job(model, options.image)))
    else:
        kubeflow.compile_to(model, options.image, target)
    print(f"compile {model.name}: {target}")
    return 0
