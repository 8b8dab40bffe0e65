"""What `make env` and the workflows install, and by which words: the download itself needs the addresses of others."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

from tests.github import workflows


def words(target: str, *settings: str) -> list[str]:
    """The lines that `make` would run, in a tree without an environment."""
    command = ["make", "--dry-run", "--always-make", target, "BIN=.venv/bin", *settings]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.replace("\\\n", " ").splitlines()


def test_uv_comes_from_a_lock_of_its_own_and_installs_the_rest() -> None:
    lines = words("env")
    (pip,) = (line for line in lines if "pip install" in line and "uv pip" not in line)
    assert pip.endswith("--require-hashes -r requirements/uv.txt")
    torch, lock = (line for line in lines if "uv pip install" in line)
    assert torch.split()[-1] == "torch==2.13.0", "without a backend the line is as a person knows it"
    assert lock.endswith("--require-hashes -r requirements/development.txt")
    assert lines.index(pip) < lines.index(torch) < lines.index(lock)
    text = Path("requirements/uv.txt").read_text()
    assert re.findall(r"(?m)^([\w-]+)==", text) == ["uv"]
    assert text.count("--hash=sha256:") > 3


def test_no_setting_of_the_project_keeps_torch_out_of_an_install() -> None:
    """`uv pip install torch` would end well and install nothing under an override that locks need."""
    assert "uv" not in tomllib.loads(Path("pyproject.toml").read_text())["tool"]
    locks = [line for line in words("lock") if "uv pip compile" in line]
    assert locks
    assert all("--override requirements/without-torch.in" in line for line in locks)


def test_a_build_of_torch_is_asked_for_by_name_and_not_by_an_address() -> None:
    (torch,) = (line for line in words("env", "TORCH_BACKEND=cpu") if "torch==" in line)
    assert torch.split()[-2:] == ["torch==2.13.0", "--torch-backend=cpu"]
    assert "://" not in torch
    uv = Path(sys.executable).with_name("uv")  # `make env` put it there
    told = subprocess.run([str(uv), "pip", "install", "--help"], capture_output=True, text=True, check=True).stdout
    assert "--torch-backend" in told


def test_runners_take_the_cpu_build_and_no_variable_decides_it() -> None:
    action = workflows.read(Path(".github/actions/setup/action.yml"))
    (env,) = (step.run for step in action.steps() if "make env" in step.run)
    assert env == "make env TORCH_BACKEND=cpu"
    for file in workflows.every():
        assert "TORCH" not in file.text.replace("TORCH_BACKEND=cpu", ""), file.path


def test_the_archive_of_debian_is_trusted_wherever_a_base_is_made() -> None:
    assert "debian-archive-keyring" in Path(".ci/run").read_text()
