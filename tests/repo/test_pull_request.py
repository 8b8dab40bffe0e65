"""Which repository is asked, and whose pull requests are touched: this one's own, whatever else has the same name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from repo.lib import pull_request
from repo.lib.refusal import Refusal
from tests.github.hub import Hub
from tests.support import gh as stand_in
from tests.support.process import first_on_path, program
from tests.support.repository import git

STRANGERS = ("stranger/fork", "team/another-fork")  # the second has the same owner, as forks in an organisation do


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    found = stand_in.install(tmp_path, monkeypatch)
    yield found
    found.demand_untouched()


def from_elsewhere(hub: Hub, repository: str | None, state: str = "open") -> None:
    """Have a pull request whose branch is another repository's, or of one that is gone."""
    known = hub.read()
    known["pulls"][0]["head"]["repo"] = repository and {"full_name": repository}
    known["pulls"][0]["state"] = state
    hub.write(known)


@pytest.mark.parametrize("ours", [0, 1])
def test_theirs_are_neither_renewed_nor_in_the_way_of_ours(hub: Hub, ours: int) -> None:
    numbers = [hub.propose("promote/x") for _ in range(ours)]
    hub.strangers("promote/x")
    address = pull_request.open_or_renew("main", "promote/x", "title", "text", "")
    assert address == hub.own()["html_url"]
    assert (hub.own()["title"], hub.own()["body"]) == ("title", "text")
    assert numbers in ([], [hub.own()["number"]]), "another one was opened beside ours"


def test_theirs_are_not_withdrawn(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    hub.strangers("promote/x")
    pull_request.withdraw("promote/x", "rolled back")
    assert (hub.calls(), capsys.readouterr().out) == ([], "")
    number = hub.propose("promote/x")
    pull_request.withdraw("promote/x", "rolled back")
    assert (hub.pull(number)["state"], hub.pull(number)["comments"]) == ("closed", ["rolled back"])


@pytest.mark.parametrize("repository", [*STRANGERS, None])
def test_of_theirs_and_of_a_fork_that_is_gone_nothing_is_known(hub: Hub, repository: str | None) -> None:
    hub.propose("retrain/x")
    from_elsewhere(hub, repository, "closed")
    assert pull_request.closed("main", "retrain/x") is None
    from_elsewhere(hub, repository)
    pull_request.withdraw("retrain/x", "why")
    assert hub.calls() == []
    hub.write(hub.read() | {"pulls": []})


def test_a_run_of_a_fork_whose_branch_is_called_main_proves_nothing(hub: Hub) -> None:
    hub.ran("ci.yml", "1" * 40, repository="stranger/fork")
    hub.ran("ci.yml", "2" * 40, event="pull_request")
    hub.ran("ci.yml", "3" * 40, conclusion="failure")
    hub.ran("other.yml", "4" * 40)
    hub.ran("ci.yml", "5" * 40)
    assert pull_request.succeeded("ci.yml", "main") == ["5" * 40]


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("https://github.com/me/mine.git", "github.com"),
        ("https://token@github.com/me/mine", "github.com"),
        ("git@github.com:me/mine.git", "github.com"),
        ("ssh://git@ghe.example.org:2222/me/mine.git", "ghe.example.org"),
        ("/a/folder", None),
    ],
)
def test_origin_is_asked_and_not_what_gh_takes_for_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, host: str | None
) -> None:
    """`gh repo clone` of a fork makes its parent the default."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GITHUB_REPOSITORY", raising=False)
    program(tmp_path / "bin", "gh", 'echo "[]"; echo "$@" > asked')
    monkeypatch.setenv("PATH", first_on_path(tmp_path / "bin"))
    git("init", "--quiet")
    git("remote", "add", "upstream", "https://github.com/parent/template")
    git("remote", "add", "origin", address)
    if host is None:
        with pytest.raises(Refusal, match="is not a repository of GitHub"):
            pull_request.repository()
    else:
        assert pull_request.closed("main", "x") is None
        assert Path("asked").read_text().startswith(f"api --hostname {host} --method GET repos/me/mine/pulls ")
