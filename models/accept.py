"""Take the verdict of another machine: `python -m models accept flight_delay`

release.yml judges a model where its code runs and so nothing may be written, and builds it elsewhere. Of what the first
job says only the figures are taken: every hash, the version and the settings are those of this tree.
"""

import argparse
from pathlib import Path

from models.lib import config, passport, pipeline
from repo.lib.files import read_yaml, write
from repo.lib.refusal import Refusal


def main(options: argparse.Namespace) -> int:
    model = config.load(options.model, check_columns=False)
    given = Path(options.passport or model.build / "gate/passport.yaml")
    judged = read_yaml(given, f"make it with `python -m models run {model.name}`", passport.KEYS)
    if not model.onnx.is_file() and model.storage == "dvc":
        pipeline.bring(model.folder / "dvc.yaml", [model.weights, model.onnx])
    passport.refuse_stale(model, judged["content"] if isinstance(judged["content"], dict) else {})
    try:
        figures = {key: judged["dataset"][key] for key in ("rows", "level")} | {"metrics": judged["metrics"]}
        figures["reference"] = judged["reference"]
        if unknown := set(figures["reference"]["features"]).difference(model.features):
            raise ValueError(f"{min(unknown)!r} is no feature")
        slow_ms = model.serving.slow_ms or float(judged["serving"]["slow_ms"])  # measured there where none is stated
        record = passport.make(model, figures, judged["gates"], judged["champion"], judged["promises"], slow_ms)
        names, failed = [gate["name"] for gate in judged["gates"]], record["verdict"] != "pass"
    except (KeyError, TypeError, ValueError) as error:
        raise Refusal(f"{given} is not a passport ({error!r}); let `models run` make it again.") from None
    if missing := [name for name in model.gate_names if name not in names]:
        raise Refusal(f"{given}: the gate {missing[0]} is missing; let `models run` judge {model.name} again.")
    if failed:
        red = ", ".join(gate["name"] for gate in judged["gates"] if gate["verdict"] == "fail")
        raise Refusal(f"{given}: the verdict is fail ({red}), and only what passes is built; fix the model.")
    write(model.build / "passport.yaml", passport.text(record))
    if (evaluation := given.with_name("evaluation.json")).is_file():  # for the model card
        write(model.build / evaluation.name, evaluation.read_bytes())
    print(f"accept {model.name}: version {record['version']}, {len(names)} gates, by the hashes of this tree")
    return 0
