"""The image digests that were rolled back: `deploy/releases/aborted.yaml`, a list of {digest, model, reason, version}.

A controller forgets that it aborted a version (Argo Rollouts compares only time stamps), so `python -m deploy promote`
asks this list; `python -m deploy rollback` adds to it.
"""

from pydantic import TypeAdapter

from deploy.lib import history
from deploy.lib.passport import Digest, Record, parse_yaml, parsed
from deploy.lib.release import RELEASES
from repo.lib import files
from repo.lib.refusal import Refusal

PATH = RELEASES / "aborted.yaml"
FIX = f"restore it with `git checkout -- {PATH}`, or fix the entry"


class Aborted(Record):
    digest: Digest
    model: str
    reason: str
    version: str | None = None  # of the passport: another build of the same content is not another release


def read() -> list[Aborted]:
    """The list in the working tree. A missing or broken file is refused: it would let an aborted digest pass."""
    if not PATH.is_file():
        raise Refusal(f"{PATH} is missing; {FIX}.")
    return _parse(PATH.read_bytes())


def at(commit: str) -> list[Aborted]:
    """The list as a commit has it; empty before there was one. One that was broken then cannot be fixed: today's."""
    try:
        return _parse(history.show(commit, PATH) or b"[]")
    except Refusal:
        return read()


def find(digest: str, listed: list[Aborted]) -> Aborted | None:
    return next((each for each in listed if each.digest == digest), None)


def add(digest: str, model: str, reason: str, version: str | None = None) -> None:
    """Put a digest on the list, once; the caller holds release.LOCK."""
    listed = read()
    if not find(digest, listed):
        new = Aborted(digest=digest, model=model, reason=reason, version=version)
        entries = [each.model_dump(exclude_none=True) for each in [*listed, new]]
        comment = [line for line in PATH.read_text().splitlines(keepends=True) if line.startswith("#")]
        files.write(PATH, "".join(comment) + files.dump_yaml(entries))


def _parse(content: bytes) -> list[Aborted]:
    known = TypeAdapter(list[Aborted])
    return parsed(lambda text: known.validate_python(parse_yaml(text)), content, PATH, FIX)
