"""Stage 3, a model as a service: `python -m serving --help` lists the verbs."""

import sys

from repo.lib.command import SINCE, Verb, noun, run, use_utf8

MODEL = ("model", {"help": "a folder of models/", "type": noun})
VERBS = [
    Verb("build", "make the Bento of a model: its file, its contract and the service, named by their content", [MODEL]),
    Verb("contract", "print what a change does to callers of a model; exit 1 where it breaks their requests", [
        MODEL,
        SINCE,
        ("--report", {"metavar": "FILE", "help": "where it goes as Markdown"}),
        ("--json", {"metavar": "FILE", "help": "compare nothing: write the contract there as JSON"}),
    ]),
    Verb("serve", "serve a model's Bento on this machine, with its OpenAPI page; Ctrl-C stops it", [
        MODEL,
        ("--bento", {"metavar": "DIR", "help": "serve this built Bento (default: the model's, built if needed)"}),
        ("--port", {"type": int, "default": 3000, "help": "0 takes a free one (default: 3000)"}),
        ("--host", {"default": "127.0.0.1", "help": "address to listen on (default: 127.0.0.1, this machine only)"}),
    ]),
    Verb("image", "build the image of a model's Bento with docker or podman, and print its digest", [
        MODEL,
        ("--tag", {"metavar": "NAME", "help": "the image's name (default: the model's, with the Bento's version)"}),
        ("--base", {"metavar": "REF", "help": "build on this, name@sha256:… (default: the one in serving/Dockerfile)"}),
        ("--push", {"action": "store_true", "help": "push it to the registry that --tag names"}),
        ("--builder", {"choices": ["docker", "podman"], "help": "default: the first that works"}),
    ]),
]  # fmt: skip

if __name__ == "__main__":
    use_utf8()
    sys.exit(run("serving", VERBS))
