"""Hold every job of ci.yml against its plan: `python -m repo required --needs '{"plan": {"result": "success", …}}'`.

It fails closed: a job that the plan asks for passes by success alone, and without a plan nothing passes.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

from repo.lib.files import write
from repo.lib.refusal import Refusal

ASKED = {"code": "code", "tests": "tests", "data": "datasets", "model": "models", "manifests": "manifests"}  # job: key


@dataclass(frozen=True)
class Job:
    name: str
    asked: bool
    result: str  # GitHub's word: success, failure, cancelled or skipped

    @property
    def passed(self) -> bool:
        return self.result == "success" or (self.result == "skipped" and not self.asked)

    @property
    def reason(self) -> str:
        return "as planned" if self.passed else "the plan asks for it, and only success passes"


def main(options: argparse.Namespace) -> int:
    jobs = judged(options.needs)
    red = [job for job in jobs if not job.passed]
    for job in jobs:
        print(f"{'ok ' if job.passed else 'RED'}  {job.name:<10} {job.result}: {job.reason}")
    names = ", ".join(job.name for job in red)
    print(f"required: FAIL, for {names}; open that job's log." if red else "required: PASS")
    if options.report:
        write(Path(options.report), markdown(jobs))
    return 1 if red else 0


def judged(needs: str) -> list[Job]:
    """Every job of `toJSON(needs)`, held against the plan that is among their outputs."""
    try:
        results = {str(name): str(job["result"]) for name, job in json.loads(needs).items()}
        planned = json.loads(needs).get("plan", {}).get("outputs", {}).get("plan") or "{}"
        found = json.loads(planned) if results.get("plan") == "success" else {}
        plan = found if isinstance(found, dict) else {}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Refusal(f"--needs is not what `toJSON(needs)` gives ({error!r}); hand that over.") from None
    if missing := [name for name in ("plan", *ASKED) if name not in results]:
        raise Refusal(f"--needs lacks the job {missing[0]}; add it to `needs:` of `required` in ci.yml.")
    # A job that no plan knows of, and every one where there is no plan, has to succeed.
    return [Job(name, bool(plan.get(ASKED.get(name, ""), True)), result) for name, result in results.items()]


def markdown(jobs: list[Job]) -> str:
    """The head of the report on the pull request: what is red, then the rest."""
    red = [f"- ❌ **{job.name}**: {job.result}; {job.reason}" for job in jobs if not job.passed]
    lines = [f"# {'❌ **fail**' if red else '✅ pass'}", "", *red, *([""] if red else [])]
    for title, result in (("Passed", "success"), ("Not needed for this change", "skipped")):
        if names := [job.name for job in jobs if job.passed and job.result == result]:
            lines += [f"{title}: {', '.join(names)}.", ""]
    return "\n".join([*lines, ""])
