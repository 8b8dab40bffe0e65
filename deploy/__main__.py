"""Stage 4, what the cluster runs: `python -m deploy --help` lists the verbs."""

import sys

from repo.lib import command
from repo.lib.command import SINCE, Verb

MODEL = ("model", {"help": "a folder of models/", "type": command.noun})
ENVIRONMENTS = ["staging", "production"]
PROOFS = ["attestation", "signature", "none"]
PLATFORMS = ["linux/amd64", "linux/arm64"]
FAULTS = ["errors", "latency", "scores", "crash", "never-ready", "nan", "champion"]
DRIFTS = ["shift", "category", "nulls", "swap", "collapse", "slow", "labels"]
VERBS = [
    Verb("rehearse", "run a model's release beside its champion on this machine, and judge it: 0 promote, 1 abort", [
        MODEL,
        ("--fault", {"choices": FAULTS, "help": "plant this fault in the candidate, which must abort"}),
        ("--champion", {"metavar": "REV", "help": "the model of this commit (default: what production runs)"}),
        ("--seed", {"type": int, "default": 7, "metavar": "N", "help": "of the traffic (default: 7)"}),
        ("--report", {"metavar": "DIR", "help": "where it goes (default: a new folder of deploy/build/rehearsals/)"}),
    ]),
    Verb("watch", "pass a month of data through a model, and see which alerts fire: 0 none, 1 one that asks for work", [
        MODEL,
        ("--month", {"metavar": "YYYY-MM", "help": "of the data (default: the newest)"}),
        ("--fault", {"choices": DRIFTS, "help": "planted from the second day on; its alert must tell"}),
        ("--once", {"action": "store_true", "help": "end with the verdict, without keeping Prometheus up"}),
        ("--report", {"metavar": "DIR", "help": "where it goes (default: a new folder of deploy/build/watched/)"}),
    ]),
    Verb("card", "gather what is signed and released of a built model: its model card, its bill of materials", [
        MODEL,
        ("--write", {"metavar": "DIR", "required": True, "help": "where it goes"}),
    ]),
    Verb("promote", "release a model: the built one to staging, or what staging runs to production", [
        ("model", {**MODEL[1], "nargs": "?"}),
        ("--to", {"choices": ENVIRONMENTS, "required": True}),
        ("--image", {"metavar": "REF@sha256:…", "help": "the pushed image (staging only)"}),
        ("--released", {"metavar": "DIR", "help": "what `card` gathered of all that one run built, a folder a model"}),
        ("--proof", {"choices": PROOFS, "help": "how the image is signed (staging only; default: not at all)"}),
        ("--platform", {"choices": PLATFORMS, "help": "of the image (staging only; default: that of this machine)"}),
        ("--signed", {"action": "store_true", "help": "refuse an image that is not signed (production only)"}),
        ("--push", {"action": "store_true", "help": "on top of origin's newest main (staging only)"}),
        ("--propose", {"action": "store_true", "help": "as a pull request into main (production only)"}),
        ("--weight", {"type": int, "metavar": "N", "help": "percent of traffic (production, strategy kserve)"}),
        ("--rate", {"type": float, "metavar": "N", "help": "requests a second, to print how long each step takes"}),
        ("--verified", {"metavar": "IMAGE", "help": "only if staging has this one, which the cluster found healthy"}),
    ]),
    Verb("verify", "check every release against the rules and against Git history; exit 1 names what breaks them"),
    Verb("diff", "show what a change does in the cluster: every release rendered before and after it", [
        SINCE,
        ("--report", {"metavar": "FILE", "help": "where it goes as Markdown"}),
    ]),
    Verb("rollback", "restore an earlier release from Git history", [
        MODEL,
        ("--environment", {"choices": ENVIRONMENTS, "required": True}),
        ("--to", {"metavar": "VERSION", "help": "default: the one before that was not aborted"}),
        ("--reason", {"help": "why, for the list of aborted digests"}),
        ("--keep", {"action": "store_true", "help": "leave the digest promotable: off the list of aborted ones"}),
        ("--propose", {"action": "store_true", "help": "as a pull request into main of origin"}),
        ("--aborted", {"metavar": "IMAGE", "help": "only if the environment still has this one"}),
    ]),
    Verb("rules", "print rules, alerts and constants of every release as one rule file for a plain Prometheus", [
        ("--output", {"metavar": "FILE", "help": "where it goes (default: printed)"}),
    ]),
    Verb("due", "print as JSON which models staging should have by this commit and has not", [
        ("--proved", {"metavar": "WORKFLOW", "help": "none, unless GitHub reports that it passed for this commit"}),
        ("--for", {"choices": ["retraining"], "dest": "purpose", "help": "instead: what is to be trained again"}),
        ("--dispatch", {"action": "store_true", "help": "with --for retraining: start retrain.yml for each of them"}),
    ]),
    Verb("dashboards", "write the dashboards for Grafana from deploy/monitoring/dashboards.yaml", [
        ("--check", {"action": "store_true", "help": "write nothing; exit 1 where one is not current"}),
    ]),
    Verb("vulnerabilities", "keep one issue about known vulnerabilities that a newer version fixes", [
        ("--list", {"action": "store_true", "help": "print as JSON which images the environments run"}),
        ("--found", {"metavar": "DIR", "help": "reports of grype, one JSON file for each image and for the locks"}),
    ]),
    Verb("audit", "list who changed what an environment runs, on which evidence, approved by whom, on which data", [
        ("--environment", {"choices": ENVIRONMENTS, "help": "only what this one runs"}),
        ("--since", {"metavar": "DATE", "help": "only what landed since, such as 2026-01-31"}),
        ("--data", {"metavar": "HASH", "help": "only what rests on this version of a dataset: `md5` of its data.dvc"}),
        ("--require-approvals", {"action": "store_true", "help": "exit 2 where one lacks (default: in production)"}),
        ("--format", {"choices": ["markdown", "csv"], "default": "markdown"}),
    ]),
    Verb("track", "set the aliases of MLflow's registry to what main says that the environments have"),
    Verb("status", "show which version each environment has, since when, by which commit, and how good it is", [
        ("--html", {"nargs": "?", "const": "deploy/build/status.html", "metavar": "FILE", "help": "as one page"}),
    ]),
]  # fmt: skip

if __name__ == "__main__":
    command.use_utf8()
    sys.exit(command.run("deploy", VERBS))
