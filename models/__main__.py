"""The second stage: python -m models <verb> <model>."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from repo.lib.command import Verb, noun, run, use_utf8

MODEL = ("model", {"help": "a folder of models/, such as flight_delay", "type": noun})
# They write nothing themselves, so they keep no other verb out: they read, or start verbs that do the writing.
READING = {"renew", "retrain"}

VERBS = [
    Verb("run", "do all of it, and only what changed: validate, train, export, evaluate, measure, gates, report", [
        MODEL,
        ("--check", {"action": "store_true", "help": "change nothing; fail if lock or model is older than its inputs"}),
        ("--no-train", {"action": "store_true", "help": "judge the committed model; refuse to make another"}),
    ]),
    Verb("train", "fit the network on the training window", [MODEL]),
    Verb("export", "write the network as one reproducible ONNX file", [MODEL]),
    Verb("evaluate", "measure the ONNX file on the test window, with intervals and slices", [MODEL]),
    Verb("measure", "measure latency, size and parity on this machine", [MODEL]),
    Verb("gates", "judge the model by the limits of model.yaml and its champion, and write its passport", [MODEL]),
    Verb("report", "write the report as HTML and as Markdown", [MODEL]),
    Verb("slide", "move the three windows of model.yaml to the newest month of the data", [
        MODEL,
        ("--to", {"metavar": "MONTH", "help": "the last one of the test window (default: the newest there is)"}),
    ]),
    Verb("renew", "run what is stale on the newest commit of a branch, and push it: for who has no machine", [
        ("model", {**MODEL[1], "nargs": "?", "help": "a folder of models/ (default: each whose lock is stale)"}),
        ("--push", {"metavar": "BRANCH", "required": True, "help": "the branch of origin; not main"}),
        ("--write", {"metavar": "DIR", "help": "push nothing: leave there what would be pushed"}),
        ("--read", {"metavar": "DIR", "help": "train nothing: push what --write left there"}),
    ]),
    Verb("retrain", "take the newest data, slide the windows and run; propose it if it is better than the champion", [
        ("model", {**MODEL[1], "nargs": "?"}),
        ("--propose", {"action": "store_true", "help": "upon origin's main, as a pull request with the verdict"}),
        ("--write", {"metavar": "DIR", "help": "propose nothing: leave there what would be proposed"}),
        ("--read", {"metavar": "DIR", "help": "train nothing: propose what --write left there"}),
        ("--scheduled", {"action": "store_true", "help": "only a model that production runs; nothing else has aged"}),
        ("--list", {"action": "store_true", "help": "only say as JSON which models it would be"}),
    ]),
    Verb("reproduce", "train again, hold the result against the committed model, and put that back", [MODEL]),
    Verb("accept", "take the verdict of another machine: its figures, with the hashes of this tree", [
        MODEL,
        ("--passport", {"metavar": "FILE", "help": "that of `models run` there (default: build/gate/passport.yaml)"}),
    ]),
]  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """One verb at a time in a tree: each writes what another one reads."""
    words = sys.argv[1:] if arguments is None else arguments
    return run("models", VERBS, arguments, lock=None if READING & set(words[:1]) else Path(".dvc/tmp/run.lock"))


if __name__ == "__main__":
    use_utf8()
    sys.exit(main())
