"""What Git knows, in a repository of two commits."""

from __future__ import annotations

from pathlib import Path

import pytest

from repo.lib import git
from tests.support import repository, trees


def test_a_commit_gives_files_as_it_had_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    repository.git("init", "--quiet")
    for name in ("a/one.py", "a/b/two.py", "a/large.bin", "c.py"):
        trees.append(name, name)
    commit = repository.commit()
    repository.git("rm", "-r", "--quiet", "a")
    Path("model").write_bytes(b"\x08\xff\xfe\n\n")
    assert git.blobs(repository.commit(), ["model", "nothing"]) == {"model": b"\x08\xff\xfe\n\n"}
    with git.archived(commit, ["a", "nothing"], without=["*.bin"]) as folder:
        found = {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}
    assert found == {name: name for name in ("a/one.py", "a/b/two.py")}
    assert not folder.exists()
    with git.archived(commit, ["nothing"], without=["*.bin"]) as folder:
        assert list(folder.iterdir()) == []
