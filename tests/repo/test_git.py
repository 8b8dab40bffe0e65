"""What Git knows, in a repository of three commits."""

from __future__ import annotations

from pathlib import Path

import pytest

from repo.lib import git
from tests.support import repository, trees


@pytest.fixture
def commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """One with a folder of two files, under which the tree has moved on."""
    monkeypatch.chdir(tmp_path)
    repository.git("init", "--quiet")
    for name in ("a/one.py", "a/b/two.py", "a/large.bin", "c.py"):
        trees.append(name, name)
    found = repository.commit()
    repository.git("rm", "-r", "--quiet", "a")
    repository.commit()
    return found


def test_a_folder_holds_what_the_commit_had_of_these_paths(commit: str) -> None:
    with git.archived(commit, ["a", "nothing"], without=["*.bin"]) as folder:
        found = {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}
    assert found == {name: name for name in ("a/one.py", "a/b/two.py")}
    assert not folder.exists()


def test_of_paths_that_the_commit_lacks_there_is_an_empty_folder(commit: str) -> None:
    with git.archived(commit, ["nothing"], without=["*.bin"]) as folder:
        assert list(folder.iterdir()) == []


@pytest.mark.usefixtures("commit")
def test_a_file_that_is_no_text_keeps_its_bytes() -> None:
    Path("model").write_bytes(b"\x08\xff\xfe\n\n")
    assert git.blobs(repository.commit(), ["model", "nothing"]) == {"model": b"\x08\xff\xfe\n\n"}
