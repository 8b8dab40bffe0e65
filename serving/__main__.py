"""The verbs of the serving stage: `python -m serving <verb> <model>`."""

import sys

from repo.lib import command
from repo.lib.command import SINCE, Verb

MODEL = ("model", {"help": "a folder of models/, such as flight_delay", "type": command.noun})

VERBS = [
    Verb(
        "build", "Make the Bento of a model: its file, its contract and the service, named by their content.", [MODEL]
    ),
    Verb(
        "contract",
        "Say what a change does to those who call a model; exit 1 where it breaks their requests.",
        [
            MODEL,
            SINCE,
            ("--report", {"metavar": "FILE", "help": "where it goes as Markdown"}),
            ("--json", {"metavar": "FILE", "help": "compare nothing: write the contract there as JSON"}),
        ],
    ),
    Verb(
        "serve",
        "Serve a model's Bento on this machine, with its OpenAPI page; Ctrl-C stops it.",
        [
            MODEL,
            ("--bento", {"metavar": "DIR", "help": "serve this built Bento (default: the model's, built if needed)"}),
            ("--port", {"type": int, "default": 3000, "help": "default: 3000; 0 takes a free one"}),
            (
                "--host",
                {"default": "127.0.0.1", "help": "address to listen on (default: 127.0.0.1, this machine only)"},
            ),
        ],
    ),
    Verb(
        "image",
        "Build the image of a model's Bento with docker, podman or buildah, and print its digest.",
        [
            MODEL,
            ("--tag", {"metavar": "NAME", "help": "the image's name (default: the model's, with the Bento's version)"}),
            ("--base", {"metavar": "REF", "help": "build upon this, name@sha256:… (default: serving/Dockerfile's)"}),
            ("--push", {"action": "store_true", "help": "push it to the registry that --tag names"}),
            ("--builder", {"choices": ["docker", "podman", "buildah"], "help": "default: the first that works"}),
        ],
    ),
]

if __name__ == "__main__":
    command.use_utf8()
    sys.exit(command.run("serving", VERBS))
