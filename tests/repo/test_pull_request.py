"""Which repository is asked, and whose pull requests are touched: this one's own, whatever else has the same name."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from repo.lib import pull_request
from repo.lib.refusal import Refusal
from tests.github.hub import Hub

STRANGERS = ("stranger/fork", "team/another-fork")  # the second has the same owner, as forks in an organisation do


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    found = Hub(tmp_path)
    for name, value in found.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("DISPATCH", raising=False)
    yield found
    found.demand_untouched()


def listed(hub: Hub, *words: str) -> str:
    """The old way: `gh pr list`."""
    done = subprocess.run([str(hub.folder / "gh"), *words], capture_output=True, text=True, check=True)
    return done.stdout


def test_a_list_by_the_branch_alone_has_strangers_in_it(hub: Hub) -> None:
    hub.propose("promote/x")
    hub.strangers("promote/x")
    assert listed(hub, "pr", "list", "--head", "promote/x").count("stranger/fork") == 1


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


@pytest.mark.parametrize("repository", STRANGERS)
def test_theirs_that_is_closed_says_nothing_of_ours(hub: Hub, repository: str) -> None:
    hub.propose("retrain/x", state="open")
    known = hub.read()
    known["pulls"][0]["head"] |= {"repo": {"full_name": repository}, "owner": repository.partition("/")[0]}
    hub.write({**known, "pulls": [known["pulls"][0] | {"state": "closed"}]})
    assert pull_request.closed("main", "retrain/x") is None
    hub.write({**known, "pulls": []})


def test_of_a_fork_that_is_gone_nothing_is_known(hub: Hub) -> None:
    hub.propose("promote/x")
    known = hub.read()
    known["pulls"][0]["head"]["repo"] = None
    hub.write(known)
    pull_request.withdraw("promote/x", "why")
    assert hub.calls() == []
    hub.write({**known, "pulls": []})


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
    ],
)
def test_origin_is_asked_and_not_what_gh_takes_for_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, host: str
) -> None:
    """`gh repo clone` of a fork makes its parent the default."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GITHUB_REPOSITORY", raising=False)
    for words in (["init", "--quiet"], ["remote", "add", "upstream", "https://github.com/parent/template"]):
        subprocess.run(["git", *words], check=True)
    subprocess.run(["git", "remote", "add", "origin", address], check=True)
    assert pull_request.repository() == (host, "me/mine")


def test_a_folder_as_origin_is_no_repository_of_github(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GITHUB_REPOSITORY", raising=False)
    subprocess.run(["git", "init", "--quiet"], check=True)
    subprocess.run(["git", "remote", "add", "origin", str(tmp_path / "bare")], check=True)
    with pytest.raises(Refusal, match="is not a repository of GitHub"):
        pull_request.repository()


def test_the_host_is_named_in_every_call(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []
    real = subprocess.run

    def run(words: list[str], **options: Any) -> Any:
        asked.append(words)
        return real(words, **options)

    monkeypatch.setattr("repo.lib.process.subprocess.run", run)
    pull_request.open_or_renew("main", "promote/x", "title", "text", "")
    assert [words[:4] for words in asked] == [["gh", "api", "--hostname", "github.com"]] * len(asked)
    assert hub.calls() == ["POST pulls"]
