"""The ground of all stages, a change and its checks: `python -m repo --help` lists the verbs."""

import sys

from repo.lib.command import SINCE, Verb, run, use_utf8

VERBS = [
    Verb("plan", "print as JSON which models, stages and checks a change affects", [
        SINCE,
        ("--everything", {"action": "store_true", "help": "plan all there is, whatever differs"}),
    ]),
    Verb("ci", "run what ci.yml would run for this branch, or one of its jobs", [
        ("job", {"nargs": "?", "help": "such as code, data, gates, release (default: all that the change needs)"}),
        ("name", {"nargs": "?", "help": "the job's model, dataset or folder of tests"}),
        SINCE,
    ]),
    Verb("required", "compare the results of ci.yml's jobs with its plan; exit 1 names the red ones", [
        ("--needs", {"metavar": "JSON", "required": True, "help": "what GitHub's `toJSON(needs)` gives"}),
        ("--report", {"metavar": "FILE", "help": "where the verdict goes as Markdown"}),
    ]),
    Verb("relock", "compile requirements/*.txt with the newest versions that are a week old", [
        ("--write", {"metavar": "DIR", "help": "on origin's main, and leave there what would be proposed"}),
        ("--read", {"metavar": "DIR", "help": "propose what --write left there as a pull request"}),
    ]),
]  # fmt: skip


if __name__ == "__main__":
    use_utf8()
    sys.exit(run("repo", VERBS))
