"""A weekly run plans all there is; a pull request is planned by what its merge brings to main as it is now."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from repo.lib import change
from tests.support import trees
from tests.support.repository import commit, git

Plan = Callable[..., dict[str, Any]]


@pytest.mark.usefixtures("branch")
def test_everything_is_planned_though_nothing_differs(plan: Plan) -> None:
    found = plan("--everything")
    assert [each["name"] for each in found["models"]] == change.folders("models")
    assert all(each["stages"] == change.STAGES for each in found["models"])
    assert found["datasets"] == change.folders("data_schemas")
    assert (found["code"], found["manifests"], found["tests"]) == (True, True, change.tested())
    assert found["since"] == git("rev-parse", "HEAD")


@pytest.mark.usefixtures("branch")
def test_what_others_merged_meanwhile_is_not_charged_to_a_pull_request(plan: Plan) -> None:
    """`base.sha` is main as it was at the last push to the branch."""
    stale = git("rev-parse", "main")
    trees.append("README.md")
    commit()
    git("checkout", "--quiet", "-B", "theirs", "main")
    (model,) = change.folders("models")[:1]
    trees.append(f"models/{model}/network.py")
    commit()
    git("merge", "--quiet", "--no-ff", "--message", "what GitHub checks out", "change")
    ours, old = plan("--since", "HEAD^1"), plan("--since", stale)
    assert (ours["models"], ours["changed"], ours["code"]) == ([], 1, True)
    assert [each["name"] for each in old["models"]] == [model], "the old base has the work of others in it"
