"""Stage 2, a model and its verdict: `python -m models --help` lists the verbs."""

import sys
from collections.abc import Sequence
from pathlib import Path

from repo.lib.command import Verb, noun, run, use_utf8

FRAMEWORKS = sorted(path.name for path in (Path(__file__).parent / "lib/templates").iterdir() if path.is_dir())
MODEL = ("model", {"help": "a folder of models/", "type": noun})
VERBS = [
    Verb("run", "do all of it, and only what changed: validate, train, export, evaluate, measure, gates, report", [
        ("model", {**MODEL[1], "nargs": "?", "help": f"{MODEL[1]['help']}; may be left out with --push"}),
        ("--check", {"action": "store_true", "help": "change nothing; fail if lock or model is older than its inputs"}),
        ("--no-train", {"action": "store_true", "help": "judge the committed model; refuse to make another"}),
        ("--stage", {"help": "make this stage alone, by what DVC's remote has of others, and push it there"}),
        ("--pull", {"action": "store_true", "help": "run no stage that makes a model: take what --stage pushed"}),
        ("--windows", {"metavar": "N", "type": int, "help": "train on N-1 earlier windows, too: each metric's spread"}),
        ("--push", {"metavar": "BRANCH", "help": "run what is stale on the newest commit of this branch, and push it"}),
        ("--write", {"metavar": "DIR", "help": "with --push: push nothing, leave there what would be pushed"}),
        ("--read", {"metavar": "DIR", "help": "with --push: train nothing, push what --write left there"}),
    ], alone=True),
    Verb("new", "draft a model for a dataset, train it once, and set its gates by what it reaches", [
        ("model", {"help": "the folder of models/ that it becomes", "type": noun}),
        ("--dataset", {"required": True, "metavar": "NAME", "help": "a folder of data_schemas/", "type": noun}),
        ("--target", {"required": True, "metavar": "COLUMN", "help": "what is predicted"}),
        ("--task", {"choices": ["binary", "multiclass", "regression"], "help": "default: as the target's values are"}),
        ("--split", {"metavar": "HOW", "help": "month, week, day, hash:KEY or column:NAME (default: what there is)"}),
        ("--like", {"choices": FRAMEWORKS, "default": "lightgbm", "help": "the framework (default: lightgbm)"}),
    ], alone=True),
    Verb("profile", "describe the training rows, which drift is measured against", [MODEL], alone=True),
    Verb("train", "fit the network on the training rows", [MODEL], alone=True),
    Verb("export", "write the network as one reproducible ONNX file", [MODEL], alone=True),
    Verb("evaluate", "measure the ONNX file on the test window, with intervals and slices", [MODEL], alone=True),
    Verb("measure", "measure latency, size and parity on this machine", [MODEL], alone=True),
    Verb("gates", "judge the model by its limits and its champion, and write its passport", [MODEL], alone=True),
    Verb("report", "write the report as HTML and as Markdown", [MODEL], alone=True),
    Verb("drift", "hold a table against the training rows, by the numbers and limits that watch the live traffic", [
        MODEL,
        ("--current", {"required": True, "metavar": "TABLE", "help": "a CSV or Parquet file, or a request log"}),
        ("--window", {"choices": ["1h", "1d", "7d"], "help": "whose limits count (default: nearest to its span)"}),
    ]),
    Verb("review", "measure logged predictions by their outcomes, each version beside its passport", [
        MODEL,
        ("--labels", {"required": True, "metavar": "FILE", "help": "CSV or Parquet: prediction_id, outcome"}),
        ("--log", {"required": True, "metavar": "FOLDER", "help": "the request log: gzipped JSON lines"}),
    ]),
    Verb("compile", "write the stages as a Kubeflow pipeline, or as a TrainJob of Kubeflow's Trainer", [
        MODEL,
        ("--image", {"required": True, "metavar": "REF", "help": "whose Python has the environment; it needs git"}),
        ("--train-job", {"action": "store_true", "help": "the TrainJob of the commit that is checked out"}),
    ]),
    Verb("retrain", "take the newest data, move the windows to its end and run; propose it if it is better", [
        ("model", {**MODEL[1], "nargs": "?"}),
        ("--to", {"metavar": "END", "help": "end of the test window, as 2024-03 (default: the newest there is)"}),
        ("--propose", {"action": "store_true", "help": "on top of origin's main, as a pull request with the verdict"}),
        ("--write", {"metavar": "DIR", "help": "propose nothing: leave there what would be proposed"}),
        ("--read", {"metavar": "DIR", "help": "train nothing: propose what --write left there"}),
        ("--because", {"metavar": "TEXT", "help": "what asked for it; stands first in the pull request"}),
        ("--scheduled", {"action": "store_true", "help": "with --list: only what production runs; nothing else ages"}),
        ("--list", {"action": "store_true", "help": "train nothing: print as JSON which models it would be"}),
    ]),
    Verb("reproduce", "train again, and compare the result with the committed model", [MODEL], alone=True),
    Verb("accept", "take the verdict of another machine: its figures, with the hashes of this tree", [
        MODEL,
        ("--passport", {"metavar": "FILE", "help": "that of `models run` there (default: build/gate/passport.yaml)"}),
    ], alone=True),
]  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Of those that write into the tree one at a time: each writes what another one reads."""
    return run("models", VERBS, arguments, lock=Path(".dvc/tmp/run.lock"))


if __name__ == "__main__":
    use_utf8()
    sys.exit(main())
