"""Stage 1, data and its contract: `python -m data_schemas --help` lists the verbs."""

import sys

from repo.lib.command import Verb, noun, run, use_utf8

DATASET = ("dataset", {"help": "a folder of data_schemas/", "type": noun})
VERBS = [
    Verb("new", "draft a dataset from a table: its contract, where its rows come from, and a pinned version", [
        ("dataset", {"help": "the name of its folder in data_schemas/", "type": noun}),
        ("--from", {"dest": "file", "metavar": "FILE", "required": True, "help": "a CSV or Parquet file"}),
        ("--personal", {"metavar": "COLUMNS", "default": "", "help": "those about persons, as name,birthday"}),
    ]),
    Verb("ingest", "read a dataset from its source, check it, and pin its version", [
        DATASET,
        ("--accept", {"action": "store_true", "help": "take changed data as the new version"}),
        ("--pinned", {"action": "store_true", "help": "only bring the pinned version, whatever the source has now"}),
    ]),
    Verb("validate", "hold every row against the contract; exit 1 names what violates it", [
        DATASET,
        ("--table", {"metavar": "FILE", "help": "a CSV or Parquet file instead of the dataset's own data"}),
        ("--report", {"metavar": "FILE", "help": "where the JSON goes (default: the dataset's build folder)"}),
    ]),
]  # fmt: skip

if __name__ == "__main__":
    use_utf8()
    sys.exit(run("data_schemas", VERBS))
